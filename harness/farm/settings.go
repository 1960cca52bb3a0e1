package farm

import (
	"encoding/json"
	"fmt"
	"time"

	"tokentest/harness/result"
	"tokentest/harness/splat"
)

// Settings are what the parts of a run have in common. They are a blob.
type Settings struct {
	Batch      int                `json:"batch"`
	Accel      string             `json:"accel"`
	Append     []string           `json:"append,omitempty"`
	Deadline   time.Duration      `json:"deadline,omitempty"`
	Entry      string             `json:"entry,omitempty"`
	Isolate    string             `json:"isolate,omitempty"`
	Allow      *splat.Allow       `json:"allow,omitempty"`
	Lists      []result.ListEntry `json:"lists,omitempty"`
	AllowEmpty bool               `json:"allow_empty,omitempty"`
	Flags      []string           `json:"flags,omitempty"`
	Files      map[string]string  `json:"files,omitempty"` // the texts of the user's case files, by their names
}

// Encode returns the bytes of the blob.
func (s *Settings) Encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the settings: %w", err)
	}
	return text, nil
}

// DecodeSettings reads the bytes of the blob.
func DecodeSettings(text []byte) (*Settings, error) {
	s := &Settings{}
	if err := decode(text, s); err != nil {
		return nil, fmt.Errorf("read the settings of a part: %w", err)
	}
	return s, nil
}

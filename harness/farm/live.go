package farm

import (
	"tokentest/harness/result"
)

// Live is what a worker tells while it does a part. It is for people, and may be lost.
type Live struct {
	N       int                `json:"n"`
	Worker  string             `json:"worker,omitempty"`
	Host    string             `json:"host,omitempty"`
	Stage   string             `json:"stage,omitempty"`
	Doing   string             `json:"doing,omitempty"` // of the stage build
	Began   string             `json:"began,omitempty"`
	Done    int                `json:"done,omitempty"`
	Failed  int                `json:"failed,omitempty"`
	Wrong   *result.CaseResult `json:"wrong,omitempty"` // a result that is not as expected
	Warning string             `json:"warning,omitempty"`
}

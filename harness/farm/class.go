package farm

import (
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
)

// Class is what a worker must have to take a part. Each class has a queue of its own.
type Class struct {
	Build string `json:"build"` // the digest of the program
	Arch  string `json:"arch"`
	Accel string `json:"accel"` // any, kvm or tcg
	GiB   int    `json:"gib"`   // of memory, a power of two
}

// Arch is the architecture of this host.
const Arch = runtime.GOARCH

// AnyAccel is the accelerator of a part that runs on either.
const AnyAccel = "any"

// NewClass returns the class of a part that needs so much memory. accel is auto, kvm or tcg.
func NewClass(build, accel string, mib int) Class {
	if accel == "" || accel == "auto" {
		accel = AnyAccel
	}
	gib := 1
	for gib*1024 < mib {
		gib *= 2
	}
	return Class{build, Arch, accel, gib}
}

// String is the name of the class's queue.
func (c Class) String() string { return fmt.Sprintf("%s-%s-%s-%d", c.Build, c.Arch, c.Accel, c.GiB) }

// ParseClass reads the name of a class's queue.
func ParseClass(name string) (c Class, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 4 {
		return c, false
	}
	c.Build, c.Arch, c.Accel = parts[0], parts[1], parts[2]
	_, err := fmt.Sscanf(parts[3], "%d", &c.GiB)
	return c, err == nil && c.String() == name
}

// Can is what a worker has.
type Can struct {
	Build string `json:"build"`
	Arch  string `json:"arch"`
	KVM   bool   `json:"kvm"`
	TCG   bool   `json:"tcg"`
	MiB   int    `json:"mib"` // of memory for one part
}

// Take reports whether the worker can take parts of a class.
func (w Can) Take(c Class) bool {
	accel := c.Accel == AnyAccel || c.Accel == "kvm" && w.KVM || c.Accel == "tcg" && w.TCG
	return c.Build == w.Build && c.Arch == w.Arch && accel && c.GiB*1024 <= w.MiB
}

// isWord reports whether a text can be one token of a subject.
func isWord(text string) bool {
	return text != "" && len(text) <= 64 && strings.IndexFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && (r < 'A' || r > 'Z')
	}) < 0
}

func isDigest(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 32
}

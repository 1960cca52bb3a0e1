package farm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
)

// Class is what a worker must have to take a part. Each class has a queue of its own.
type Class struct {
	Build string `json:"build"` // the digest of the program
	Arch  string `json:"arch"`
	Accel string `json:"accel"`           // any, kvm, tcg or build
	GiB   int    `json:"gib"`             // of memory, a power of two
	Tools string `json:"tools,omitempty"` // of a build: the name of the tools, as ToolsName makes it
}

// Arch is the architecture of this host.
const Arch = runtime.GOARCH

// AnyAccel is the accelerator of a part that runs on either; forBuild is that of a build, which runs on none.
const (
	AnyAccel = "any"
	forBuild = "build"
)

// NewClass returns the class of a part that needs so much memory. accel is auto, kvm or tcg.
func NewClass(build, accel string, mib int) Class {
	if accel == "" || accel == "auto" {
		accel = AnyAccel
	}
	gib := 1
	for gib*1024 < mib {
		gib *= 2
	}
	return Class{Build: build, Arch: Arch, Accel: accel, GiB: gib}
}

// buildMiB is the memory that a build of a kernel needs for a compiler, with a linker at its end.
const buildMiB = 1024

// BuildClass is the class of builds of kernels with tools that kernel.Tools identifies.
func BuildClass(build, tools string) Class {
	c := NewClass(build, forBuild, buildMiB)
	c.Tools = ToolsName(tools)
	return c
}

// ToolsName is a short name of the tools that build kernels.
func ToolsName(tools string) string {
	sum := sha256.Sum256([]byte(tools))
	return hex.EncodeToString(sum[:6])
}

// String is the name of the class's queue.
func (c Class) String() string {
	name := fmt.Sprintf("%s-%s-%s-%d", c.Build, c.Arch, c.Accel, c.GiB)
	if c.Tools != "" {
		name += "-" + c.Tools
	}
	return name
}

// ParseClass reads the name of a class's queue.
func ParseClass(name string) (c Class, ok bool) {
	parts := strings.Split(name, "-")
	switch len(parts) {
	case 4:
	case 5:
		c.Tools = parts[4]
	default:
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
	MiB   int    `json:"mib"`             // of memory for one part
	Tools string `json:"tools,omitempty"` // that build kernels here, as kernel.Tools has them; "" builds none
}

// Take reports whether the worker can take parts of a class.
func (w Can) Take(c Class) bool {
	accel := c.Accel == AnyAccel && (w.KVM || w.TCG) || c.Accel == "kvm" && w.KVM || c.Accel == "tcg" && w.TCG
	if c.Tools != "" {
		accel = c.Accel == forBuild && w.Tools != "" && c.Tools == ToolsName(w.Tools)
	}
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

package uapi

import (
	"fmt"
	"strings"
)

// Cap is a capability number, include/uapi/linux/capability.h.
type Cap uint

// The capabilities that bpf(2) asks for, and those that files and other
// processes are guarded by.
const (
	CAP_DAC_OVERRIDE    Cap = 1
	CAP_DAC_READ_SEARCH Cap = 2
	CAP_FOWNER          Cap = 3
	CAP_NET_ADMIN       Cap = 12
	CAP_SYS_PTRACE      Cap = 19
	CAP_SYS_ADMIN       Cap = 21
	CAP_SYS_BOOT        Cap = 22
	CAP_SYS_RESOURCE    Cap = 24
	CAP_SYSLOG          Cap = 34
	CAP_PERFMON         Cap = 38
	CAP_BPF             Cap = 39
)

var capNames = []struct {
	cap  Cap
	name string
}{
	{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	{CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE"}, {CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"},
	{CAP_FOWNER, "CAP_FOWNER"}, {CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
	{CAP_SYSLOG, "CAP_SYSLOG"}, {CAP_SYS_RESOURCE, "CAP_SYS_RESOURCE"},
	{CAP_SYS_BOOT, "CAP_SYS_BOOT"},
}

// CapNames lists the capabilities that a case file may name.
func CapNames() []string {
	var out []string
	for _, n := range capNames {
		out = append(out, n.name)
	}
	return out
}

// String returns the kernel's name of the capability.
func (c Cap) String() string {
	for _, n := range capNames {
		if n.cap == c {
			return n.name
		}
	}
	return fmt.Sprintf("capability %d", uint(c))
}

// CapSet is a set of capabilities, one bit each.
type CapSet uint64

// AllCaps stands for every capability that the running kernel has.
const AllCaps CapSet = 1<<64 - 1

// Has reports whether the set holds c.
func (s CapSet) Has(c Cap) bool { return s&(1<<c) != 0 }

// String returns the form that ParseCaps reads.
func (s CapSet) String() string {
	switch s {
	case 0:
		return "none"
	case AllCaps:
		return "all"
	}
	var names []string
	named := CapSet(0)
	for _, n := range capNames {
		named |= 1 << n.cap
		if s.Has(n.cap) {
			names = append(names, n.name)
		}
	}
	if s&^named != 0 { // all but some: a set never holds part of the others
		return "all-" + (AllCaps &^ s).String()
	}
	return strings.Join(names, "+")
}

// List returns the names of the capabilities in the set, with commas.
func (s CapSet) List() string {
	var names []string
	for _, n := range capNames {
		if s.Has(n.cap) {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// ParseCaps reads "none", "all", or names joined by "+"; "all-CAP_BPF" is
// every capability but the named ones.
func ParseCaps(text string) (CapSet, error) {
	if rest, ok := strings.CutPrefix(text, "all-"); ok {
		s, err := ParseCaps(rest)
		return AllCaps &^ s, err
	}
	switch text {
	case "none":
		return 0, nil
	case "all":
		return AllCaps, nil
	}
	var s CapSet
next:
	for _, name := range strings.Split(text, "+") {
		for _, n := range capNames {
			if n.name == name {
				s |= 1 << n.cap
				continue next
			}
		}
		return 0, fmt.Errorf("unknown capability %q: want none, all, or of %s joined by +", name,
			strings.Join(CapNames(), " "))
	}
	return s, nil
}

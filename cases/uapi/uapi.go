// Package uapi holds the kernel's numbers and their names: commands, map, program
// and attach types, capabilities and errnos, with the release that added each, and
// the members of union bpf_attr. Names keep the kernel's spelling.
//
// It decides nothing and makes no call. zenums.go and zlayout.go are generated
// from the kernel's headers: "make generate" writes them.
//
// Start with Cmds, MapTypes, ProgTypes and AttachTypes.
package uapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Cmd is a command of bpf(2), enum bpf_cmd.
type Cmd uint32

// MapType is enum bpf_map_type.
type MapType uint32

// ProgType is enum bpf_prog_type.
type ProgType uint32

// AttachType is enum bpf_attach_type.
type AttachType uint32

// String returns the name as delegate_cmds spells it, or the number.
func (c Cmd) String() string { return Cmds.Name(uint32(c)) }

// String returns the name as delegate_maps spells it, or the number.
func (t MapType) String() string { return MapTypes.Name(uint32(t)) }

// String returns the name as delegate_progs spells it, or the number.
func (t ProgType) String() string { return ProgTypes.Name(uint32(t)) }

// String returns the name as delegate_attachs spells it, or the number.
func (t AttachType) String() string { return AttachTypes.Name(uint32(t)) }

// BPF_F_TOKEN_FD is the flag that says that a token fd is given: bit 16 of
// map_flags, prog_flags, btf_flags and open_flags.
const BPF_F_TOKEN_FD = 1 << 16

// Field is where a member of a structure stands, in bytes.
type Field struct{ Off, Size uint16 }

// Release is the first two numbers of a kernel release.
type Release struct{ Major, Minor int }

// ParseRelease reads the leading numbers of a release such as
// "6.12.117+deb13-cloud-amd64" or "7.3-rc7".
func ParseRelease(s string) (Release, error) {
	var r Release
	head := strings.FieldsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
	if len(head) < 2 || s[0] < '0' || s[0] > '9' {
		return r, fmt.Errorf("read release %q: want MAJOR.MINOR", s)
	}
	var err error
	if r.Major, err = strconv.Atoi(head[0]); err == nil {
		r.Minor, err = strconv.Atoi(head[1])
	}
	if err != nil {
		return Release{}, fmt.Errorf("read release %q: %w", s, err)
	}
	return r, nil
}

// Less reports whether r is older than s.
func (r Release) Less(s Release) bool {
	return r.Major < s.Major || r.Major == s.Major && r.Minor < s.Minor
}

// String returns "MAJOR.MINOR".
func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

// Member is one enumerator. Name is as a delegate_* option spells it: without
// the prefix, in lower case. An Alias repeats an earlier member's value.
type Member struct {
	Value uint32
	Name  string
	Since Release
	Alias bool
}

// Enum is one kernel enumeration.
type Enum struct {
	Tag, Prefix string
	Members     []Member
}

// Name returns the first name that has the value, as the kernel's
// find_btf_enum_const does, or the number.
func (e Enum) Name(value uint32) string {
	for _, m := range e.Members {
		if m.Value == value {
			return m.Name
		}
	}
	return strconv.FormatUint(uint64(value), 10)
}

// Symbol returns a member's name as the kernel's header and its BTF spell it.
func (e Enum) Symbol(m Member) string { return e.Prefix + strings.ToUpper(m.Name) }

// Lookup finds a member by name, in either case, or by number.
func (e Enum) Lookup(name string) (Member, bool) {
	for _, m := range e.Members {
		if strings.EqualFold(m.Name, name) {
			return m, true
		}
	}
	if v, err := strconv.ParseUint(name, 0, 32); err == nil {
		if i := slices.IndexFunc(e.Members, func(m Member) bool { return uint64(m.Value) == v }); i >= 0 {
			return e.Members[i], true
		}
		return Member{Value: uint32(v), Name: name}, true
	}
	return Member{}, false
}

// Max returns the number of bits that the enumeration takes in a release: the
// kernel's __MAX_… for it. Values above 63 hold no bit and do not count.
func (e Enum) Max(r Release) uint32 {
	n := uint32(0)
	for _, m := range e.Members {
		if m.Value < 64 && !r.Less(m.Since) {
			n = max(n, m.Value+1)
		}
	}
	return n
}

package oracle

import (
	"strconv"
	"strings"

	"tokentest/cases/uapi"
)

// Option is one assignment: Name is the mount option, Value the
// string as fsconfig(2) gets it.
type Option struct{ Name, Value string }

// Delegate is the making of a bpffs: Opener calls fsopen(2), Setter sets the
// options in order and creates the superblock.
type Delegate struct {
	Options        []Option
	Opener, Setter Cred
}

// DelegateOptions are the mount options that hold the four masks, with the
// enumeration whose bits they are.
var DelegateOptions = []struct {
	Name string
	Enum *uapi.Enum
}{
	{"delegate_cmds", &uapi.Cmds}, {"delegate_maps", &uapi.MapTypes},
	{"delegate_progs", &uapi.ProgTypes}, {"delegate_attachs", &uapi.AttachTypes},
}

// Of returns the mask that a mount option sets.
func (m *Masks) Of(option string) *uint64 {
	return map[string]*uint64{
		"delegate_cmds": &m.Cmds, "delegate_maps": &m.Maps,
		"delegate_progs": &m.Progs, "delegate_attachs": &m.Attachs,
	}[option]
}

// Decide says what the making of a bpffs answers and which masks the
// superblock then holds: bpf_parse_param, mount_capable and bpf_fill_super.
func (d *Delegate) Decide(k *Kernel) (Verdict, Masks) {
	var m Masks
	if k.Token {
		for _, o := range d.Options {
			if v := d.assign(k, o, m.Of(o.Name)); v.Errno != 0 {
				return v, m
			}
		}
	}
	switch {
	case !d.Setter.capable(d.Opener.Userns, uapi.CAP_SYS_ADMIN):
		return Verdict{Known: true, Errno: ePERM, Rule: "the creator lacks CAP_SYS_ADMIN in the opener's user namespace", Func: "mount_capable", ID: "bpffs/mount-capable"}, m
	case k.Token && d.Opener.Userns != Initial && !d.Setter.capable(Initial, uapi.CAP_SYS_ADMIN):
		return Verdict{Known: true, Errno: ePERM, Rule: "the creator lacks CAP_SYS_ADMIN in the initial user namespace", Func: "bpf_fill_super", ID: "bpffs/fill-super"}, m
	case !k.Token:
		return Verdict{Known: true, Rule: "bpffs ignores mount options that it does not know", Func: "bpf_parse_param", ID: "bpffs/unknown-option"}, Masks{}
	}
	return Verdict{Known: true, Rule: "nothing refuses it", Func: "bpf_fill_super", ID: "bpffs/allowed"}, m
}

func (d *Delegate) assign(k *Kernel, o Option, mask *uint64) Verdict {
	v, errno := parseOption(k, MountOption{Option: o})
	switch {
	case errno != 0:
		return Verdict{Known: true, Errno: errno, Rule: o.Name + " is malformed", Func: "bpf_parse_param", ID: "bpffs/malformed"}
	case (o.Name == "uid" || o.Name == "gid") && !idFits(d.Setter, d.Opener.Userns, v):
		return Verdict{Known: true, Errno: eINVAL, Rule: "the bpffs's user namespace has no such " + o.Name, Func: "bpf_parse_param", ID: "bpffs/unmapped-id"}
	case !isDelegate(o.Name):
		return Verdict{}
	case v != 0 && !d.Setter.capable(Initial, uapi.CAP_SYS_ADMIN):
		return Verdict{Known: true, Errno: ePERM, Rule: "setting " + o.Name + " wants CAP_SYS_ADMIN in the initial user namespace", Func: "bpf_parse_param", ID: "bpffs/set-unprivileged"}
	}
	*mask |= v
	return Verdict{}
}

// Shown returns the masks as a token's fdinfo shows them: a mask that holds
// every bit of its enumeration is "any", here all ones, bpf_token_show_fdinfo.
func (k *Kernel) Shown(m Masks) []uint64 {
	out := []uint64{m.Cmds, m.Maps, m.Progs, m.Attachs}
	for i, end := range []uint32{k.MaxCmd, k.MaxMap, k.MaxProg, k.MaxAttach} {
		if known := uint64(1)<<end - 1; out[i]&known == known {
			out[i] = ^uint64(0)
		}
	}
	return out
}

// fsconfigMax is the longest string that FSCONFIG_SET_STRING takes with its
// terminating zero, fs/fsopen.c.
const fsconfigMax = 256

// ParseMask reads one value of a delegate_* option as bpf_parse_param does: a
// name or "any" adds bits, a number replaces what stood before it.
func ParseMask(k *Kernel, option, value string) (uint64, uapi.Errno) {
	if len(value) >= fsconfigMax {
		return 0, eINVAL
	}
	var mask uint64
	for _, p := range strings.Split(value, ":") {
		if p == "any" {
			mask = ^uint64(0)
		} else if v, ok := k.enumerator(option, p); ok {
			mask |= 1 << (v % 64)
		} else if n, errno := kstrtou64(p); errno != 0 {
			return 0, errno
		} else {
			mask = n
		}
	}
	return mask, 0
}

func (k *Kernel) enumerator(option, name string) (uint32, bool) {
	for _, o := range DelegateOptions {
		if o.Name != option {
			continue
		}
		for _, m := range o.Enum.Members {
			if strings.EqualFold(m.Name, name) && !k.Release.Less(m.Since) {
				return m.Value, true
			}
		}
	}
	return 0, false
}

// kstrtou64 follows lib/kstrtox.c with base 0: 0x is hexadecimal, a leading 0
// octal; one leading plus and one trailing newline are taken.
func kstrtou64(s string) (uint64, uapi.Errno) {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "+"), "\n")
	base, digits := 10, s
	if len(s) > 1 && s[0] == '0' {
		base = 8
		if s[1] == 'x' || s[1] == 'X' {
			base, digits = 16, s[2:]
		}
	}
	if strings.ContainsAny(digits, "_+-") {
		return 0, eINVAL
	}
	n, err := strconv.ParseUint(digits, base, 64)
	if err == nil {
		return n, 0
	}
	if e := err.(*strconv.NumError); e.Err == strconv.ErrRange {
		return 0, eRANGE
	}
	return 0, eINVAL
}

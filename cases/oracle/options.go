package oracle

import (
	"strconv"
	"strings"

	"tokentest/cases/uapi"
)

// Option is one assignment of a mount option. Value is the string that
// fsconfig(2) or mount(2) gets.
type Option struct{ Name, Value string }

// MountOption is one assignment to a context. Flag says that the option is set
// without a value, or with one that is no string.
type MountOption struct {
	Option
	Flag bool
}

// DelegateOptions are the mount options of the four masks, with the
// enumeration that gives the bits their names.
var DelegateOptions = []struct {
	Name string
	Enum *uapi.Enum
}{
	{"delegate_cmds", &uapi.Cmds}, {"delegate_maps", &uapi.MapTypes},
	{"delegate_progs", &uapi.ProgTypes}, {"delegate_attachs", &uapi.AttachTypes},
}

func isDelegate(name string) bool { return strings.HasPrefix(name, "delegate_") }

// Of returns the mask that a mount option sets.
func (m *Masks) Of(option string) *uint64 {
	return map[string]*uint64{
		"delegate_cmds": &m.Cmds, "delegate_maps": &m.Maps,
		"delegate_progs": &m.Progs, "delegate_attachs": &m.Attachs,
	}[option]
}

// setsOption is a request that sets a mount option. into is the user namespace
// of the bpffs that gets it.
type setsOption interface {
	option() MountOption
	into() *Userns
}

// The checks of bpf_parse_param of kernel/bpf/inode.c, in its order.

func optionMalformed[R setsOption]() rule[R] {
	return rule[R]{id: "malformed", fn: "bpf_parse_param", errno: eINVAL, text: "the option's value is malformed",
		holds: func(c *call[R]) bool { return optionErrno(c) == eINVAL }}
}

func optionOutOfRange[R setsOption]() rule[R] {
	return rule[R]{id: "out-of-range", fn: "bpf_parse_param", errno: eRANGE, text: "the number has more than 64 bits",
		holds: func(c *call[R]) bool { return optionErrno(c) == eRANGE }}
}

func optionUnmappedID[R setsOption]() rule[R] {
	return rule[R]{id: "unmapped-id", fn: "bpf_parse_param", errno: eINVAL,
		text: "the caller's user namespace or the bpffs's does not map the uid or gid",
		holds: func(c *call[R]) bool {
			o := c.req.option()
			id, errno := parseOption(c.Kernel, o)
			return errno == 0 && (o.Name == "uid" || o.Name == "gid") && c.Kernel.knowsOption(o.Name) &&
				!idFits(c.Caller, c.req.into(), id)
		}}
}

func optionUnprivileged[R setsOption]() rule[R] {
	return rule[R]{id: "set-unprivileged", fn: "bpf_parse_param", errno: ePERM,
		text: "a delegation mask needs CAP_SYS_ADMIN " + initialNS,
		holds: func(c *call[R]) bool {
			o := c.req.option()
			mask, errno := parseOption(c.Kernel, o)
			return errno == 0 && isDelegate(o.Name) && mask != 0 && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}}
}

func optionErrno[R setsOption](c *call[R]) uapi.Errno {
	_, errno := parseOption(c.Kernel, c.req.option())
	return errno
}

// idFits mirrors make_kuid with the caller's user namespace and
// kuid_has_mapping with the bpffs's.
func idFits(c Cred, fs *Userns, id uint64) bool {
	kuid, ok := c.Userns.Kuid(uint32(id))
	return id != invalidID && ok && (fs == nil || fs.maps(kuid))
}

// invalidID is (uid_t)-1, INVALID_UID.
const invalidID = 1<<32 - 1

// fsconfigMax is the longest string that FSCONFIG_SET_STRING takes, with its
// terminating zero: fs/fsopen.c.
const fsconfigMax = 256

// knowsOption reports whether bpf_parse_param has an option: uid and gid came in 6.8, delegation with tokens.
func (k *Kernel) knowsOption(name string) bool {
	switch name {
	case "mode":
		return true
	case "uid", "gid":
		return k.has(linux(6, 8))
	}
	return isDelegate(name) && k.Token
}

// parseOption reads a value as fs_parse and bpf_parse_param do.
func parseOption(k *Kernel, o MountOption) (uint64, uapi.Errno) {
	switch {
	case !k.knowsOption(o.Name):
		return 0, 0 // bpffs ignores options that it does not know
	case o.Flag || o.Value == "" || len(o.Value) >= fsconfigMax:
		return 0, eINVAL
	case isDelegate(o.Name):
		return ParseMask(k, o.Name, o.Value)
	}
	base := 0
	if o.Name == "mode" {
		base = 8
	}
	n, err := strconv.ParseUint(o.Value, base, 32)
	if err != nil || strings.ContainsAny(o.Value, "_-") {
		return 0, eINVAL
	}
	return n, 0
}

// Apply makes an assignment that bpf_parse_param did not refuse.
func (x *Context) Apply(k *Kernel, c Cred, o MountOption) {
	n, _ := parseOption(k, o)
	id, _ := c.Userns.Kuid(uint32(n))
	switch {
	case o.Name == sourceOption:
		x.Source = true
	case !k.knowsOption(o.Name):
	case o.Name == "uid":
		x.Root.UID = id
	case o.Name == "gid":
		x.Root.GID = id
	case o.Name == "mode":
		x.Root.Mode = uint32(n) & 0o7777
	case isDelegate(o.Name):
		*x.Masks.Of(o.Name) |= n
	}
}

// ParseMask reads one value of a delegate_* option as bpf_parse_param does: a
// name or "any" adds bits, a number replaces the bits before it.
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

// enumerator is the value of a name in the kernel's BTF, find_btf_enum_const.
func (k *Kernel) enumerator(option, name string) (uint32, bool) {
	for _, o := range DelegateOptions {
		if o.Name != option {
			continue
		}
		for _, m := range o.Enum.Members {
			if strings.EqualFold(m.Name, name) && k.knows(o.Enum, m) {
				return m.Value, true
			}
		}
	}
	return 0, false
}

// kstrtou64 follows lib/kstrtox.c with base 0: 0x is hexadecimal, a leading 0
// octal; it takes one leading plus and one trailing newline.
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

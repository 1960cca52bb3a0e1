package guest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// masks are the enumerations that name the bits of a mount option.
var masks = map[step.Key]*uapi.Enum{
	step.KeyCmds: &uapi.Cmds, step.KeyMaps: &uapi.MapTypes, step.KeyProgs: &uapi.ProgTypes,
	step.KeyAttachs: &uapi.AttachTypes,
}

// option is the value of a mount option as the kernel can read it: find_btf_enum_const looks
// names up in the kernel's BTF, so without BTF a mask has to be a number.
func (t *typeIDs) option(a *step.Arg) string {
	if e := masks[a.Key]; e != nil && t.Unnamed {
		return numbered(e, a.Str, runningRelease())
	}
	return a.Str
}

func (t *typeIDs) options(args []step.Arg) []step.Arg {
	out := slices.Clone(args)
	for i := range out {
		out[i].Str = t.option(&args[i])
	}
	return out
}

// numbered makes a number of a mask with names in it, as bpf_parse_param would: a name adds its bit, a number
// replaces what was before it. A mask without names, or with a name that a kernel of the release does
// not know, stays as it is.
func numbered(e *uapi.Enum, text string, release uapi.Release) string {
	mask, named := uint64(0), false
	for _, p := range strings.Split(text, ":") {
		m, known := e.Lookup(p)
		n, err := strconv.ParseUint(p, 0, 64)
		switch {
		case p == "any":
			mask = ^uint64(0)
		case err == nil:
			mask = n
		case known && !release.Less(m.Since):
			mask, named = mask|1<<(m.Value%64), true
		default:
			return text
		}
	}
	if !named {
		return text
	}
	return fmt.Sprintf("%#x", mask)
}

// runningRelease is the kernel's.
var runningRelease = sync.OnceValue(func() uapi.Release {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return uapi.Release{}
	}
	r, err := uapi.ParseRelease(unix.ByteSliceToString(u.Release[:]))
	if err != nil {
		return uapi.Release{}
	}
	return r
})

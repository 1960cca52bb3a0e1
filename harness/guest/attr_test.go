package guest

import (
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A member is written with as many bytes as it has, and its neighbours stay.
func TestAttrMembers(t *testing.T) {
	full := func() *attr {
		var a attr
		for i := range a {
			a[i] = 0xff
		}
		return &a
	}
	for _, f := range []uapi.Field{uapi.Attr_map_token_fd, uapi.Attr_map_extra, uapi.Attr_insns, uapi.Attr_batch_map_fd} {
		a := full()
		a.set(f, 0)
		for i, b := range a {
			inside := i >= int(f.Off) && i < int(f.Off+f.Size)
			if inside != (b == 0) {
				t.Errorf("%v: byte %d is %#x", f, i, b)
			}
		}
		if a.set(f, 0x11223344); a.get(f) != 0x11223344 {
			t.Errorf("%v: %#x was read back", f, a.get(f))
		}
	}
	a := &attr{}
	if a.i32(uapi.Attr_map_token_fd, -1); a.get(uapi.Attr_map_token_fd) != 0xffffffff {
		t.Errorf("-1 is %#x", a.get(uapi.Attr_map_token_fd))
	}
}

// A step's arguments replace members of its command, and the token's flag stays.
func TestOverride(t *testing.T) {
	a := &attr{}
	s := &step.Step{Args: []step.Arg{
		{Key: step.KeyFlags, Num: 1}, {Key: step.KeyNUMA, Num: 7}, {Key: step.KeyExtra, Num: 1<<32 | 5},
		{Key: step.KeyLog, Num: 9}, {Key: step.KeyType, Num: 3}, {Key: step.KeyName, Str: "a_name_that_is_too_long"},
	}}
	a.override(s, step.TokenCmdOf(uapi.BPF_MAP_CREATE), tokenArg{given: true})
	a.name(uapi.Attr_map_name, s)
	for f, want := range map[uapi.Field]uint64{
		uapi.Attr_map_flags: 1 | uapi.BPF_F_TOKEN_FD, uapi.Attr_numa_node: 7, uapi.Attr_map_extra: 5, uapi.Attr_map_type: 0,
		uapi.Attr_map_ifindex: 0,
	} {
		if got := a.get(f); got != want {
			t.Errorf("%v: %#x, want %#x", f, got, want)
		}
	}
	if got := string(a[uapi.Attr_map_name.Off:][:16]); got != "a_name_that_is_t" {
		t.Errorf("the name is %q", got)
	}
}

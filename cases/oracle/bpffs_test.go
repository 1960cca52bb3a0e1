package oracle

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

// The table of SEMANTICS.md, bpf_parse_param, and more values of the same kinds.
func TestParseMask(t *testing.T) {
	const all = ^uint64(0)
	for _, tt := range []struct {
		value string
		want  uint64
		errno uapi.Errno
	}{
		{"map_create", 1, 0}, {"MAP_CREATE", 1, 0}, {"Map_Create", 1, 0},
		{"BPF_MAP_CREATE", 0, eINVAL}, {"__MAX_BPF_CMD", 0, eINVAL},
		{"any", all, 0}, {"ANY", 0, eINVAL}, {"Any", 0, eINVAL},
		{"0x3", 3, 0}, {"3", 3, 0}, {"+3", 3, 0}, {"0x3\n", 3, 0},
		{"0b11", 0, eINVAL}, {"-1", 0, eINVAL}, {"abc", 0, eINVAL}, {"0x", 0, eINVAL}, {"09", 0, eINVAL},
		{"07", 7, 0}, {"010", 8, 0},
		{" map_create", 0, eINVAL}, {"map_create ", 0, eINVAL},
		{"map_create:prog_load", 0x21, 0}, {"map_create|prog_load", 0, eINVAL},
		{"map_create:0x20", 0x20, 0},
		{":", 0, eINVAL}, {"map_create:", 0, eINVAL}, {":map_create", 0, eINVAL},
		{"0x20:map_create", 0x21, 0}, {"", 0, eINVAL},
		{"0x1:0x2", 2, 0}, {"0x10000000000000000", 0, eRANGE},
		{"any:0x1", 1, 0}, {"0", 0, 0}, {"0x0", 0, 0},
		{"0x1:any", all, 0}, {"18446744073709551615", all, 0}, {"18446744073709551616", 0, eRANGE},
		// more of the same kinds
		{"++3", 0, eINVAL}, {"+", 0, eINVAL}, {"0x3\n\n", 0, eINVAL}, {"\n", 0, eINVAL}, {"1_0", 0, eINVAL},
		{"0X1f", 0x1f, 0},
		{"0x8000000000000000", 1 << 63, 0}, {"map_create:map_create", 1, 0}, {"any:any", all, 0}, {"any:map_create", all, 0},
		{"0x1:bogus", 0, eINVAL}, {"prog_run", 1 << 10, 0}, {"prog_test_run", 1 << 10, 0},
	} {
		for _, k := range []*Kernel{k612, k73} {
			if got, errno := ParseMask(k, "delegate_cmds", tt.value); got != tt.want || errno != tt.errno {
				t.Errorf(
					"%s: ParseMask(%q) = %#x, %s, want %#x, %s",
					k.Release,
					tt.value,
					got,
					errno,
					tt.want,
					tt.errno,
				)
			}
		}
	}
}

func TestParseMaskOfEachOption(t *testing.T) {
	for _, tt := range []struct {
		k             *Kernel
		option, value string
		want          uint64
		errno         uapi.Errno
	}{
		{k612, "delegate_maps", "hash:ringbuf", 1<<1 | 1<<27, 0},
		{k612, "delegate_maps", "unspec", 1, 0},
		{k612, "delegate_maps", "cgroup_storage", 1 << 19, 0},
		{k612, "delegate_maps", "map_create", 0, eINVAL}, // a name of another option
		{k612, "delegate_progs", "xdp", 1 << 6, 0},
		{k612, "delegate_attachs", "xdp", 1 << 37, 0},
		{k612, "delegate_attachs", "trace_uprobe_session", 0, eINVAL}, // newer than the kernel
		{k73, "delegate_attachs", "trace_uprobe_session", 1 << 57, 0},
		{k612, "delegate_maps", "rhash", 0, eINVAL},
		{k73, "delegate_maps", "rhash", 1 << 35, 0},
	} {
		if got, errno := ParseMask(tt.k, tt.option, tt.value); got != tt.want || errno != tt.errno {
			t.Errorf(
				"%s: %s=%s: %#x, %s, want %#x, %s",
				tt.k.Release,
				tt.option,
				tt.value,
				got,
				errno,
				tt.want,
				tt.errno,
			)
		}
	}
}

// A kernel accepts only the names in its own BTF. Its release does not matter.
func TestMaskNamesAreThoseOfTheBTF(t *testing.T) {
	at := func(major, minor int, maps ...string) *Kernel {
		k := KernelAt(linux(major, minor))
		if maps != nil {
			k.Enumerators = map[string][]string{uapi.MapTypes.Tag: maps}
		}
		return k
	}
	for _, tt := range []struct {
		name  string
		k     *Kernel
		value string
		want  uint64
		shown string // in mountinfo
	}{
		{"before the shared type was renamed", at(6, 1), "cgroup_storage_deprecated", 0, ""},
		{"the shared type, renamed in 6.2", at(6, 2), "cgroup_storage_deprecated", 1 << 19, "cgroup_storage_deprecated"},
		{"its old name", at(6, 9), "cgroup_storage", 1 << 19, "cgroup_storage_deprecated"},
		{"before the per-CPU type was renamed", at(6, 6), "percpu_cgroup_storage_deprecated", 0, ""},
		{"an old name where there is no new one", at(6, 6), "percpu_cgroup_storage", 1 << 21, "percpu_cgroup_storage"},
		{"the per-CPU type, renamed in 6.7", at(6, 7), "percpu_cgroup_storage_deprecated", 1 << 21,
			"percpu_cgroup_storage_deprecated"},
		{"a backported name", at(6, 6, "BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_RHASH"), "rhash", 1 << 35, ""}, // 6.6 has 33 types
		{"a name that was taken out", at(7, 3, "BPF_MAP_TYPE_HASH"), "rhash", 0, ""},
		{"a name that is left", at(7, 3, "BPF_MAP_TYPE_HASH"), "hash", 1 << 1, "hash"},
		{"a bit without a name", at(7, 3, "BPF_MAP_TYPE_HASH"), "0x4", 1 << 2, "0x4"},
	} {
		tt.k.Token = true
		got, errno := ParseMask(tt.k, "delegate_maps", tt.value)
		if got != tt.want || (errno == 0) != (tt.want != 0) {
			t.Errorf("%s: delegate_maps=%s is %#x, %s; want %#x", tt.name, tt.value, got, errno, tt.want)
		}
		if shown, _ := tt.k.shownMask(&uapi.MapTypes, got, tt.k.MaxMap); shown != tt.shown {
			t.Errorf("%s: %#x is shown as %q, want %q", tt.name, got, shown, tt.shown)
		}
	}
}

// fsconfig(2) takes at most 255 bytes of a string.
func TestParseMaskLength(t *testing.T) {
	long := strings.Repeat("0", 254) + "1"
	if got, errno := ParseMask(k73, "delegate_cmds", long); got != 1 || errno != 0 {
		t.Errorf("255 bytes: %#x, %s, want 0x1, ok", got, errno)
	}
	if _, errno := ParseMask(k73, "delegate_cmds", "0"+long); errno != eINVAL {
		t.Errorf("256 bytes: %s, want EINVAL", errno)
	}
}

// SEMANTICS.md, bpf_parse_param and bpf_fill_super: who may set masks and create
// the superblock, and which error comes first.
func TestDelegate(t *testing.T) {
	inChild := Cred{Userns: child, Euid: 1000, Caps: uapi.AllCaps}
	root := Cred{Userns: Initial, Caps: uapi.AllCaps}
	fixed61 := KernelAt(linux(6, 1))
	fixed61.Patch = 103
	set := func(values ...string) []Option {
		var out []Option
		for _, v := range values {
			out = append(out, Option{"delegate_cmds", v})
		}
		return out
	}
	for _, tt := range []struct {
		name  string
		k     *Kernel
		d     Delegate
		errno uapi.Errno
		id    string
		cmds  uint64
	}{
		{"root sets for a container", k612, Delegate{set("any"), inChild, root}, 0, "bpffs/allowed", ^uint64(0)},
		{"no option", k612, Delegate{nil, inChild, root}, 0, "bpffs/allowed", 0},
		{"a repeated option adds", k612, Delegate{set("0x1", "0x2", "0x4"), inChild, root}, 0, "bpffs/allowed", 7},
		{"a number replaces only inside its value", k612,
			Delegate{set("0x1", "map_create:0x2"), inChild, root}, 0, "bpffs/allowed", 3},
		{"malformed", k612, Delegate{set("0x1", "bogus", "0x4"), inChild, root}, eINVAL, "bpffs/malformed", 1},
		{"too big", k612, Delegate{set("0x10000000000000000"), inChild, root}, eRANGE, "bpffs/malformed", 0},
		{"the child sets", k612, Delegate{set("any"), inChild, inChild}, ePERM, "bpffs/set-unprivileged", 0},
		{"the child sets a malformed value", k612, Delegate{set("bogus"), inChild, inChild}, eINVAL, "bpffs/malformed", 0},
		{"the child sets 0 and cannot create", k612, Delegate{set("0"), inChild, inChild}, ePERM, "bpffs/fill-super", 0},
		{"the child creates without delegation", k612, Delegate{nil, inChild, inChild}, ePERM, "bpffs/fill-super", 0},
		{"no CAP_SYS_ADMIN in its own namespace", k612,
			Delegate{nil, inChild, cred(child, 1000, capsBPF)}, ePERM, "bpffs/mount-capable", 0},
		{"a stranger creates", k612, Delegate{nil, inChild, cred(Initial, 4242, 0)}, ePERM, "bpffs/mount-capable", 0},
		{"the owner creates from outside", k612,
			Delegate{nil, inChild, cred(Initial, 1000, 0)}, ePERM, "bpffs/fill-super", 0},
		{"root in the initial namespace", k612, Delegate{set("any"), root, root}, 0, "bpffs/allowed", ^uint64(0)},
		{"before tokens options are unknown", k61, Delegate{set("bogus"), root, root}, 0, "bpffs/unknown-option", 0},
		{"before tokens root creates for a child", fixed61,
			Delegate{set("any"), inChild, root}, ePERM, "bpffs/userns-mount", 0},
		{"before tokens a child creates", k61,
			Delegate{set("any"), inChild, inChild}, ePERM, "bpffs/mount-capable-initial", 0},
		{"before tokens, no capability", k61,
			Delegate{nil, inChild, cred(child, 1000, 0)}, ePERM, "bpffs/mount-capable-initial", 0},
	} {
		v, m := tt.d.Decide(tt.k)
		if !v.Known || v.Errno != tt.errno || v.ID != tt.id || m != (Masks{Cmds: tt.cmds}) {
			t.Errorf(
				"%s: got %s by %s, masks %#x; want %s by %s, %#x",
				tt.name,
				v.Errno,
				v.ID,
				m,
				tt.errno,
				tt.id,
				tt.cmds,
			)
		}
		if v.Rule == "" || v.Func == "" {
			t.Errorf("%s: %s has no text or no function", tt.name, v.ID)
		}
	}
}

func TestMaskOf(t *testing.T) {
	m := Masks{1, 2, 3, 4}
	for i, o := range DelegateOptions {
		if p := m.Of(o.Name); p == nil || *p != uint64(i+1) {
			t.Errorf("Of(%s) returns the wrong mask", o.Name)
		}
	}
}

// fdinfo shows any if all known bits are set: 37 commands on 6.12, 39 on 7.3.
func TestShown(t *testing.T) {
	const all = ^uint64(0)
	known := Masks{1<<37 - 1, 1<<34 - 1, 1<<33 - 1, 1<<57 - 1}
	if got, want := k612.Shown(known), []uint64{all, all, all, all}; !slices.Equal(got, want) {
		t.Errorf("6.12 shows %#x, want %#x", got, want)
	}
	if got, want := k73.Shown(known), []uint64{1<<37 - 1, 1<<34 - 1, all, 1<<57 - 1}; !slices.Equal(got, want) {
		t.Errorf("7.3 shows %#x, want %#x", got, want)
	}
	more := Masks{Cmds: 1<<63 | 1<<37 - 1}
	if got, want := k612.Shown(more), []uint64{all, 0, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("6.12 shows %#x, want %#x", got, want)
	}
	unknown := Masks{Cmds: 1 << 63, Progs: 1}
	if got, want := k612.Shown(unknown), []uint64{1 << 63, 0, 1, 0}; !slices.Equal(got, want) {
		t.Errorf("6.12 shows %#x, want %#x", got, want)
	}
}

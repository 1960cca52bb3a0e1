package oracle

import (
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

func option(name, value string) MountOption { return MountOption{Option: Option{name, value}} }

// TestFsconfig says who may set which option of a container's context, in the kernel's order.
func TestFsconfig(t *testing.T) {
	fd := func(p Phase) FD { return FD{Kind: ContextFD, Context: &Context{Userns: container, Phase: p}} }
	for _, tt := range []struct {
		name string
		c    Cred
		fd   FD
		set  MountOption
		want uapi.Errno
	}{
		{"root delegates", rootCred, fd(CreateParams), option("delegate_cmds", "any"), 0},
		{"the container's root delegates", ownerCred, fd(CreateParams), option("delegate_cmds", "any"), ePERM},
		{"root of a nested container delegates", innerRoot, fd(CreateParams), option("delegate_maps", "hash"), ePERM},
		{"0 is no delegation", ownerCred, fd(CreateParams), option("delegate_cmds", "0"), 0},
		{"malformed before unprivileged", stranger, fd(CreateParams), option("delegate_cmds", "bogus"), eINVAL},
		{"65 bits", stranger, fd(CreateParams), option("delegate_cmds", "0x10000000000000000"), eRANGE},
		{"too long before busy", rootCred, fd(AwaitingMount), option("delegate_cmds", strings.Repeat("0", 256)), eINVAL},
		{"busy before malformed", rootCred, fd(AwaitingMount), option("delegate_cmds", "bogus"), eBUSY},
		{"failed", rootCred, fd(Failed), option("delegate_cmds", "0"), eBUSY},
		{"after the mount", rootCred, fd(AwaitingReconf), option("delegate_cmds", "any"), 0},
		{"picked", ownerCred, fd(ReconfParams), option("delegate_cmds", "any"), ePERM},
		{"a flag", rootCred, fd(CreateParams), MountOption{Option: Option{Name: "delegate_cmds"}, Flag: true}, eINVAL},
		{"an unknown option", stranger, fd(CreateParams), option("foo", "bar"), 0},
		{"an unknown flag", stranger, fd(CreateParams), MountOption{Option: Option{Name: "foo"}, Flag: true}, 0},
		{"uid of the container", rootCred, fd(CreateParams), option("uid", "1000"), 0},
		{"unmapped uid", rootCred, fd(CreateParams), option("uid", "0"), eINVAL},
		{"uid 0 in the container", ownerCred, fd(CreateParams), option("uid", "0"), 0},
		{"gid that the setter's namespace does not map", ownerCred, fd(CreateParams), option("gid", "1000"), eINVAL},
		{"invalid uid", rootCred, fd(CreateParams), option("uid", "4294967295"), eINVAL},
		{"33 bits", rootCred, fd(CreateParams), option("gid", "4294967296"), eINVAL},
		{"octal", rootCred, fd(CreateParams), option("mode", "0755"), 0},
		{"not octal", rootCred, fd(CreateParams), option("mode", "8"), eINVAL},
		{"empty", rootCred, fd(CreateParams), option("mode", ""), eINVAL},
		{"no context", rootCred, FD{Kind: TokenFD}, option("uid", "0"), eINVAL},
		{"closed", rootCred, FD{}, option("uid", "0"), eBADF},
		{"O_PATH", rootCred, FD{Kind: Path}, option("uid", "0"), eBADF},
	} {
		if v := Decide(world(tt.c, "6.12"), &Fsconfig{tt.fd, tt.set}); v.Errno != tt.want || !v.Known {
			t.Errorf("%s: %+v, want %s", tt.name, v, tt.want)
		}
	}
	if v := Decide(world(stranger, "6.1"), &Fsconfig{fd(CreateParams), option("delegate_cmds", "bogus")}); v.Errno != 0 {
		t.Errorf("before tokens: %+v", v)
	}
}

func TestContextLife(t *testing.T) {
	of := func(p Phase, fs *BPFFS) FD {
		return FD{Kind: ContextFD, Context: &Context{Userns: container, Phase: p, FS: fs}}
	}
	fs, initial := &BPFFS{Userns: container}, &BPFFS{Userns: Initial}
	for _, tt := range []struct {
		name string
		c    Cred
		r    Request
		want uapi.Errno
	}{
		{"fsopen", ownerCred, &Fsopen{}, 0},
		{"fsopen without CAP_SYS_ADMIN", plainCred, &Fsopen{}, ePERM},
		{"root creates", rootCred, &Fscreate{FD: of(CreateParams, nil)}, 0},
		{"the container's root", ownerCred, &Fscreate{FD: of(CreateParams, nil)}, ePERM},
		{"its owner outside", outside, &Fscreate{FD: of(CreateParams, nil)}, ePERM},
		{"a second time", rootCred, &Fscreate{FD: of(AwaitingMount, fs)}, eBUSY},
		{"mount", ownerCred, &Fsmount{of(AwaitingMount, fs)}, 0},
		{"mount without CAP_SYS_ADMIN", plainCred, &Fsmount{of(AwaitingMount, fs)}, ePERM},
		{"mount before the creation", ownerCred, &Fsmount{of(CreateParams, nil)}, eINVAL},
		{"mount again", ownerCred, &Fsmount{of(AwaitingReconf, fs)}, eBUSY},
		{"reconfigure", ownerCred, &Fsreconfigure{of(ReconfParams, fs)}, 0},
		{"reconfigure a bpffs of another namespace", ownerCred, &Fsreconfigure{of(ReconfParams, initial)}, ePERM},
		{"reconfigure a new context", rootCred, &Fsreconfigure{of(CreateParams, nil)}, eBUSY},
		{"pick", ownerCred, &MountCall{What: Fspick, On: &Mount{FS: fs}}, 0},
		{"pick nothing", ownerCred, &MountCall{What: Fspick}, eINVAL},
		{"share", ownerCred, &MountCall{What: Share, On: &Mount{FS: fs}}, 0},
		{"share nothing", ownerCred, &MountCall{What: Share}, eINVAL},
		{"umount", ownerCred, &MountCall{What: Umount, On: &Mount{FS: fs}}, 0},
		{"umount while a file is open", ownerCred, &MountCall{What: Umount, On: &Mount{FS: fs}, Busy: true}, eBUSY},
		{"umount lazily", ownerCred, &MountCall{What: Umount, On: &Mount{FS: fs}, Busy: true, Lazy: true}, 0},
		{"move", ownerCred, &MountCall{What: MoveMount, FD: FD{Kind: Path, Mount: &Mount{FS: fs}}}, 0},
		{"move a token", ownerCred, &MountCall{What: MoveMount, FD: FD{Kind: TokenFD, Mount: &Mount{FS: fs}}}, eINVAL},
		{"mount(2) in the container", ownerCred, &Mounting{}, ePERM},
		{"mount(2) by root", rootCred, &Mounting{[]MountOption{option("delegate_cmds", "any"), option("uid", "5")}}, 0},
		{"mount(2), malformed", ownerCred,
			&Mounting{[]MountOption{option("delegate_cmds", "0"), option("delegate_maps", "x")}}, eINVAL},
		{"remount", ownerCred, &Remounting{[]MountOption{option("delegate_cmds", "0")}, &Mount{FS: fs}}, 0},
		{"remount to widen", ownerCred, &Remounting{[]MountOption{option("delegate_cmds", "any")}, &Mount{FS: fs}}, ePERM},
		{"remount a bpffs of another namespace", ownerCred, &Remounting{nil, &Mount{FS: initial}}, ePERM},
		{"remount nothing", ownerCred, &Remounting{}, eINVAL},
	} {
		if v := Decide(world(tt.c, "6.12"), tt.r); v.Errno != tt.want || !v.Known {
			t.Errorf("%s: %+v, want %s", tt.name, v, tt.want)
		}
	}
}

func TestShownOptions(t *testing.T) {
	all := ^uint64(0)
	for _, tt := range []struct {
		fs   BPFFS
		want string
	}{
		{BPFFS{Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o1777}}}, "rw"},
		{BPFFS{Root: Node{Inode: Inode{UID: 1000, GID: 5, Mode: 0o1700}}}, "rw,uid=1000,gid=5,mode=700"},
		{BPFFS{Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o7777}}}, "rw,mode=6777"},
		{BPFFS{Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o1777}}, Delegate: Masks{all, all, all, all}},
			"rw,delegate_cmds=any,delegate_maps=any,delegate_progs=any,delegate_attachs=any"},
		{BPFFS{Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o1777}}, Delegate: Masks{Cmds: 1<<10 | 1, Maps: 1 << 19}},
			"rw,delegate_cmds=map_create:prog_test_run,delegate_maps=cgroup_storage_deprecated"},
		{BPFFS{Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o1777}}, Delegate: Masks{Attachs: 1 << 63, Progs: 1}},
			"rw,delegate_progs=unspec"},
	} {
		if got, known := KernelAt(linux(6, 12)).ShownOptions(&tt.fs); got != tt.want || !known {
			t.Errorf("%+v: %q, %v, want %q", tt.fs, got, known, tt.want)
		}
	}
}

// FileRules has no rule of a bpf(2) command with a list of its own.
func TestFileRules(t *testing.T) {
	files := FileRules()
	if len(files) < 40 {
		t.Errorf("%d rules", len(files))
	}
	for _, r := range files {
		if strings.HasPrefix(r, "token_create/") || strings.HasPrefix(r, "map_create/") {
			t.Errorf("%s is a rule of bpf(2)", r)
		}
	}
}

// TestShownMask has the three kinds of names that a kernel can have: those of its
// release, those of its BTF, and none.
func TestShownMask(t *testing.T) {
	const mapsOf6_12 = 34
	btf := map[string][]string{uapi.MapTypes.Tag: {"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_ARRAY", "__MAX_BPF_MAP_TYPE"}}
	newer := map[string][]string{uapi.MapTypes.Tag: {"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_NOBODY_KNOWS"}}
	for _, tt := range []struct {
		name  string
		names map[string][]string
		noBTF bool
		mask  uint64
		want  string
		known bool
	}{
		{"nothing", nil, false, 0, "", true},
		{"names of the release", nil, false, 1<<1 | 1<<33, "hash:arena", true},
		{"every bit", nil, false, 1<<mapsOf6_12 - 1, "any", true},
		{"bits above the last do not count", nil, false, 1<<1 | 1<<40, "hash", true},
		{"the first of two names", nil, false, 1 << 19, "cgroup_storage_deprecated", true},
		{"a name of the BTF", btf, false, 1 << 2, "array", true},
		{"bits without a name", btf, false, 1<<1 | 1<<3 | 1<<4, "hash:0x18", true},
		{"only bits without a name", btf, false, 1 << 3, "0x8", true},
		{"no BTF", nil, true, 1<<1 | 1<<2, "0x6", true},
		{"no BTF, every bit", nil, true, ^uint64(0), "any", true},
		{"a name that the table does not have", newer, false, 1 << 5, "", false},
		{"the bits beside such a name", newer, false, 1 << 1, "hash", true},
	} {
		k := KernelAt(linux(6, 12))
		k.Enumerators, k.NoBTF = tt.names, tt.noBTF
		if got, known := k.shownMask(&uapi.MapTypes, tt.mask, mapsOf6_12); got != tt.want || known != tt.known {
			t.Errorf("%s: %q, %v, want %q, %v", tt.name, got, known, tt.want, tt.known)
		}
	}
}

package oracle

import (
	"strings"
	"testing"

	"tokentest/cases/uapi"
)

var (
	container = &Userns{Parent: Initial, Owner: 1000}
	below     = &Userns{Parent: container, Owner: 1000}
	beside    = &Userns{Parent: Initial, Owner: 2000}

	rootCred  = cred(Initial, 0, uapi.AllCaps)
	plainRoot = cred(Initial, 0, 0)
	ownerCred = cred(container, 1000, uapi.AllCaps)
	plainCred = cred(container, 1000, 0)
	outside   = cred(Initial, 1000, 0)
	stranger  = cred(Initial, 4242, 0)
	otherRoot = cred(beside, 2000, uapi.AllCaps)
	innerRoot = cred(below, 1000, uapi.AllCaps)
)

func world(c Cred, release string) *World {
	r, err := uapi.ParseRelease(release)
	if err != nil {
		panic(err)
	}
	return &World{Kernel: KernelAt(r), Caller: c}
}

func TestPermits(t *testing.T) {
	readSearch := cred(Initial, 1, 1<<uapi.CAP_DAC_READ_SEARCH)
	for _, tt := range []struct {
		name string
		i    Inode
		c    Cred
		want uint32
		ok   bool
	}{
		{"bits of the owner", Inode{UID: 1000, GID: 1000, Mode: 0o700}, plainCred, mayRead | mayExec, true},
		{"owner without bits", Inode{UID: 1000, GID: 1000, Mode: 0o077}, plainCred, mayRead, false},
		{"bits of the group", Inode{UID: 0, GID: 1000, Mode: 0o050}, outside, mayRead | mayExec, true},
		{"group without bits", Inode{UID: 0, GID: 1000, Mode: 0o707}, outside, mayRead, false},
		{"bits of others", Inode{UID: 1000, GID: 1000, Mode: 0o005}, stranger, mayRead | mayExec, true},
		{"others without bits", Inode{UID: 1000, GID: 1000, Mode: 0o770}, stranger, mayRead, false},
		{"root by capability", Inode{UID: 1000, GID: 1000, Mode: 0}, rootCred, mayWrite, true},
		{"root without capability", Inode{UID: 1000, GID: 1000, Mode: 0}, plainRoot, mayRead, false},
		{"the container's root, its own file", Inode{UID: 1000, GID: 1000, Mode: 0}, ownerCred, mayWrite, true},
		{"the container's root, root's file", Inode{UID: 0, GID: 0, Mode: 0}, ownerCred, mayRead, false},
		{"root of another container", Inode{UID: 1000, GID: 1000, Mode: 0}, otherRoot, mayRead, false},
		{"an unmapped group", Inode{UID: 1000, GID: 5, Mode: 0}, ownerCred, mayRead, false},
		{"CAP_DAC_READ_SEARCH reads", Inode{UID: 0, GID: 0, Mode: 0}, readSearch, mayRead | mayExec, true},
		{"CAP_DAC_READ_SEARCH does not write", Inode{UID: 0, GID: 0, Mode: 0}, readSearch, mayWrite, false},
		{"CAP_SYS_ADMIN does not read", Inode{}, cred(Initial, 1, 1<<uapi.CAP_SYS_ADMIN), mayRead, false},
	} {
		if got := tt.i.permits(tt.c, tt.want); got != tt.ok {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestMayTrace says who may trace a process of the container, and so take its token.
func TestMayTrace(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Cred
		ok   bool
	}{
		{"an equal process", ownerCred, true},
		{"a process of the container without capabilities", plainCred, false},
		{"one with CAP_BPF", cred(container, 1000, 1<<uapi.CAP_BPF), false},
		{"one with CAP_SYS_PTRACE", cred(container, 1000, 1<<uapi.CAP_SYS_PTRACE), true},
		{"the container's owner", outside, true},
		{"another uid", stranger, false},
		{"root", rootCred, true},
		{"root without capabilities", plainRoot, false},
		{"root of another container", otherRoot, false},
		{"root of a nested container", innerRoot, false},
	} {
		r := &Take{What: PidfdGetfd, FD: FD{Kind: TokenFD}, Victim: ownerCred}
		if got := r.mayTrace(tt.c); got != tt.ok {
			t.Errorf("%s: %v", tt.name, got)
		}
		want := uapi.Errno(0)
		if !tt.ok {
			want = ePERM
		}
		if v := Decide(world(tt.c, "6.12"), r); v.Errno != want || !v.Known {
			t.Errorf("%s: pidfd_getfd %+v", tt.name, v)
		}
		r.Own = true
		if v := Decide(world(tt.c, "6.12"), r); v.Errno != 0 {
			t.Errorf("%s, its own process: %+v", tt.name, v)
		}
	}
	r := &Take{What: ProcOpen, Victim: ownerCred}
	stranger := plainCred
	stranger.Euid = ownerCred.Euid + 1
	if v := Decide(world(stranger, "6.12"), r); v.Errno != eACCES || v.ID != "proc_open/search" {
		t.Errorf("/proc: %+v", v)
	}
	take := &Take{What: ProcOpen, FD: FD{Kind: TokenFD}, Victim: ownerCred}
	if v := Decide(world(plainCred, "6.12"), take); v.Errno != eACCES {
		t.Errorf("/proc, as the same user: %+v", v)
	}
	if v := Decide(world(ownerCred, "6.12"), r); v.Errno != eNOENT {
		t.Errorf("/proc, no descriptor: %+v", v)
	}
}

func TestSetns(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Cred
		fd   FD
		want uapi.Errno
	}{
		{"root", rootCred, FD{Kind: UsernsFD, Userns: container}, 0},
		{"the owner", outside, FD{Kind: UsernsFD, Userns: container}, 0},
		{"the owner of its parent", outside, FD{Kind: UsernsFD, Userns: below}, 0},
		{"root of its parent", ownerCred, FD{Kind: UsernsFD, Userns: below}, 0},
		{"a stranger", stranger, FD{Kind: UsernsFD, Userns: container}, ePERM},
		{"to the parent", innerRoot, FD{Kind: UsernsFD, Userns: container}, ePERM},
		{"to the initial one", ownerCred, FD{Kind: UsernsFD, Userns: Initial}, ePERM},
		{"to its own", ownerCred, FD{Kind: UsernsFD, Userns: container}, eINVAL},
		{"a token", rootCred, FD{Kind: TokenFD}, eINVAL},
		{"closed", rootCred, FD{}, eBADF},
	} {
		if v := Decide(world(tt.c, "6.12"), &Setns{tt.fd}); v.Errno != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, v, tt.want)
		}
	}
}

func TestMakeName(t *testing.T) {
	dir := FD{
		Kind:  BPFFSRoot,
		BPFFS: &BPFFS{Userns: container, Root: Node{Inode: Inode{UID: 1000, GID: 1000, Mode: 0o755}}},
	}
	dir.BPFFS.Root.Pin("there", FD{}, 1000)
	dir.BPFFS.Root.Mkdir("below", 1000)
	below := FD{Kind: Dir, BPFFS: dir.BPFFS, Node: dir.BPFFS.Root.Names["below"]}
	shut := FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: container, Root: Node{Inode: Inode{UID: 1000, GID: 1000, Mode: 0}}}}
	tmp := FD{Kind: Dir}
	rootDir := FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: Initial, Root: Node{Inode: Inode{UID: 0, GID: 0, Mode: 0o755}}}}
	object := FD{Kind: Object, Pinned: true}
	for _, tt := range []struct {
		name string
		c    Cred
		r    MakeName
		want uapi.Errno
	}{
		{"pin", ownerCred, MakeName{Pin, object, dir, "new"}, 0},
		{"pin a token", ownerCred, MakeName{Pin, FD{Kind: TokenFD}, dir, "new"}, eINVAL},
		{"pin nothing", ownerCred, MakeName{Pin, FD{}, dir, "new"}, eINVAL},
		{"pin under a name that exists", ownerCred, MakeName{Pin, object, dir, "there"}, eEXIST},
		{"pin from outside", rootCred, MakeName{Pin, object, dir, "new"}, eOVERFLOW},
		{"pin without permission", cred(Initial, 1000, 0), MakeName{Pin, object, rootDir, "new"}, eACCES},
		{"link a token", ownerCred, MakeName{Link, FD{Kind: TokenFD}, dir, "new"}, eNOENT},
		{"link a token to a name that exists", ownerCred, MakeName{Link, FD{Kind: TokenFD}, dir, "there"}, eEXIST},
		{"mkdir", plainCred, MakeName{Mkdir, FD{}, dir, "new"}, 0},
		{"mkdir of a name with a dot", plainCred, MakeName{Mkdir, FD{}, dir, "a.b"}, ePERM},
		{"mkdir of a name with a dot, in a directory of mode 0", ownerCred, MakeName{Mkdir, FD{}, shut, "a.b"}, 0},
		{"mkdir of the directory", plainCred, MakeName{Mkdir, FD{}, dir, "."}, eEXIST},
		{"mkdir of its parent", plainCred, MakeName{Mkdir, FD{}, dir, ".."}, eEXIST},
		{"mkdir below an object", plainCred, MakeName{Mkdir, FD{}, dir, "there/new"}, eNOTDIR},
		{"mkdir below nothing", plainCred, MakeName{Mkdir, FD{}, dir, "none/new"}, eNOENT},
		{"mkdir below a directory", plainCred, MakeName{Mkdir, FD{}, dir, "below/new"}, 0},
		{"mkdir with O_PATH", plainCred, MakeName{Mkdir, FD{}, FD{Kind: Path, Was: Dir, Node: below.Node}, "new"}, 0},
		{"mkdir nowhere", plainCred, MakeName{Mkdir, FD{}, FD{}, "new"}, eBADF},
		{"mkdir in a token", plainCred, MakeName{Mkdir, FD{}, FD{Kind: TokenFD}, "new"}, eNOTDIR},
		{"mkdir of a long name", plainCred, MakeName{Mkdir, FD{}, dir, strings.Repeat("x", 256)}, eNAMETOOLONG},
		{"pin below the root", ownerCred, MakeName{Pin, object, below, "new"}, 0},
		{"pin outside of a bpffs", ownerCred, MakeName{Pin, object, tmp, "new"}, ePERM},
	} {
		if v := Decide(world(tt.c, "6.12"), &tt.r); v.Errno != tt.want || !v.Known {
			t.Errorf("%s: %+v, want %s", tt.name, v, tt.want)
		}
	}
	for _, r := range []MakeName{
		{Mkdir, FD{}, tmp, "new"}, {Mkdir, FD{}, dir, "/new"}, {Mkdir, FD{}, dir, "new/"}, {Mkdir, FD{}, dir, "../x"},
		{Link, object, dir, "new"},
	} {
		if v := Decide(world(ownerCred, "6.12"), &r); v.Known {
			t.Errorf("%s of %q: %+v, want an unknown answer", r.What, r.Name, v)
		}
	}
}

func TestTokenInfo(t *testing.T) {
	for _, tt := range []struct {
		release string
		fd      FD
		want    uapi.Errno
	}{
		{"6.12", FD{Kind: TokenFD}, eINVAL}, {"6.17", FD{Kind: TokenFD}, 0}, {"7.3", FD{Kind: TokenFD}, 0},
		{"7.3", FD{Kind: BPFFSRoot}, eINVAL}, {"7.3", FD{Kind: Object, Pinned: true}, 0}, {"6.12", FD{}, eBADFD},
		{"7.3", FD{Kind: Path}, eBADFD},
	} {
		if v := Decide(world(stranger, tt.release), &TokenInfo{FD: tt.fd}); v.Errno != tt.want {
			t.Errorf("%s %v: %+v, want %s", tt.release, tt.fd.Kind, v, tt.want)
		}
	}
}

func cred(ns *Userns, euid uint32, caps uapi.CapSet) Cred {
	return Cred{Userns: ns, Euid: euid, Caps: caps}
}

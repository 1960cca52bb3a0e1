package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// A process needs no capability for the elements of a map that it has a
// descriptor of. What the type does not support fails for every process.
func TestElement(t *testing.T) {
	nobody := &World{Kernel: k73, Caller: Cred{Userns: Initial, Euid: 65534}, UnprivDisabled: 2}
	hash, array := FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH}, FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_ARRAY}
	of := func(t uapi.MapType, only Direction, stored bool) FD {
		return FD{Kind: Object, Map: t, Only: only, Content: &Content{Stored: stored}}
	}
	for _, tt := range []struct {
		fd    FD
		do    uapi.Cmd
		known bool
		errno uapi.Errno
	}{
		{hash, uapi.BPF_MAP_DELETE_ELEM, true, 0},
		{array, uapi.BPF_MAP_UPDATE_ELEM, true, 0},
		{array, uapi.BPF_MAP_DELETE_ELEM, true, eINVAL},
		{FD{}, uapi.BPF_MAP_DELETE_ELEM, true, eBADF},
		{FD{Kind: Path, Map: uapi.BPF_MAP_TYPE_HASH}, uapi.BPF_MAP_LOOKUP_ELEM, true, eBADF},
		{FD{Kind: TokenFD}, uapi.BPF_MAP_LOOKUP_ELEM, true, eINVAL},
		{FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_QUEUE}, uapi.BPF_MAP_LOOKUP_ELEM, false, 0},
		{of(uapi.BPF_MAP_TYPE_HASH, ReadOnly, false), uapi.BPF_MAP_UPDATE_ELEM, true, ePERM},
		{of(uapi.BPF_MAP_TYPE_HASH, ReadOnly, false), uapi.BPF_MAP_LOOKUP_ELEM, true, eNOENT},
		{of(uapi.BPF_MAP_TYPE_HASH, ReadOnly, true), uapi.BPF_MAP_LOOKUP_ELEM, true, 0},
		{of(uapi.BPF_MAP_TYPE_ARRAY, ReadOnly, false), uapi.BPF_MAP_LOOKUP_ELEM, true, 0},
		{of(uapi.BPF_MAP_TYPE_ARRAY, ReadOnly, false), uapi.BPF_MAP_DELETE_ELEM, true, ePERM},
		{of(uapi.BPF_MAP_TYPE_HASH, WriteOnly, false), uapi.BPF_MAP_LOOKUP_ELEM, true, ePERM},
		{of(uapi.BPF_MAP_TYPE_HASH, WriteOnly, false), uapi.BPF_MAP_DELETE_ELEM, true, 0},
		{of(uapi.BPF_MAP_TYPE_QUEUE, WriteOnly, false), uapi.BPF_MAP_LOOKUP_ELEM, true, ePERM},
	} {
		if v := Decide(nobody, &Element{tt.fd, tt.do}); v.Known != tt.known || v.Errno != tt.errno {
			t.Errorf("%s of %+v: %+v, want %s (known %v)", tt.do, tt.fd, v, tt.errno, tt.known)
		}
	}
}

// A pinned object is a file: its owner may open it, others need CAP_DAC_OVERRIDE.
func TestObjGet(t *testing.T) {
	b := &BPFFS{Userns: Initial, Root: Node{Inode: Inode{Mode: 0o1777}}}
	b.Root.Pin("map", FD{Kind: Object, Map: uapi.BPF_MAP_TYPE_HASH}, 7)
	b.Root.Mkdir("dir", 0)
	shut := *b
	shut.Root.Mode = 0o1700
	for _, tt := range []struct {
		in    *BPFFS
		name  string
		uid   uint32
		caps  uapi.CapSet
		errno uapi.Errno
	}{
		{b, "map", 7, 0, 0},
		{b, "map", 0, 0, eACCES},
		{b, "map", 0, uapi.AllCaps, 0},
		{b, "other", 7, 0, eNOENT},
		{b, "dir", 7, 0, eACCES}, // bpf_inode_type: a directory
		{b, "dir", 0, uapi.AllCaps, eACCES},
		{&shut, "map", 7, 0, eACCES},
		{&shut, "map", 0, uapi.AllCaps, 0},
	} {
		w := &World{Kernel: k612, Caller: Cred{Userns: Initial, Euid: tt.uid, Caps: tt.caps}}
		get := &ObjGet{In: FD{Kind: BPFFSRoot, BPFFS: tt.in}, Name: tt.name}
		if v := Decide(w, get); v.Errno != tt.errno || !v.Known {
			t.Errorf("%s by %d with %s: %+v, want %s", tt.name, tt.uid, tt.caps, v, tt.errno)
		}
	}
	if v := Decide(&World{Kernel: k612}, &ObjGet{In: FD{Kind: Dir}, Name: "map"}); v.Known {
		t.Errorf("in another directory: %+v", v)
	}
}

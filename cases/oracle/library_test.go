package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// The library skips each bpffs on which it cannot create a token, and uses the
// first token for all its requests.
func TestLibrary(t *testing.T) {
	fs := func(ns *Userns, m Masks) *BPFFS { return &BPFFS{Userns: ns, Delegate: m} }
	all, none := fs(child, allMasks), fs(child, Masks{})
	few := fs(child, Masks{Cmds: 1, Maps: 1 << 22})
	shut := fs(child, allMasks) // nobody may read its root directory
	shut.Root = Node{Inode: Inode{UID: child.Owner, GID: child.Owner}}
	all.Root.Mode, none.Root.Mode, few.Root.Mode = 0o1777, 0o1777, 0o1777
	foreign, initial := fs(sibling, allMasks), fs(Initial, allMasks)
	inside := Cred{Userns: child, Caps: uapi.AllCaps}
	for _, tt := range []struct {
		name     string
		caller   Cred
		mounts   []*BPFFS
		requests []func(TokenRef) Request
		want     uapi.Errno
	}{
		{"nothing is mounted", inside, nil, LibraryQueue(), ePERM},
		{"everything is delegated", inside, []*BPFFS{all}, LibraryQueue(), 0},
		{"a bpffs without a token is skipped", inside, []*BPFFS{initial, foreign, none, all}, LibraryQueue(), 0},
		{"the first token is used, although it is not enough", inside, []*BPFFS{few, all}, LibraryProg(), ePERM},
		{"a bpffs that cannot be opened", Cred{Userns: child, Caps: capsBPF}, []*BPFFS{shut}, LibraryQueue(), ePERM},
		{"and the next one is used", Cred{Userns: child, Caps: capsBPF}, []*BPFFS{shut, few}, LibraryQueue(), 0},
		{"CAP_DAC_OVERRIDE opens it", inside, []*BPFFS{shut}, LibraryQueue(), 0},
		{"the first token is enough", inside, []*BPFFS{few, all}, LibraryQueue(), 0},
		{"no BTF", inside, []*BPFFS{few}, LibraryBTF(), ePERM},
		{"a BTF", inside, []*BPFFS{all}, LibraryBTF(), 0},
		{"a program", inside, []*BPFFS{all}, LibraryProg(), 0},
		{"a program without CAP_PERFMON", Cred{Userns: child, Caps: capsBPF | capsNet}, []*BPFFS{all}, LibraryProg(), eINVAL},
		{"a replacement", inside, []*BPFFS{all}, LibraryFreplace(), 0},
		{"without capabilities", Cred{Userns: child}, []*BPFFS{all}, LibraryQueue(), ePERM},
		{"CAP_SYS_ADMIN creates no token", Cred{Userns: child, Caps: capsSys}, []*BPFFS{all}, LibraryQueue(), ePERM},
		{"root outside", Cred{Userns: Initial, Caps: uapi.AllCaps}, nil, LibraryProg(), 0},
	} {
		w := &World{Kernel: k73, Caller: tt.caller, UnprivDisabled: 2}
		if v := Decide(w, &Library{Mounts: tt.mounts, Requests: tt.requests}); v.Errno != tt.want || !v.Known {
			t.Errorf("%s: got %s by %s, want %s", tt.name, v.Errno, v.ID, tt.want)
		}
	}
	if v := Decide(&World{Kernel: k61, Caller: inside}, &Library{Requests: LibraryQueue()}); v.Known {
		t.Errorf("a kernel without tokens: %+v", v)
	}
}

func TestSymbol(t *testing.T) {
	tok := &Token{Userns: child, Allowed: allMasks}
	inside, root := Cred{Userns: child, Caps: uapi.AllCaps}, Cred{Userns: Initial, Caps: uapi.AllCaps}
	for _, tt := range []struct {
		kernel *Kernel
		req    Symbol
		want   uapi.Errno
	}{
		{k73, Symbol{}, eNOENT},
		{k73, Symbol{Loaded: true, Loader: root}, 0},
		{k73, Symbol{Loaded: true, Loader: root, Sub: true}, 0},
		{k612, Symbol{Loaded: true, Loader: root, Sub: true}, 0},
		{k73, Symbol{Loaded: true, Loader: inside}, eNOENT},
		{k73, Symbol{Loaded: true, Loader: inside, Token: tok}, 0},
		{k73, Symbol{Loaded: true, Loader: Cred{Userns: child}, Token: tok}, eNOENT},
		{k73, Symbol{Loaded: true, Loader: inside, Token: tok, Sub: true}, 0},
		{k612, Symbol{Loaded: true, Loader: inside, Token: tok, Sub: true}, eNOENT},
		{k612, Symbol{Loaded: true, Loader: inside, Token: tok}, 0},
	} {
		if v := Decide(&World{Kernel: tt.kernel, Caller: root}, &tt.req); v.Errno != tt.want {
			t.Errorf("%s %+v: got %s by %s, want %s", tt.kernel.Release, tt.req, v.Errno, v.ID, tt.want)
		}
	}
}

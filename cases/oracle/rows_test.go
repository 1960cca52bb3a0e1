package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

func rootOf(ns *Userns, m Masks) FD {
	return FD{Kind: BPFFSRoot, BPFFS: &BPFFS{Userns: ns, Delegate: m}}
}

// The rows of SEMANTICS.md, bpf_token_create.
func TestTokenCreate(t *testing.T) {
	inChild := func(caps uapi.CapSet) Cred { return Cred{Userns: child, Euid: 1000, Caps: caps} }
	root := func(caps uapi.CapSet) Cred { return Cred{Userns: Initial, Caps: caps} }
	delegated, bare := rootOf(child, Masks{Cmds: 1}), rootOf(child, Masks{})
	for _, tt := range []struct {
		name   string
		caller Cred
		r      TokenCreate
		want   uapi.Errno
	}{
		{"all capabilities", inChild(uapi.AllCaps), TokenCreate{BPFFS: delegated}, 0},
		{"CAP_BPF is enough", inChild(capsBPF), TokenCreate{BPFFS: delegated}, 0},
		{"flags", inChild(uapi.AllCaps), TokenCreate{Flags: 1, BPFFS: delegated}, eINVAL},
		{"flags, and no fd", inChild(uapi.AllCaps), TokenCreate{Flags: 1}, eINVAL},
		{"no fd", inChild(uapi.AllCaps), TokenCreate{}, eBADF},
		{"O_PATH", inChild(uapi.AllCaps), TokenCreate{BPFFS: FD{Kind: Path}}, eBADF},
		{"subdirectory, or tmpfs", inChild(uapi.AllCaps), TokenCreate{BPFFS: FD{Kind: Dir}}, eINVAL},
		{"a map", inChild(uapi.AllCaps), TokenCreate{BPFFS: FD{Kind: Object}}, eINVAL},
		{"no caps", inChild(0), TokenCreate{BPFFS: delegated}, ePERM},
		{"CAP_SYS_ADMIN does not replace it", inChild(capsSys), TokenCreate{BPFFS: delegated}, ePERM},
		{"other caps", inChild(capsNet | capsPerf), TokenCreate{BPFFS: delegated}, ePERM},
		{"nothing delegated", inChild(uapi.AllCaps), TokenCreate{BPFFS: bare}, eNOENT},
		{"nothing delegated, no caps", inChild(0), TokenCreate{BPFFS: bare}, ePERM},
		{"only maps", inChild(capsBPF), TokenCreate{BPFFS: rootOf(child, Masks{Maps: 2})}, 0},
		{"only programs", inChild(capsBPF), TokenCreate{BPFFS: rootOf(child, Masks{Progs: 2})}, 0},
		{"only attach types", inChild(capsBPF), TokenCreate{BPFFS: rootOf(child, Masks{Attachs: 1 << 37})}, 0},
		{"only an unknown bit", inChild(capsBPF), TokenCreate{BPFFS: rootOf(child, Masks{Cmds: 1 << 63})}, 0},
		{"initial root on the child's bpffs", root(uapi.AllCaps), TokenCreate{BPFFS: delegated}, ePERM},
		{"the namespace's owner from outside", Cred{Userns: Initial, Euid: 1000}, TokenCreate{BPFFS: delegated}, ePERM},
		{"child on an initial bpffs", inChild(uapi.AllCaps), TokenCreate{BPFFS: rootOf(Initial, allMasks)}, ePERM},
		{"grandchild on its parent's", cred(inner, 1000, uapi.AllCaps), TokenCreate{BPFFS: delegated}, ePERM},
		{"sibling", Cred{Userns: sibling, Euid: 1000, Caps: uapi.AllCaps}, TokenCreate{BPFFS: delegated}, ePERM},
		{"initial namespace", root(uapi.AllCaps), TokenCreate{BPFFS: rootOf(Initial, allMasks)}, eOPNOTSUPP},
		{"initial namespace, CAP_BPF alone", root(capsBPF), TokenCreate{BPFFS: rootOf(Initial, allMasks)}, eOPNOTSUPP},
		{"initial namespace, CAP_SYS_ADMIN alone", root(capsSys), TokenCreate{BPFFS: rootOf(Initial, allMasks)}, ePERM},
		{"initial namespace, no caps", root(0), TokenCreate{BPFFS: rootOf(Initial, allMasks)}, ePERM},
		{"initial namespace, undelegated", root(uapi.AllCaps), TokenCreate{BPFFS: rootOf(Initial, Masks{})}, eOPNOTSUPP},
	} {
		for _, k := range []*Kernel{k612, k619, k73} {
			v := Decide(&World{Kernel: k, Caller: tt.caller, UnprivDisabled: 2}, &tt.r)
			if !v.Known || v.Errno != tt.want {
				t.Errorf("%s, %s: got %s by %s, want %s", k.Release, tt.name, v.Errno, v.ID, tt.want)
			}
		}
		if v := Decide(&World{Kernel: k61, Caller: tt.caller}, &tt.r); v.Errno != eINVAL ||
			v.ID != "token_create/unknown" {
			t.Errorf("6.1, %s: got %s by %s, want EINVAL", tt.name, v.Errno, v.ID)
		}
	}
}

// The table of SEMANTICS.md, cap_capable_helper: who has CAP_BPF in the
// namespace C, which uid 1000 created.
func TestOwnerRule(t *testing.T) {
	grand := &Userns{Parent: inner, Owner: 7}
	ofRoot := &Userns{Parent: Initial, Owner: 0}
	for _, tt := range []struct {
		name   string
		caller Cred
		target *Userns
		want   bool
	}{
		{"in C with the capability", Cred{Userns: child, Euid: 1000, Caps: capsBPF}, child, true},
		{"in C without", cred(child, 1000, 0), child, false},
		{"in C with CAP_NET_ADMIN", cred(child, 1000, capsNet), child, false},
		{"initial root with all", cred(Initial, 0, uapi.AllCaps), child, true},
		{"initial uid 0 without capabilities, its own C", cred(Initial, 0, 0), ofRoot, true},
		{"initial uid 0 without capabilities, in the initial namespace", cred(Initial, 0, 0), Initial, false},
		{"initial uid 1000 without capabilities, its own C", cred(Initial, 1000, 0), child, true},
		{"initial uid 12345", cred(Initial, 12345, 0), child, false},
		{"initial uid 0 without capabilities, another's C", cred(Initial, 0, 0), child, false},
		{"root of a sibling of the same owner", cred(sibling, 1000, uapi.AllCaps), child, false},
		{"root of a namespace inside C", cred(inner, 1000, uapi.AllCaps), child, false},
		{"in C, for the initial namespace", cred(child, 1000, uapi.AllCaps), Initial, false},
		{"the owner of C, for a child of C", cred(Initial, 1000, 0), inner, true},
		{"the owner of C, for a grandchild of another owner", cred(Initial, 1000, 0), grand, true},
		{"the owner of a grandchild, from outside C", cred(Initial, 7, 0), grand, false},
		{"capabilities in C, for its grandchild", Cred{Userns: child, Euid: 4242, Caps: capsBPF}, grand, true},
		{"the owner's euid in C, for its child", cred(child, 1000, 0), inner, true},
	} {
		if got := tt.caller.capable(tt.target, uapi.CAP_BPF); got != tt.want {
			t.Errorf("%s: capable %v, want %v", tt.name, got, tt.want)
		}
	}
}

// With a token, CAP_SYS_ADMIN replaces every other capability.
func TestTokenCapable(t *testing.T) {
	for _, tt := range []struct {
		caps uapi.CapSet
		want uapi.Cap
		ok   bool
	}{
		{capsSys, uapi.CAP_BPF, true}, {capsSys, uapi.CAP_NET_ADMIN, true}, {capsSys, uapi.CAP_SYS_ADMIN, true},
		{capsBPF | capsNet | capsPerf, uapi.CAP_SYS_ADMIN, false}, {capsNet, uapi.CAP_BPF, false},
		{0, uapi.CAP_PERFMON, false},
	} {
		c := call[*BTFLoad]{World: &World{Kernel: k73, Caller: cred(child, 1000, tt.caps)}, tok: &Token{Userns: child}}
		if got := c.tokenCapable(tt.want); got != tt.ok {
			t.Errorf("caps %s: tokenCapable(%s) = %v", tt.caps, tt.want, got)
		}
		if c.tok = nil; c.tokenCapable(tt.want) {
			t.Errorf("caps %s in a child: tokenCapable(%s) without a token", tt.caps, tt.want)
		}
	}
}

// The examples of SEMANTICS.md, bpf_prog_load: prog_load is delegated, the
// caller has every capability in the child, the sysctl is 2.
func TestAttachMasks(t *testing.T) {
	const (
		ok    = uapi.OK
		perm  = ePERM
		inval = eINVAL
	)
	type load struct {
		typ    uapi.ProgType
		attach uapi.AttachType
		want   uapi.Errno
	}
	for _, tt := range []struct {
		progs, attachs string
		loads          []load
	}{
		{"xdp", "xdp", []load{{6, 37, ok}, {6, 0, perm}}},
		{"xdp", "cgroup_inet_ingress", []load{{6, 0, ok}, {6, 37, perm}}},
		{"xdp", "0", []load{{6, 0, perm}, {6, 37, perm}}},
		{"any", "cgroup_inet_ingress", []load{{1, 0, ok}, {2, 0, ok}, {8, 0, ok}, {8, 1, perm}, {9, 0, perm}, {21, 0, perm}}},
		{"any", "cgroup_inet_sock_create:sk_reuseport_select", []load{{9, 0, ok}, {9, 2, ok}, {21, 0, ok}, {21, 39, ok},
			{9, 12, perm}, {21, 40, perm}, {6, 0, perm}}},
		{"any", "any", []load{{18, 0, inval}, {25, 0, inval}, {30, 0, inval}, {32, 0, inval}, {8, 2, inval},
			{31, 0, ok}, {28, 0, ok}, {0, 0, inval}, {33, 0, perm}, {6, 1000, perm}, {6, 62, perm}}},
		{"any", "struct_ops", []load{{27, 2, perm}, {27, 44, ok}}}, // a member's index, not the name
		{"any", "0x4", []load{{27, 2, ok}}},
	} {
		for _, k := range []*Kernel{k612, k619, k73} {
			m := Masks{Cmds: 1 << 5}
			var e uapi.Errno
			if m.Progs, e = ParseMask(k, "delegate_progs", tt.progs); e != 0 {
				t.Fatal(tt.progs, e)
			}
			if m.Attachs, e = ParseMask(k, "delegate_attachs", tt.attachs); e != 0 {
				t.Fatal(tt.attachs, e)
			}
			w := &World{Kernel: k, Caller: cred(child, 1000, uapi.AllCaps), UnprivDisabled: 2}
			for _, l := range tt.loads {
				if v := Decide(w, &ProgLoad{Type: l.typ, Attach: l.attach, Token: tokenOf(m)}); v.Errno != l.want {
					t.Errorf("%s progs=%s attachs=%s: %s/%d: got %s by %s, want %s",
						k.Release, tt.progs, tt.attachs, l.typ, l.attach, v.Errno, v.ID, l.want)
				}
			}
		}
	}
}

// No mask covers an attach type at or above the kernel's maximum. Root may load
// it if the program type ignores it.
func TestBeyondTheEnd(t *testing.T) {
	owner := cred(child, 1000, uapi.AllCaps)
	root := cred(Initial, 0, uapi.AllCaps)
	for _, tt := range []struct {
		k      *Kernel
		caller Cred
		typ    uapi.ProgType
		attach uapi.AttachType
		want   uapi.Errno
	}{
		{k612, owner, 2, 57, ePERM}, {k619, owner, 2, 57, 0}, {k73, owner, 2, 57, 0},
		{k619, owner, 26, 58, ePERM}, {k73, owner, 26, 58, 0}, {k73, owner, 26, 61, eINVAL}, {k73, owner, 26, 62, ePERM},
		{k73, root, 6, 1000, 0}, {k612, root, 6, 1000, 0}, {k73, root, 6, 59, eINVAL}, {k612, root, 6, 59, 0},
		{k73, root, 33, 0, eINVAL}, {k73, owner, 33, 0, ePERM},
	} {
		w := &World{Kernel: tt.k, Caller: tt.caller, UnprivDisabled: 2}
		v := Decide(w, &ProgLoad{Type: tt.typ, Attach: tt.attach, Token: tokenOf(allMasks)})
		if v.Errno != tt.want {
			t.Errorf("%s: %s/%d by root %v: got %s by %s, want %s",
				tt.k.Release, tt.typ, tt.attach, tt.caller.Userns == Initial, v.Errno, v.ID, tt.want)
		}
	}
	for _, tt := range []struct {
		k    *Kernel
		typ  uapi.MapType
		want uapi.Errno
	}{
		{k612, 33, 0}, {k612, 34, eINVAL}, {k619, 34, 0}, {k619, 35, eINVAL}, {k73, 35, 0}, {k73, 36, eINVAL},
		{k73, 0, eINVAL},
	} {
		w := &World{Kernel: tt.k, Caller: owner, UnprivDisabled: 2}
		v := Decide(w, &MapCreate{Type: tt.typ, Token: tokenOf(allMasks)})
		if v.Errno != tt.want {
			t.Errorf("%s: map type %d: got %s by %s, want %s", tt.k.Release, tt.typ, v.Errno, v.ID, tt.want)
		}
	}
}

package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// The commands that need CAP_SYS_ADMIN in the initial namespace, by number, and
// of them those about the next id: SEMANTICS.md, Other commands.
var (
	refNextID   = map[uint32]bool{11: true, 12: true, 23: true, 31: true}
	refSysAdmin = map[uint32]bool{13: true, 14: true, 30: true, 20: true, 32: true}
	refNoPlace  = map[uint32]bool{13: true, 14: true, 30: true} // by id, without a field for a token
	refOwn      = map[uint32]bool{0: true, 5: true, 18: true, 36: true}
)

// calls passes every command to f, with every mistake that a Call can have.
func calls(f func(r *Call)) {
	refs := append(badTokens(), tokenOf(Masks{Cmds: 1 << 19}),
		tokenOf(Masks{Cmds: ^uint64(0) &^ (1 << 19), Maps: ^uint64(0)}))
	for cmd := uapi.Cmd(0); cmd < 42; cmd++ {
		if refOwn[uint32(cmd)] {
			continue
		}
		for _, tail := range []bool{false, true} {
			for _, common := range []Common{0, CommonEmpty, CommonLog, CommonTail, CommonHuge, CommonUnreadable} {
				for on := CallOn(0); on <= CallPrivate; on++ {
					f(&Call{Cmd: cmd, Fault: Fault{Tail: tail, Common: common}, On: on})
				}
				for _, id := range []uint32{0, 1 << 30, 1<<31 - 1} {
					for _, ref := range refs {
						f(&Call{Cmd: cmd, Fault: Fault{Tail: tail, Common: common}, ID: id, Token: ref})
					}
				}
			}
		}
		f(&Call{Cmd: cmd, FromKernel: true})
		f(&Call{Cmd: cmd, FromKernel: true, Fault: Fault{Common: CommonEmpty}})
		for _, fault := range []Fault{{TooLong: true}, {Unreadable: true}} {
			fault.Common = CommonUnreadable
			f(&Call{Cmd: cmd, Fault: fault})
		}
		for _, fd := range []FD{{}, {Kind: Object}, {Kind: Object, Loaded: &Program{Type: uapi.BPF_PROG_TYPE_XDP}}} {
			f(&Call{Cmd: cmd, On: CallSkb, Given: true, Prog: fd})
		}
		for _, t := range []*Token{nil, {Userns: child}} {
			f(&Call{Cmd: cmd, On: CallSkb, Prog: FD{Kind: Object, Token: t}, Token: tokenOf(allMasks)})
		}
	}
}

// refProgram are the commands that bpf_sys_bpf makes, of those without an operation of their own.
var refProgram = map[uint32]bool{2: true, 3: true, 14: true, 17: true, 22: true, 28: true}

// call decides by SEMANTICS.md, bpf_btf_get_fd_by_id and Other commands, and
// uses none of the oracle's tables.
func (r *reference) call(q *Call) uapi.Errno {
	cmd, newer := uint32(q.Cmd), r.w.Kernel == k73
	switch {
	case q.FromKernel && (q.Common != 0 || !refProgram[cmd]):
		return 22
	case q.FromKernel && (cmd == 2 || cmd == 3):
		return 14
	case q.TooLong:
		return 7
	case q.Unreadable, newer && q.Common == CommonUnreadable:
		return 14
	case newer && (q.Common == CommonTail || q.Common == CommonHuge):
		return 7
	}
	if q.Common != 0 && !newer || cmd >= 39 || cmd >= 37 && r.w.Kernel == k612 || cmd == 38 && r.w.Kernel == k619 {
		return 22
	}
	sys, net := r.caps&(1<<21) != 0, r.caps&(1<<21|1<<12) != 0
	switch {
	case cmd == 16 && !net:
		return 1
	case q.Tail:
		return 22
	case refNextID[cmd] && (q.Token.Flag || q.ID == 1<<31-1), refNoPlace[cmd] && q.Token.Flag:
		return 22
	case cmd == 19:
		return r.btfByID(q)
	case (refNextID[cmd] || refSysAdmin[cmd]) && !sys:
		return 1
	case (refNextID[cmd] || refNoPlace[cmd]) && q.ID != 0:
		return 2
	case cmd == 9 && q.On == CallTCX && !net && newer: // only the newest of these kernels checks, ae23bc81ddf7
		return 1
	case cmd == 9 && q.On == CallTCX:
		return 2
	case cmd == 7 && q.On == CallPrivate && r.w.Caller.Euid != 0 && r.caps&(1<<1) == 0:
		return 13
	case cmd == 22:
		return 16
	case cmd == 25:
		return 2
	case (cmd == 8 || cmd == 28) && q.Given && q.Prog.Kind == Closed:
		return 9
	case (cmd == 8 || cmd == 28) && q.Given:
		return 22
	case (cmd == 8 || cmd == 28) && q.On == CallSkb:
		r.tok = q.Prog.Token
		if !r.capable(1 << 12) {
			return map[uint32]uapi.Errno{8: 22, 28: 1}[cmd]
		}
	}
	return 0
}

func (r *reference) btfByID(q *Call) uapi.Errno {
	if q.Token.Flag && r.w.Kernel == k612 {
		return 22
	}
	if e := r.token(q.Token); e != 0 {
		return e
	}
	if r.tok != nil && r.tok.Allowed.Cmds>>19&1 == 0 {
		r.tok = nil
	}
	switch {
	case !r.capable(1 << 21):
		return 1
	case q.ID != 0:
		return 2
	}
	return 0
}

// TestCommands compares the oracle with the reference for every command, and
// Explain with Decide.
func TestCommands(t *testing.T) {
	bad, decided := 0, map[string]int{}
	worlds([]*Kernel{k612, k619, k73}, []int{2}, places, // no command reads the sysctl
		func(w *World, p *place, caps uapi.CapSet) {
			calls(func(r *Call) {
				got, trace := Explain(w, r)
				want := newReference(w, p, caps).call(r)
				decided[got.ID]++
				for _, l := range trace {
					if l.Drops && l.Holds {
						decided[l.ID]++
					}
				}
				if got.Known && got.Errno == want && got == Decide(w, r) {
					return
				}
				if bad++; bad < 20 {
					t.Errorf(
						"%s, %s, caps %s, sysctl %d: %+v: got %s (known %v) by %s, want %s",
						w.Kernel.Release,
						p.name,
						w.Caller.Caps,
						w.UnprivDisabled,
						r,
						got.Errno,
						got.Known,
						got.ID,
						want,
					)
				}
			})
		})
	if bad >= 20 {
		t.Errorf("and %d more", bad-19)
	}
	for _, id := range callRuleNames() {
		if decided[id] == 0 && id != "sysctl/locked" && id != "sysctl/range" && !isLSM(Line{ID: id}) {
			t.Errorf("no world is decided by %s", id)
		}
	}
}

// Every command of the newest kernel has rules. A newer one has an unknown verdict.
func TestCommandsKnown(t *testing.T) {
	for _, m := range uapi.Cmds.Members {
		if m.Value < 64 && !refOwn[m.Value] && commandOf(uapi.Cmd(m.Value)) == nil {
			t.Errorf("command %s has no rules", m.Name)
		}
	}
	newer := *k73
	newer.MaxCmd = 50
	root := Cred{Userns: Initial, Caps: uapi.AllCaps}
	for _, tt := range []struct {
		name string
		k    *Kernel
		id   string
	}{{"new command", &newer, "call/drift"}, {"before tokens", k61, "call/before-tokens"}} {
		if v := Decide(&World{Kernel: tt.k, Caller: root}, &Call{Cmd: 45}); v.Known || v.ID != tt.id || v.Rule == "" {
			t.Errorf("%s: got %+v, want an unknown verdict %s", tt.name, v, tt.id)
		}
	}
}

// The value 1 cannot be changed.
func TestSysctlLocked(t *testing.T) {
	for _, tt := range []struct {
		is, set int
		want    uapi.Errno
	}{{0, 1, 0}, {2, 1, 0}, {2, 0, 0}, {1, 1, 0}, {1, 0, ePERM}, {1, 2, ePERM}, {2, 3, eINVAL}, {1, 3, eINVAL},
		{0, -1, eINVAL}} {
		w := &World{Kernel: k612, Caller: Cred{Userns: Initial, Caps: uapi.AllCaps}, UnprivDisabled: tt.is}
		if v := Decide(w, &Sysctl{tt.set}); v.Errno != tt.want {
			t.Errorf("%d set to %d: got %s, want %s", tt.is, tt.set, v.Errno, tt.want)
		}
	}
}

// A program keeps the token that covered its load, and no other.
func TestKeeps(t *testing.T) {
	r := &ProgLoad{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB, Token: tokenOf(Masks{Cmds: 1 << 5, Progs: 1 << 8, Attachs: 1})}
	if r.Keeps(&World{Kernel: k612}) != r.Token.FD.Token {
		t.Error("a token that covers the load is lost")
	}
	for _, m := range []Masks{
		{Cmds: 1, Progs: 1 << 8, Attachs: 1},
		{Cmds: 1 << 5, Progs: 1, Attachs: 1},
		{Cmds: 1 << 5, Progs: 1 << 8, Attachs: 2},
	} {
		r.Token = tokenOf(m)
		if r.Keeps(&World{Kernel: k612}) != nil {
			t.Errorf("a token of %+v is kept", m)
		}
	}
	if (&ProgLoad{Type: uapi.BPF_PROG_TYPE_CGROUP_SKB}).Keeps(&World{Kernel: k612}) != nil {
		t.Error("a token that was not given is kept")
	}
}

package cases

import (
	"tokentest/cases/oracle"
	"tokentest/cases/uapi"
)

// Expect is what the oracle says a step must show: the verdict, and for a
// step that makes a token the masks that it must hold.
type Expect struct {
	Verdict oracle.Verdict
	Masks   *oracle.Masks
	Trace   []oracle.Line // when the simulation explains
}

// Sim plays a program as the oracle sees it. It holds what the actors own
// after the steps so far.
type Sim struct {
	kernel   *oracle.Kernel
	facts    *Facts
	actors   []simActor
	sysctl   int
	explains bool
}

type simActor struct {
	cred oracle.Cred
	fds  map[Handle]oracle.FD
}

// unprivDefault is what the broker sets kernel.unprivileged_bpf_disabled to
// when a world begins.
const unprivDefault = 2

// NewSim starts a program on a kernel. With explain every expectation carries
// its trace.
func NewSim(f *Facts, p *Program, explain bool) *Sim {
	s := &Sim{kernel: f.Kernel(), facts: f, sysctl: unprivDefault, explains: explain}
	for _, a := range p.Actors {
		ns := oracle.Initial
		if a.Parent >= 0 {
			ns = s.actors[a.Parent].cred.Userns
		}
		if a.Kind == Userns {
			ns = &oracle.Userns{Parent: ns, Owner: a.UID}
		}
		s.actors = append(s.actors, simActor{oracle.Cred{Userns: ns, Euid: a.UID, Caps: a.Caps}, map[Handle]oracle.FD{}})
	}
	return s
}

// Fork returns a copy that a cell may change without the next one seeing it.
func (s *Sim) Fork() *Sim {
	c := *s
	c.actors = make([]simActor, len(s.actors))
	for i, a := range s.actors {
		fds := make(map[Handle]oracle.FD, len(a.fds))
		for h, fd := range a.fds {
			fds[h] = fd
		}
		c.actors[i] = simActor{a.cred, fds}
	}
	return &c
}

// Step plays one step and says what it must show.
func (s *Sim) Step(st *Step) Expect {
	a := &s.actors[st.Actor]
	switch st.Op {
	case OpBPFFS:
		return s.bpffs(a, st)
	case OpTokenCreate:
		return s.tokenCreate(a, st)
	case OpMapCreate:
		t, _ := st.Num(KeyType)
		return s.object(a, st, &oracle.MapCreate{Type: uapi.MapType(t), Token: a.tokenRef(st)})
	case OpProgLoad:
		return s.object(a, st, s.progLoad(a, st))
	case OpBTFLoad:
		return s.object(a, st, &oracle.BTFLoad{Token: a.tokenRef(st)})
	case OpSend:
		h, _ := st.Num(KeyHandle)
		to, _ := st.Num(KeyTo)
		s.actors[to].fds[Handle(h)] = a.fds[Handle(h)]
	case OpClose:
		h, _ := st.Num(KeyHandle)
		delete(a.fds, Handle(h))
	case OpSysctl:
		v, _ := st.Num(KeyValue)
		s.sysctl = int(v)
	case OpSysrq:
		return Expect{Verdict: oracle.Verdict{Rule: "the step provokes a fault", ID: "sysrq"}}
	}
	return harnessStep(st.Op)
}

// harnessStep is a step of the harness itself, which only a fault of the set-up stops.
func harnessStep(op Op) Expect {
	return Expect{Verdict: oracle.Verdict{Known: true, Rule: "the harness's own step", Func: op.String(), ID: op.String()}}
}

func (s *Sim) bpffs(a *simActor, st *Step) Expect {
	opener := a.cred
	opener.Caps = uapi.AllCaps
	d := oracle.Delegate{Opener: opener, Setter: oracle.Cred{Userns: oracle.Initial, Caps: uapi.AllCaps}}
	for _, arg := range st.Args {
		d.Options = append(d.Options, oracle.Option{Name: delegateOption(arg.Key), Value: arg.Str})
	}
	v, masks := d.Decide(s.kernel)
	if v.Errno == 0 {
		a.fds[st.Out] = oracle.FD{Kind: oracle.BPFFSRoot, BPFFS: &oracle.BPFFS{Userns: a.cred.Userns, Delegate: masks}}
	}
	return Expect{Verdict: v}
}

func (s *Sim) tokenCreate(a *simActor, st *Step) Expect {
	flags, _ := st.Num(KeyFlags)
	req := &oracle.TokenCreate{Flags: uint32(flags)}
	if h, ok := st.Num(KeyBPFFS); ok {
		req.BPFFS = a.fds[Handle(h)]
	}
	e := s.decide(a, st, req)
	if e.Verdict.Known && e.Verdict.Errno == 0 {
		masks := req.BPFFS.BPFFS.Delegate
		e.Masks = &masks
		a.fds[st.Out] = oracle.FD{Kind: oracle.TokenFD, Token: &oracle.Token{Userns: a.cred.Userns, Allowed: masks}}
	}
	return e
}

func (s *Sim) progLoad(a *simActor, st *Step) *oracle.ProgLoad {
	t, _ := st.Num(KeyType)
	at, _ := st.Num(KeyAttach)
	req := &oracle.ProgLoad{Type: uapi.ProgType(t), Attach: uapi.AttachType(at), Token: a.tokenRef(st)}
	if ProgShapeOf(req.Type, req.Attach).Member != "" {
		req.Attach = uapi.AttachType(s.facts.StructOpsIndex)
	}
	return req
}

func (s *Sim) object(a *simActor, st *Step, r oracle.Request) Expect {
	e := s.decide(a, st, r)
	if e.Verdict.Known && e.Verdict.Errno == 0 && st.Out != 0 {
		a.fds[st.Out] = oracle.FD{Kind: oracle.Object}
	}
	return e
}

func (s *Sim) decide(a *simActor, st *Step, r oracle.Request) Expect {
	w := oracle.World{Kernel: s.kernel, Caller: a.cred, UnprivDisabled: s.sysctl}
	w.Caller.Caps = st.Caps
	if s.explains {
		v, trace := oracle.Explain(&w, r)
		return Expect{Verdict: v, Trace: trace}
	}
	return Expect{Verdict: oracle.Decide(&w, r)}
}

func (a *simActor) tokenRef(st *Step) oracle.TokenRef {
	h, ok := st.Num(KeyToken)
	if !ok {
		return oracle.TokenRef{}
	}
	return oracle.TokenRef{Flag: true, FD: a.fds[Handle(h)]}
}

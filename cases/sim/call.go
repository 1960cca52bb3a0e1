package sim

import (
	"slices"
	"strconv"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// call is the request of a call step.
func (a *actor) call(st *step.Step) *oracle.Call {
	get := func(k step.Key) uint32 { n, _ := st.Num(k); return uint32(n) }
	r := &oracle.Call{
		Cmd: uapi.Cmd(get(step.KeyCmd)) &^ uapi.BPF_COMMON_ATTRS, Fault: faultOf(st),
		On: oracle.CallOn(get(step.KeyOn)), ID: get(step.KeyID),
	}
	if r.Common == 0 && uapi.Cmd(get(step.KeyCmd))&uapi.BPF_COMMON_ATTRS != 0 {
		r.Common = oracle.CommonEmpty
	}
	_, r.FromKernel = st.Num(step.KeyFromKernel)
	if h, ok := st.Num(step.KeyToken); ok {
		r.Token = oracle.TokenRef{Flag: true, FD: a.fds[step.Handle(h)]}
	}
	if h, ok := st.Num(step.KeyProg); ok {
		r.On, r.Prog, r.Given = oracle.CallSkb, a.fds[step.Handle(h)], true
	}
	return r
}

// progLoad plays a program's load; what is loaded remembers its token.
func (s *Sim) progLoad(a *actor, st *step.Step) Expect {
	r := s.progRequest(a, st)
	e := s.object(a, st, r)
	if fd, ok := a.fds[st.Out]; ok && st.Out != 0 && e.Verdict.Known && e.Verdict.Errno == 0 {
		w := s.world(a, st)
		fd.Token = r.Keeps(&w)
		fd.Loaded = s.loaded(st, r, oracle.Symbol{Loaded: true, Token: fd.Token, Loader: w.Caller})
		fd.Opener = w.Caller
		a.fds[st.Out] = fd
		s.name(st, fd.Loaded.Symbol)
	}
	if e.OK() {
		s.born(a, st, uapi.HookProgFree, nil)
	}
	return e
}

// loaded is what later steps see of a program.
func (s *Sim) loaded(st *step.Step, r *oracle.ProgLoad, is oracle.Symbol) *oracle.Program {
	is.Interpreted = !s.kernel.Compiles(is.Loader)
	is.Blinded = !is.Interpreted && s.kernel.Blinds(&is)
	p := &oracle.Program{Type: r.Type, Expected: r.Expected(), Symbol: is}
	if r.Attr == nil {
		return p
	}
	body, _ := st.Num(step.KeyBody)
	_, p.Lines = st.Num(step.KeyLines)
	p.Body, p.Spills = r.Attr.Body, step.Body(body) == step.BodySpill
	p.Sleeps = r.Attr.Flags&sleepable != 0
	p.Freq, p.Maps, p.Helper = r.Attr.Flags&testStateFreq != 0, r.Attr.Uses != nil, r.Attr.Helper != nil
	p.Masks = p.Maps && r.Attr.Uses.Content != nil && r.Attr.Uses.Content.Masked
	p.Other = r.Attr.Insns != smallest
	p.Helps = p.Maps && p.Body == 0 || slices.Contains(helping, step.Body(body))
	return p
}

// BPF_F_TEST_STATE_FREQ and BPF_F_SLEEPABLE.
const (
	testStateFreq = 1 << 3
	sleepable     = 1 << 4
)

// helping are bodies that call a helper which stays a call.
var helping = []step.Body{step.BodyBranches, step.BodyDeadCode, step.BodyNotTaken, step.BodyProbeReadKernel}

// setSysctl plays the broker's write. 1 stays.
func (s *Sim) setSysctl(a *actor, st *step.Step) Expect {
	v, _ := st.Num(step.KeyValue)
	e := s.decide(a, st, &oracle.Sysctl{Value: int(v)})
	if e.Verdict.Errno == 0 {
		s.sysctl = int(v)
	}
	return e
}

// tokenInode is what bpf_token_create makes: a file for its owner alone, less the umask.
func tokenInode(a *actor, st *step.Step) *oracle.Inode {
	const mode = 0o600
	mask, err := strconv.ParseUint(text(st, step.KeyUmask), 8, 32)
	if err != nil {
		mask = defaultUmask
	}
	return &oracle.Inode{UID: a.cred.Euid, GID: a.cred.Euid, Mode: mode &^ uint32(mask)}
}

// defaultUmask is the umask of the guest's first process.
const defaultUmask = 0o022

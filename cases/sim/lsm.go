package sim

import (
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// attached is a BPF-LSM program that applies to the calls of one actor.
type attached struct {
	of      uint32
	handle  step.Handle
	program *oracle.LSM
}

// lsmOf returns the programs that apply to an actor's calls.
func (s *Sim) lsmOf(actor uint32) []*oracle.LSM {
	var out []*oracle.LSM
	for _, l := range s.lsm {
		if l.of == actor {
			out = append(out, l.program)
		}
	}
	return out
}

func (s *Sim) forkLSM() []attached {
	out := slices.Clone(s.lsm)
	for i := range out {
		p := *out[i].program
		out[i].program = &p
	}
	return out
}

var lsmHooks = map[step.Hook]oracle.Hook{
	step.HookBPF: oracle.HookBPF, step.HookTokenCreate: oracle.HookTokenCreate, step.HookTokenCmd: oracle.HookTokenCmd,
	step.HookTokenCapable: oracle.HookTokenCapable, step.HookMapCreate: oracle.HookMapCreate,
	step.HookProgLoad: oracle.HookProgLoad,
}

func (s *Sim) attachLSM(a *actor, st *step.Step) Expect {
	var l oracle.LSM
	var of uint32
	for _, arg := range st.Args {
		n := arg.Num
		switch arg.Key {
		case step.KeyHook:
			l.Hook = lsmHooks[step.Hook(n)]
		case step.KeyOf:
			of = uint32(n)
		case step.KeyErrno:
			l.Errno = uapi.Errno(n)
		case step.KeyHookCmd:
			l.Cmd = ptr(uapi.Cmd(n))
		case step.KeyHookCap:
			l.Cap = ptr(uapi.Cap(n))
		case step.KeyGiven:
			l.Given = ptr(n != 0)
		case step.KeyKernel:
			l.Kernel = ptr(n != 0)
		case step.KeyOfCmds:
			l.Cmds = &n
		case step.KeyOfMaps:
			l.Maps = &n
		case step.KeyOfProgs:
			l.Progs = &n
		case step.KeyOfAttachs:
			l.Attachs = &n
		}
	}
	e := s.decide(a, st, &oracle.LSMAttach{Program: l})
	if e.Verdict.Errno == 0 {
		s.lsm = append(s.lsm, attached{of, st.Out, &l})
	}
	return e
}

func ptr[T any](v T) *T { return &v }

func (s *Sim) stopLSM(_ *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	s.lsm = slices.DeleteFunc(s.lsm, func(l attached) bool { return l.handle == step.Handle(h) })
	return harnessStep(st.Op)
}

func (s *Sim) ranLSM(a *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	var l *oracle.LSM
	for i := range s.lsm {
		if s.lsm[i].handle == step.Handle(h) {
			l = s.lsm[i].program
		}
	}
	return s.decide(a, st, &oracle.LSMRan{Program: l})
}

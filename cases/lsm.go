package cases

import (
	"fmt"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

var lsmOps = []opSpec{
	{op: step.OpLSM, keys: []keySpec{
		{step.KeyHook, "hook", kindHook, "bpf, bpf_token_create, bpf_token_cmd, bpf_token_capable, bpf_map_create or bpf_prog_load"},
		{step.KeyOf, "of", kindActor, "the actor whose calls it is about; nobody else's are touched"},
		{step.KeyErrno, "errno", kindErrno, "what it answers; ok: nothing, it only looks on"},
		{step.KeyHookCmd, "cmd", kindAnyCmd, "only where the command is this one (bpf, bpf_token_cmd)"},
		{step.KeyHookCap, "cap", kindCap, "only where the capability is this one (bpf_token_capable)"},
		{step.KeyGiven, "token", kindNum, "only where the token is not NULL (1), or is (0)"},
		{step.KeyKernel, "kernel", kindNum, "only where the kernel itself calls (1), or a process (0); since 6.15"},
		{step.KeyOfCmds, "cmds", kindNum, "only where the token's allowed_cmds are these"},
		{step.KeyOfMaps, "maps", kindNum, "its allowed_maps"},
		{step.KeyOfProgs, "progs", kindNum, "its allowed_progs"},
		{step.KeyOfAttachs, "attachs", kindNum, "its allowed_attachs"},
	}, makes: true, doc: "the broker attaches a BPF-LSM program to a hook, until the world ends"},
	{op: step.OpLSMOff, keys: []keySpec{lsmHandle}, positional: []step.Key{step.KeyHandle}, doc: "have a BPF-LSM program refuse nothing more"},
	{op: step.OpLSMRan, keys: []keySpec{lsmHandle}, positional: []step.Key{step.KeyHandle}, doc: "ok if the conditions of a BPF-LSM program ever held, else ENODATA"},
}

var lsmHandle = keySpec{step.KeyHandle, "program", kindHandle, "the BPF-LSM program"}

// lsmArg reads an argument of lsm that no other operation has.
func lsmArg(k argKind, value string) (uint64, error) {
	switch k {
	case kindHook:
		return step.ParseWord(step.Hooks, value)
	case kindErrno:
		e, err := uapi.ParseErrno(value)
		return uint64(e), err
	case kindCap:
		for c := range uapi.Cap(64) {
			if c.String() == value {
				return uint64(c), nil
			}
		}
		return 0, fmt.Errorf("unknown capability %q: want CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN or CAP_SYS_ADMIN", value)
	}
	m, ok := uapi.Cmds.Lookup(value)
	if !ok {
		var names []string
		for _, m := range uapi.Cmds.Members {
			names = append(names, m.Name)
		}
		return 0, fmt.Errorf("unknown %s %q%s", uapi.Cmds.Tag, value, suggest(value, names))
	}
	return uint64(m.Value), nil
}

// checkLSM refuses a condition that the hook has no argument for.
func checkLSM(s *step.Step) error {
	if s.Op != step.OpLSM {
		return nil
	}
	spec := opNamed(s.Op.String())
	for _, k := range []step.Key{step.KeyHook, step.KeyOf, step.KeyErrno} {
		if _, ok := s.Num(k); !ok {
			return fmt.Errorf("lsm wants %s=", spec.keyOf(k).name)
		}
	}
	h, _ := s.Num(step.KeyHook)
	at := step.ArgsOf(step.Hook(h))
	for _, a := range s.Args {
		where := 0
		switch a.Key {
		case step.KeyHookCmd:
			where = at.Cmd
		case step.KeyHookCap:
			where = at.Cap
		case step.KeyKernel:
			where = at.Kernel
		case step.KeyGiven, step.KeyOfCmds, step.KeyOfMaps, step.KeyOfProgs, step.KeyOfAttachs:
			where = at.Token
		}
		if where < 0 {
			return fmt.Errorf("the hook %s has no argument for %s=", step.Hooks[h], spec.keyOf(a.Key).name)
		}
	}
	return nil
}

// lsmNeeds are what a BPF-LSM program needs of the kernel.
var lsmNeeds = []Need{{Kind: NeedConfig, Name: "BPF_LSM"}, {Kind: NeedLSM, Name: "bpf"}}

func attaches(steps []step.Step) bool {
	return slices.ContainsFunc(steps, func(s step.Step) bool { return s.Op == step.OpLSM })
}

// Hooks reports whether the world's cells, or its set-up, put programs on LSM hooks.
func (w *World) Hooks() bool { return w.hooks }

// simLSM is a BPF-LSM program that looks at the calls of one actor.
type simLSM struct {
	of      uint32
	handle  step.Handle
	program *oracle.LSM
}

// lsmOf returns the programs that look at an actor's calls.
func (s *Sim) lsmOf(actor uint32) []*oracle.LSM {
	var out []*oracle.LSM
	for _, l := range s.lsm {
		if l.of == actor {
			out = append(out, l.program)
		}
	}
	return out
}

func (s *Sim) forkLSM() []simLSM {
	out := slices.Clone(s.lsm)
	for i := range out {
		p := *out[i].program
		out[i].program = &p
	}
	return out
}

var lsmHooks = map[step.Hook]oracle.Hook{
	step.HookBPF: oracle.HookBPF, step.HookTokenCreate: oracle.HookTokenCreate, step.HookTokenCmd: oracle.HookTokenCmd,
	step.HookTokenCapable: oracle.HookTokenCapable, step.HookMapCreate: oracle.HookMapCreate, step.HookProgLoad: oracle.HookProgLoad,
}

func (s *Sim) attachLSM(a *simActor, st *step.Step) Expect {
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
		s.lsm = append(s.lsm, simLSM{of, st.Out, &l})
	}
	return e
}

func ptr[T any](v T) *T { return &v }

func (s *Sim) stopLSM(st *step.Step) {
	h, _ := st.Num(step.KeyHandle)
	s.lsm = slices.DeleteFunc(s.lsm, func(l simLSM) bool { return l.handle == step.Handle(h) })
}

func (s *Sim) ranLSM(a *simActor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	var l *oracle.LSM
	for i := range s.lsm {
		if s.lsm[i].handle == step.Handle(h) {
			l = s.lsm[i].program
		}
	}
	return s.decide(a, st, &oracle.LSMRan{Program: l})
}

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
	freed   int // how many objects that it is about were freed before it was attached
}

// life is an object whose end a hook shows.
type life struct {
	hook   uapi.Hook
	name   string
	serial int
	token  *oracle.Token
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

func (s *Sim) attachLSM(a *actor, st *step.Step) Expect {
	var l oracle.LSM
	var of uint32
	for _, arg := range st.Args {
		n := arg.Num
		switch arg.Key {
		case step.KeyHook:
			l.Hook = uapi.Hook(n)
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
		case step.KeyHookMask:
			l.Mask = ptr(uint32(n))
		case step.KeyHookName:
			l.Name = ptr(arg.Str)
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
		s.lsm = append(s.lsm, attached{of, st.Out, &l, s.freed(&l)})
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
	times, _ := st.Num(step.KeyTimes)
	req := &oracle.LSMRan{Times: int(times)}
	for i := range s.lsm {
		if s.lsm[i].handle != step.Handle(h) {
			continue
		}
		if req.Program = s.lsm[i].program; frees(req.Program.Hook) {
			req.Freed = ptr(s.freed(req.Program) - s.lsm[i].freed)
		}
	}
	if req.Freed != nil && s.mayHold(req.Program.Hook) {
		return Expect{Verdict: oracle.Verdict{Rule: "the oracle does not follow programs that were attached",
			ID: "lsm_ran/not-modelled"}}
	}
	return s.decide(a, st, req)
}

// mayHold reports whether something that was attached may hold an object of a hook: a link or a target has a
// program, and a program its token.
func (s *Sim) mayHold(h uapi.Hook) bool {
	if h == uapi.HookMapFree {
		return false
	}
	for _, c := range s.attached.chains {
		if len(c.Entries) > 0 {
			return true
		}
	}
	return len(s.attached.bonds) > 0
}

func frees(h uapi.Hook) bool {
	return h == uapi.HookTokenFree || h == uapi.HookMapFree || h == uapi.HookProgFree
}

// freed counts the objects that a program is about and that nothing refers to any more.
func (s *Sim) freed(l *oracle.LSM) int {
	n := 0
	for i := range s.lives {
		if o := &s.lives[i]; o.hook == l.Hook && l.Matches(o.name, o.token) && !s.alive(o) {
			n++
		}
	}
	return n
}

// alive reports whether a descriptor, a program or a name in a bpffs refers to an object.
func (s *Sim) alive(o *life) bool {
	is := func(fd *oracle.FD) bool {
		if fd.Kind == oracle.Path { // O_PATH refers to the file's name, not to what it is
			return false
		}
		return o.token != nil && fd.Token == o.token || o.serial != 0 && fd.Serial == o.serial
	}
	for i := range s.actors {
		for _, fd := range s.actors[i].fds {
			if is(&fd) || fd.BPFFS != nil && fd.BPFFS.Root.Refers(is) {
				return true
			}
		}
	}
	for _, places := range s.tables {
		for _, stack := range places {
			if slices.ContainsFunc(stack, func(m *oracle.Mount) bool { return m.FS.Root.Refers(is) }) {
				return true
			}
		}
	}
	return false
}

// born notes an object that a step made. An object without a descriptor is freed at once.
func (s *Sim) born(a *actor, st *step.Step, hook uapi.Hook, token *oracle.Token) {
	o := life{hook: hook, token: token}
	if token == nil {
		if o.name = text(st, step.KeyName); o.name == "" {
			return
		}
		s.serials++
		o.serial = s.serials
		if fd, ok := a.fds[st.Out]; ok && st.Out != 0 {
			fd.Serial = o.serial
			a.fds[st.Out] = fd
		}
	}
	s.lives = append(slices.Clip(s.lives), o)
}

// denied are the capabilities that the hook capable refuses to an actor.
func denied(lsm []*oracle.LSM) uapi.CapSet {
	var out uapi.CapSet
	for _, l := range lsm {
		if l.Hook == uapi.HookCapable && l.Cap != nil && l.Errno != 0 {
			out |= 1 << *l.Cap
		}
	}
	return out
}

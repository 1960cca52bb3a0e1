package sim

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

func (s *Sim) dup(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyHandle)
	e := s.decide(a, st, &oracle.Dup{FD: fd})
	if e.OK() {
		a.keep(st, fd)
	}
	return e
}

func (s *Sim) cloexec(a *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	on, _ := st.Num(step.KeyOn01)
	fd := a.fds[step.Handle(h)]
	e := s.decide(a, st, &oracle.Dup{FD: fd})
	if e.OK() {
		fd.Stays = on == 0
		a.fds[step.Handle(h)] = fd
	}
	return e
}

// stays are the descriptors that an execve(2) leaves open.
func (a *actor) stays() map[step.Handle]oracle.FD {
	out := map[step.Handle]oracle.FD{}
	for h, fd := range a.fds {
		if fd.Stays {
			out[h] = fd
		}
	}
	return out
}

func (s *Sim) exec(a *actor, st *step.Step) Expect {
	a.fds, a.space = a.stays(), s.newSpace()
	return harnessStep(st.Op)
}

func (s *Sim) fork(a *actor, st *step.Step) Expect {
	to, _ := st.Num(step.KeyTo)
	s.actors[to].fds = a.stays()
	return harnessStep(st.Op)
}

func (s *Sim) exit(a *actor, st *step.Step) Expect {
	a.fds, a.space = map[step.Handle]oracle.FD{}, s.newSpace()
	return harnessStep(st.Op)
}

func (s *Sim) userns(a *actor, st *step.Step) Expect {
	a.keep(st, oracle.FD{Kind: oracle.UsernsFD, Userns: a.cred.Userns})
	return harnessStep(st.Op)
}

// netns is a descriptor of no kind that a call here asks for.
func (s *Sim) netns(a *actor, st *step.Step) Expect {
	a.keep(st, oracle.FD{Kind: oracle.Object})
	return harnessStep(st.Op)
}

func (s *Sim) setns(a *actor, st *step.Step) Expect {
	return s.decide(a, st, &oracle.Setns{FD: a.handle(st, step.KeyInside)})
}

// entered returns the credentials with which a step makes its call: after setns(2) a process has
// every capability in the user namespace that it entered.
func (s *Sim) entered(a *actor, st *step.Step) (w oracle.World, refused *Expect) {
	w = s.world(a, st)
	if _, ok := st.Num(step.KeyInside); !ok || st.Op == step.OpSetns {
		return w, nil
	}
	fd := a.handle(st, step.KeyInside)
	if v := oracle.Decide(&w, &oracle.Setns{FD: fd}); v.Errno != 0 {
		return w, &Expect{Verdict: v}
	}
	w.Caller.Userns, w.Caller.Caps = fd.Userns, uapi.AllCaps
	if then, ok := st.Num(step.KeyThen); ok {
		w.Caller.Caps = uapi.CapSet(then)
	}
	w.LSM = nil // they apply only to the actor's own process
	return w, nil
}

// leader is the credentials of an actor's first thread, which has all capabilities that
// its namespace allows.
func (s *Sim) leader(i uint64) oracle.Cred {
	c := s.actors[i].cred
	c.Euid, _ = c.Userns.Kuid(0)
	c.Caps = uapi.AllCaps
	return c
}

func (s *Sim) take(a *actor, st *step.Step) Expect {
	from, _ := st.Num(step.KeyFrom)
	fd := s.actors[from].handle(st, step.KeyHandle)
	e := s.decide(a, st, &oracle.Take{What: st.Op.String(), FD: fd, Victim: s.leader(from), Own: a == &s.actors[from]})
	if e.OK() {
		if st.Op == step.OpProcOpen && fd.Kind != oracle.Path {
			fd.Kind, fd.Was = oracle.Path, fd.Kind
		}
		a.keep(st, fd)
	}
	return e
}

// churn expects that no call is refused, and that at most as many objects are left as
// the step allows.
func (s *Sim) churn(_ *actor, st *step.Step) Expect {
	e := harnessStep(st.Op)
	slack, _ := st.Num(step.KeySlack)
	e.AtMost = []uint64{slack}
	return e
}

// namespaces expects that the kernel refuses nothing: the kernel enforces the limit itself.
func (s *Sim) namespaces(_ *actor, st *step.Step) Expect { return harnessStep(st.Op) }

// races are the errnos that the two possible orders of two actions give.
var races = map[step.Race][]uapi.Errno{
	step.RaceCreateUmount: {0, uapi.Errno(unix.EBADF)},
	step.RaceUseClose:     {0, uapi.Errno(unix.EBADF)},
	step.RaceDelegateExit: {0},
}

func (s *Sim) race(_ *actor, st *step.Step) Expect {
	e := harnessStep(st.Op)
	what, _ := st.Num(step.KeyRace)
	for _, errno := range races[step.Race(what)] {
		e.Among = append(e.Among, uint64(errno))
	}
	return e
}

func noFD(st *step.Step) bool {
	_, ok := st.Num(step.KeyNoFD)
	return ok
}

func (s *Sim) memory(_ *actor, st *step.Step) Expect {
	to, _ := st.Num(step.KeyTo)
	s.actors[to].memory, _ = st.Num(step.KeyMemory)
	return harnessStep(st.Op)
}

package sim

import (
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
)

// untrack notes that the rules do not know whether a step made a descriptor, or of what.
func (s *Sim) untrack(a *actor, st *step.Step) {
	a.fds[st.Out] = oracle.FD{Kind: oracle.Unfollowed}
	s.untracked = true
}

// usesUntracked reports whether a step takes a descriptor that is not followed.
func (s *Sim) usesUntracked(a *actor, st *step.Step) bool {
	op := st.Op.Row()
	return slices.ContainsFunc(st.Args, func(arg step.Arg) bool {
		p := op.Of(arg.Key)
		return p != nil && p.Kind == step.KindHandle && a.fds[step.Handle(arg.Num)].Kind == oracle.Unfollowed
	})
}

// passUntracked plays a step that takes a descriptor that is not followed. An actor that
// receives it has an unfollowed descriptor too.
func (s *Sim) passUntracked(a *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	switch st.Op {
	case step.OpSend:
		to, _ := st.Num(step.KeyTo)
		s.actors[to].fds[step.Handle(h)] = oracle.FD{Kind: oracle.Unfollowed}
	case step.OpClose:
		delete(a.fds, step.Handle(h))
	}
	if st.Out != 0 {
		s.untrack(a, st)
	}
	return Expect{Verdict: oracle.Verdict{Rule: "a step made its descriptor whose answer the rules do not know",
		ID: st.Op.String() + "/not-modelled"}}
}

// lose notes that the rules do not know which mounts the actor's mount namespace has.
func (s *Sim) lose(a *actor) {
	if s.vague == nil {
		s.vague = map[int]bool{}
	}
	s.vague[a.mounts] = true
}

// usesMounts reports whether the result of a step depends on the mounts of a place.
func usesMounts(st *step.Step) bool {
	switch st.Op {
	case step.OpFspick, step.OpRemount, step.OpBind, step.OpCloneMount, step.OpShare, step.OpUmount, step.OpMountinfo,
		step.OpLibrary:
		return true
	case step.OpOpen:
		_, place := st.Num(step.KeyAt)
		return place
	}
	return false
}

// passVague plays a step that depends on mounts that are not followed.
func (s *Sim) passVague(a *actor, st *step.Step) Expect {
	if st.Out != 0 {
		s.untrack(a, st)
	}
	return Expect{Verdict: oracle.Verdict{Rule: "a step changed mounts in a way that the rules do not follow",
		ID: st.Op.String() + "/not-modelled"}}
}

// loseContext notes that the rules do not know whether a context created its bpffs.
func (s *Sim) loseContext(x *oracle.Context) {
	s.untracked = true
	for i := range s.actors {
		for h, fd := range s.actors[i].fds {
			if fd.Context == x {
				s.actors[i].fds[h] = oracle.FD{Kind: oracle.Unfollowed}
			}
		}
	}
}

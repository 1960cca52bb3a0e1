package cases

import (
	"fmt"

	"tokentest/cases/step"
)

// checkLifetimes refuses steps of an actor whose process does not exist: before its fork or
// after its exit.
func (s *source) checkLifetimes(w *World, cell step.Cell, info []StepInfo) error {
	gone := map[uint32]string{}
	for i := range s.actors {
		if s.actors[i].Kind == step.Child {
			gone[uint32(i)] = "is not there before a step forks it"
		}
	}
	if err := s.checkAlive(gone, w.Program.Setup, w.Info); err != nil {
		return err
	}
	return s.checkAlive(gone, cell, info)
}

func (s *source) checkAlive(gone map[uint32]string, steps []step.Step, info []StepInfo) error {
	for i := range steps {
		st := &steps[i]
		if why := gone[st.Actor]; why != "" {
			return s.at(info[i].Line, "actor %s %s", s.actors[st.Actor].Name, why)
		}
		to, sends := st.Num(step.KeyTo)
		from, takes := st.Num(step.KeyFrom)
		switch {
		case st.Op == step.OpFork:
			child := &s.actors[to]
			if child.Kind != step.Child || child.Parent != int(st.Actor) || gone[uint32(to)] == "" {
				return s.at(info[i].Line, "%s is no actor declared as child %s that is yet to be forked", child.Name,
					s.actors[st.Actor].Name)
			}
			delete(gone, uint32(to))
		case sends && gone[uint32(to)] != "":
			return s.at(info[i].Line, "actor %s %s", s.actors[to].Name, gone[uint32(to)])
		case takes && gone[uint32(from)] != "":
			return s.at(info[i].Line, "actor %s %s", s.actors[from].Name, gone[uint32(from)])
		case st.Op == step.OpExit:
			gone[st.Actor] = "has ended"
		}
	}
	return nil
}

func (s *source) at(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", s.f.Path, line, fmt.Errorf(format, args...))
}

package cases

import (
	"fmt"

	"tokentest/cases/step"
)

// checkLimits refuses arguments whose 0 would be taken for 1, and a call that
// the kernel makes and that is wrong as a whole: it reads no attribute of a process.
func checkLimits(s *step.Step) error {
	_, fault := s.Num(step.KeyAttr)
	_, inside := s.Num(step.KeyInside)
	for _, k := range []step.Key{step.KeyNoFD, step.KeyFromKernel} {
		n, ok := s.Num(k)
		switch {
		case ok && n != 1:
			return fmt.Errorf("%s=%d: want 1, or nothing", s.Op.Row().Of(k).Name, n)
		case ok && k == step.KeyFromKernel && (fault || inside):
			return fmt.Errorf("a call that the kernel makes takes no attr= and no inside=")
		}
	}
	return nil
}

func noFD(st *step.Step) bool {
	_, ok := st.Num(step.KeyNoFD)
	return ok
}

func (s *Sim) memory(_ *simActor, st *step.Step) Expect {
	to, _ := st.Num(step.KeyTo)
	s.actors[to].memory, _ = st.Num(step.KeyMemory)
	return harnessStep(st.Op)
}

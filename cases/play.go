package cases

import (
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// Player plays cases on the facts of one kernel. It plays the set-up of a world once, and
// keeps the state after it for the cases of that world. Facts must be set. A Player is not
// safe for concurrent use.
type Player struct {
	Facts *step.Facts
	// Omit is the ID of a rule that the oracle leaves out; "" leaves none out.
	Omit string
	// Explain fills in the Trace of each expectation.
	Explain bool
	// Held is called with the ID of each rule that matters; nil is not called.
	Held func(rule string)

	worlds map[*World]*sim.Sim
}

// Setup plays the set-up of a world and returns what each step must show. It plays again
// each time it is called. With an error it returns the steps before the one that failed.
func (p *Player) Setup(w *World) ([]sim.Expect, error) {
	s := sim.New(p.Facts, &w.Program, p.Explain)
	s.Omit(p.Omit)
	s.Held(p.Held)
	if p.worlds == nil {
		p.worlds = map[*World]*sim.Sim{}
	}
	p.worlds[w] = s
	return s.Play(w.Program.Setup)
}

// Before returns the state in which a case starts: after the set-up of its world, which it
// plays if Setup was not called for the world. A case of several steps gets a copy.
func (p *Player) Before(c *Case) (*sim.Sim, error) {
	s := p.worlds[c.World]
	if s == nil {
		if _, err := p.Setup(c.World); err != nil {
			return nil, err
		}
		s = p.worlds[c.World]
	}
	if c.Len() > 1 {
		s = s.Fork()
	}
	return s, nil
}

// Play returns what each step of a case must show.
func (p *Player) Play(c *Case) ([]sim.Expect, error) {
	s, err := p.Before(c)
	if err != nil {
		return nil, err
	}
	return s.Play(c.Cell())
}

// Unmet returns the first of the needs that a kernel does not meet, nil if it meets all.
// refuted is "" if the need is a reason to skip; else it says why the kernel should meet it.
func Unmet(needs []Need, f *step.Facts) (unmet *Need, refuted string) {
	for i := range needs {
		if met, refuted := needs[i].Check(f); !met {
			return &needs[i], refuted
		}
	}
	return nil, ""
}

// Unmet is the first need of the case that a kernel does not meet; see the function Unmet.
func (c *Case) Unmet(f *step.Facts) (unmet *Need, refuted string) { return Unmet(c.Needs(), f) }

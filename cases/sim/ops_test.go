package sim

import (
	"errors"
	"testing"

	"tokentest/cases/step"
)

// Every operation can be played.
func TestEveryOperationIsPlayed(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		if plays[o] == nil {
			t.Errorf("the simulation does not know %s", o)
		}
	}
}

// An operation that the simulation does not know is an error, not a success.
func TestUnknownOperation(t *testing.T) {
	p := &step.Program{Actors: []step.Actor{{Name: "root", Kind: step.Init, Parent: -1}}}
	for _, o := range []step.Op{0, step.Ops, 255} {
		s := New(&step.Facts{Release: "7.3.0", Token: true}, p, false)
		e, err := s.Step(&step.Step{Op: o})
		if !errors.Is(err, ErrUnknownOp) || e.OK() {
			t.Errorf("operation %d: %+v, %v", o, e, err)
		}
		if got, err := s.Play([]step.Step{{Op: step.OpUserns}, {Op: o}}); len(got) != 1 || !errors.Is(err, ErrUnknownOp) {
			t.Errorf("operation %d after another: %v, %v", o, got, err)
		}
	}
}

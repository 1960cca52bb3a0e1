package cases

import (
	"errors"
	"strings"
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
	p := &step.Program{Actors: predefined}
	for _, o := range []step.Op{0, step.Ops, 255} {
		s := NewSim(released["7.3"], p, false)
		e, err := s.Step(&step.Step{Op: o})
		if !errors.Is(err, ErrUnknownOp) || e.ok() {
			t.Errorf("operation %d: %+v, %v", o, e, err)
		}
		if got, err := s.Play([]step.Step{{Op: step.OpUserns}, {Op: o}}); got != nil || !errors.Is(err, ErrUnknownOp) {
			t.Errorf("operation %d behind another: %v, %v", o, got, err)
		}
	}
}

// shown is what an expectation of an allowed step compares.
func shown(e Expect) step.Shows {
	switch {
	case e.Values != nil:
		return step.ShowsMasks
	case e.Text != "":
		return step.ShowsText
	case e.AtMost != nil:
		return step.ShowsCount
	case e.Among != nil:
		return step.ShowsErrnos
	}
	return step.ShowsNothing
}

// What the simulation expects to be shown is what the table says that an
// operation shows, in every built-in case.
func TestShown(t *testing.T) {
	compared := map[step.Op]int{}
	look := func(id string, steps []step.Step, expect []Expect) {
		for i, e := range expect {
			if !e.ok() {
				continue
			}
			want := steps[i].Op.Row().Shows
			if want == step.ShowsObject { // whether it works is the guest's to say
				want = step.ShowsNothing
			}
			if got := shown(e); got != want {
				t.Errorf("%s: step %d, %s: shows %d, want %d: %+v", id, i, steps[i].Op, got, want, e)
			}
			compared[steps[i].Op]++
		}
	}
	for _, g := range load(t).Groups {
		for _, w := range g.Worlds {
			sim := NewSim(released["7.3"], &w.Program, false)
			expect, err := sim.Play(w.Program.Setup)
			if err != nil {
				t.Fatal(err)
			}
			look(g.Name, w.Program.Setup, expect)
			for _, c := range w.Cases {
				cell := c.Cell()
				if expect, err = sim.Fork().Play(cell); err != nil {
					t.Fatal(err)
				}
				look(c.ID, cell, expect)
			}
		}
	}
	for o := step.Op(1); o < step.Ops; o++ {
		if compared[o] == 0 && o.Row().Shows != step.ShowsNothing {
			t.Errorf("no built-in case compares what %s shows", o)
		}
	}
}

// Every kind of values can be read.
func TestEveryKindIsRead(t *testing.T) {
	own := map[step.Kind]bool{step.KindText: true, step.KindOption: true, step.KindHandle: true, step.KindActor: true}
	for k := step.Kind(1); k < step.Kinds; k++ {
		ways := 0
		for _, reads := range []bool{own[k], k.Words() != nil, numbers[k] != nil} {
			if reads {
				ways++
			}
		}
		if ways != 1 {
			t.Errorf("kind %d is read in %d ways", k, ways)
		}
	}
}

// How an operation is drawn is what the table says: each act and each call has a
// weight, and what has none is part of another or never drawn.
func TestDrawnOperations(t *testing.T) {
	for o := step.Op(1); o < step.Ops; o++ {
		d := o.Row().Drawn
		if (d.Setup > 0) != (acts[o] != nil) {
			t.Errorf("%s: weight %d in a set-up, and an act %v", o, d.Setup, acts[o] != nil)
		}
		if (d.Cell > 0) != (calls[o] != nil) {
			t.Errorf("%s: weight %d as a cell, and a call %v", o, d.Cell, calls[o] != nil)
		}
	}
	seen := drawnOps(t, 400)
	for o := step.Op(1); o < step.Ops; o++ {
		if never := o.Row().Drawn.Never; (seen[o] > 0) != (never == "") {
			t.Errorf("%s: drawn %d times, and not at all for %q", o, seen[o], never)
		}
	}
}

// drawnOps counts the operations of the first worlds of a seed.
func drawnOps(t *testing.T, worlds uint64) map[step.Op]int {
	t.Helper()
	seen := map[step.Op]int{}
	for i := range worlds {
		d := newDrawer(3, i)
		d.draw()
		for _, line := range append(d.steps, d.values...) {
			seen[step.OpNamed(strings.Fields(line)[1])]++
		}
	}
	return seen
}

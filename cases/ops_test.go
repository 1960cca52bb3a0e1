package cases

import (
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// shown is what an expectation of an allowed step compares.
func shown(e sim.Expect) step.Shows {
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
	look := func(id string, steps []step.Step, expect []sim.Expect) {
		for i, e := range expect {
			if !e.OK() {
				continue
			}
			want := steps[i].Op.Row().Shows
			if want == step.ShowsObject { // whether it works is the guest's to say
				want = step.ShowsNothing
			}
			if _, common := steps[i].Num(step.KeyCommon); common && want == step.ShowsNothing && e.Text != "" {
				want = step.ShowsText // and what the kernel left in the common attributes
			}
			if got := shown(e); got != want {
				t.Errorf("%s: step %d, %s: shows %d, want %d: %+v", id, i, steps[i].Op, got, want, e)
			}
			compared[steps[i].Op]++
		}
	}
	for _, g := range load(t).Groups {
		for _, w := range g.Worlds {
			sim := sim.New(released["7.3"], &w.Program, false)
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

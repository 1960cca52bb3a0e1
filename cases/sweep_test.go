package cases

import (
	"testing"
)

// Every cell of the sweeps has a verdict, every pin is what the oracle says,
// and there are as many as a full run must have.
func TestSweeps(t *testing.T) {
	c := &Corpus{}
	if err := c.AddSweeps(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, g := range c.Groups {
		total += len(g.Cases)
		for _, p := range play(t, g, released["7.3"], "") {
			if p.skip != "" {
				continue
			}
			e, pin := p.expect[0], p.c.Info()[0].Pin
			if !e.Verdict.Known || pin != nil && pin.Errno != e.Verdict.Errno {
				t.Fatalf("%s: the oracle says %+v, the pin %+v", p.c.ID, e.Verdict, pin)
			}
		}
	}
	if least := 100_000; total < least {
		t.Errorf("%d cases, want %d at least", total, least)
	}
	if !IsSweep("map_sweep/0/any") || IsSweep("map_create") {
		t.Error("IsSweep tells them apart wrongly")
	}
}

package draw

import (
	"testing"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/uapi"
)

// must is what a step must show; every operation of the tests is known.
func must(e sim.Expect, err error) sim.Expect {
	if err != nil {
		panic(err)
	}
	return e
}

// TestRandomIsDeterministic draws worlds twice.
func TestRandomIsDeterministic(t *testing.T) {
	for i := range 20 {
		a, err := Random(t.Context(), 7, i)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := Random(t.Context(), 7, i); a != b {
			t.Errorf("world %d of seed 7 is drawn in two ways:\n%s\n%s", i, a, b)
		}
		if b, _ := Random(t.Context(), 8, i); a == b {
			t.Errorf("world %d is the same with the seeds 7 and 8", i)
		}
	}
}

// TestRandomPlays has the oracle play worlds of many seeds: each must parse,
// expand, hold its controls, and get no answer that the oracle does not know.
func TestRandomPlays(t *testing.T) {
	allowed, refused := 0, 0
	rules := map[string]bool{}
	for seed := range uint64(60) {
		c := &cases.Corpus{}
		if _, _, err := Add(t.Context(), c, seed, 5); err != nil {
			t.Fatal(err)
		}
		for _, release := range []uapi.Release{{Major: 6, Minor: 12}, {Major: 7, Minor: 3}} {
			f := cases.FactsAt(release)
			for _, g := range c.Groups {
				if len(g.Worlds) != 1 || len(g.Cases) < 20 {
					t.Errorf("%s: %d worlds and %d cases", g.Name, len(g.Worlds), len(g.Cases))
				}
				play := sim.New(f, &g.Worlds[0].Program, false)
				for i := range g.Worlds[0].Program.Setup {
					s := &g.Worlds[0].Program.Setup[i]
					if !play.Holds(s) {
						t.Errorf("%s on %s: %q names what is not there", g.Name, release, g.Worlds[0].Info[i].Text)
					}
					if e := must(play.Step(s)); !e.Verdict.Known {
						t.Errorf("%s on %s: %q: %s", g.Name, release, g.Worlds[0].Info[i].Text, e.Verdict.Rule)
					}
				}
				for _, k := range g.Cases {
					e := must(play.Step(&k.Cell()[0]))
					rules[e.Verdict.ID] = true
					if !e.Verdict.Known {
						t.Errorf("%s on %s: %q: %s", k.ID, release, k.Info()[0].Text, e.Verdict.Rule)
					}
					if k.Control != "" && (e.Verdict.Errno == 0) != (k.Control == "allow") {
						t.Errorf("%s on %s: control %s gets %s", k.ID, release, k.Control, e.Verdict.Errno)
					}
					if e.Verdict.Errno == 0 {
						allowed++
					} else {
						refused++
					}
				}
			}
		}
	}
	t.Logf("%d allowed, %d refused, by %d rules", allowed, refused, len(rules))
	if allowed*8 < refused {
		t.Errorf("%d calls are allowed and %d refused: draw what is allowed more often", allowed, refused)
	}
}

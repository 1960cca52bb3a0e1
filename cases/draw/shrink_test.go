package draw

import (
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// differ plays a scenario on a kernel that is right and as an oracle without a
// rule sees it, and says in what its last step differs.
func differ(c *cases.Case, omit string) string {
	f := cases.FactsAt(uapi.Release{Major: 7, Minor: 3})
	right, lie := sim.New(f, &c.World.Program, false), sim.New(f, &c.World.Program, false)
	lie.Omit(omit)
	step := func(s *step.Step, text string) string {
		a, b := must(right.Step(s)), must(lie.Step(s))
		if a.Verdict.Known && b.Verdict.Known && a.Verdict.Errno != b.Verdict.Errno {
			return strings.Fields(text)[1] + " " + a.Verdict.Errno.String() + " " + b.Verdict.Errno.String()
		}
		return ""
	}
	for i := range c.World.Program.Setup {
		if step(&c.World.Program.Setup[i], c.World.Info[i].Text) != "" {
			return "the set-up"
		}
	}
	for i := range c.Cell() {
		if d := step(&c.Cell()[i], c.Info()[i].Text); d != "" {
			return d
		}
	}
	return ""
}

// TestShrink makes smallest files of what the oracle without a rule gets wrong
// in random worlds, with the oracle itself in the kernel's place.
func TestShrink(t *testing.T) {
	f := cases.FactsAt(uapi.Release{Major: 7, Minor: 3})
	found := 0
	c := &cases.Corpus{}
	for seed := range uint64(8) {
		if _, _, err := Add(t.Context(), c, seed, 2); err != nil {
			t.Fatal(err)
		}
	}
	for _, omit := range oracle.Rules() {
		k, want := firstDifference(c, omit)
		if k == nil {
			continue
		}
		found++
		tries := 0
		s := Shrinker{Facts: f, Omit: omit, Rounds: 20, Width: 150, Try: func(_ int, list []*cases.Group) ([]bool, error) {
			out := make([]bool, len(list))
			for i, g := range list {
				tries++
				out[i] = differ(g.Cases[0], omit) == want
			}
			return out, nil
		}}
		from := SketchOf(k, -1)
		small, rounds, repeats, smallest, err := s.Shrink(t.Context(), from)
		if err != nil || !repeats || !smallest {
			t.Errorf("%s: %s: repeats %t, smallest %t, %v, in %d rounds:\n%s", omit, k.ID, repeats, smallest, err, rounds,
				small.String())
			continue
		}
		text, err := small.File(t.Context(), []string{"found"}, f, omit)
		if err != nil {
			t.Errorf("%s: %v", omit, err)
			continue
		}
		t.Logf("%s: %s, %d lines, in %d rounds of %d tries:\n%s", omit, k.ID, len(from.lines), rounds, tries, small.String())
		g, err := parseGroup(t.Context(), "again", text)
		if err != nil {
			t.Errorf("%s: %v in\n%s", omit, err, text)
			continue
		}
		if got := differ(g.Cases[0], omit); got != want {
			t.Errorf("%s: the file differs in %q, want %q:\n%s", omit, got, want, text)
		}
		if len(small.lines) > 5 {
			t.Errorf("%s: %d lines are left:\n%s", omit, len(small.lines), small.String())
		}
	}
	if found < 10 {
		t.Errorf("random worlds notice %d of %d rules", found, len(oracle.Rules()))
	}
}

// firstDifference returns a case of a set-up that is the same on both sides.
func firstDifference(c *cases.Corpus, omit string) (*cases.Case, string) {
	for _, g := range c.Groups {
		for _, k := range g.Cases {
			if d := differ(k, omit); d != "" && d != "the set-up" && k.Control == "" {
				return k, d
			}
		}
	}
	return nil, ""
}

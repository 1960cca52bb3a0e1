package cases

import (
	"slices"
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// errnos are what the steps of each case of a group must answer, in the order played.
func errnos(t *testing.T, list []*Case, play func(*Case) ([]sim.Expect, error)) []string {
	t.Helper()
	var out []string
	for _, c := range list {
		expected, err := play(c)
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		for i := range expected {
			out = append(out, c.ID+" "+expected[i].Verdict.Errno.String())
		}
	}
	return out
}

// A Player that keeps the state of a world answers as one that plays each case from the start.
func TestPlayerKeepsWorlds(t *testing.T) {
	f := released["6.12"]
	for _, name := range []string{"map_create", "token_passed_on"} {
		list := load(t).Group(name).Cases
		kept := &Player{Facts: f}
		got := errnos(t, list, kept.Play)
		want := errnos(t, list, func(c *Case) ([]sim.Expect, error) {
			s := sim.New(f, &c.World.Program, false)
			if _, err := s.Play(c.World.Program.Setup); err != nil {
				return nil, err
			}
			return s.Play(c.Cell())
		})
		if len(got) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
		if again := errnos(t, list, kept.Play); !slices.Equal(again, want) {
			t.Errorf("%s, played again: got %q, want %q", name, again, want)
		}
	}
}

// Options reach the simulation: an omitted rule changes an answer, Held names the rules
// that matter, Explain fills in traces.
func TestPlayerOptions(t *testing.T) {
	const rule = "map_create/unprivileged-disabled"
	list, f := load(t).Group("map_create").Cases, released["6.12"]
	held := map[string]bool{}
	all := &Player{Facts: f, Explain: true, Held: func(rule string) { held[rule] = true }}
	less := &Player{Facts: f, Omit: rule}
	differ := slices.ContainsFunc(list, func(c *Case) bool {
		a, err := all.Play(c)
		b, err2 := less.Play(c)
		if err != nil || err2 != nil || a[0].Trace == nil || b[0].Trace != nil {
			t.Fatalf("%s: %v, %v, traces %d and %d", c.ID, err, err2, len(a[0].Trace), len(b[0].Trace))
		}
		return a[0].Verdict.Errno != b[0].Verdict.Errno
	})
	if !differ || !held[rule] {
		t.Errorf("without %s an answer differs: %v; it is held: %v", rule, differ, held[rule])
	}
}

// A step that no simulation knows ends a set-up there.
func TestPlayerUnknownStep(t *testing.T) {
	w := &World{}
	w.Program.Actors = []step.Actor{{Parent: -1}}
	w.Program.Setup = []step.Step{{Op: step.OpSysrq}, {Op: step.Ops}}
	if got, err := (&Player{Facts: released["6.12"]}).Setup(w); err == nil || len(got) != 1 {
		t.Errorf("got %d steps, %v; want 1 and an error", len(got), err)
	}
}

func TestUnmet(t *testing.T) {
	old := FactsAt(uapi.Release{Major: 6, Minor: 1})
	token, config := Need{Kind: NeedToken}, Need{Kind: NeedConfig, Name: "BPF_LSM"}
	for _, tt := range []struct {
		name    string
		needs   []Need
		f       *step.Facts
		want    string
		refuted bool
	}{
		{"none", nil, old, "", false},
		{"met", []Need{token}, released["6.12"], "", false},
		{"older", []Need{token, config}, old, token.String(), false},
		{"refuted", []Need{token}, &step.Facts{Release: "6.12.0"}, token.String(), true},
		{"the second", []Need{token, config}, &step.Facts{Release: "6.12.0", Token: true, Config: map[string]string{}},
			config.String(), false},
	} {
		got, refuted := Unmet(tt.needs, tt.f)
		switch {
		case (got == nil) != (tt.want == ""), got != nil && got.String() != tt.want, (refuted != "") != tt.refuted:
			t.Errorf("%s: got %v, refuted %q; want %q, refuted %v", tt.name, got, refuted, tt.want, tt.refuted)
		}
	}
}

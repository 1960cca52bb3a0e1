package draw

import (
	"slices"
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/uapi"

	"tokentest/cases"
)

// reached are rules that a drawer of their own is there for.
var reached = []string{
	"map_freeze/mapped", "mmap/direction", "mmap/not-supported", "mmap/not-shared", "mmap/frozen", "mmap/read-only",
	"mmap/no-memory", "mmap/consumer", "prog_load/map-lock", "prog_load/map-root", "map_create/special-type",
}

// The worlds of a few seeds meet each of these rules.
func TestReachedRules(t *testing.T) {
	f := cases.FactsAt(uapi.Release{Major: 7, Minor: 3})
	met := map[string]int{}
	c := &cases.Corpus{}
	for seed := range uint64(12) {
		if _, _, err := Add(t.Context(), c, seed, 20); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range c.Groups {
		for _, w := range g.Worlds {
			play := sim.New(f, &w.Program, false)
			play.Held(func(rule string) { met[rule]++ })
			for i := range w.Program.Setup {
				must(play.Step(&w.Program.Setup[i]))
			}
		}
	}
	for _, rule := range reached {
		if met[rule] == 0 {
			t.Errorf("%s: no world meets it", rule)
		}
	}
	if !slices.ContainsFunc(reached, func(r string) bool { return met[r] > 5 }) {
		t.Errorf("met %v", met)
	}
}

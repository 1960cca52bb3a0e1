package cover

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"tokentest/cases"
	"tokentest/harness/plan"
)

// Each part knows which of the instructions its own machine executed, whatever the order in which machines end.
func TestTraceParts(t *testing.T) {
	var parts [][]*cases.Case
	for n := range 5 {
		parts = append(parts, []*cases.Case{{ID: fmt.Sprint("a", n)}, {ID: fmt.Sprint("b", n)}})
	}
	run := func(list []*cases.Case) (Executed, error) {
		x := Executed{0x1000: {}, 0x9000: {}}
		if slices.Contains([]string{"a1", "a4"}, list[0].ID) {
			x[0x2000] = struct{}{}
		}
		return x, nil
	}
	for _, jobs := range []int{0, 1, 3} {
		tr, err := traceParts(parts, []uint64{0x1000, 0x2000, 0x3000}, jobs, run)
		if err != nil {
			t.Fatal(err)
		}
		for at, want := range map[uint64]string{0x1000: "[0 1 2 3 4]", 0x2000: "[1 4]", 0x3000: "[]", 0x9000: "[]"} {
			if got := fmt.Sprint(tr.Of(at)); got != want {
				t.Errorf("%d jobs: %#x is executed by %s, want %s", jobs, at, got, want)
			}
		}
		if got := fmt.Sprint(tr.Spans[4].Cases); got != "[a4 b4]" || tr.Took == 0 {
			t.Errorf("the last part has %s, the longest took %s", got, tr.Took)
		}
	}
	fails := errors.New("no machine")
	_, err := traceParts(parts, nil, 2, func([]*cases.Case) (Executed, error) { return nil, fails })
	if !errors.Is(err, fails) {
		t.Errorf("got %v, want %v", err, fails)
	}
}

// A part has the controls of its cases, and their controls.
func TestGuarded(t *testing.T) {
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"deb:7.3"}, Args: []string{"map_sweep"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.Cases[:40] {
		all := guarded([]*cases.Case{c})
		if all[0] != c {
			t.Errorf("%s is not the first", c.ID)
		}
		for _, one := range all {
			for _, g := range one.Guards() {
				if !slices.Contains(all, g) {
					t.Errorf("%s is there for %s without %s", one.ID, c.ID, g.ID)
				}
			}
		}
	}
}

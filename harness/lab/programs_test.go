package lab

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
	"tokentest/harness/wire"
)

// A program that a step runs is sent once to a machine, with what it loads; one that is not
// there is a mistake of the user's.
func TestPrograms(t *testing.T) {
	w := &cases.World{Group: &cases.Group{Path: "mine.txt"}, Runs: []string{"/bin/sh"}}
	var paths []string
	write := func(_ wire.Kind, payload []byte) error {
		f, err := wire.DecodeFile(payload)
		if err == nil && !f.More {
			paths = append(paths, f.Path)
		}
		return err
	}
	sent := map[string]bool{}
	for range 2 {
		if err := sendPrograms(w, sent, write); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, p := range paths {
		if p == "/run.d/bin_sh" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the program was sent %d times: %q", n, paths)
	}
	c := &cases.Case{World: w, Group: w.Group}
	if err := checkPrograms(&plan.Plan{Cases: []*cases.Case{c}}); err != nil {
		t.Error(err)
	}
	w.Runs = append(slices.Clip(w.Runs), "no-such-program")
	err := checkPrograms(&plan.Plan{Cases: []*cases.Case{c}})
	var mistake *usage.Error
	if !errors.As(err, &mistake) || !strings.Contains(err.Error(), "mine.txt: a step runs no-such-program: ") {
		t.Errorf("error %v", err)
	}
}

package cases

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/sim"
)

// The oracle answers the files of testdata/oracle as 6.12 and 7.3 did, or says that it does not know.
func TestPinnedOnKernels(t *testing.T) {
	files, err := filepath.Glob("testdata/oracle/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		c := &Corpus{}
		if err := c.Add(t.Context(), name+".txt", string(text)); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		asked := 0
		for release, f := range released {
			if release == "6.19" { // not one of the kernels that were asked
				continue
			}
			for _, k := range c.Groups[0].Cases {
				if unmet(t, k, f) != "" {
					continue
				}
				asked++
				comparePins(t, release, k, sim.New(f, &k.World.Program, false))
			}
		}
		if asked == 0 {
			t.Errorf("%s: no kernel is asked", file)
		}
	}
}

// comparePins plays a case, and compares what it expects with its pins.
func comparePins(t *testing.T, release string, c *Case, s *sim.Sim) {
	t.Helper()
	own, ownInfo := c.Steps()
	steps, info := slices.Concat(c.World.Program.Setup, own), slices.Concat(c.World.Info, ownInfo)
	for i := range steps {
		e, p := must(s.Step(&steps[i])), info[i].Pin
		if p != nil && e.Verdict.Known && e.Verdict.Errno != p.Errno {
			t.Errorf("%s on %s: %s: got %s by %s, want %s", c.ID, release, info[i].Text, e.Verdict.Errno, e.Verdict.ID, p.Errno)
		}
	}
}

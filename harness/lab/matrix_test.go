package lab

import (
	"os"
	"testing"

	"tokentest/cases"
	"tokentest/harness/plan"
)

func TestLongestFirst(t *testing.T) {
	corpus, err := cases.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Expand(plan.Spec{Kernels: []string{"quick", "slow", "new", "middle"}, Patterns: []string{"nested_userns"}}, corpus)
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]float64{timeKey(p, 0): 1, timeKey(p, 1): 9, timeKey(p, 3): 4}
	got := longestFirst(p, times)
	for i, want := range []int{2, 1, 3, 0} {
		if got[i] != want {
			t.Fatalf("got %v: want the new, the slow, the middle, the quick", got)
		}
	}
}

func TestJobs(t *testing.T) {
	if n := Jobs(); n < 1 || n > 4096 {
		t.Errorf("got %d machines", n)
	}
	if m := availableMiB(); m < 1 {
		t.Errorf("got %d MiB", m)
	}
}

// Times are kept for the next run, and a damaged file is none.
func TestTimes(t *testing.T) {
	l := &Lab{CacheDir: t.TempDir()}
	l.writeTimes(map[string]float64{"a 1": 2.5})
	if got := l.readTimes(); got["a 1"] != 2.5 {
		t.Errorf("got %v", got)
	}
	if err := os.WriteFile(l.timesPath(), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.readTimes(); len(got) != 0 {
		t.Errorf("a damaged file: got %v", got)
	}
}

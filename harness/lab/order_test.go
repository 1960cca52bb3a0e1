package lab

import (
	"context"
	"os"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/harness/plan"
)

func TestLongestFirst(t *testing.T) {
	corpus, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Expand(plan.Spec{Kernels: []string{"quick", "slow", "new", "middle"},
		Patterns: []string{"nested_userns"}}, corpus)
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

// TestMachinesShareMemory: beside a guest of 2 GiB there is room for one of 512 MiB and not for
// a second one of 2 GiB. A guest that is bigger than the host runs alone.
func TestMachinesShareMemory(t *testing.T) {
	m := newMemory(shadowMiB + usualMiB + 2*qemuMiB)
	waits := 0
	wait := func() { waits++ }
	ctx, cancel := context.WithCancel(t.Context())
	take := func(mib int) func() {
		release, err := m.take(ctx, mib, wait)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	debug, usual := take(shadowMiB), take(usualMiB)
	if waits != 0 {
		t.Error("a guest waits although there is room for both")
	}
	second := make(chan func())
	go func() {
		release, _ := m.take(ctx, shadowMiB, wait)
		second <- release
	}()
	usual()
	select {
	case <-second:
		t.Fatal("two guests of 2 GiB run beside each other")
	case <-time.After(50 * time.Millisecond):
	}
	debug()
	(<-second)()
	if waits != 1 {
		t.Errorf("%d guests were said to wait, want 1", waits)
	}
	huge := take(1 << 20)
	cancel()
	if _, err := m.take(ctx, usualMiB, wait); err == nil {
		t.Error("a guest runs beside one that takes all")
	}
	huge()
}

func TestAvailable(t *testing.T) {
	if m := availableMiB(); m < 1 {
		t.Errorf("got %d MiB", m)
	}
}

// TestTimes: times are kept for the next run, and a damaged file is ignored.
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

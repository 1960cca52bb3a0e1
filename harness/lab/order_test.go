package lab

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/harness/arch"
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
	l := &Lab{}
	times := map[string]float64{l.timeKey(p, 0): 1, l.timeKey(p, 1): 9, l.timeKey(p, 3): 4}
	got := l.longestFirst(p, times)
	for i, want := range []int{2, 1, 3, 0} {
		if got[i] != want {
			t.Fatalf("got %v: want the new, the slow, the middle, the quick", got)
		}
	}
}

// An image at one path may be of one architecture today and of another tomorrow; their times differ.
func TestTimeKeyHasTheArchitecture(t *testing.T) {
	corpus, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := arch.All[1]
	image := make([]byte, other.Image.At+len(other.Image.Mark)+64)
	copy(image[other.Image.At:], other.Image.Mark)
	copy(image[other.Image.At+len(other.Image.Mark):], "Linux version 6.12.1 (")
	path := filepath.Join(t.TempDir(), "Image")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	ref := "deb:6.12/" + other.Name
	p, err := plan.Expand(plan.Spec{Kernels: []string{path, ref}, Patterns: []string{"nested_userns"}}, corpus)
	if err != nil {
		t.Fatal(err)
	}
	l := &Lab{}
	for i, want := range []string{path + " (" + other.Name + ") 0", ref + " 0"} {
		if got := l.timeKey(p, i); got != want {
			t.Errorf("got %q, want %q", got, want)
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

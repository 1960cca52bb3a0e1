package runs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tokentest/harness/lockfile"
	"tokentest/harness/result"
)

// many makes runs that began one day after the other, the last of them on the third, and what
// Prune must leave alone.
func many(t *testing.T) (base string, names []string) {
	t.Helper()
	base = t.TempDir()
	for _, day := range []string{"01", "02", "03"} {
		name := "202601" + day + "-000000.000"
		stored(t, filepath.Join(base, name), &result.Run{Kernels: []*result.KernelRun{oneCase("a")}})
		names = append(names, name)
	}
	if err := os.Mkdir(filepath.Join(base, "notes"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	return base, names
}

func TestPrune(t *testing.T) {
	now := time.Date(2026, 1, 4, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		o       PruneOptions
		removed int
	}{
		{"all", PruneOptions{}, 3},
		{"all but the newest", PruneOptions{Keep: 1}, 2},
		{"more than there are", PruneOptions{Keep: 9}, 0},
		{"by age", PruneOptions{OlderThan: 48 * time.Hour}, 2},
		{"none is so old", PruneOptions{OlderThan: 1000 * time.Hour}, 0},
		{"both", PruneOptions{OlderThan: 24 * time.Hour, Keep: 2}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base, names := many(t)
			dry := tt.o
			dry.DryRun = true
			would, err := Prune(base, now, dry)
			if left, err2 := result.Runs(base); err != nil || err2 != nil || len(would) != tt.removed || len(left) != 3 {
				t.Errorf("a dry run: would remove %v (%v), and left %v", would, err, left)
			}
			got, err := Prune(base, now, tt.o)
			if err != nil || len(got) != tt.removed {
				t.Fatalf("got %v, %v; want %d", got, err, tt.removed)
			}
			for i, p := range got {
				if p.Dir != filepath.Join(base, names[i]) || p.Bytes == 0 || p.Start.Day() != i+1 {
					t.Errorf("got %+v", p)
				}
			}
			left, err := result.Runs(base)
			want := names[tt.removed:]
			if err != nil || !slices.EqualFunc(left, want, func(a, b string) bool { return filepath.Base(a) == b }) {
				t.Errorf("left are %v, %v; want %v", left, err, want)
			}
			for _, other := range []string{"notes", "link"} {
				if _, err := os.Stat(filepath.Join(base, other)); err != nil {
					t.Errorf("it removed what is no run: %v", err)
				}
			}
		})
	}
}

// A run that a process is making is left alone; one that was killed is removed.
func TestPruneUnended(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "own-name")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, result.InvocationFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := lockfile.TryLock(f); err != nil {
		t.Fatal(err)
	}
	if got, err := Prune(base, time.Now(), PruneOptions{}); err != nil || len(got) != 0 {
		t.Errorf("one that is being made: got %v, %v", got, err)
	}
	f.Close()
	if got, err := Prune(base, time.Now(), PruneOptions{}); err != nil || len(got) != 1 {
		t.Errorf("one that was killed: got %v, %v", got, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if got, err := Prune(filepath.Join(base, "nowhere"), time.Now(), PruneOptions{}); err != nil || len(got) != 0 {
		t.Errorf("no directory: got %v, %v", got, err)
	}
}

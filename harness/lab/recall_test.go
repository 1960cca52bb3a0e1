package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// killed makes the directory of a run that was killed under its first kernel: it lacks the
// files that a run writes at its end.
func killed(t *testing.T, l *Lab, p *plan.Plan) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.Progress = func(p Progress) {
		if p.Stage == "run" && p.Done >= 100 {
			cancel()
		}
	}
	l.Jobs = 1
	if _, err := l.Run(ctx, p, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"run.json", "records.jsonl", "kernel0/boot0/exit.json"} {
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecall reads a killed run without a machine, a kernel or QEMU, and changes nothing.
func TestRecall(t *testing.T) {
	l, p := newLab(t, "hang@100"), newPlan(t, 1, "token_create")
	p.Kernels = append(p.Kernels, "never")
	killed(t, l, p)
	before := listing(t, l.Dir)
	t.Setenv("PATH", t.TempDir())
	if err := os.Remove("bzImage"); err != nil {
		t.Fatal(err)
	}
	again := &Lab{Dir: l.Dir, CacheDir: filepath.Join(t.TempDir(), "none")}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r, err := again.Recall(t.Context(), &Invocation{Args: []string{"run", "token_create"}, Start: start}, p)
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kernels[0]
	n := k.Counts()
	if n[result.Pass] < 50 || n[result.Interrupted] == 0 || n[result.Pass]+n[result.Interrupted] != tokenCreate() {
		t.Errorf("%v", n)
	}
	if k.Release == "" || k.Digest == "" || k.Facts == nil || k.Accel == "" || r.Tool == "" || !r.Start.Equal(start) ||
		len(r.Args) != 3 {
		t.Errorf("the run does not say what it was made from: %+v", r)
	}
	if got := fates(k); !slices.Equal(got, []vm.Fate{vm.Clean}) {
		t.Errorf("fates %v: a machine that was killed with the tool is nobody's fault", got)
	}
	if r.Kernels[1].Error != result.StopKilled.Kernel() || r.Stopped != result.StopKilled || !r.Interrupted ||
		r.ExitCode() != result.ExitNoVerdict {
		t.Errorf("exit code %d; the other kernel: %+v", r.ExitCode(), r.Kernels[1])
	}
	if not, of := r.NotTried(); not != n[result.Interrupted]+tokenCreate() || of != 2*tokenCreate() {
		t.Errorf("%d of %d were not tried", not, of)
	}
	if got := k.Boots[0]; got.Stopped != (got.Fate == vm.Lost) {
		t.Errorf("a machine that ended with the run: %+v", got)
	}
	if after := listing(t, l.Dir); !slices.Equal(before, after) {
		t.Errorf("it left %q, was %q", after, before)
	}
}

// TestRecallStale: stored boots of other cases are refused, and a resumed run leaves them as
// they are.
func TestRecallStale(t *testing.T) {
	l := newLab(t, "hang@100")
	killed(t, l, newPlan(t, 1, "token_create"))
	before := listing(t, l.Dir)
	other := newPlan(t, 1, "map_create")
	if r, err := (&Lab{Dir: l.Dir}).Recall(t.Context(), &Invocation{}, other); !errors.Is(err, ErrStale) {
		t.Errorf("%v, %+v", err, r)
	}
	l.Resume, l.Progress = true, nil
	if _, err := l.Run(t.Context(), other, nil); !errors.Is(err, ErrStale) {
		t.Errorf("resumed: %v", err)
	}
	if after := listing(t, l.Dir); !slices.Equal(before, after) {
		t.Errorf("it left %q, was %q", after, before)
	}
}

// listing is the files below a directory.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

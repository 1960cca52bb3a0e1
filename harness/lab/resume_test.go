package lab

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
)

// TestLock: a run belongs to one process at a time.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	if _, err := Resume(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("resume of no run: %v", err)
	}
	want := Invocation{Args: []string{"run", "-k", "x"}, Dir: "/there", Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	if err := Begin(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadInvocation(dir)
	if err != nil || !slices.Equal(got.Args, want.Args) || got.Dir != want.Dir || !got.Start.Equal(want.Start) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := Resume(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("resume of a running run: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, invocationFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadInvocation(dir); err == nil {
		t.Error("a damaged file gives no error")
	}
}

// TestInvocationForm: the file of older versions still reads.
func TestInvocationForm(t *testing.T) {
	dir := t.TempDir()
	old := `{"args":["run","token_create"],"dir":"/here"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "begun.json"), []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Resume(dir)
	if err != nil || !slices.Equal(b.Args, []string{"run", "token_create"}) || b.Dir != "/here" || !b.Start.IsZero() {
		t.Errorf("got %+v, %v", b, err)
	}
}

func TestComparer(t *testing.T) {
	for _, tt := range []struct {
		want    string
		writes  []string
		differs bool
	}{
		{"abcdef", []string{"abc", "def"}, false},
		{"abcdef", []string{"abc"}, false},             // the boot was cut off later
		{"abc", []string{"abc", "def"}, false},         // it was cut off earlier
		{"abcdef", []string{"abX"}, true},              // another first record
		{"abcdef", []string{"abc", "dXf"}, true},       // another later one
		{"abcdef", []string{"abX", "def"}, true},       // a difference stays one
		{"abc", []string{"abcdef", "anything"}, false}, // nothing left to compare with
		{"", []string{"anything"}, false},
	} {
		c := &comparer{want: []byte(tt.want)}
		for _, w := range tt.writes {
			if n, err := c.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("Write() = %d, %v", n, err)
			}
		}
		if c.differs != tt.differs {
			t.Errorf("%q after %q: differs %v, want %v", tt.writes, tt.want, c.differs, tt.differs)
		}
	}
}

// interrupt runs the patterns until some cases are answered, and returns the plan's run.
func interrupt(t *testing.T, l *Lab, after int, patterns ...string) *result.Run {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.Progress = func(p Progress) {
		if p.Stage == "run" && p.Done >= after {
			cancel()
		}
	}
	r, err := l.Run(ctx, newPlan(t, 1, patterns...), nil)
	if err != nil || !r.Interrupted {
		t.Fatalf("interrupted %v, %v", r.Interrupted, err)
	}
	l.Progress, l.Resume = nil, true
	return r
}

// TestResume: a resumed run asks nothing twice and has the results of one that was not
// interrupted.
func TestResume(t *testing.T) {
	l := newLab(t, "hang@100 clean")
	before := interrupt(t, l, 100, "token_create").Kernels[0].Counts()
	k := resume(t, l, "token_create")
	if n := k.Counts(); n[result.Pass] != tokenCreate() || k.Len() != tokenCreate() {
		t.Errorf("%v of %d cases", n, k.Len())
	}
	if got := fates(k); !slices.Equal(got, []vm.Fate{vm.Clean, vm.Clean}) {
		t.Errorf("fates %v", got)
	}
	first, second := k.Boots[0].Cases, k.Boots[1].Cases
	if first != before[result.Pass] || first+second != tokenCreate() {
		t.Errorf("the first machine answered %d cases, the second %d; before there were %d", first, second,
			before[result.Pass])
	}
}

// resume resumes a run of one case a batch.
func resume(t *testing.T, l *Lab, patterns ...string) *result.KernelRun {
	t.Helper()
	r, err := l.Run(t.Context(), newPlan(t, 1, patterns...), nil)
	if err != nil || r.Interrupted || len(r.Kernels) != 1 || r.Kernels[0].Error != "" {
		t.Fatalf("resume: %v, %+v", err, r)
	}
	return r.Kernels[0]
}

// TestAgain: another attempt with the same command line, with --again or without it, continues the run that is there.
func TestAgain(t *testing.T) {
	dir, line := filepath.Join(t.TempDir(), "part"), []string{"run", "--shard", "auto/2"}
	again := append(slices.Clone(line), "--again")
	if on, err := Again(dir, again); on || err != nil {
		t.Errorf("there is no directory: %v, %v", on, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if on, err := Again(dir, again); on || err != nil {
		t.Errorf("an empty directory: %v, %v", on, err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("the empty directory is still there, so a run cannot be made")
	}
	if err := errors.Join(os.Mkdir(dir, 0o755), Begin(dir, Invocation{Args: line})); err != nil {
		t.Fatal(err)
	}
	if on, err := Again(dir, again); !on || err != nil {
		t.Errorf("the same command line: %v, %v", on, err)
	}
	var wrong *usage.Error
	if on, err := Again(dir, append(again, "--full")); on || !errors.As(err, &wrong) {
		t.Errorf("another command line: %v, %v", on, err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, invocationFile)),
		os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, filepath.Join(dir, "notes")} {
		if on, err := Again(name, again); on || !errors.As(err, &wrong) {
			t.Errorf("something else, %s: %v, %v", name, on, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "notes")); err != nil {
		t.Errorf("a file of the user's: %v", err)
	}
}

// TestResumeFinished: a complete run is read again, and no machine starts.
func TestResumeFinished(t *testing.T) {
	l := newLab(t, "panic@70 clean")
	want := run(t, l, 1, "token_create")
	l.Resume = true
	boots, err := os.ReadFile(os.Getenv("FAKE_BOOTS"))
	if err != nil {
		t.Fatal(err)
	}
	got := resume(t, l, "token_create")
	if !slices.Equal(fates(got), fates(want)) || got.Counts()[result.Pass] != want.Counts()[result.Pass] {
		t.Errorf("got %v, %v; want %v, %v", fates(got), got.Counts(), fates(want), want.Counts())
	}
	if got.Boots[0].Blame != want.Boots[0].Blame || got.Boots[0].Decide != want.Boots[0].Decide {
		t.Errorf("the first boot is %+v, was %+v", got.Boots[0], want.Boots[0])
	}
	if again, err := os.ReadFile(os.Getenv("FAKE_BOOTS")); err != nil || string(again) != string(boots) {
		t.Errorf("machines started: %q, were %q, %v", again, boots, err)
	}
}

// TestResumeOtherKernel: stored boots of another kernel are no answer.
func TestResumeOtherKernel(t *testing.T) {
	l := newLab(t, "hang@100 clean")
	interrupt(t, l, 100, "token_create")
	digests := filepath.Join(l.Dir, "kernel0", "boot0", digestsFile)
	if err := os.WriteFile(digests, []byte("another kernel\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Run(t.Context(), newPlan(t, 1, "token_create"), nil); !errors.Is(err, ErrStale) {
		t.Errorf("got %v, want ErrStale", err)
	}
}

// TestResumeLostKernel: if the kernel cannot be had again, a resumed run keeps what it has of
// it, and stays interrupted.
func TestResumeLostKernel(t *testing.T) {
	l := newLab(t, "hang@100 clean")
	before := interrupt(t, l, 100, "token_create").Kernels[0].Counts()
	if err := os.Remove("bzImage"); err != nil {
		t.Fatal(err)
	}
	var logged []string
	l.Log = func(format string, _ ...any) { logged = append(logged, format) }
	r, err := l.Run(t.Context(), newPlan(t, 1, "token_create"), nil)
	if err != nil {
		t.Fatal(err)
	}
	n := r.Kernels[0].Counts()
	if n[result.Pass] != before[result.Pass] || n[result.Interrupted] != before[result.Interrupted] ||
		n[result.Pass] == 0 {
		t.Errorf("got %v, want %v", n, before)
	}
	if !r.Interrupted || r.ExitCode() != result.ExitNoVerdict || !slices.Equal(r.Resume, []string{l.Dir}) {
		t.Errorf("interrupted %v, exit code %d, resume %q", r.Interrupted, r.ExitCode(), r.Resume)
	}
	if !slices.Contains(logged, "%s cannot be resumed: %v") {
		t.Errorf("logged %q", logged)
	}
}

// TestResumeWithoutFiles: a boot whose files are damaged or missing gives no result that
// it did not have.
func TestResumeWithoutFiles(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"a torn record": func(dir string) error {
			info, err := os.Stat(filepath.Join(dir, "control.out"))
			if err != nil {
				return err
			}
			return errors.Join(os.Truncate(filepath.Join(dir, "control.out"), info.Size()-3),
				os.Remove(filepath.Join(dir, exitFile)))
		},
		"nothing received": func(dir string) error {
			return errors.Join(os.Truncate(filepath.Join(dir, "control.out"), 0), os.Remove(filepath.Join(dir, exitFile)))
		},
		"no directory": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, "hang@100 clean")
			interrupt(t, l, 100, "token_create")
			if err := damage(filepath.Join(l.Dir, "kernel0", "boot0")); err != nil {
				t.Fatal(err)
			}
			if n := resume(t, l, "token_create").Counts(); n[result.Pass] != tokenCreate() {
				t.Errorf("got %v, want all to pass", n)
			}
		})
	}
}

// TestEndingForm: exit.json keeps the fields that resumed runs read.
func TestEndingForm(t *testing.T) {
	text, err := json.Marshal(ending{vm.Exit{Fate: vm.Hung, Reason: "r"}, time.Second, true})
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"Fate": "hung", "Reason": "r", "Decide": 1e9, "Cut": true} {
		if members[name] != want {
			t.Errorf("%s is %v, want %v", name, members[name], want)
		}
	}
}

package lab

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/arch"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/images"
)

// TestMain makes the test binary play the programs that a lab starts.
func TestMain(m *testing.M) {
	images.Builtin, images.CompiledIn = fstest.MapFS{}, "" // as in a fresh checkout
	testscript.Main(m, map[string]func(){
		arch.Default.QEMU.Program: func() { os.Exit(labtest.QEMU()) },
		"go":                      func() { os.Exit(labtest.Go()) },
	})
}

// newLab returns a lab in a directory with a kernel, whose machines play the acts.
func newLab(t *testing.T, acts string) *Lab {
	t.Helper()
	dir := t.TempDir()
	if err := labtest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv(labtest.Acts, acts)
	t.Setenv(labtest.Boots, filepath.Join(dir, "boots"))
	l := &Lab{Dir: filepath.Join(dir, "run"), CacheDir: filepath.Join(dir, "cache"), Accel: "kvm"}
	if err := os.Mkdir(l.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

// corpus is read once: it holds thousands of cases.
var corpus = sync.OnceValues(func() (*cases.Corpus, error) { return cases.Load(context.Background()) })

// tokenCreate is how many cases the group token_create has: a new one changes no test.
func tokenCreate() int {
	all, err := corpus()
	if err != nil {
		panic(err)
	}
	return len(all.Group("token_create").Cases)
}

// newPlan returns the plan of patterns on the kernel of newLab.
func newPlan(t *testing.T, batch int, patterns ...string) *plan.Plan {
	t.Helper()
	all, err := corpus()
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Expand(plan.Spec{Kernels: []string{"bzImage"}, Patterns: patterns, Batch: batch}, all)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs the patterns and returns the record of the kernel.
func run(t *testing.T, l *Lab, batch int, patterns ...string) *result.KernelRun {
	t.Helper()
	return runWithin(t, l, usualDeadlines, batch, patterns...)
}

// runWithin is run with other deadlines.
func runWithin(t *testing.T, l *Lab, d deadlines, batch int, patterns ...string) *result.KernelRun {
	t.Helper()
	r := l.runner()
	r.deadlines = d
	out, err := r.run(t.Context(), newPlan(t, batch, patterns...), nil)
	if err != nil || len(out.Kernels) != 1 || out.Kernels[0].Error != "" {
		t.Fatalf("run: %v, %+v", err, out.Kernels)
	}
	out.Kernels[0].Unpack()
	return out.Kernels[0]
}

func fates(k *result.KernelRun) []vm.Fate {
	var out []vm.Fate
	for _, b := range k.Boots {
		out = append(out, b.Fate)
	}
	return out
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, acts string
		batch      int
		fates      []vm.Fate
		pass       int
		blamed     int
	}{
		{"a good machine", "clean", 0, []vm.Fate{vm.Clean}, tokenCreate(), 0},
		{"a panic that comes once", "panic@70 clean", 0, []vm.Fate{vm.Panicked, vm.Clean, vm.Clean}, tokenCreate(), 0},
		{"a panic that comes again", "panic@70 panic@0 clean", 0, []vm.Fate{vm.Panicked, vm.Panicked, vm.Clean, vm.Clean},
			tokenCreate() - 1, 1},
		{"a panic under one case", "panic@70 clean", 1, []vm.Fate{vm.Panicked, vm.Clean}, tokenCreate() - 1, 1},
		{"two deaths, then a good machine", "off@9 exit@9 clean", 1, []vm.Fate{vm.Lost, vm.Lost, vm.Clean},
			tokenCreate() - 2, 2},
		{"three deaths", "off@9 exit@9 panic@9 clean", 1, []vm.Fate{vm.Lost, vm.Lost, vm.Panicked}, 27, 3},
		{"a death between good machines does not count", "off@9 clean", 0, []vm.Fate{vm.Lost, vm.Clean, vm.Clean},
			tokenCreate(), 0},
		{"a clock that runs away", "runaway@70 clean", 0, []vm.Fate{vm.Infra, vm.Clean}, tokenCreate(), 0},
		{"a clock that always runs away", "runaway@70 runaway@0 runaway@0 clean", 0,
			[]vm.Fate{vm.Infra, vm.Infra, vm.Infra}, tokenCreate() - 26, 0},
		{"no machine", "refuse clean", 0, []vm.Fate{vm.Infra}, 0, 0},
		{"no boot", "mute clean", 0, []vm.Fate{vm.Unbooted}, 0, 0},
		{"another guest", "build clean", 0, []vm.Fate{vm.Lost}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := run(t, newLab(t, tt.acts), tt.batch, "token_create")
			if got := fates(k); !slices.Equal(got, tt.fates) {
				t.Errorf("fates %v, want %v", got, tt.fates)
			}
			if n := k.Counts(); n[result.Pass] != tt.pass || n[result.Fail] != 0 || len(k.Cases) != tokenCreate() {
				t.Errorf("%v of %d cases, want %d passes and no failure", n, len(k.Cases), tt.pass)
			}
			blamed := slices.DeleteFunc(k.Boots, func(b result.Boot) bool { return b.Blame == "" })
			if len(blamed) != tt.blamed {
				t.Errorf("%d machines with a blame, want %d: %+v", len(blamed), tt.blamed, blamed)
			}
		})
	}
}

// TestStarvedMachine: only the cases that ran while the host gave the machine too little run
// again.
func TestStarvedMachine(t *testing.T) {
	for _, batch := range []int{0, 1} {
		k := run(t, newLab(t, "runaway@70 clean"), batch, "token_create")
		if len(k.Boots) != 2 {
			t.Fatalf("batch %d: %v", batch, fates(k))
		}
		b, again := &k.Boots[0], 0
		for i := range k.Cases {
			if k.Cases[i].Boot == 1 {
				again++
			}
		}
		if b.Host == nil || len(b.Findings) != 1 || b.Findings[0].Host == nil || b.Cases != tokenCreate() {
			t.Errorf("batch %d: %+v", batch, b)
		}
		if again == 0 || again != k.Boots[1].Cases || batch == 1 && again != 1 || again > 40 {
			t.Errorf("batch %d: %d cases have the second machine's result, which was asked %d", batch, again, k.Boots[1].Cases)
		}
		r := result.Run{Kernels: []*result.KernelRun{k}}
		if r.ExitCode() != result.ExitNoVerdict || r.BisectCode() != result.BisectGood {
			t.Errorf("batch %d: exit %d, %d for a bisection", batch, r.ExitCode(), r.BisectCode())
		}
	}
}

// TestOrder: each case has one result, in the plan's order, however the machines end.
func TestOrder(t *testing.T) {
	p := newPlan(t, 0, "token_create", "nested_userns")
	for _, acts := range []string{"clean", "panic@70 panic@3 clean", "refuse"} {
		l := newLab(t, acts)
		r, err := l.Run(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Kernels[0].Unpack()
		want := plan.ByWorld(p.Cases)
		if len(r.Kernels[0].Cases) != len(want) {
			t.Fatalf("%s: %d results, want %d", acts, len(r.Kernels[0].Cases), len(want))
		}
		for i, c := range r.Kernels[0].Cases {
			if c.ID != want[i].ID {
				t.Fatalf("%s: result %d is of %s, want %s", acts, i, c.ID, want[i].ID)
			}
		}
	}
}

func TestControlsFirst(t *testing.T) {
	a, b, c := &cases.World{}, &cases.World{}, &cases.World{}
	all := []*cases.Case{
		{ID: "1", World: a}, {ID: "2", World: b}, {ID: "3", World: b, Control: "allow"}, {ID: "4", World: c},
		{ID: "5", World: c, Control: "refuse"}, {ID: "6", World: c},
	}
	got := ""
	for _, c := range controlsFirst(all) {
		got += c.ID
	}
	if got != "325461" {
		t.Errorf("got %s, want 325461", got)
	}
	if all[0].ID != "1" {
		t.Error("the plan itself was sorted")
	}
}

func TestCaseDeadline(t *testing.T) {
	l := newLab(t, "hang@5 clean")
	k := runWithin(t, l, deadlines{batch: time.Second}, 1, "token_create")
	if got := fates(k); !slices.Equal(got, []vm.Fate{vm.Hung, vm.Clean}) {
		t.Fatalf("fates %v, want one that hung", got)
	}
	b := k.Boots[0]
	if !strings.HasPrefix(b.Reason, "no answer in 1s from the cases from "+b.Blame) || b.Blame == "" {
		t.Errorf("reason %q, blame %q", b.Reason, b.Blame)
	}
	i := slices.IndexFunc(k.Cases, func(c result.CaseResult) bool { return c.ID == b.Blame })
	if i < 0 || k.Cases[i].Status != result.Broken || !strings.HasPrefix(k.Cases[i].Reason,
		"the machine hung under it: ") {
		t.Errorf("the blamed case is %+v", k.Cases[i])
	}
}

// TestInterrupted: a cancelled run keeps its results, blames nobody, and records that it was
// interrupted.
func TestInterrupted(t *testing.T) {
	l := newLab(t, "hang@100")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l.Progress = func(p Progress) {
		if p.Stage == "run" && p.Done >= 100 {
			cancel()
		}
	}
	l.Jobs = 1
	p := newPlan(t, 1, "token_create")
	p.Kernels = append(p.Kernels, "never")
	r, err := l.Run(ctx, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kernels[0]
	n := k.Counts()
	if !r.Interrupted || n[result.Pass] < 50 || n[result.Interrupted] == 0 || n[result.Broken]+n[result.Fail] != 0 {
		t.Errorf("interrupted %v, %v", r.Interrupted, n)
	}
	if b := k.Boots[0]; b.Fate != vm.Lost || b.Blame != "" || strings.Contains(b.Reason, "under") {
		t.Errorf("the machine is %+v", b)
	}
	if len(r.Kernels) != 2 || r.Kernels[1].Error != result.StopSignal.Kernel() || r.ExitCode() != result.ExitNoVerdict {
		t.Errorf("exit %d; the other kernel: %+v", r.ExitCode(), r.Kernels[1])
	}
	if not, of := r.NotTried(); not != tokenCreate()+n[result.Interrupted] || of != 2*tokenCreate() ||
		!slices.Equal(r.Resume, []string{l.Dir}) {
		t.Errorf("%d of %d were not tried; to be resumed: %q", not, of, r.Resume)
	}
	stored, err := result.Load(l.Dir)
	if err != nil || len(stored.Kernels[0].Cases) != tokenCreate() || !stored.Interrupted || len(stored.Gaps()) > 0 {
		t.Errorf("stored: %v, %q", err, stored.Gaps())
	}
}

func TestInterruptedBeforeTheKernel(t *testing.T) {
	l := newLab(t, "clean")
	ctx, cancel := context.WithCancel(t.Context())
	l.Progress = func(p Progress) {
		if p.Stage == "image" {
			cancel()
		}
	}
	r, err := l.Run(ctx, newPlan(t, 0, "nested_userns"), nil)
	if err != nil || r.Kernels[0].Error != result.StopSignal.Kernel() || !r.Interrupted {
		t.Errorf("%v, %+v", err, r.Kernels[0])
	}
}

// TestInjectedFaults: what the canary breaks reaches the judge and the reader.
func TestInjectedFaults(t *testing.T) {
	l := newLab(t, "clean")
	l.Faults.OmitRule = "token_create/no-cap-bpf"
	if n := run(t, l, 0, "token_create").Counts(); n[result.Fail]+n[result.Broken] == 0 {
		t.Errorf("without the rule %s: %v", l.Faults.OmitRule, n)
	}
	l = newLab(t, "clean")
	l.Faults.Tap = func(r io.Reader) io.Reader { return io.LimitReader(r, 600) }
	k := run(t, l, 0, "nested_userns", "token_create")
	if got := fates(k); slices.Contains(got, vm.Clean) {
		t.Errorf("fates %v although every stream is cut off", got)
	}
}

func TestBootDirectory(t *testing.T) {
	l := newLab(t, "clean")
	if err := os.WriteFile("config-"+labtest.Release,
		[]byte("CONFIG_BPF_SYSCALL=y\nCONFIG_NAMESPACES=y\nCONFIG_USER_NS=y\nCONFIG_UNIX=y\n"+
			"CONFIG_BLK_DEV_INITRD=y\nCONFIG_BINFMT_ELF=y\nCONFIG_TTY=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k := run(t, l, 0, "nothing_delegated")
	for _, name := range []string{"cmdline", "console.log", "control.in", "control.out", "config", "digests"} {
		if s, err := os.Stat(filepath.Join(l.Dir, k.Boots[0].Dir, name)); err != nil || s.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostFaults(t *testing.T) {
	l := newLab(t, "clean")
	l.Dir = filepath.Join(l.Dir, "absent")
	if _, err := l.Run(t.Context(), newPlan(t, 0, "nested_userns"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	l = newLab(t, "clean")
	if err := os.WriteFile(filepath.Join(l.Dir, "kernel0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if k := run(t, l, 0, "nested_userns"); !slices.Equal(fates(k), []vm.Fate{vm.Infra}) ||
		!strings.Contains(k.Boots[0].Reason, "create the boot directory") {
		t.Errorf("a file in the way: %+v", k.Boots)
	}
	l = newLab(t, "clean")
	t.Setenv("PATH", t.TempDir())
	for qemu, want := range map[string]string{"": "tokentest doctor", "nowhere": `"nowhere"`,
		"bzImage/qemu": "not a directory"} {
		l.QEMU = qemu
		if err := l.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check with %q: %v, want %q", qemu, err, want)
		}
	}
	r, err := l.Run(t.Context(), newPlan(t, 0, "nested_userns"), nil)
	if err != nil || !strings.Contains(r.Kernels[0].Error, "install Go") || r.Kernels[0].Cause != nil {
		t.Errorf("without Go: %v, %+v", err, r.Kernels[0])
	}
}

func TestBare(t *testing.T) {
	l := newLab(t, "clean refuse")
	l.Dir = filepath.Join(l.Dir, "bare")
	if took, err := l.Bare(t.Context(), "bzImage"); err != nil || took <= 0 {
		t.Errorf("bare boot: %v, %v", took, err)
	}
	if _, err := l.Bare(t.Context(), "bzImage"); err == nil || !strings.Contains(err.Error(), "exited with status 1") {
		t.Errorf("bare boot of a QEMU that refuses: %v", err)
	}
	if _, err := l.Bare(t.Context(), "nowhere"); err == nil {
		t.Error("bare boot of no kernel: no error")
	}
}

// TestStopwatch: a benchmark gets every answer, and makes cases repeat their call.
func TestStopwatch(t *testing.T) {
	l := newLab(t, "clean")
	answered := 0
	l.Stopwatch = &Stopwatch{Repeat: time.Millisecond, Answered: func(c *cases.Case, seen []step.Observation,
		after time.Duration) {
		answered++
		if timed := len(seen) == 1 && slices.Equal(seen[0].Values, []uint64{labtest.CallTakes}); timed != (c.Len() == 1) ||
			after <= 0 {
			t.Errorf("%s showed %+v after %s", c.ID, seen, after)
		}
	}}
	run(t, l, 0, "token_create", "nested_userns")
	if answered != tokenCreate()+1 || l.Stopwatch.Costs != labtest.Costs {
		t.Errorf("%d answers, costs %+v", answered, l.Stopwatch.Costs)
	}
}

// TestOtherSources: no agent is built from sources that do not match this program.
func TestOtherSources(t *testing.T) {
	for dir, sources := range shared {
		here, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
		if err != nil || len(here) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, name := range here {
			if _, err := fs.Stat(sources, filepath.Base(name)); err != nil && !strings.HasSuffix(name, "_test.go") {
				t.Errorf("%s is not among the sources that are compared: add it to source.go there", name)
			}
		}
	}
	l := newLab(t, "clean")
	if err := os.WriteFile("harness/wire/wire.go", []byte("package wire\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := "this tokentest was not made from the sources in"
	if err := l.Check(); err == nil || !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), "harness/wire/wire.go differs") || !strings.Contains(err.Error(), "make build") {
		t.Errorf("Check: %v, want %q", err, want)
	}
	if r, err := l.Run(t.Context(), newPlan(t, 0, "nested_userns"), nil); err != nil ||
		!strings.Contains(r.Kernels[0].Error, want) {
		t.Errorf("the kernel runs all the same: %v, %+v", err, r.Kernels[0])
	}
}

// A machine that dies in a set-up takes only the cases of the run with it, although others share
// their world.
func TestSetupOfSomeCells(t *testing.T) {
	for _, c := range newPlan(t, 0, "token_create").Cases {
		if len(c.World.Cases) < 2 || c.Control != "" {
			continue
		}
		k := run(t, newLab(t, "setuppanic clean"), 0, c.ID)
		for _, r := range k.Cases {
			if r.ID == c.ID && r.Status == result.Broken {
				return
			}
		}
		t.Fatalf("%s: got %+v", c.ID, k.Cases)
	}
	t.Fatal("no world of several cases")
}

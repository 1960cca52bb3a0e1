package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/harness/lab"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
)

// TestMain makes the test binary play the programs that a lab starts.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"qemu-system-x86_64": func() { os.Exit(labtest.QEMU()) },
		"go":                 func() { os.Exit(labtest.Go()) },
	})
}

// notes collects log lines from several goroutines.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) log(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(&n.text, format+"\n", args...)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// options measure the kernel of a new working directory, whose machines do the acts.
func options(t *testing.T, acts string, args ...string) (Options, *notes) {
	t.Helper()
	dir, n := t.TempDir(), &notes{}
	if err := labtest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv(labtest.Acts, acts)
	t.Setenv(labtest.Boots, filepath.Join(dir, "boots"))
	return Options{Kernel: "bzImage", Args: args, Rounds: 1, Log: n.log,
		Lab: lab.Lab{Accel: "kvm", CacheDir: filepath.Join(dir, "cache")}}, n
}

// A peer that answers with the same release has a time, one that does not has a reason, and
// one that is not installed has a note. The fake machine runs programs on the host.
func TestRunPeers(t *testing.T) {
	for script, want := range map[string]string{
		"uname -r":               "bzImage: uname -r by virtme-ng +[0-9.]+s",
		"echo 6.0.0":             `by virtme-ng +not measured: vng did not print the release "[^"]+": 6.0.0\n`,
		"echo no 9p >&2; exit 3": "bzImage: uname -r by virtme-ng +not measured: vng: exit status 3: no 9p\n",
	} {
		o, n := options(t, "clean", "token_create")
		o.Peers = true
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "vng"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
		var out strings.Builder
		if _, err := Run(t.Context(), &out, o); err != nil {
			t.Fatalf("%v: %s%s", err, out.String(), n)
		}
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("%q: got\n%s\n%s\nwant %s", script, out.String(), n, want)
		}
		if !strings.Contains(n.String(), "vimto is not measured: no vimto in PATH\n") {
			t.Errorf("noted %s", n)
		}
	}
}

// The ratio comes from the rounds after the first, which are as many as asked for.
func TestRunRatio(t *testing.T) {
	o, n := options(t, "clean", "token_create")
	o.Rounds = 2
	if err := labtest.Direct("."); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	all := strconv.Itoa(len(planOf(t, "token_create").Cases))
	missed, err := Run(t.Context(), &out, o)
	if err != nil || missed != 0 {
		t.Fatalf("missed %d, %v: %s%s", missed, err, out.String(), n)
	}
	const time = `[\d.]+s  [\d.]+ to [\d.]+  `
	want := regexp.MustCompile(`^bzImage: a bare boot of the bzImage +` + time + `1.00\n` +
		`bzImage: a bare boot entered directly +` + time + `[\d.]+\n` +
		`bzImage: ` + all + ` cases, a kernel never run before +` + time + `[\d.]+\n` +
		`bzImage: ` + all + ` cases, the same kernel again +` + time + `[\d.]+\n` +
		`bzImage: nested_userns, the same kernel again +` + time + `[\d.]+\n` +
		`bzImage: time of a run in which no machine runs: [\d.]+s\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got %q", out.String())
	}
	for _, line := range []string{
		"bzImage: first round: " + all + " cases, a kernel never run before\n",
		"bzImage: round 2 of 2: a bare boot of the bzImage\n",
	} {
		if !strings.Contains(n.String(), line) {
			t.Errorf("no %q in %s", line, n)
		}
	}
	if strings.Contains(n.String(), "round 3") {
		t.Errorf("too many rounds: %s", n)
	}
}

// A kernel that QEMU enters in one way has one bare boot, and that is the base.
func TestRunRatioOneWay(t *testing.T) {
	o, n := options(t, "clean", "token_create")
	var out strings.Builder
	if missed, err := Run(t.Context(), &out, o); err != nil || missed != 0 {
		t.Fatalf("missed %d, %v: %s%s", missed, err, out.String(), n)
	}
	if got := strings.Count(out.String(), "a bare boot"); got != 1 ||
		!regexp.MustCompile(`^bzImage: a bare boot of the bzImage .* 1.00\n`).MatchString(out.String()) {
		t.Errorf("got %d bare boots in %q", got, out.String())
	}
}

// The output has the cost of one more decision, the share of its call, and the memory.
func TestRunMarginal(t *testing.T) {
	o, _ := options(t, "clean", "token_create")
	o.Rounds, o.Marginal = 0, true
	var out strings.Builder
	missed, err := Run(t.Context(), &out, o)
	if err != nil || missed != 0 {
		t.Fatalf("missed %d, %v", missed, err)
	}
	all := strconv.Itoa(len(planOf(t, "token_create").Cases))
	for _, want := range []string{"a user namespace 3000.0 us, a bpffs 2000.0 us\n", "  all " + all +
		" decisions with their ", "MB (budget 100)\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), " / bare boot") {
		t.Errorf("a ratio was measured:\n%s", out.String())
	}
}

// A run with an unexpected result ends the bench, because its time has no meaning.
func TestRunDiffers(t *testing.T) {
	o, _ := options(t, "clean lie@3", "token_create")
	var out strings.Builder
	if _, err := Run(t.Context(), &out, o); err == nil || !strings.Contains(err.Error(),
		"time bzImage: the run ended with exit code 1") {
		t.Errorf("got %v, printed %q", err, out.String())
	}
	o.Args = []string{"nosuch"}
	var u *usage.Error
	if _, err := Run(t.Context(), &out, o); !errors.As(err, &u) {
		t.Errorf("got %v, want a usage error", err)
	}
	if left, err := filepath.Glob(filepath.Join(os.TempDir(), "tokentest-bench-*", "*", "run.json")); err != nil ||
		len(left) > 0 {
		t.Errorf("runs are left behind: %q, %v", left, err)
	}
}

// A figure that is not measured in time counts as missed, and the bench continues.
func TestRunTimeUp(t *testing.T) {
	o, _ := options(t, "clean hang@0", "nested_userns")
	o.Limit = time.Second
	var out strings.Builder
	missed, err := Run(t.Context(), &out, o)
	if err != nil || missed != 3 || strings.Count(out.String(), " not measured: the time was up\n") != 3 {
		t.Errorf("missed %d, %v, printed %q", missed, err, out.String())
	}
}

// An interruption ends the bench with its cause.
func TestRunInterrupted(t *testing.T) {
	o, _ := options(t, "clean", "nested_userns")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	var out strings.Builder
	if _, err := Run(ctx, &out, o); !errors.Is(err, stop) || out.Len() > 0 {
		t.Errorf("got %v, printed %q", err, out.String())
	}
}

func TestUnmeasured(t *testing.T) {
	busy, other := &unmeasuredError{"a busy host"}, errors.New("a full disk")
	up, stop := context.WithTimeoutCause(t.Context(), 0, errTimeUp)
	defer stop()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want error
	}{
		{"the host", t.Context(), fmt.Errorf("time x: %w", busy), busy},
		{"the time", up, other, errTimeUp},
		{"an interruption", gone, busy, nil},
		{"another error", t.Context(), other, nil},
	} {
		if got := unmeasured(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Only a run whose results are all as expected is timed.
func TestComplete(t *testing.T) {
	kernel := func(status result.Status, boots ...result.Boot) *result.Run {
		k := &result.KernelRun{Ref: "k", Boots: boots, Cases: []result.CaseResult{{ID: "a", Status: status}}}
		return &result.Run{Selection: []string{"a"}, Kernels: []*result.KernelRun{k}}
	}
	clean, lost := result.Boot{Fate: vm.Clean}, result.Boot{Fate: vm.Lost, Reason: "QEMU ended"}
	broken := kernel(result.Broken, clean, lost)
	unbuilt := kernel(result.Pass)
	unbuilt.Kernels[0].Error = "no image"
	for _, tt := range []struct {
		name string
		r    *result.Run
		want string // "" for one that counts
		host bool
	}{
		{"all is well", kernel(result.Pass, clean), "", false},
		{"a failure", kernel(result.Fail, clean), "the run ended with exit code 1", false},
		{"two boots", kernel(result.Pass, clean, clean), "", false},
		{"a lost machine", broken, "the run ended with exit code 3 after 2 boots; lost: QEMU ended", true},
		{"no kernel", unbuilt, "no image", true},
		{"nothing decided", kernel(result.Skip, clean),
			"nothing was decided: the one case that was selected is skipped", true},
	} {
		err := complete(t.Context(), tt.r)
		var host *unmeasuredError
		if got := fmt.Sprint(err); tt.want != "" && got != tt.want || tt.want == "" && err != nil ||
			errors.As(err, &host) != tt.host {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The medians count, and a line says from how many rounds they are.
func TestWriteRatio(t *testing.T) {
	of := func(first int, seconds ...int) *figure {
		f := &figure{name: "f", first: time.Duration(first) * time.Second, why: errors.New("busy")}
		for _, s := range seconds {
			f.times = append(f.times, time.Duration(s)*time.Second)
		}
		return f
	}
	for _, tt := range []struct {
		name   string
		bare   *figure
		f      *figure
		want   string
		missed int
	}{
		{"all", of(9, 2, 2, 2), of(9, 4, 1, 3), "k: f  3.00s  1.00 to 4.00  1.50\n", 0},
		{"some", of(9, 2, 2, 2), of(9, 4, 2), "k: f  4.00s  2.00 to 4.00  2.00 (2 of 3 rounds: busy)\n", 0},
		{"the first", of(9, 2, 2, 2), of(6),
			"k: f  6.00s  6.00 to 6.00  3.00 (only the first round, which also fills caches: busy)\n", 0},
		{"none", of(9, 2, 2, 2), of(0), "k: f  not measured: busy\n", 1},
		{"no bare boot", of(0), of(9, 4), "k: f  4.00s  4.00 to 4.00   (1 of 3 rounds: busy)\n", 1},
	} {
		var out strings.Builder
		b := &bench{Options: &Options{Kernel: "k", Rounds: 3}, out: &out}
		b.writeRatio([]*figure{tt.bare, tt.f})
		if !strings.HasSuffix(out.String(), tt.want) || b.missed != tt.missed {
			t.Errorf("%s: got %q, missed %d; want %q", tt.name, out.String(), b.missed, tt.want)
		}
	}
}

// A ratio over its budget is marked.
func TestOverBudget(t *testing.T) {
	for seconds, want := range map[int]string{2: "1.00 (budget 1.20)\n", 3: "1.50 (over the budget of 1.20)\n"} {
		bare := &figure{name: "bare", times: []time.Duration{2 * time.Second}}
		f := &figure{name: "f", budget: 1.2, times: []time.Duration{time.Duration(seconds) * time.Second}}
		var out strings.Builder
		(&bench{Options: &Options{Kernel: "k", Rounds: 1}, out: &out}).writeRatio([]*figure{bare, f})
		if !strings.HasSuffix(out.String(), want) {
			t.Errorf("%d s: got %q, want %q", seconds, out.String(), want)
		}
	}
}

// The budgets are those of the default suite.
func TestBudgets(t *testing.T) {
	for _, o := range []Options{{}, {Full: true}, {Args: []string{"token_create"}}} {
		budgets := 0
		for _, f := range (&bench{Options: &o}).figures(planOf(t, "token_create"), planOf(t, oneCase), nil) {
			if f.budget > 0 {
				budgets++
			}
		}
		if want := map[bool]int{true: 3}[!o.Full && o.Args == nil]; budgets != want {
			t.Errorf("%+v: %d budgets, want %d", o, budgets, want)
		}
	}
}

// A single failed measurement is left out; each reason is logged once.
func TestLeaveOut(t *testing.T) {
	n, m := &notes{}, &marginal{}
	b := &bench{Options: &Options{Kernel: "k", Log: n.log}}
	busy, disk := &unmeasuredError{"busy"}, errors.New("a full disk")
	for range 2 {
		if err := m.leaveOut(b, t.Context(), "100 decisions", busy); err != nil {
			t.Errorf("got %v", err)
		}
	}
	if err := m.leaveOut(b, t.Context(), "100 decisions", nil); err != nil || m.why != error(busy) {
		t.Errorf("got %v, why %v", err, m.why)
	}
	if err := m.leaveOut(b, t.Context(), "100 decisions", disk); err != disk {
		t.Errorf("got %v, want the host's error", err)
	}
	if want := "k: 100 decisions: does not count: busy\n"; n.String() != want {
		t.Errorf("noted %q, want %q", n, want)
	}
}

// Figures that could not be measured are counted and named.
func TestWriteMissed(t *testing.T) {
	p := &size{plan: planOf(t, "token_create")}
	m := &marginal{classes: map[class]int{}, sizes: []*size{{plan: planOf(t, "nested_userns")}, p}, why: errTimeUp}
	var out strings.Builder
	if missed := m.write(&out); missed != 4 || strings.Count(out.String(), ": not measured: the time was up\n") != 4 {
		t.Errorf("missed %d:\n%s", missed, out.String())
	}
}

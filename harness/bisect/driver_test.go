package bisect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"tokentest/cases"
	"tokentest/harness/kernel"
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

// images is a field whose candidates are images that each play an act of labtest.
type images struct {
	Line
	acts []string
	want Decisions
}

func (f *images) ends() (good, bad string) { return f.Line[0], f.Line[len(f.Line)-1] }

func (f *images) name(_ context.Context, id string) string { return "image " + id }

func (f *images) expected([]*cases.Case) Decisions { return f.want }

func (f *images) kernel(_ context.Context, id string) (string, *kernel.Kernel, error) {
	act := f.acts[slices.Index(f.Line, id)]
	if act == "nobuild" {
		return "", nil, &kernel.BuildError{Lines: []string{"x.c:1: error"}}
	}
	if act == "same" {
		id, act = f.Line[0], f.acts[0]
	}
	text := append(labtest.Kernel(labtest.Release), []byte("\nact="+act+"\n"+id)...)
	err := os.WriteFile(id, text, 0o644)
	return id, &kernel.Kernel{Image: id, Release: labtest.Release, Digest: id}, err
}

// newDriver is a search among images, which are in a new working directory.
func newDriver(t *testing.T, q Question, acts ...string) (*driver, *images) {
	t.Helper()
	dir := t.TempDir()
	if err := labtest.Tree(dir); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	t.Setenv(labtest.Boots, filepath.Join(dir, "boots"))
	f := &images{acts: acts}
	for i := range acts {
		f.Line = append(f.Line, fmt.Sprintf("c%d", i))
	}
	q.Good, q.Bad = f.ends()
	if q.Repeat == 0 {
		q.When, q.Repeat = "any", 1
	}
	d := &driver{q: &q, field: f, dir: filepath.Join(dir, "found"), Options: &Options{Log: t.Logf,
		Lab: lab.Lab{Accel: "kvm", CacheDir: filepath.Join(dir, "cache")}}}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.log, err = NewLog(d.dir, d.q); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	chosen, err := d.choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chosen {
		d.looked = append(d.looked, c.ID)
	}
	return d, f
}

// search makes the search of a driver.
func (d *driver) search(t *testing.T) (*Report, *Result) {
	t.Helper()
	if err := d.predicate(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, bad := d.field.ends()
	s := &Search{Space: d.field, Good: good, Bad: bad, Done: d.done, Try: d.try, Keep: d.log.Add}
	r, err := s.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.report(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return out, r
}

const culprit = "token_create/any/owner/none/1" // what lie@3 lies about

// Both ends are booted; the decision that differs is found, past images that say nothing.
func TestSearchBetweenEnds(t *testing.T) {
	d, _ := newDriver(t, Question{Patterns: []string{"token_create"}, Ends: true},
		"clean", "same", "nobuild", "clean", "lie@3", "mute", "lie@3")
	out, r := d.search(t)
	if r.First != "c4" || r.Last != "c3" || out.Code != result.ExitOK {
		t.Errorf("got %s after %s, code %d: %s", r.First, r.Last, out.Code, out.Text)
	}
	if _, looked := d.pred.Good[culprit]; !looked || len(d.pred.Good) != 1 {
		t.Errorf("it looks at %v", d.pred.Good)
	}
	text, err := os.ReadFile(filepath.Join(out.Dir, reportFile))
	if err != nil || string(text) != out.Text {
		t.Errorf("the stored report is %q, %v", text, err)
	}
	for _, want := range []string{"Subject: [bisect] image c4\n", "Decisions that changed: 1\n", culprit,
		"--good c0 --bad c6 --ends token_create\n"} {
		if !strings.Contains(out.Text, want) {
			t.Errorf("no %q in %s", want, out.Text)
		}
	}
	// A test of the log has its run, and knows why it says nothing.
	for _, tt := range d.done {
		if tt.Outcome == Skip && tt.Why == "" || tt.Outcome != Skip && tt.Run == "" && tt.SameAs == "" {
			t.Errorf("test %+v", tt)
		}
	}
}

// Skipped candidates around the culprit leave a range, which is no verdict.
func TestSearchRange(t *testing.T) {
	d, f := newDriver(t, Question{Patterns: []string{"token_create"}}, "clean", "nobuild", "lie@3")
	f.want = Decisions{culprit: dec("EINVAL")}
	out, r := d.search(t)
	if r.First != "" || !slices.Equal(r.Among, []string{"c1", "c2"}) || out.Code != result.ExitNoVerdict {
		t.Errorf("got %q, among %q, code %d", r.First, r.Among, out.Code)
	}
	if !strings.Contains(out.Text, "one of 2 candidates") {
		t.Errorf("it says %s", out.Text)
	}
}

// A candidate that is good once is asked again.
func TestRepeat(t *testing.T) {
	d, f := newDriver(t, Question{Patterns: []string{"token_create"}, When: "any", Repeat: 3}, "clean", "clean", "lie@3")
	f.want = Decisions{culprit: dec("EINVAL")}
	_, r := d.search(t)
	if r.First != "c2" || d.done[0].Runs != 3 || d.done[0].Bads != 0 {
		t.Errorf("got %s, %+v", r.First, d.done)
	}
}

// An end that says nothing ends the search, and so do ends that decide alike.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		acts  []string
		want  string
		usage bool
	}{
		{[]string{"clean", "mute"}, "the bad end image c1 says nothing: it does not boot", false},
		{[]string{"nobuild", "clean"}, "the good end image c0 says nothing: it does not compile: x.c:1: error", false},
		{[]string{"clean", "clean"}, "both ends decide alike on all ", true},
		{[]string{"clean", "refuse"}, "boot image c1: ", false},
	} {
		d, _ := newDriver(t, Question{Patterns: []string{"token_create"}, Ends: true}, tt.acts...)
		err := d.predicate(t.Context())
		var u *usage.Error
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || errors.As(err, &u) != tt.usage {
			t.Errorf("%q: got %v, want %q", tt.acts, err, tt.want)
		}
	}
}

// The decisions of a stored run are good ones.
func TestAs(t *testing.T) {
	d, f := newDriver(t, Question{Patterns: []string{"token_create"}}, "clean", "lie@3")
	_, dir, err := d.boot(t.Context(), "c0", mustImage(t, f, "c0"))
	if err != nil {
		t.Fatal(err)
	}
	d.q.As = filepath.Join(d.dir, dir)
	if _, r := d.search(t); r.First != "c1" {
		t.Errorf("found %s", r.First)
	}
	if len(d.pred.Good) != len(d.looked) || !d.pred.Good[culprit].Equal(dec("EINVAL")) {
		t.Errorf("%d decisions of %d cases", len(d.pred.Good), len(d.looked))
	}
	d.looked = []string{"nosuch"}
	var u *usage.Error
	if err := d.asRun(); !errors.As(err, &u) {
		t.Errorf("none of the cases: got %v", err)
	}
}

func mustImage(t *testing.T, f *images, id string) string {
	t.Helper()
	ref, _, err := f.kernel(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// A series is judged patch by patch, and only the base is not its fault.
func TestWalk(t *testing.T) {
	d, f := newDriver(t, Question{Patterns: []string{"token_create"}}, "clean", "same", "nobuild", "mute", "lie@3")
	got, err := d.walk(t.Context(), f.Line)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []string
	for _, p := range got {
		outcomes = append(outcomes, p.outcome)
	}
	if want := []string{"pass", "pass", "no kernel", "unbooted", "fail"}; !slices.Equal(outcomes, want) {
		t.Errorf("got %q, want %q", outcomes, want)
	}
	if last := got[4]; !slices.Equal(last.changed, []string{culprit}) || got[0].name != "base image c0" {
		t.Errorf("the last changes %q; the first is %s", last.changed, got[0].name)
	}
	if !strings.HasSuffix(got[1].why, "; the same image as before") {
		t.Errorf("the second: %s", got[1].why)
	}
	if code := seriesCode(got); code != result.ExitDiffers {
		t.Errorf("code %d", code)
	}
	if code := seriesCode(got[:2]); code != result.ExitOK || !strings.Contains(table(got[:2]), "is bisectable") {
		t.Errorf("two that pass: code %d\n%s", code, table(got[:2]))
	}
	if code := seriesCode(got[2:]); code != result.ExitNoVerdict {
		t.Errorf("a base that fails: code %d", code)
	}
}

// An interruption says how to go on; a mistake of the user does not.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("interrupted")
	cancel(stop)
	d := &driver{dir: "found", log: &Log{}}
	if err := d.interrupted(ctx, fmt.Errorf("run: %w", context.Canceled)); !errors.Is(err, stop) ||
		!strings.HasSuffix(err.Error(), "tokentest bisect --resume found") {
		t.Errorf("got %v", err)
	}
	wrong := usage.Errorf("other cases")
	if err := d.interrupted(ctx, wrong); err != wrong {
		t.Errorf("got %v", err)
	}
	d.log = nil
	if err := d.interrupted(ctx, stop); err != stop {
		t.Errorf("before there is a log: got %v", err)
	}
}

func TestReadQuestion(t *testing.T) {
	dir := t.TempDir()
	var u *usage.Error
	if _, err := ReadQuestion(dir); !errors.As(err, &u) {
		t.Errorf("got %v, want a usage error", err)
	}
	log, err := NewLog(dir, &Question{Good: "a", Bad: "b", Without: []string{"BPF_LSM"}})
	if err != nil {
		t.Fatal(err)
	}
	log.Close()
	if q, err := ReadQuestion(dir); err != nil || q.Good != "a" || len(q.Without) != 1 {
		t.Errorf("got %+v, %v", q, err)
	}
}

// The oracle says what packaged releases decide differently.
func TestExpected(t *testing.T) {
	c, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := func(version string) kernel.Available {
		return kernel.Available{Ref: "deb:" + version, Version: version, Release: version}
	}
	list := c.Group("map_create").Cases
	r := newReleases([]kernel.Available{at("6.12.1"), at("6.12.2")}, kernel.Options{})
	if got := r.expected(list); len(got) != 0 {
		t.Errorf("two of one release: %d decisions change", len(got))
	}
	r = newReleases([]kernel.Available{at("6.12.1"), at("7.3.1")}, kernel.Options{})
	if good, bad := r.ends(); good != "deb:6.12.1" || bad != "deb:7.3.1" ||
		r.name(t.Context(), bad) != "deb:7.3.1 (7.3.1)" {
		t.Errorf("ends %s %s", good, bad)
	}
	for id, d := range r.expected(c.Group("unknown_types").Cases) {
		if d.None() {
			t.Errorf("%s has no decision", id)
		}
	}
	if len(r.expected(c.Group("unknown_types").Cases)) == 0 {
		t.Error("nothing changes from 6.12 to 7.3")
	}
}

// A search says how many kernels it makes, with the two ends if it boots them.
func TestAnnounce(t *testing.T) {
	var list []kernel.Available
	for i := range 9 { // the first is good, so there are 8 suspects
		list = append(list, kernel.Available{Ref: fmt.Sprintf("deb:6.12.%d", i)})
	}
	d := &driver{q: &Question{Patterns: []string{"token_create"}}, field: newReleases(list, kernel.Options{})}
	if got := d.announce(t.Context()); !strings.Contains(got, "8 suspects") || !strings.Contains(got, "about 3 kernels") {
		t.Errorf("got %q", got)
	}
	d.q.Ends = true
	if got := d.announce(t.Context()); !strings.Contains(got, "fetches and boots about 5 kernels") {
		t.Errorf("with both ends: got %q", got)
	}
	d.q.As = "run"
	if got := d.announce(t.Context()); !strings.Contains(got, "about 3 kernels") {
		t.Errorf("--as boots no ends: got %q", got)
	}
	d.field = newReleases(list[:2], kernel.Options{})
	if got := d.announce(t.Context()); got != "" {
		t.Errorf("nothing is between the ends: got %q", got)
	}
}

func TestHostFault(t *testing.T) {
	for _, tt := range []struct {
		name string
		k    result.KernelRun
		want string
	}{
		{"none", result.KernelRun{Boots: []result.Boot{{Fate: vm.Panicked, Reason: "x"}}}, ""},
		{"infra", result.KernelRun{Boots: []result.Boot{{Fate: vm.Infra, Reason: "no QEMU"}}}, "no QEMU"},
		{"an error", result.KernelRun{Error: "full disk"}, "full disk"},
		{"not built", result.KernelRun{Error: "it does not compile", Unbuilt: true}, ""},
	} {
		if got := hostFault(&tt.k); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What makes no kernel is skipped with its reason; another error is the host's.
func TestUnfit(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("a full disk"), ""},
		{fmt.Errorf("build: %w", &kernel.BuildError{Lines: []string{"x.c:1: error", "more"}}),
			"it does not compile: x.c:1: error"},
		{&kernel.ConfigError{Lost: []string{"NET=y"}}, "it cannot be configured: NET=y"},
		{&kernel.NoKernelError{Why: "no Makefile"}, "it is no kernel: no Makefile"},
	} {
		if got := unfit(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestSpeechless(t *testing.T) {
	for _, tt := range []struct {
		name     string
		k        result.KernelRun
		want     string
		unbooted bool
	}{
		{"it ran", result.KernelRun{Boots: []result.Boot{{Fate: vm.Clean}}}, "", false},
		{"a panic", result.KernelRun{Boots: []result.Boot{{Fate: vm.Panicked}}}, "", false},
		{"it does not boot", result.KernelRun{Boots: []result.Boot{{Fate: vm.Unbooted, Reason: "silent"}}},
			"it does not boot: silent", true},
		{"not built", result.KernelRun{Unbuilt: true, Error: "it does not compile"}, "it does not compile", false},
	} {
		if got, unbooted := speechless(&tt.k); got != tt.want || unbooted != tt.unbooted {
			t.Errorf("%s: got %q, %v", tt.name, got, unbooted)
		}
	}
}

// Run refuses ends of two kinds, and cases that do not exist, before it makes a directory.
func TestRunMistakes(t *testing.T) {
	d, _ := newDriver(t, Question{Patterns: []string{"token_create"}}, "clean", "clean")
	for _, q := range []Question{
		{Good: "deb:6.12", Bad: "bzImage", Patterns: []string{"token_create"}},
		{Good: "bzImage", Bad: "deb:6.12", Patterns: []string{"token_create"}},
		{Good: "git:nowhere#a", Bad: "git:nowhere#b", Patterns: []string{"nosuch"}},
	} {
		o := *d.Options
		o.Question, o.Out = &q, "out"
		o.Kernel = kernel.Options{CacheDir: t.TempDir(), Offline: true}
		_, err := Run(t.Context(), o)
		var u *usage.Error
		var k *kernel.UsageError
		if !errors.As(err, &u) && !errors.As(err, &k) {
			t.Errorf("%s to %s: got %v, want a usage error", q.Good, q.Bad, err)
		}
		if _, err := os.Stat("out"); err == nil {
			t.Errorf("%s to %s: it made a directory", q.Good, q.Bad)
		}
	}
	o := *d.Options
	o.Lab.QEMU = "./nowhere"
	o.Question = d.q
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "find QEMU") {
		t.Errorf("without QEMU: got %v", err)
	}
	o.Resume = t.TempDir()
	if _, err := Run(t.Context(), o); err == nil {
		t.Error("no error for a search that is not there")
	}
}

// Cases with the same change are listed once, with an example, as in the report of a run; a case
// that had to pass is said to have passed.
func TestShowChanges(t *testing.T) {
	before, after, rules := Decisions{}, Decisions{}, map[string]string{}
	var changed []string
	add := func(id, was, is string) {
		before[id], after[id] = dec(was), dec(is)
		changed = append(changed, id)
	}
	for i := range 30 {
		add(fmt.Sprintf("g/any/type%02d", i), "ok", "EPERM")
	}
	add("g/none", "ok", "EPERM")
	rules["g/none"] = "needs CAP_BPF (g/no-cap) f"
	add("scenario", "ok", "EINVAL")
	before["scenario"] = Decision{}
	var out strings.Builder
	showChanges(&out, changed, before, after, rules)
	want := `Decisions that changed: 32
  30 cases: ok, then EPERM
    example  g/any/type00
    within   g/any/*
  1 case: ok, then EPERM
    case     g/none
    rule     needs CAP_BPF (g/no-cap) f
  1 case: passed, then EINVAL
    case     scenario

`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	for i := range mostChanges + 3 {
		add(fmt.Sprintf("h%02d", i), "ok", fmt.Sprintf("E%d", i))
	}
	out.Reset()
	if showChanges(&out, changed, before, after, rules); !strings.Contains(out.String(), "  and 6 other kinds\n") {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if showChanges(&out, nil, before, after, rules); out.Len() > 0 {
		t.Errorf("nothing changed, and it says %q", out.String())
	}
}

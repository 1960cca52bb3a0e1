package result

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

func gotCase(id string, s Status, errno uapi.Errno) CaseResult {
	c := CaseResult{ID: id, Status: s, Steps: []StepResult{{Got: step.Observation{Errno: errno}, ID: "r"}}}
	if s == Skip || s == Broken {
		c.Steps, c.Reason = nil, "why"
	}
	return c
}

func kernelOf(ref string, cases ...CaseResult) *KernelRun {
	return &KernelRun{Ref: ref, Release: "6.12.1", Accel: "tcg: forced", AccelName: "tcg",
		Boots: []Boot{{Fate: vm.Clean}}, Cases: cases}
}

func sideOf(kernels ...*KernelRun) *Side {
	return &Side{Name: "s", Runs: []*Run{{Version: Version, Tool: "t", Kernels: kernels}}}
}

// TestMeasured: a count that differs in each run is no decision. The masks of a token are one, and
// so is the errno of a step that counts.
func TestMeasured(t *testing.T) {
	seen := func(errno uapi.Errno, measured bool, v uint64) *Side {
		got := step.Observation{Errno: errno, Values: []uint64{v}}
		return sideOf(kernelOf("k", CaseResult{ID: "a", Status: Pass, Steps: []StepResult{{Got: got, Measured: measured}}}))
	}
	for _, tt := range []struct {
		base, new *Side
		want      Class
	}{
		{seen(0, true, 3), seen(0, true, 20), Same},
		{seen(0, false, 3), seen(0, true, 20), Same}, // an older record does not say it
		{seen(0, false, 3), seen(0, false, 20), Changed},
		{seen(0, true, 3), seen(ePERM, true, 3), Changed},
	} {
		if n := Compare(tt.base, tt.new).Counts(); n[tt.want] != 1 {
			t.Errorf("got %v, want 1 %s", n, tt.want)
		}
	}
}

// TestClasses compares every status, and no case, with every other: with the same answer and with
// another one.
func TestClasses(t *testing.T) {
	const none = Status("")
	// XFail has a test of its own.
	want := map[[2]Status]Class{
		{Pass, Pass}: Same, {Pass, Fail}: NewFailure, {Pass, Broken}: NoVerdict, {Pass, Skip}: Vanished,
		{Pass, none}: Vanished,
		{Fail, Pass}: Fixed, {Fail, Fail}: StillFailing, {Fail, Broken}: NoVerdict, {Fail, Skip}: Vanished,
		{Fail, none}: Vanished,
		{Skip, Pass}: NewCase, {Skip, Fail}: NewFailure, {Skip, Broken}: NoVerdict, {Skip, Skip}: Same,
		{Skip, none}:   Vanished,
		{Broken, Pass}: NewCase, {Broken, Fail}: NewFailure, {Broken, Broken}: Same, {Broken, Skip}: Same,
		{Broken, none}: Vanished,
		{none, Pass}:   NewCase, {none, Fail}: NewFailure, {none, Broken}: NoVerdict, {none, Skip}: NewCase,
		{Pass, Interrupted}: NoVerdict, {Fail, Interrupted}: NoVerdict, {Skip, Interrupted}: NoVerdict,
		{Broken, Interrupted}: Same, {none, Interrupted}: NoVerdict, {Interrupted, Interrupted}: Same,
		{Interrupted, Pass}: NewCase, {Interrupted, Fail}: NewFailure, {Interrupted, Broken}: Same,
		{Interrupted, Skip}: Same, {Interrupted, none}: Vanished,
	}
	codes := map[Class]int{NewFailure: ExitDiffers, NoVerdict: ExitNoVerdict}
	for key, class := range want {
		list := func(s Status, errno uapi.Errno) []CaseResult {
			out := []CaseResult{gotCase("other", Pass, 0)}
			if s != none {
				out = append(out, gotCase("a", s, errno))
			}
			return out
		}
		for _, errno := range []uapi.Errno{ePERM, eINVAL} {
			want := class
			if key == [2]Status{Pass, Pass} && errno == eINVAL {
				want = Changed
			}
			c := Compare(sideOf(kernelOf("k", list(key[0], ePERM)...)), sideOf(kernelOf("k", list(key[1], errno)...)))
			n := c.Counts()
			wantCounts := map[Class]int{Same: 1, want: 1}
			if want == Same {
				wantCounts[Same] = 2
			}
			if !reflect.DeepEqual(n, wantCounts) {
				t.Errorf("%v with errno %s: %v, want %v", key, errno, n, wantCounts)
			}
			if got := c.ExitCode(); got != codes[want] {
				t.Errorf("%v: exit code %d, want %d", key, got, codes[want])
			}
		}
	}
	if len(want) != 6*6-1 { // all but none and none
		t.Errorf("%d pairs are tried", len(want))
	}
}

func TestFlaky(t *testing.T) {
	pass, fail := kernelOf("k", gotCase("a", Pass, 0)), kernelOf("k", gotCase("a", Fail, ePERM))
	other, skip := kernelOf("k", gotCase("a", Pass, ePERM)), kernelOf("k", gotCase("a", Skip, 0))
	side := func(list ...*KernelRun) *Side {
		s := &Side{}
		for _, k := range list {
			s.Runs = append(s.Runs, &Run{Kernels: []*KernelRun{k}})
		}
		return s
	}
	for _, tt := range []struct {
		name      string
		base, new *Side
		want      Class
		note      string
	}{
		{"the new side varies", side(pass), side(pass, fail, pass), Flaky, ""},
		{"its answer varies", side(pass), side(pass, other), Flaky, ""},
		{"the base varies", side(fail, pass), side(fail), Flaky, "in the base"},
		{"all the same", side(pass, pass), side(pass, pass), Same, ""},
		{"a part that skips it does not make it vary", side(pass), side(skip, pass), Same, ""},
		{"a part that skips it does not hide a failure", side(pass), side(skip, fail), NewFailure, ""},
	} {
		c := Compare(tt.base, tt.new)
		got, note := Same, ""
		if p := c.Pairs[0]; len(p.Changes) > 0 {
			got, note = p.Changes[0].Class, p.Changes[0].Note()
		}
		if got != tt.want || note != tt.note {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, got, note, tt.want, tt.note)
		}
	}
	c := Compare(side(pass), side(pass, fail, pass)).Pairs[0].Changes[0]
	if c.New.Status != Fail || !reflect.DeepEqual(c.Seen, map[Status]int{Pass: 2, Fail: 1}) {
		t.Errorf("it shows %s, seen %v: want the failure, seen once of three times", c.New.Status, c.Seen)
	}
}

// TestParts: the parts of a split run are one side, in which no case is missing or new.
func TestParts(t *testing.T) {
	whole := sideOf(kernelOf("k", gotCase("a", Pass, 0), gotCase("b", Pass, 0), gotCase("c", Pass, 0)))
	parts := &Side{Runs: []*Run{{Kernels: []*KernelRun{kernelOf("k", gotCase("a", Pass, 0))}},
		{Kernels: []*KernelRun{kernelOf("k", gotCase("b", Pass, 0), gotCase("c", Fail, ePERM))}}}}
	if n := Compare(whole, parts).Counts(); !reflect.DeepEqual(n, map[Class]int{Same: 2, NewFailure: 1}) {
		t.Errorf("with the parts: %v", n)
	}
	if n := Compare(parts, whole).Counts(); !reflect.DeepEqual(n, map[Class]int{Same: 2, Fixed: 1}) {
		t.Errorf("from the parts: %v", n)
	}
}

func TestPairs(t *testing.T) {
	a, b, c, d := kernelOf("a"), kernelOf("b"), kernelOf("c"), kernelOf("d")
	for _, tt := range []struct {
		base, new []*KernelRun
		want      string
	}{
		{[]*KernelRun{a, b}, []*KernelRun{b, a}, "b-b a-a"},
		{[]*KernelRun{a}, []*KernelRun{b}, "a-b"},
		{[]*KernelRun{a, b}, []*KernelRun{a, c}, "a-a b-c"},
		{[]*KernelRun{a, b}, []*KernelRun{c, d}, "-c -d a- b-"},
		{[]*KernelRun{a}, []*KernelRun{a, b}, "a-a -b"},
		{nil, []*KernelRun{a}, "-a"},
	} {
		var got []string
		for _, p := range Compare(sideOf(tt.base...), sideOf(tt.new...)).Pairs {
			text := "-"
			if p.Base != nil {
				text = p.Base.Ref + text
			}
			if p.New != nil {
				text += p.New.Ref
			}
			got = append(got, text)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s, want %s", s, tt.want)
		}
	}
	two := sideOf(a, b)
	two.Kernel = "b"
	if p := Compare(two, sideOf(c)).Pairs; len(p) != 1 || p[0].Base != b {
		t.Errorf("one chosen kernel of two: %v", p)
	}
}

// TestSymptoms: a new finding is a new failure, whatever the cases say; what is unknown has no
// verdict.
func TestSymptoms(t *testing.T) {
	clean := func() *KernelRun { return kernelOf("k", gotCase("a", Pass, 0)) }
	with := func(b Boot) *Side { k := clean(); k.Boots = append(k.Boots, b); return sideOf(k) }
	warn := Boot{Fate: vm.Tainted, Findings: []splat.Finding{{Title: "WARNING in f"}, {Title: "WARNING in f"}}}
	other := Boot{Fate: vm.Tainted, Findings: []splat.Finding{{Title: "KASAN in g"}}}
	panicked := Boot{Fate: vm.Panicked, Blame: "a/b"}
	starved := Boot{Fate: vm.Infra, Host: &splat.Share{}, Findings: []splat.Finding{{Title: "soft lockup in f",
		Host: &splat.Share{}}}}
	failed := sideOf(&KernelRun{Ref: "k", Error: "no such suite"})
	interrupted := sideOf(clean())
	interrupted.Runs[0].Interrupted = true
	for _, tt := range []struct {
		name      string
		base, new *Side
		found     []string
		code      int
	}{
		{"none", sideOf(clean()), sideOf(clean()), nil, ExitOK},
		{"a new one", sideOf(clean()), with(warn), []string{"WARNING in f"}, ExitDiffers},
		{"a known one", with(warn), with(warn), nil, ExitOK},
		{"another one", with(warn), with(other), []string{"KASAN in g"}, ExitDiffers},
		{"one is gone", with(warn), sideOf(clean()), nil, ExitOK},
		{"a panic", sideOf(clean()), with(panicked), []string{"panicked under a/b"}, ExitDiffers},
		{"the host's fault", sideOf(clean()), with(starved), nil, ExitOK},
		{"a machine was lost", sideOf(clean()), with(Boot{Fate: vm.Lost}), nil, ExitOK},
		{"the kernel could not be tried", sideOf(clean()), failed, nil, ExitNoVerdict},
		{"one kernel was not asked for", sideOf(clean(), kernelOf("l")), sideOf(clean()), nil, ExitOK},
		{"no kernel is on both sides", sideOf(kernelOf("l"), kernelOf("m")), sideOf(clean()), nil, ExitNoVerdict},
		{"a kernel more", sideOf(clean()), sideOf(clean(), kernelOf("l", gotCase("a", Pass, 0))), nil, ExitOK},
		{"a kernel more, that fails", sideOf(clean()), sideOf(clean(), kernelOf("l", gotCase("a", Fail, 0))), nil,
			ExitDiffers},
		{"the base lacks it", failed, sideOf(clean()), nil, ExitOK},
		{"interrupted", sideOf(clean()), interrupted, nil, ExitNoVerdict},
		{"nothing", sideOf(), sideOf(), nil, ExitNoVerdict},
	} {
		c := Compare(tt.base, tt.new)
		var found []string
		for _, p := range c.Pairs {
			for _, f := range p.Findings {
				found = append(found, f.Title)
			}
		}
		if got := c.ExitCode(); got != tt.code || !slices.Equal(found, tt.found) {
			t.Errorf("%s: exit code %d, found %q, want %d, %q", tt.name, got, found, tt.code, tt.found)
		}
	}
}

func TestUnlike(t *testing.T) {
	same, other := sideOf(kernelOf("k")), sideOf(kernelOf("k"))
	if u := Compare(same, other).Unlike; len(u) != 0 {
		t.Errorf("unlike: %q", u)
	}
	other.Runs[0].Tool, other.Runs[0].Kernels[0].AccelName, other.Runs[0].Kernels[0].Digest = "newer", "kvm",
		"1234567890123456"
	same.Runs[0].Kernels[0].Digest = "abc"
	got := strings.Join(Compare(same, other).Unlike, "\n")
	for _, want := range []string{"tokentest: t, then newer", "accelerator: tcg, then kvm",
		"k: another image of the same release, abc, then 123456789012"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestKnownIsNoFinding: a machine that ended as a known defect says is no new finding.
func TestKnownIsNoFinding(t *testing.T) {
	base, now := sideOf(kernelOf("k")), sideOf(kernelOf("k"))
	now.Runs[0].Kernels[0].Boots = append(now.Runs[0].Kernels[0].Boots,
		Boot{Fate: vm.Panicked, Findings: []splat.Finding{{Title: "BUG in f"}}})
	if c := Compare(base, now); len(c.Pairs[0].Findings) != 1 || c.ExitCode() != ExitDiffers {
		t.Errorf("a panic: %v, exit code %d", c.Pairs[0].Findings, c.ExitCode())
	}
	now.Runs[0].Kernels[0].Boots[1].Known = "f has no check"
	if c := Compare(base, now); len(c.Pairs[0].Findings) != 0 || c.ExitCode() != ExitOK {
		t.Errorf("a panic that is known: %v, exit code %d", c.Pairs[0].Findings, c.ExitCode())
	}
}

// TestOtherSteps: a case with other steps counts as new, because its answers cannot be compared.
func TestOtherSteps(t *testing.T) {
	longer := gotCase("a", Pass, 0)
	longer.Steps = append(longer.Steps, longer.Steps...)
	c := Compare(sideOf(kernelOf("k", gotCase("a", Pass, 0))), sideOf(kernelOf("k", longer)))
	if n := c.Counts(); n[NewCase] != 1 || c.Pairs[0].Changes[0].Detail != OtherSteps {
		t.Errorf("%v: %+v", n, c.Pairs[0].Changes)
	}
}

// TestFatal: a class in Fatal gives exit code 1.
func TestFatal(t *testing.T) {
	c := Compare(sideOf(kernelOf("k", gotCase("a", Pass, 0))), sideOf(kernelOf("k", gotCase("a", Pass, ePERM))))
	if got := c.ExitCode(); got != ExitOK {
		t.Errorf("a changed decision alone: %d", got)
	}
	c.Fatal = []Class{Vanished, Changed}
	if got := c.ExitCode(); got != ExitDiffers {
		t.Errorf("a changed decision that is fatal: %d", got)
	}
}

// TestAsked: a vanished case counts only if the new side selected it.
func TestAsked(t *testing.T) {
	c := Compare(sideOf(kernelOf("k", gotCase("a/1", Pass, 0), gotCase("b/1", Pass, 0))),
		sideOf(kernelOf("k", gotCase("b/2", Pass, 0))))
	c.Asked(func(id string) bool { return strings.HasPrefix(id, "b/") })
	if n := c.Counts(); n[Vanished] != 1 || n[NewCase] != 1 || c.Pairs[0].Changes[1].ID != "b/1" {
		t.Errorf("%v: %+v", n, c.Pairs[0].Changes)
	}
}

// TestSideOf: Of keeps the kernels that the run has.
func TestSideOf(t *testing.T) {
	base := sideOf(kernelOf("a"), kernelOf("b"))
	for _, tt := range []struct{ ref, want string }{{"b", "b"}, {"c", "a b"}} {
		var got []string
		for _, k := range base.Of(sideOf(kernelOf(tt.ref)).Runs[0]).Runs[0].Kernels {
			got = append(got, k.Ref)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("for a run of %s: %v, want %s", tt.ref, got, tt.want)
		}
	}
	if len(base.Runs[0].Kernels) != 2 {
		t.Error("the side itself has changed")
	}
}

// TestBaseline: a comparison with a baseline is the same as one with its run.
func TestBaseline(t *testing.T) {
	r := aRun()
	r.Interrupted = false
	r.Kernels[0].Cases = append(r.Kernels[0].Cases, gotCase("a/d", Pass, ePERM), gotCase("a/e", Broken, 0))
	for _, name := range []string{"b.jsonl", "b.jsonl.gz"} {
		path := filepath.Join(t.TempDir(), name)
		if err := WriteBaseline(path, r); err != nil {
			t.Fatal(err)
		}
		base, err := (&Loader{}).Side(path)
		if err != nil {
			t.Fatal(err)
		}
		c := Compare(base, &Side{Runs: []*Run{r}})
		if n := c.Counts(); !reflect.DeepEqual(n, map[Class]int{Same: 3, StillFailing: 1}) ||
			len(c.Pairs[0].Findings) > 0 || len(c.Unlike) > 0 {
			t.Errorf("%s: %v, %v, unlike %q", name, n, c.Pairs[0].Findings, c.Unlike)
		}
		left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
		if len(left) != 1 {
			t.Errorf("%s: the directory holds %q", name, left)
		}
	}
}

func TestBaselineErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]string{
		write("empty", ""):       "empty:1: not a baseline",
		write("no", "what\n"):    "no:1: not a baseline",
		write("other", "{}\n"):   "other:1: not a baseline",
		write("torn.gz", "what"): "torn.gz",
		write("new", `{"baseline":9,"run":{"version":9}}`+"\n"): "use a newer one",

		write("bad", `{"baseline":1,"run":{"version":1,"kernels":[{}]}}`+"\n"+
			`{"kernel":3,"case":"a"}`+"\n"): "bad:2: kernel 3",
		filepath.Join(dir, "absent"): "find a run or a baseline",
		dir:                          "holds no run",
	} {
		if _, err := (&Loader{}).Side(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if err := WriteBaseline(filepath.Join(dir, "no", "such"), aRun()); err == nil {
		t.Error("a baseline in no directory is written")
	}
}

func TestLoadSide(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"1", "2"} {
		if err := os.Rename(save(t, aRun()), filepath.Join(top, name)); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(top, "1")
	for name, want := range map[string]int{one: 1, top: 2, one + "," + filepath.Join(top, "2"): 2} {
		s, err := (&Loader{}).Side(name)
		if err != nil || len(s.Runs) != want {
			t.Errorf("%s: %v, %v, want %d runs", name, s, err, want)
		}
	}
}

package result

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// TestExitCode tries every fate with every status: a difference takes precedence over a missing
// verdict, and that over success.
func TestExitCode(t *testing.T) {
	fates := map[vm.Fate]int{
		vm.Clean: ExitOK, vm.Tainted: ExitDiffers, vm.Panicked: ExitDiffers, vm.Hung: ExitDiffers,
		vm.Lost: ExitNoVerdict, vm.Unbooted: ExitNoVerdict, vm.Infra: ExitNoVerdict,
	}
	codes := map[Status]int{Pass: ExitOK, Skip: ExitOK, Fail: ExitDiffers, Broken: ExitNoVerdict,
		Interrupted: ExitNoVerdict}
	for fate, ofFate := range fates {
		for status, ofStatus := range codes {
			for _, other := range []Status{Pass, Skip, Fail, Broken, Interrupted} {
				k := &KernelRun{Boots: []Boot{{Fate: vm.Clean}, {Fate: fate}, {Fate: vm.Clean}},
					Cases: []CaseResult{{Status: status}, {Status: other}}}
				want := worst(ofFate, ofStatus, codes[other])
				if status == Skip && other == Skip { // nothing was decided
					want = worst(want, ExitNoVerdict)
				}
				if got := (&Run{Kernels: []*KernelRun{k}}).ExitCode(); got != want {
					t.Errorf("%s, %s and %s: exit %d, want %d", fate, status, other, got, want)
				}
				if got := (&Run{Kernels: []*KernelRun{k}, Interrupted: true}).ExitCode(); got != worst(want, ExitNoVerdict) {
					t.Errorf("%s, %s and %s, interrupted: exit %d", fate, status, other, got)
				}
			}
		}
	}
}

// TestRecordCode: --exit record tells a complete record from a run that must be started again.
func TestRecordCode(t *testing.T) {
	bad := &KernelRun{Boots: []Boot{{Fate: vm.Infra}}, Cases: []CaseResult{{Status: Fail}, {Status: Broken}}}
	for _, tt := range []struct {
		name string
		run  Run
		want int
	}{
		{"whole, with failures", Run{Kernels: []*KernelRun{bad}}, ExitOK},
		{"interrupted", Run{Kernels: []*KernelRun{bad}, Interrupted: true}, ExitNoVerdict},
		{"not tried", Run{Kernels: []*KernelRun{bad, {Error: "no such package"}}}, ExitNoVerdict},
		{"a record is missing", Run{Kernels: []*KernelRun{{Cases: bad.Cases, Absent: 1, Planned: 3}}}, ExitNoVerdict},
		{"nothing", Run{}, ExitNoVerdict},
		{"an idle part", Run{Part: &Part{I: 4, N: 4}}, ExitOK},
	} {
		if got := tt.run.RecordCode(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// worst is the code of several verdicts: 1 before 3 before 0.
func worst(codes ...int) int {
	out := ExitOK
	for _, c := range codes {
		if c == ExitDiffers || c == ExitNoVerdict && out == ExitOK {
			out = c
		}
	}
	return out
}

func TestExitCodeOfKernels(t *testing.T) {
	good := &KernelRun{Boots: []Boot{{Fate: vm.Clean}}, Cases: []CaseResult{{Status: Pass}}}
	bad := &KernelRun{Boots: []Boot{{Fate: vm.Clean}}, Cases: []CaseResult{{Status: Fail}}}
	none := &KernelRun{Error: "no such package"}
	silent := &KernelRun{Boots: []Boot{{Fate: vm.Clean}}}
	for _, tt := range []struct {
		name    string
		kernels []*KernelRun
		want    int
	}{
		{"one good", []*KernelRun{good}, ExitOK},
		{"one of two bad", []*KernelRun{good, bad}, ExitDiffers},
		{"one of two could not be tried", []*KernelRun{none, good}, ExitNoVerdict},
		{"bad outdoes what could not be tried", []*KernelRun{none, bad, none}, ExitDiffers},
		{"no case was answered", []*KernelRun{silent}, ExitNoVerdict},
		{"no kernel", nil, ExitNoVerdict},
	} {
		if got := (&Run{Kernels: tt.kernels}).ExitCode(); got != tt.want {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestCounts(t *testing.T) {
	k := &KernelRun{Cases: []CaseResult{{Status: Pass}, {Status: Fail}, {Status: Pass}}}
	if got, want := k.Counts(), map[Status]int{Pass: 2, Fail: 1}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(Statuses()) != 6 || Statuses()[0] != Fail {
		t.Errorf("statuses %v", Statuses())
	}
}

func aRun() *Run {
	want := ePERM
	made := StepResult{Text: "owner map_create", Got: step.Observation{Proof: step.Works, Values: []uint64{1, 1 << 63}},
		Want: &want,
		Rule: "the map type wants CAP_BPF", Func: "map_create", ID: "map_create/no-cap-bpf", Pin: "a.txt:3 (b)", Wrong: true}
	return &Run{
		Version: Version, Tool: "abc", Args: []string{"run", "--kernel", "x"},
		Start: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), End: time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC),
		Interrupted: true,
		Kernels: []*KernelRun{
			{Ref: "x", Release: "6.12.1", Facts: &step.Facts{Release: "6.12.1", Token: true,
				Max: map[string]uint32{"bpf_cmd": 37}},
				Boots: []Boot{{Dir: "x/boot0", Fate: vm.Tainted, Reason: "r", Blame: "a/b", Blamed: Blame{Case: "a/b"},
					Boot: time.Second, Decide: 5, Total: 7, Cases: 2,
					Findings: []splat.Finding{{Title: "WARNING in f"}}}},
				Cases: []CaseResult{
					{ID: "a/b", Status: Fail, Reason: "got ok, want EPERM", Cause: Cause{Kind: ByStep, Step: 1, Rule: made.ID},
						Steps: []StepResult{made}},
					{ID: "a/c", Status: Skip, Reason: "no", Cause: Cause{Kind: Unmet}, Boot: -1},
				}, Decide: time.Millisecond},
			{Ref: "y", Error: "no such package"},
		},
	}
}

func save(t *testing.T, r *Run) string {
	t.Helper()
	dir := t.TempDir()
	s, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range r.Kernels {
		if err := s.Append(i, k); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(r); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStore(t *testing.T) {
	want := aRun()
	dir := save(t, want)
	want.Dir = dir
	got, err := Load(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("loaded %+v, %v,\nwant %+v", got, err, want)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 2 {
		t.Errorf("the directory holds %q, want two files", names)
	}
	if _, err := Create(dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second run in the directory: %v", err)
	}
}

// Records are readable as soon as they are appended, also without run.json.
func TestAppendIsOnTheDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := aRun()
	if err := s.Append(0, r.Kernels[0]); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, recordsFile))
	if err != nil || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%d records, %v", strings.Count(string(text), "\n"), err)
	}
	if err := s.Close(r); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(1, r.Kernels[0]); err == nil || !strings.Contains(err.Error(), "write the run's records") {
		t.Errorf("appending to a closed store: %v", err)
	}
}

func damage(t *testing.T, dir, file string, change func(text string) string) {
	t.Helper()
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(change(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
}

// If the last record is cut off anywhere, only that record is lost.
func TestTornRecord(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join(save(t, aRun()), recordsFile))
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(whole), "\n") + 1
	for n := first; n <= len(whole); n++ {
		dir := save(t, aRun())
		damage(t, dir, recordsFile, func(s string) string { return s[:n] })
		want := 1
		if n == len(whole) {
			want = 2
		}
		r, err := Load(dir)
		if err != nil || len(r.Kernels[0].Cases) != want || (len(r.Damage) == 0) != (n == len(whole)) {
			t.Fatalf("cut at %d of %d: %v, want %d cases; %q", n, len(whole), err, want, r.Damages())
		}
	}
	dir := save(t, aRun()) // of an older tokentest nobody can tell
	strip(t, dir)
	damage(t, dir, recordsFile, func(s string) string { return s[:len(s)-1] })
	if r, err := Load(dir); err != nil || len(r.Kernels[0].Cases) != 1 || len(r.Damage) != 0 {
		t.Fatalf("cut off, without numbers: %v, %+v", err, r)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		change     func(string) string
		want       string
	}{
		{"a corrupt line", recordsFile, func(s string) string {
			return strings.Replace(s, `{"kernel":0,"case":"a/c"`,
				`{"kernel":0,case`, 1)
		}, recordsFile + ":2: "},
		{"a torn line in the middle", recordsFile, func(s string) string { return s[:20] + "\n" + s }, recordsFile + ":1: "},
		{"a kernel too many", recordsFile, func(s string) string {
			return strings.Replace(s, `"kernel":0`, `"kernel":2`,
				1)
		}, recordsFile + ":1: kernel 2 is not in the run"},
		{"a kernel too few", recordsFile, func(s string) string {
			return strings.Replace(s, `"kernel":0`, `"kernel":-1`,
				1)
		}, recordsFile + ":1: kernel -1 is not in the run"},
		{"another version", runFile, func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 2`, 1) },
			"it has version 2, but this tokentest reads versions up to 1"},
		{"no JSON", runFile, func(string) string { return "{" }, runFile},
	} {
		dir := save(t, aRun())
		if tt.file == recordsFile {
			strip(t, dir)
		}
		damage(t, dir, tt.file, tt.change)
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, file := range []string{recordsFile, runFile} {
		dir := save(t, aRun())
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

func TestExplain(t *testing.T) {
	perm, ok := ePERM, uapi.OK
	for _, tt := range []struct {
		s    StepResult
		want string
	}{
		{StepResult{Want: &perm, Rule: "r", Func: "f"}, "got ok, want EPERM: r (f)"},
		{StepResult{Got: step.Observation{Errno: 22}, Want: &ok, Rule: "r"}, "got EINVAL, want ok: r"},
		{StepResult{Got: step.Observation{Errno: 22}, Rule: "r"}, "got EINVAL, want an unknown answer: r"},
		{StepResult{Got: step.Observation{Proof: step.DoesNotWork}, Want: &ok}, "got an object that does not work"},
		{StepResult{Want: &ok, Rule: "the masks"}, "the masks"},
	} {
		if got := tt.s.Explain(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

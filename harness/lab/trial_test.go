package lab

import (
	"context"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// newTrial is a trial without a machine, for the cases of patterns.
func newTrial(t *testing.T, patterns ...string) (*trial, []*cases.Case) {
	t.Helper()
	all := plan.ByWorld(newPlan(t, 0, patterns...).Cases)
	return &trial{lab: &Lab{}, out: &result.KernelRun{Ref: "k"}, results: newResults(all), total: len(all)}, all
}

func TestResults(t *testing.T) {
	_, all := newTrial(t, "token_create/any/owner")
	r := newResults(all)
	if len(all) < 3 || r.done != 0 || r.of(all[0]) != nil {
		t.Fatalf("%d cases, %d results", len(all), r.done)
	}
	r.set(all[1], result.CaseResult{ID: all[1].ID, Status: result.Pass})
	r.set(all[1], result.CaseResult{ID: all[1].ID, Status: result.Fail})
	r.set(all[2], result.CaseResult{ID: all[2].ID, Status: result.Skip})
	if r.done != 2 || r.of(all[1]).Status != result.Fail || r.of(all[0]) != nil || r.of(all[1]).ID != all[1].ID {
		t.Errorf("%d results: %+v, %+v", r.done, r.of(all[1]), r.of(all[2]))
	}
	r.forget(all[1])
	r.forget(all[1])
	if r.done != 1 || r.of(all[1]) != nil || r.of(all[2]) == nil {
		t.Errorf("%d results after one was dropped", r.done)
	}
	var k result.KernelRun
	k.Hold(r.Results)
	if k.Len() != 1 || k.Find(all[2].ID) == nil || k.Find(all[1].ID) != nil || k.Counts()[result.Skip] != 1 {
		t.Errorf("the kernel has %d cases: %v", k.Len(), k.Counts())
	}
	other := *all[0]
	other.Group = &cases.Group{}
	if r.of(&other) != nil {
		t.Error("a case of another plan has a result")
	}
}

// TestUnansweredCases: cases without a result become broken or interrupted, and those
// with one keep it.
func TestUnansweredCases(t *testing.T) {
	for name, tt := range map[string]struct {
		do     func(tr *trial, all []*cases.Case)
		status result.Status
		failed int
	}{
		"given up": {func(tr *trial, all []*cases.Case) {
			tr.abandon(all, result.Cause{Kind: result.Unanswered}, "given up")
		}, result.Broken, 1},
		"interrupted": {func(tr *trial, all []*cases.Case) { tr.markInterrupted(t.Context(), all) }, result.Interrupted, 0},
	} {
		tr, all := newTrial(t, "token_create/any/owner")
		var wrong []string
		tr.lab.Progress = func(p Progress) {
			if p.Wrong != nil {
				wrong = append(wrong, p.Wrong.ID)
			}
		}
		for _, c := range all[1:] {
			tr.set(c, result.CaseResult{ID: c.ID, Status: result.Pass})
		}
		if open := tr.withoutResult(all); len(open) != 1 || open[0] != all[0] {
			t.Fatalf("%s: %d cases without a result", name, len(open))
		}
		tt.do(tr, all)
		r := tr.results.of(all[0])
		if r == nil || r.Status != tt.status || r.Boot != -1 || tr.failed != tt.failed || len(wrong) != tt.failed {
			t.Errorf("%s: got %+v, %d failed, reported %q", name, r, tr.failed, wrong)
		}
		if tr.results.of(all[1]).Status != result.Pass || len(tr.withoutResult(all)) != 0 {
			t.Errorf("%s: another case is %+v", name, tr.results.of(all[1]))
		}
	}
}

// TestPortions: which cases share a machine.
func TestPortions(t *testing.T) {
	tr, all := newTrial(t, "token_create/any/owner", "nested_userns")
	groups := map[*cases.Group]bool{}
	for _, c := range all {
		groups[c.Group] = true
	}
	for isolate, want := range map[Isolation]int{Together: 1, GroupAlone: len(groups), CaseAlone: len(all)} {
		tr.lab.Isolate = isolate
		lists := tr.portions(all)
		if len(lists) != want {
			t.Errorf("%q: %d portions, want %d", isolate, len(lists), want)
		}
		if got := slices.Concat(lists...); len(got) != len(all) {
			t.Errorf("%q: %d cases in the portions, want %d", isolate, len(got), len(all))
		}
		for _, list := range lists {
			for _, c := range list {
				if isolate == GroupAlone && c.Group != list[0].Group {
					t.Errorf("%s and %s share a machine", c.ID, list[0].ID)
				}
			}
		}
	}
}

func TestBootOutcome(t *testing.T) {
	for _, tt := range []struct {
		fate           vm.Fate
		refused        bool
		died, hopeless bool
	}{
		{vm.Clean, false, false, false},
		{vm.Tainted, false, false, false},
		{vm.Panicked, false, true, false},
		{vm.Hung, false, true, false},
		{vm.Lost, false, true, false},
		{vm.Lost, true, true, true},
		{vm.Unbooted, false, false, true},
		{vm.Infra, false, false, true},
	} {
		b := bootOutcome{exit: vm.Exit{Fate: tt.fate}, refused: tt.refused}
		if b.died() != tt.died || b.hopeless() != tt.hopeless || b.starved() {
			t.Errorf("%s, refused %v: died %v, hopeless %v", tt.fate, tt.refused, b.died(), b.hopeless())
		}
		if c := b.cause(); c.Kind != result.Unanswered || c.Fate != tt.fate {
			t.Errorf("%s: the cause is %+v", tt.fate, c)
		}
	}
}

// TestDenied: a denied case and those that it guards are not run.
func TestDenied(t *testing.T) {
	l := newLab(t, "clean")
	const denied = "token_create/any/owner/none/0"
	l.Lists = []result.ListEntry{{Kind: result.DenyList, Pattern: denied, Where: "deny.txt:1", Reason: "slow"}}
	k := run(t, l, 0, "token_create/any/owner")
	n := k.Counts()
	if n[result.Skip] == 0 || n[result.Pass]+n[result.Skip] != len(k.Cases) || k.Boots[0].Cases != n[result.Pass] {
		t.Errorf("%v of %d cases, the machine answered %d", n, len(k.Cases), k.Boots[0].Cases)
	}
	if c := k.Find(denied); c.Status != result.Skip || c.Boot != -1 ||
		!strings.Contains(c.Reason, "denied: slow (deny.txt:1)") {
		t.Errorf("the denied case is %+v", c)
	}
}

// TestEverythingDenied: without a case to run, no machine starts, and the record says so.
func TestEverythingDenied(t *testing.T) {
	l := newLab(t, "clean")
	l.Lists = []result.ListEntry{{Kind: result.DenyList, Pattern: "*", Where: "deny.txt:1", Reason: "all"}}
	r, err := l.Run(t.Context(), newPlan(t, 0, "nested_userns"), nil)
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kernels[0]
	k.Unpack()
	if len(k.Boots) != 0 || k.Planned != len(k.Cases) || k.Counts()[result.Skip] != len(k.Cases) {
		t.Errorf("%d boots, %d planned, %v", len(k.Boots), k.Planned, k.Counts())
	}
	if r.ExitCode() != result.ExitNoVerdict {
		t.Errorf("exit code %d, want no verdict", r.ExitCode())
	}
}

// TestKernelWithoutCases: a kernel that cannot be tried has no case; its record says how
// many were planned and why there is none, and reads back the same.
func TestKernelWithoutCases(t *testing.T) {
	l := newLab(t, "clean")
	p := newPlan(t, 0, "token_create")
	p.Kernels = []string{"nowhere"}
	r, err := l.Run(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := result.Load(l.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*result.KernelRun{"run": r.Kernels[0], "stored": stored.Kernels[0]} {
		if k.Error == "" || k.Planned != tokenCreate() || k.Len() != 0 || k.Absent != 0 || len(k.Boots) != 0 {
			t.Errorf("%s: error %q, %d planned, %d cases, %d absent", name, k.Error, k.Planned, k.Len(), k.Absent)
		}
	}
	if r.ExitCode() != result.ExitNoVerdict || stored.ExitCode() != result.ExitNoVerdict || len(stored.Gaps()) != 0 {
		t.Errorf("exit codes %d and %d, gaps %q", r.ExitCode(), stored.ExitCode(), stored.Gaps())
	}
	if not, of := stored.NotTried(); not != tokenCreate() || of != tokenCreate() {
		t.Errorf("%d of %d cases were not tried", not, of)
	}
}

// TestCancelledBeforeStart: a run whose context has ended starts nothing.
func TestCancelledBeforeStart(t *testing.T) {
	l := newLab(t, "clean")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := l.Run(ctx, newPlan(t, 0, "nested_userns"), nil)
	if err != nil || !r.Interrupted || r.Kernels[0].Error != result.StopSignal.Kernel() || r.Kernels[0].Planned != 1 {
		t.Errorf("%v, interrupted %v, %+v", err, r.Interrupted, r.Kernels[0])
	}
}

func TestTally(t *testing.T) {
	pass, fail := result.CaseResult{ID: "a", Status: result.Pass},
		result.CaseResult{ID: "a", Status: result.Fail, Reason: "got EPERM"}
	skip := result.CaseResult{ID: "a", Status: result.Skip, Reason: "no BTF"}
	for _, tt := range []struct {
		name   string
		list   []result.CaseResult
		status result.Status
		times  map[result.Status]int
		reason string
		vary   string
	}{
		{"once", []result.CaseResult{pass}, result.Pass, nil, "", ""},
		{"all the same", []result.CaseResult{fail, fail, fail}, result.Fail, nil, "got EPERM", ""},
		{"the last fails", []result.CaseResult{pass, pass, fail}, result.Fail,
			map[result.Status]int{result.Pass: 2, result.Fail: 1}, "flaky, 1 fail and 2 pass: got EPERM", ", 1 case varies"},
		{"the first fails", []result.CaseResult{fail, pass, pass}, result.Fail,
			map[result.Status]int{result.Pass: 2, result.Fail: 1}, "flaky, 1 fail and 2 pass: got EPERM", ", 1 case varies"},
		{"a skip is worse than a pass", []result.CaseResult{pass, skip}, result.Skip,
			map[result.Status]int{result.Pass: 1, result.Skip: 1}, "flaky, 1 skip and 1 pass: no BTF", ", 1 case varies"},
	} {
		var sum tally
		for _, r := range tt.list {
			sum.add([]result.CaseResult{r})
		}
		if got := sum.varying(); got != tt.vary {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.vary)
		}
		sum.explain()
		got := sum.list[0]
		if got.Status != tt.status || got.Reason != tt.reason || len(got.Times) != len(tt.times) ||
			sum.times != len(tt.list) {
			t.Errorf("%s: got %+v", tt.name, got)
		}
		for status, n := range tt.times {
			if got.Times[status] != n {
				t.Errorf("%s: %d times %s, want %d", tt.name, got.Times[status], status, n)
			}
		}
	}
}

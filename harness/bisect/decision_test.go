package bisect

import (
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

const (
	ok    uapi.Errno = 0
	eperm uapi.Errno = 1
)

var skipped = Decision{Skipped: true}

// dec is the decision of a case with these answers.
func dec(steps ...string) Decision { return Decision{Steps: steps} }

// answers is a kernel that answered cases, each with one step.
func answers(list ...result.CaseResult) *result.KernelRun { return &result.KernelRun{Cases: list} }

func answered(id string, s result.Status, e uapi.Errno) result.CaseResult {
	return result.CaseResult{ID: id, Status: s, Steps: []result.StepResult{{Got: step.Observation{Errno: e},
		Wrong: s == result.Fail}}}
}

func TestJudge(t *testing.T) {
	splat := answers(answered("a", result.Pass, ok), answered("b", result.Pass, ok))
	splat.Boots = []result.Boot{{Fate: vm.Tainted}, {Fate: vm.Panicked}}
	broke := answered("a", result.Broken, eperm)
	broke.Steps[0].Wrong = true
	skip := result.CaseResult{ID: "a", Status: result.Skip}
	died := result.CaseResult{ID: "a", Status: result.Broken}
	for _, tt := range []struct {
		name string
		good Decisions
		all  bool
		k    *result.KernelRun
		want Outcome
		why  string
	}{
		{"as before", Decisions{"a": dec("ok")}, false, answers(answered("a", result.Pass, ok)), Good, "1 of 1"},
		{"differs", Decisions{"a": dec("ok")}, false, answers(answered("a", result.Fail, eperm)), Bad,
			"a decides EPERM, not ok"},
		{"the oracle expects it now", Decisions{"a": dec("ok")}, false, answers(answered("a", result.Pass, eperm)), Bad,
			"a decides EPERM"},
		{"it fails", Decisions{"a": {}}, false, answers(answered("a", result.Fail, eperm)), Bad,
			"a fails (it decides EPERM)"},
		{"another answer that passes", Decisions{"a": {}}, false, answers(answered("a", result.Pass, eperm)), Good, ""},
		{"an unrelated failure", Decisions{"b": {}}, false, answers(answered("a", result.Fail, eperm),
			answered("b", result.Pass, ok)), Good, ""},
		{"an unrelated splat and a panic", Decisions{"a": dec("ok"), "b": {}}, false, splat, Good, ""},
		{"one of two", Decisions{"a": dec("ok"), "b": dec("ok")}, false,
			answers(answered("a", result.Fail, eperm), answered("b", result.Pass, ok)), Bad, ""},
		{"one of two is not all", Decisions{"a": dec("ok"), "b": dec("ok")}, true,
			answers(answered("a", result.Fail, eperm), answered("b", result.Pass, ok)), Good, ""},
		{"two of two", Decisions{"a": dec("ok"), "b": dec("ok")}, true,
			answers(answered("a", result.Fail, eperm), answered("b", result.Fail, eperm)), Bad, "and 1 other"},
		{"the machine died before it", Decisions{"a": dec("ok")}, false, answers(died), Skip, "no verdict on a"},
		{"it is not there", Decisions{"a": dec("ok")}, false, answers(), Skip, ""},
		{"a broken control that answered", Decisions{"a": {}}, false, answers(broke), Bad, ""},
		{"skipped, as the good end", Decisions{"a": skipped}, false, answers(skip), Good, ""},
		{"no longer skipped", Decisions{"a": skipped}, false, answers(answered("a", result.Pass, ok)), Bad,
			"a decides ok, not skip"},
		{"skipped, where it must pass", Decisions{"a": {}}, false, answers(skip), Skip, "no verdict on a"},
		{"one cannot be asked, the other passes", Decisions{"a": {}, "b": {}}, false,
			answers(skip, answered("b", result.Pass, ok)), Good, "1 of 1"},
		{"one cannot be asked, the other fails", Decisions{"a": {}, "b": {}}, true,
			answers(skip, answered("b", result.Fail, eperm)), Bad, "b fails"},
		{"one cannot be asked, the other died", Decisions{"a": {}, "b": {}}, false,
			answers(skip, result.CaseResult{ID: "b", Status: result.Broken}), Skip, "no verdict on b"},
	} {
		p := &Predicate{Good: tt.good, All: tt.all}
		if got, why := p.Judge(tt.k); got != tt.want || !strings.Contains(why, tt.why) {
			t.Errorf("%s: got %s (%s), want %s (%s)", tt.name, got, why, tt.want, tt.why)
		}
	}
}

func TestChanges(t *testing.T) {
	before := Decisions{"a": dec("ok"), "b": dec("ok"), "gone": dec("ok")}
	after := Decisions{"a": dec("EPERM"), "b": dec("ok"), "new": dec("ok")}
	if got := Changes(before, after); len(got) != 1 || got[0] != "a" {
		t.Errorf("got %v, want a", got)
	}
}

func TestAnswers(t *testing.T) {
	good := Decisions{"new": skipped, "gone": dec("ok"), "changed": dec("ok")}
	bad := Decisions{"new": dec("ok"), "gone": skipped, "changed": dec("EPERM")}
	if got := Answers(good, bad); len(got) != 1 || !got["changed"].Equal(dec("ok")) {
		t.Errorf("got %v, want the answer that changed", got)
	}
	delete(good, "changed")
	if got := Answers(good, bad); len(got) != 2 {
		t.Errorf("got %v, want both: there is nothing else", got)
	}
}

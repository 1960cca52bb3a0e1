package result

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokentest/cases/step"
)

// Results keep what was set, each case under its own name, and forget what is dropped.
func TestResults(t *testing.T) {
	r := NewResults([]string{"a", "b", "c"})
	shared := []StepResult{{Got: step.Observation{Errno: 1}, ID: "rule"}}
	r.Set(0, CaseResult{Status: Pass, Steps: shared})
	r.Set(1, CaseResult{ID: "another name", Status: Pass, Steps: shared})
	if len(r.bodies) != 1 {
		t.Errorf("%d bodies of two equal results", len(r.bodies))
	}
	if d := cmp.Diff(&CaseResult{ID: "b", Status: Pass, Steps: shared}, r.At(1)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if r.Has(2) || r.At(2) != nil || r.Peek(2) != nil {
		t.Error("a case without a result has one")
	}
	r.Set(1, CaseResult{Status: Fail, Reason: "why", Boot: 1})
	r.Drop(0)
	if r.Has(0) || r.Peek(1).Reason != "why" {
		t.Errorf("%v, %+v", r.Has(0), r.Peek(1))
	}
	r.At(1).Reason = "changed"
	if r.At(1).Reason != "why" {
		t.Error("a copy changes the result")
	}
	k := &KernelRun{}
	k.Hold(r)
	if k.Len() != 1 || k.Find("b") == nil || k.Find("a") != nil || k.Find("none") != nil {
		t.Errorf("the kernel has %d cases", k.Len())
	}
}

// An expect list is applied to results of a run in progress as to a list.
func TestExpectHeld(t *testing.T) {
	errno := step.Observation{}.Errno
	list := []ListEntry{{Kind: ExpectList, Pattern: "a", Errno: &errno, Where: "expect:1", Reason: "known"}}
	r := NewResults([]string{"a", "b"})
	r.Set(0, CaseResult{Status: Pass})
	r.Set(1, CaseResult{Status: Pass})
	k := &KernelRun{}
	k.Hold(r)
	Expect(list, k)
	if a, b := k.Find("a"), k.Find("b"); a.Status != Fail || a.Cause.Kind != UnexpectedOK || b.Status != Pass {
		t.Errorf("%+v, %+v", a, b)
	}
}

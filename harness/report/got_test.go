package report

import (
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
)

// TestMismatch covers steps that are wrong although the errno is as expected.
func TestMismatch(t *testing.T) {
	ok := uapi.OK
	left := result.StepResult{Want: &ok, Wrong: true, Rule: "9 objects stayed behind, want at most 8",
		Got: step.Observation{Values: []uint64{9}}}
	if text := mismatch(&left, got(&left)); text != left.Rule {
		t.Errorf("%q", text)
	}
	left.Got.Errno = 1
	if text := mismatch(&left, got(&left)); text != "got EPERM, want ok" {
		t.Errorf("%q", text)
	}
}

// Results with the expected errno are distinguished too.
func TestGot(t *testing.T) {
	ok, eperm := uapi.OK, uapi.Errno(1)
	for _, tt := range []struct {
		s         result.StepResult
		got, want string
	}{
		{result.StepResult{Want: &ok, Got: step.Observation{Errno: 1}}, "EPERM", "ok"},
		{result.StepResult{Want: &eperm, Got: step.Observation{Proof: step.Works}}, "ok", "EPERM"},
		{result.StepResult{Want: &ok, Got: step.Observation{Proof: step.SurvivesExec}},
			"ok with a descriptor that survives execve(2)", "ok"},
		{result.StepResult{Want: &ok, Got: step.Observation{Proof: step.DoesNotWork}}, "ok with an object that does not work",
			"ok"},
		{result.StepResult{Want: &ok, Wrong: true, Got: step.Observation{Proof: step.Works, Values: []uint64{3}}},
			"ok with [0x3]", "ok with other values"},
		{result.StepResult{Want: &ok, Wrong: true, Got: step.Observation{Proof: step.Works, Text: "1 barriers"}},
			"ok with another text", "ok"},
		{result.StepResult{Want: &ok, Got: step.Observation{Proof: step.Works, Text: "as it should be"}}, "ok", "ok"},
		{result.StepResult{Got: step.Observation{Errno: 1}}, "EPERM", "an unknown answer"},
	} {
		if got(&tt.s) != tt.got || want(&tt.s) != tt.want {
			t.Errorf("got %q, want %q; should be %q and %q", got(&tt.s), want(&tt.s), tt.got, tt.want)
		}
	}
}

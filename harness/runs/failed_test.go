package runs

import (
	"slices"
	"testing"

	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// kernelOf is a kernel that ran cases on one machine.
func kernelOf(ref string, fate vm.Fate, list ...result.CaseResult) *result.KernelRun {
	return &result.KernelRun{Ref: ref, Cases: list, Boots: []result.Boot{{Fate: fate}}}
}

func caseOf(id string, s result.Status) result.CaseResult {
	return result.CaseResult{ID: id, Status: s}
}

func TestFindFailed(t *testing.T) {
	good := kernelOf("good", vm.Clean, caseOf("a/1", result.Pass))
	bad := kernelOf("bad", vm.Clean, caseOf("a/1", result.Fail), caseOf("a/2", result.Pass), caseOf("b", result.Broken),
		caseOf("c", result.XFail), caseOf("d", result.Skip), caseOf("e", result.Interrupted))
	if got := FindFailed(&result.Run{Kernels: []*result.KernelRun{good}}); got != nil {
		t.Errorf("all as expected: got %+v", got)
	}
	f := FindFailed(&result.Run{Kernels: []*result.KernelRun{good, bad}, Files: map[string]string{"b": "my/b.txt"}})
	if !slices.Equal(f.Kernels, []string{"bad"}) || !slices.Equal(f.Args, []string{"a", "my/b.txt", "e"}) || f.Full {
		t.Errorf("got %+v", f)
	}
	on := f.On([]string{"bad", "other"})
	want := []string{"a/1", "b", "e"}
	if !slices.Equal(on["bad"], want) || !slices.Equal(on["other"], want) {
		t.Errorf("got %v, want %v on each", on, want)
	}
	// A kernel without a result runs all that the run selected.
	none := &result.KernelRun{Ref: "none", Error: "no such file"}
	f = FindFailed(&result.Run{Args: []string{"tokentest", "run", "--full"}, Selection: []string{"a"},
		Kernels: []*result.KernelRun{bad, none}})
	on = f.On(f.Kernels)
	if !f.Full || !slices.Equal(f.Args, []string{"a"}) || len(on["none"]) != 0 || len(on["bad"]) != 3 {
		t.Errorf("got %+v, %v", f, on)
	}
}

// A fault of the kernel's log is that of the case that ran.
func TestUnexpectedByBlame(t *testing.T) {
	k := kernelOf("k", vm.Tainted, caseOf("a", result.Pass), caseOf("b", result.Pass), caseOf("c", result.Pass))
	k.Boots[0].Findings = []splat.Finding{{Title: "WARNING", Case: "b"}, {Title: "known", Case: "a", Allowed: "why"}}
	if got := UnexpectedOn(k); !slices.Equal(got, []string{"b"}) {
		t.Errorf("a finding: got %v", got)
	}
	k = kernelOf("k", vm.Panicked, caseOf("a", result.Pass), caseOf("c", result.Broken))
	k.Boots[0].Blamed = result.Blame{Case: "a", Setup: true}
	if got := Unexpected(&result.Run{Kernels: []*result.KernelRun{k, k}}); !slices.Equal(got, []string{"c", "a"}) {
		t.Errorf("a panic: got %v", got)
	}
	k.Boots[0].Known = "a known defect"
	if got := UnexpectedOn(k); !slices.Equal(got, []string{"c"}) {
		t.Errorf("a known defect: got %v", got)
	}
}

package result

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/vm"
)

func TestDiffering(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"ok|EPERM", "ok|EPERM"},
		{"ok,EPERM,ok|ok,ok,ok", "step 2 EPERM|step 2 ok"},
		{"ok,EPERM|ok", "ok,EPERM|ok"},
		{"ok,ok|ok,ok", "ok,ok|ok,ok"},
		{"a,a,a,a,a|b,b,b,b,b", "step 1 a, step 2 a, step 3 a and 2 more|step 1 b, step 2 b, step 3 b and 2 more"},
	} {
		var in []Decision
		for _, text := range strings.Split(tt.in, "|") {
			in = append(in, strings.Split(text, ","))
		}
		if got := strings.Join(Differing(in), "|"); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.in, got, tt.want)
		}
	}
}

// partRun is a run of a kernel in a directory, with cases that passed or failed.
func partRun(dir, digest string, list ...CaseResult) *Run {
	return &Run{Dir: dir, Tool: "t", Kernels: []*KernelRun{{Ref: "k", Digest: digest, Facts: &step.Facts{Release: "6.12"},
		Boots: []Boot{{Dir: "kernel0/boot0", Fate: vm.Clean}}, Cases: list}}}
}

// TestMerge: a control that several parts ran counts once, with its worst result, and the boots of
// later parts follow those of earlier ones.
func TestMerge(t *testing.T) {
	one := []StepResult{{Got: step.Observation{Errno: uapi.Errno(1), Values: []uint64{16}}}}
	a := partRun("/runs/a", "d", CaseResult{ID: "control", Status: Pass}, CaseResult{ID: "one", Status: Pass, Steps: one})
	b := partRun("/runs/b", "d", CaseResult{ID: "control", Status: Fail}, CaseResult{ID: "two", Status: Pass})
	a.Part, b.Part = &Part{1, 2, "p"}, &Part{2, 2, "p"}
	r, err := Merge([]*Run{a, b})
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kernels[0]
	if n := k.Counts(); len(r.Kernels) != 1 || n[Pass] != 2 || n[Fail] != 1 || k.Len() != 3 {
		t.Errorf("got %v of %d", n, k.Len())
	}
	if len(k.Boots) != 2 || k.Boots[1].Dir != "../b/kernel0/boot0" || k.Cases[2].Boot != 1 {
		t.Errorf("boots %+v, cases %+v", k.Boots, k.Cases)
	}
	if got := k.Cases[1].Decision().String(); got != "EPERM[0x10]" {
		t.Errorf("decision %s", got)
	}
	if len(a.Kernels[0].Cases) != 2 || len(a.Kernels[0].Boots) != 1 {
		t.Error("the part has changed")
	}
	c := partRun("/runs/c", "other")
	c.Part = b.Part
	if _, err := Merge([]*Run{a, c}); err == nil ||
		!strings.Contains(err.Error(), "another image in /runs/c") {
		t.Errorf("other images: %v", err)
	}
	b.Tool = "u"
	if _, err := Merge([]*Run{a, b}); err == nil || !strings.Contains(err.Error(), "another tokentest") {
		t.Errorf("other tools: %v", err)
	}
	if !slices.Equal([]string{"x"}, Differing([]Decision{{"x"}})) {
		t.Error("a single decision is shortened")
	}
}

// TestMergeWhole never adds up whole runs: two of one kernel are refused, and two of different
// kernels stay apart.
// TestMergeHosts: the parts of one kernel ran on two hosts with two accelerators, and the merged run says where each
// machine was.
func TestMergeHosts(t *testing.T) {
	part := func(i int, host, accel string) *Run {
		return &Run{Dir: fmt.Sprintf("/p%d", i), Part: &Part{I: i, N: 2, Plan: "x"},
			Host: &Host{Name: host, Job: "SLURM_JOB_ID=7"},
			Kernels: []*KernelRun{{Ref: "deb:6.12", Accel: accel + ": forced", AccelName: accel, Boots: []Boot{{Dir: "boot0"}},
				Cases: []CaseResult{{ID: fmt.Sprintf("c%d", i), Status: Pass}}, Facts: &step.Facts{}}}}
	}
	r, err := Merge([]*Run{part(1, "n1", "kvm"), part(2, "n2", "tcg")})
	if err != nil {
		t.Fatal(err)
	}
	k := r.Kernels[0]
	if first, second := k.Boots[0].Where, k.Boots[1].Where; k.AccelName != "kvm, tcg" ||
		*first != (Where{"n1", "SLURM_JOB_ID=7", "kvm"}) || *second != (Where{"n2", "SLURM_JOB_ID=7", "tcg"}) {
		t.Errorf("accelerators %q, machines at %v and %v", k.AccelName, first, second)
	}
}

func TestMergeWhole(t *testing.T) {
	a, b := partRun("/runs/a", "d", CaseResult{ID: "x", Status: Pass}), partRun("/runs/b", "d", CaseResult{ID: "x"})
	if _, err := Merge([]*Run{a, b}); err == nil || !strings.Contains(err.Error(), "tokentest compare /runs/a /runs/b") {
		t.Errorf("two whole runs of one kernel: %v", err)
	}
	a.Part = &Part{1, 2, "p"}
	if _, err := Merge([]*Run{a, b}); err == nil || !strings.Contains(err.Error(), "no parts of one run") {
		t.Errorf("a part and a whole run: %v", err)
	}
	if _, err := Merge([]*Run{a, a}); err == nil || !strings.Contains(err.Error(), "/runs/a is given twice") {
		t.Errorf("a run twice: %v", err)
	}
	a.Part, b.Kernels[0].Ref = nil, "other"
	r, err := Merge([]*Run{a, b})
	if err != nil || len(r.Kernels) != 2 || r.Kernels[0].Len() != 1 {
		t.Errorf("runs of different kernels: %v", err)
	}
}

package result

import (
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

const panicking = "known panicked 6.9 BUG: oops in f # why"

func knownCase(t *testing.T, line string) *cases.Case {
	t.Helper()
	f, err := cases.Parse(t.Context(), "x.txt", "x", line+`
actor owner userns
owner bpffs cmds=any -> b
control owner token_create bpffs=b
control nobody map_create type=hash => EPERM
`)
	if err != nil {
		t.Fatal(err)
	}
	g, err := f.Expand(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return g.Cases[0]
}

// TestKnown: a machine that ended as a known defect says does not count; any other end fails the
// case.
func TestKnown(t *testing.T) {
	found := func(titles ...string) []splat.Finding {
		var out []splat.Finding
		for _, s := range titles {
			out = append(out, splat.Finding{Title: s})
		}
		return out
	}
	tainted, clean := "known tainted 6.9 WARNING in f # why", "known clean 6.9 # why"
	for _, tt := range []struct {
		name, line, release string
		fate                vm.Fate
		findings            []splat.Finding
		status, want        Status
		known               bool
		reason              string
	}{
		{"as known", panicking, "6.12.1", vm.Panicked, found("BUG: oops in f"), Broken, Pass, true,
			"known defect: why (x.txt:1)"},
		{"twice", panicking, "6.12.1", vm.Panicked, found("BUG: oops in f", "BUG: oops in f"), Broken, Pass, true,
			"known defect: why (x.txt:1)"},
		{"gone", panicking, "6.12.1", vm.Clean, nil, Pass, Fail, false,
			"the machine must be panicked BUG: oops in f; it is clean: end"},
		{"another", panicking, "6.12.1", vm.Panicked, found("BUG: oops in g"), Broken, Fail, false,
			"no longer matches: the machine must be"},
		{"one more", panicking, "6.12.1", vm.Panicked, found("BUG: oops in f", "WARNING in g"), Broken, Fail, false,
			"no longer matches: the machine must be"},
		{"no longer so bad", panicking, "6.12.1", vm.Tainted, found("BUG: oops in f"), Pass, Fail, false, "it is tainted"},
		{"an older kernel", panicking, "6.8.1", vm.Clean, nil, Pass, Pass, false, ""},
		{"an older kernel that dies", panicking, "6.8.1", vm.Panicked, found("BUG: oops in f"), Broken, Broken, false,
			"died"},
		{"the host's fault", panicking, "6.12.1", vm.Lost, nil, Broken, Broken, false, "died"},
		{"a skip", panicking, "6.12.1", vm.Clean, nil, Skip, Skip, false, ""},
		{"a splat", tainted, "6.12.1", vm.Tainted, found("WARNING in f"), Pass, Pass, true, "known defect"},
		{"a splat and a wrong step", tainted, "6.12.1", vm.Tainted, found("WARNING in f"), Fail, Fail, false, "got"},
		{"wrong answers", clean, "6.12.1", vm.Clean, nil, Pass, Pass, true, "known defect"},
		{"other answers", clean, "6.12.1", vm.Clean, nil, Fail, Fail, false, "no longer matches: got"},
		{"a splat beside", clean, "6.12.1", vm.Tainted, found("WARNING in f"), Pass, Fail, false, "it is tainted"},
	} {
		r := CaseResult{ID: "x", Status: tt.status}
		switch tt.status {
		case Broken:
			r.Reason = "the machine died"
		case Fail:
			r.Steps = []StepResult{{Wrong: true, Rule: "a rule"}}
			r.Cause = Cause{Kind: ByStep, Step: 1}
		}
		b := Boot{Fate: tt.fate, Reason: "end", Findings: tt.findings}
		Known(knownCase(t, tt.line), &step.Facts{Release: tt.release}, &b, &r)
		if r.Status != tt.want || (b.Known != "") != tt.known || !strings.Contains(r.Reason, tt.reason) {
			t.Errorf("%s: %s %q, known %q", tt.name, r.Status, r.Reason, b.Known)
		}
		k := KernelRun{Boots: []Boot{b}, Cases: []CaseResult{r, {ID: "y", Status: Pass}}}
		if green := (&Run{}).Verdict(&k) == ExitOK; green != (tt.known || tt.fate == vm.Clean && r.Status != Fail) {
			t.Errorf("%s: the kernel's verdict is %d", tt.name, (&Run{}).Verdict(&k))
		}
	}
}

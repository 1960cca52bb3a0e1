package report

import (
	"bytes"
	"strings"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// gridRun is a run in which each kernel answers with its own errno.
func gridRun(errnos ...uapi.Errno) *result.Run {
	r := &result.Run{}
	for i, e := range errnos {
		k := &result.KernelRun{Ref: "deb:6." + string(rune('a'+i)), Boots: []result.Boot{{Fate: vm.Clean}}}
		for _, id := range []string{"map_create/x", "map_create/y"} {
			k.Cases = append(k.Cases, result.CaseResult{ID: id, Status: result.Pass,
				Steps: []result.StepResult{{Got: step.Observation{Errno: e}}}})
		}
		k.Cases = append(k.Cases, result.CaseResult{ID: "prog_load/z", Status: result.Skip, Reason: "CONFIG_X is not set"})
		r.Kernels = append(r.Kernels, k)
	}
	return r
}

func prettyText(t *testing.T, r *result.Run, width int) string {
	t.Helper()
	var b bytes.Buffer
	if err := Pretty(r, &b, Options{Width: width}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGrid(t *testing.T) {
	text := prettyText(t, gridRun(0, 0, 1), 80)
	for _, want := range []string{
		"group       deb:6.a   deb:6.b   deb:6.c\n",
		"map_create  2         2         2\n",
		"prog_load   0 1 skip  0 1 skip  0 1 skip\n",
		"differ: 2 decisions differ between kernels\n",
		"  2: ok on deb:6.a deb:6.b; EPERM on deb:6.c\n    such as map_create/x\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if text := prettyText(t, gridRun(1, 1), 80); !strings.Contains(text, "the result is the same") {
		t.Errorf("got\n%s", text)
	}
	if text := prettyText(t, gridRun(0), 80); strings.Contains(text, "group ") {
		t.Errorf("one kernel needs no grid:\n%s", text)
	}
	// Of a run that was cut short only what has a verdict is shown.
	cut := gridRun(1, 1)
	cut.Interrupted = true
	for _, k := range cut.Kernels {
		k.Cases = append(k.Cases, result.CaseResult{ID: "btf_load/w", Status: result.Interrupted})
	}
	if text := prettyText(t, cut, 80); !strings.Contains(text, "map_create  2") || strings.Contains(text, "btf_load  ") {
		t.Errorf("got\n%s", text)
	}
	for _, k := range cut.Kernels {
		k.Cases = k.Cases[3:]
	}
	if text := prettyText(t, cut, 80); strings.Contains(text, "group ") || strings.Contains(text, "same:") {
		t.Errorf("got\n%s", text)
	}
	// As many side by side as there is room for.
	if text := prettyText(t, gridRun(0, 0, 0, 0), 34); strings.Count(text, "group       deb:6.") != 2 {
		t.Errorf("got\n%s", text)
	}
}

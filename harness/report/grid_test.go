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
		"results by group and kernel; a number alone: all pass; -: no case\n" +
			"group       deb:6.a  deb:6.b  deb:6.c\n",
		"map_create  2        2        2\n",
		"prog_load   1 skip   1 skip   1 skip\n",
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
	if text := prettyText(t, gridRun(0, 0, 0, 0), 32); strings.Count(text, "group       deb:6.") != 2 {
		t.Errorf("got\n%s", text)
	}
}

// TestCellText puts what passed first, and says nothing about what did not occur.
func TestCellText(t *testing.T) {
	for want, n := range map[string]map[result.Status]int{
		"-": nil, "3": {result.Pass: 3}, "1 skip": {result.Skip: 1}, "1 pass, 2 fail, 4 skip": {result.Pass: 1,
			result.Fail: 2, result.Skip: 4}, "2 fail, 1 broken": {result.Fail: 2, result.Broken: 1},
	} {
		if got := cellText(n); got != want {
			t.Errorf("%v: got %q, want %q", n, got, want)
		}
	}
}

// TestAccelOnce says once why machines ran without KVM, and names the accelerator of each kernel.
func TestAccelOnce(t *testing.T) {
	r := gridRun(1, 1)
	for _, k := range r.Kernels {
		k.Release, k.AccelName, k.Accel = "6.12", "tcg", "tcg: /dev/kvm opens but a guest does not run: Assertion `x' failed."
	}
	for _, format := range []string{"pretty", "ktap", "junit", "mail"} {
		text := render(t, format, r, Options{Width: 200})
		if n := strings.Count(text, "/dev/kvm opens"); n != 1 {
			t.Errorf("%s gives the reason %d times:\n%s", format, n, text)
		}
	}
	if text := prettyText(t, r, 80); strings.Count(text, ": 6.12, tcg\n") != len(r.Kernels) ||
		!strings.Contains(text, "\ntcg: /dev/kvm opens") {
		t.Errorf("got\n%s", text)
	}
	r.Kernels[0].Accel, r.Kernels[1].Accel = "tcg: forced", "tcg: forced"
	if text := prettyText(t, r, 80); strings.Contains(text, "forced") {
		t.Errorf("got\n%s", text)
	}
}

package result

import (
	"strings"
	"testing"
	"time"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

var today = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestParseList(t *testing.T) {
	for _, tt := range []struct {
		kind ListKind
		text string
		want string // what it covers among ids, or the error's text
	}{
		{DenyList, "map_create # why", "map_create map_create/a/b"},
		{DenyList, "map_create/a/* # why", "map_create/a/b"},
		{DenyList, "# a comment\n\n  prog_load\t# https://lore/x", "prog_load"},
		{DenyList, "map_create", "l.txt:1: missing reason (after #)"},
		{DenyList, "\nmap_create #  ", "l.txt:2: missing reason (after #)"},
		{DenyList, "map_create until=2026-11-24 # why", "map_create map_create/a/b"},
		{DenyList, "map_create until=2026-11-23 # why", `l.txt:1: the entry "map_create" ended on 2026-11-23`},
		{DenyList, "map_create until=soon # why", "l.txt:1: until=soon: not a date; write until=YYYY-MM-DD"},
		{DenyList, "map_create errno=EPERM # why", `unknown option "errno=EPERM"`},
		{DenyList, "map_create kernel=deb:6.1 # why", ""},
		{DenyList, "map_create kernel=6.12.* # why", "map_create map_create/a/b"},
		{DenyList, "map_create kernel=deb:6.12 # why", "map_create map_create/a/b"},
		{DenyList, "map_create kernel= # why", `unknown option "kernel="`},
		{AllowList, "map_create\nprog_load", "map_create map_create/a/b prog_load"},
		{ExpectList, "map_create errno=EPERM # why", "map_create map_create/a/b"},
		{ExpectList, "map_create # why", "l.txt:1: no errno"},
		{ExpectList, "map_create errno=EPERM", "l.txt:1: missing reason (after #)"},
		{ExpectList, "map_create errno=EWHAT # why", "EWHAT"},
	} {
		k := &KernelRun{Ref: "deb:6.12", Release: "6.12.117+deb13"}
		list, err := ParseList(tt.kind, "l.txt", tt.text, today)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || tt.want == "" {
				t.Errorf("%s %q: %v, want %q", tt.kind, tt.text, err, tt.want)
			}
			continue
		}
		var got []string
		for _, id := range []string{"map_create", "map_create/a/b", "map_create_two", "prog_load"} {
			for i := range list {
				if list[i].covers(tt.kind, k, id) {
					got = append(got, id)
				}
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s %q covers %q, want %q", tt.kind, tt.text, s, tt.want)
		}
	}
}

func TestExpect(t *testing.T) {
	list, err := ParseList(ExpectList, "l.txt", "a errno=EPERM # bug 1\nb errno=ok kernel=deb:6.* # bug 2\n", today)
	if err != nil {
		t.Fatal(err)
	}
	wrong := func(id string, got uapi.Errno) CaseResult {
		return CaseResult{ID: id, Status: Fail, Reason: "got x", Steps: []StepResult{{},
			{Got: step.Observation{Errno: got}, Wrong: true}}}
	}
	for _, tt := range []struct {
		name   string
		ref    string
		in     CaseResult
		status Status
		reason string
	}{
		{"as expected", "k", wrong("a/x", ePERM), XFail, "bug 1 (l.txt:1): got x"},
		{"another errno", "k", wrong("a/x", eINVAL), Fail, "got x; l.txt:1 says that it fails with EPERM"},
		{"it passes", "k", CaseResult{ID: "a/x", Status: Pass}, Fail, "unexpected pass: l.txt:1"},
		{"allowed as expected", "deb:6.1", wrong("b", 0), XFail, "bug 2"},
		{"on another kernel", "deb:7.3", wrong("b", 0), Fail, "got x"},
		{"another case", "k", wrong("c", ePERM), Fail, "got x"},
		{"broken stays", "k", CaseResult{ID: "a", Status: Broken, Reason: "why"}, Broken, "why"},
		{"skipped stays", "k", CaseResult{ID: "a", Status: Skip, Reason: "why"}, Skip, "why"},
		{"failed without an answer", "k", CaseResult{ID: "a", Status: Fail, Reason: "no type"}, Fail,
			"no type; l.txt:1 says"},
	} {
		k := &KernelRun{Ref: tt.ref, Cases: []CaseResult{tt.in}}
		Expect(list, k)
		if c := k.Cases[0]; c.Status != tt.status || !strings.HasPrefix(c.Reason, tt.reason) {
			t.Errorf("%s: %s: %s, want %s: %s", tt.name, c.Status, c.Reason, tt.status, tt.reason)
		}
	}
}

// A case that fails as expected is no failure; one that no longer fails so is.
func TestExpectedExitCode(t *testing.T) {
	xfail, pass := kernelOf("k", gotCase("a", XFail, ePERM)), kernelOf("k", gotCase("a", Pass, 0))
	fail := kernelOf("k", gotCase("a", Fail, ePERM))
	if got := (&Run{Kernels: []*KernelRun{xfail}}).ExitCode(); got != ExitOK {
		t.Errorf("exit code %d", got)
	}
	for _, tt := range []struct {
		base, new *KernelRun
		want      Class
	}{
		{xfail, xfail, Same}, {fail, xfail, Same}, {xfail, pass, Fixed}, {xfail, fail, NewFailure},
		{xfail, kernelOf("k", gotCase("a", XFail, eINVAL)), Changed}, {kernelOf("k"), xfail, NewCase},
		{xfail, kernelOf("k", gotCase("a", Skip, 0)), Vanished},
	} {
		if n := Compare(sideOf(tt.base), sideOf(tt.new)).Counts(); n[tt.want] != 1 {
			t.Errorf("%v, then %v: %v, want %s", tt.base.Cases, tt.new.Cases, n, tt.want)
		}
	}
}

// A list entry that denies a control denies the cases that need it.
func TestDenied(t *testing.T) {
	g := group(t, matrix)
	k := &KernelRun{Ref: "k"}
	list, err := ParseList(DenyList, "l.txt", "demo/root/hash # hangs\n", today)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Cases {
		want := map[string]string{
			"demo/root/hash":   "denied: hangs (l.txt:1)",
			"demo/owner/hash":  "its control demo/root/hash is denied: hangs (l.txt:1)",
			"demo/nobody/hash": "its control demo/root/hash is denied: hangs (l.txt:1)",
		}[c.ID]
		got, control := Denied(list, k, c), ""
		if c.ID != "demo/root/hash" {
			control = "demo/root/hash"
		}
		switch {
		case (got == nil) != (want == ""):
			t.Errorf("%s: %+v, want %q", c.ID, got, want)
		case got != nil && (got.Reason != want || got.Status != Skip ||
			got.Cause != Cause{Kind: OnDenyList, Control: control, Entry: "l.txt:1"}):
			t.Errorf("%s: %+v, want %q", c.ID, got, want)
		}
	}
}

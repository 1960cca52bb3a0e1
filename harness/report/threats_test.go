package report

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// asked is a run of one question on kernels whose cases have these statuses.
func asked(statuses ...result.Status) *result.Run {
	var list []*result.KernelRun
	for i, s := range statuses {
		c := result.CaseResult{ID: "q", Status: s, Steps: []result.StepResult{
			{Got: step.Observation{}}, {Got: step.Observation{Errno: eperm}},
			{Got: step.Observation{Errno: []uapi.Errno{einval, 0}[i%2]}},
		}}
		if s != result.Pass {
			c.Reason = "the reason of " + string(s)
		}
		k := newKernel("deb:"+string(rune('a'+i)), c)
		list = append(list, k)
	}
	r := newRun(list...)
	r.Groups = []cases.Outline{
		{Name: "unasked", Steps: []string{"root map_create"}},
		{Name: "q", Path: "cases/scenario/q.txt", Actors: []string{"owner userns uid=1000", "peer joins owner caps=none"},
			Question: "Can it <be>?", Answer: "No, it cannot.",
			Steps: []string{"owner bpffs -> b", "peer map_create token=t", "peer token_info t"},
			Notes: []string{"", "no capability", "since 6.17"}},
	}
	return r
}

func threatsText(t *testing.T, r *result.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Threats(r, &b, Options{Width: 200}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The answer stands where the case passed; where it did not the page says so.
func TestThreats(t *testing.T) {
	const yes, none, differs = "answer   No, it cannot.", "answer   None: no kernel of this run has shown it.",
		"answer   It depends on the kernel"
	for _, tt := range []struct {
		statuses []result.Status
		want     []string
		not      []string
	}{
		{[]result.Status{result.Pass}, []string{"1. Can it <be>?", yes,
			"shown    pass on deb:a (6.12.117+deb13-cloud-amd64)\n",
			"who      owner: root of its own user namespace, created by uid 1000\n",
			"who      peer: another process in owner's namespaces, without capabilities\n",
			"refused  peer map_create token=t: EPERM (no capability)", "refused  peer token_info t: EINVAL (since 6.17)"},
			[]string{"bpffs", "unasked", none}},
		{[]result.Status{result.Pass, result.Pass}, []string{yes,
			"peer token_info t: EINVAL on deb:a, ok on deb:b (since 6.17)"}, []string{"not shown"}},
		{[]result.Status{result.Pass, result.Skip}, []string{yes,
			"not shown deb:b (6.12.117+deb13-cloud-amd64): skip: the reason of skip"}, []string{differs}},
		{[]result.Status{result.Skip}, []string{none, "skip: the reason of skip"}, []string{yes, "No, it cannot", "refused"}},
		{[]result.Status{result.Broken}, []string{none, "broken: the reason of broken"}, []string{"No, it cannot"}},
		{[]result.Status{result.Fail}, []string{differs, "fail: the reason of fail"}, []string{"No, it cannot"}},
		{[]result.Status{result.Pass, result.Fail}, []string{differs, "where ok No, it cannot.", "fail: the reason of fail"},
			[]string{yes}},
	} {
		text := threatsText(t, asked(tt.statuses...))
		for _, w := range tt.want {
			if !strings.Contains(text, w) {
				t.Errorf("%v: want %q in\n%s", tt.statuses, w, text)
			}
		}
		for _, w := range tt.not {
			if strings.Contains(text, w) {
				t.Errorf("%v: %q must not be in\n%s", tt.statuses, w, text)
			}
		}
	}
}

func TestThreatsCorners(t *testing.T) {
	r := asked(result.Pass)
	r.Kernels[0].Boots[0].Fate = vm.Tainted
	if text := threatsText(t, r); !strings.Contains(text, "pass: on a machine that ended tainted") {
		t.Errorf("a tainted machine:\n%s", text)
	}
	r = asked(result.Pass)
	r.Kernels[0].Cases[0].ID = "another"
	if text := threatsText(t, r); !strings.Contains(text, "the case did not run") || strings.Contains(text, "cannot") {
		t.Errorf("a case that did not run:\n%s", text)
	}
	r = asked(result.Pass)
	r.Kernels[0].Cases[0].Steps = nil
	if text := threatsText(t, r); !strings.Contains(text, "its steps are not those of the file") ||
		strings.Contains(text, "it cannot") {
		t.Errorf("other steps:\n%s", text)
	}
	r = asked()
	r.Groups = nil
	if text := threatsText(t, r); !strings.HasPrefix(text, "nothing asked:") {
		t.Errorf("nothing asked:\n%s", text)
	}
}

func TestThreatsHTML(t *testing.T) {
	page := func(r *result.Run) string {
		t.Helper()
		var b bytes.Buffer
		if err := ThreatsHTML(r, &b, Options{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	text := page(asked(result.Pass, result.Skip))
	for _, w := range []string{"Can it &lt;be&gt;?", `<p class="answer">No, it cannot.</p>`, "the reason of skip",
		"<code>peer map_create token=t</code>", "1 questions, 1 answered as stated"} {
		if !strings.Contains(text, w) {
			t.Errorf("want %q in\n%s", w, text)
		}
	}
	if strings.Contains(text, "<be>") || strings.Contains(text, "http://") || strings.Contains(text, "https://") {
		t.Error("the page holds raw text, or needs something else")
	}
	if text := page(asked(result.Fail)); strings.Contains(text, "No, it cannot.") ||
		!strings.Contains(text, "It depends on the kernel") || !strings.Contains(text, "0 answered") {
		t.Errorf("a failure:\n%s", text)
	}
}

func TestWho(t *testing.T) {
	owner := step.Actor{Name: "owner", Kind: step.Userns, Parent: -1, UID: 1000, Caps: uapi.AllCaps}
	for _, tt := range []struct {
		actor step.Actor
		want  string
	}{
		{owner, "owner: root of its own user namespace, created by uid 1000"},
		{step.Actor{Name: "inner", Kind: step.Userns, UID: 7, Caps: uapi.AllCaps},
			"inner: root of its own user namespace below owner's, created by uid 7"},
		{step.Actor{Name: "next", Kind: step.Child, Caps: uapi.AllCaps}, "next: a process that owner forks"},
		{step.Actor{Name: "same", Kind: step.Init, Parent: -1, UID: 1000},
			"same: uid 1000 in the initial namespaces, without capabilities"},
		{step.Actor{Name: "root", Kind: step.Init, Parent: -1, Caps: uapi.AllCaps},
			"root: uid 0 in the initial namespaces, with every capability"},
		{step.Actor{Name: "strong", Kind: step.Joins, Caps: uapi.AllCaps &^ (1 << uapi.CAP_BPF)},
			"strong: another process in owner's namespaces, with every capability except CAP_BPF"},
		{step.Actor{Name: "a", Kind: step.Init, Parent: -1, UID: 7, Caps: 1<<uapi.CAP_BPF | 1<<uapi.CAP_PERFMON},
			"a: uid 7 in the initial namespaces, with CAP_BPF, CAP_PERFMON only"},
	} {
		if got := who(&tt.actor, []step.Actor{owner}); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
	lines := []string{"owner userns caps=$caps"}
	if got := whoIsWho(nil, errors.New("unknown"), lines); !slices.Equal(got, lines) {
		t.Errorf("actors that depend on an axis: %q", got)
	}
}

// The answers hold with the settings of the kernels, which the page names: with
// what the guest changed, such as Yama.
func TestThreatsSettings(t *testing.T) {
	r := asked(result.Pass)
	r.Kernels[0].Facts = &step.Facts{Settings: map[string]step.Reading{step.PtraceScope: {Booted: 1},
		step.Lockdown: {Booted: 1, Running: 1}}}
	const want = "lockdown integrity, kernel.yama.ptrace_scope 0 (booted with 1)"
	if got := threatsText(t, r); !strings.Contains(got, want) {
		t.Errorf("got\n%s\nwant %q", got, want)
	}
	var page bytes.Buffer
	if err := ThreatsHTML(r, &page, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<td><code>lockdown</code></td><td>integrity</td>",
		"<td><code>kernel.yama.ptrace_scope</code></td><td>0 (booted with 1)</td>", "yama_ptrace_access_check"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if got := threatsText(t, asked(result.Pass)); strings.Contains(got, "settings") {
		t.Errorf("a record without settings has some:\n%s", got)
	}
}

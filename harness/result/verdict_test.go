package result

import (
	"strings"
	"testing"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/harness/vm"
)

func cleanKernel(list ...CaseResult) *KernelRun {
	return &KernelRun{Ref: "k", Boots: []Boot{{Fate: vm.Clean}}, Facts: &step.Facts{Token: true}, Cases: list}
}

func caseOf(id string, s Status) CaseResult { return CaseResult{ID: id, Status: s} }

// A kernel on which nothing was decided has no verdict, whatever the cause, unless AllowEmpty is set
// or another part can decide it.
func TestNothingDecided(t *testing.T) {
	a, b := caseOf("a/x", Skip), caseOf("b/x", Skip)
	passed := caseOf("control", Pass)
	deny := []ListEntry{{Kind: DenyList, Pattern: "*", Where: "d:1", Reason: "why"}}
	allow := []ListEntry{{Kind: AllowList, Pattern: "a", Where: "a:1"}}
	old := func(list ...CaseResult) *KernelRun {
		k := cleanKernel(list...)
		k.Facts = &step.Facts{}
		return k
	}
	part := &Part{I: 1, N: 2, Plan: "p"}
	for _, tt := range []struct {
		name   string
		run    *Run
		code   int
		bisect int
	}{
		{"one decided", &Run{Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitOK, BisectGood},
		{"all skipped", &Run{Kernels: []*KernelRun{cleanKernel(a, b)}}, ExitNoVerdict, BisectSkip},
		{"all skipped, and accepted", &Run{AllowEmpty: true, Kernels: []*KernelRun{cleanKernel(a, b)}}, ExitOK, BisectSkip},
		{"all denied, without a machine", &Run{Lists: deny, Kernels: []*KernelRun{{Ref: "k", Cases: []CaseResult{a}}}},
			ExitNoVerdict, BisectSkip},
		{"all fail as a list says", &Run{Kernels: []*KernelRun{cleanKernel(caseOf("a", XFail))}}, ExitOK, BisectGood},
		{"one of two kernels decided nothing", &Run{Kernels: []*KernelRun{cleanKernel(passed), cleanKernel(a)}},
			ExitNoVerdict, BisectSkip},
		{"a kernel differs, the other decided nothing",
			&Run{Kernels: []*KernelRun{cleanKernel(caseOf("a", Fail)), cleanKernel(a)}}, ExitDiffers, BisectSkip},
		{"only a control that came along decided", &Run{Selection: []string{"a"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitNoVerdict, BisectSkip},
		{"a control that was asked for", &Run{Selection: []string{"a", "contr*"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitOK, BisectGood},
		{"only a control beside what a list allows", &Run{Lists: allow, Kernels: []*KernelRun{cleanKernel(a, passed)}},
			ExitNoVerdict, BisectSkip},
		{"a file of the user's", &Run{Selection: []string{"my/a.txt"}, Files: map[string]string{"a": "my/a.txt"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitNoVerdict, BisectSkip},
		{"a case of such a file", &Run{Selection: []string{"my/a.txt", "a/y"}, Files: map[string]string{"a": "my/a.txt"},
			Kernels: []*KernelRun{cleanKernel(caseOf("a/x", Pass), caseOf("a/y", Skip))}}, ExitNoVerdict, BisectSkip},
		{"a file without .txt", &Run{Selection: []string{"my/a"}, Files: map[string]string{"a": "my/a"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitNoVerdict, BisectSkip},
		{"a file from the standard input", &Run{Selection: []string{"-"}, Files: map[string]string{"a": "run/stdin.txt"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitNoVerdict, BisectSkip},
		{"only a control beside what a regular expression matches", &Run{Matching: []string{"x", "^a$"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitNoVerdict, BisectSkip},
		{"a case that a regular expression matches", &Run{Matching: []string{"contr.l"},
			Kernels: []*KernelRun{cleanKernel(a, passed)}}, ExitOK, BisectGood},
		{"worlds drawn at random", &Run{Seed: 7, Selection: []string{"a"},
			Kernels: []*KernelRun{cleanKernel(caseOf("random_7", Pass), a)}}, ExitOK, BisectGood},
		{"a kernel without tokens, whose own check passed",
			&Run{Kernels: []*KernelRun{old(a, b, caseOf("before_tokens", Pass))}}, ExitOK, BisectGood},
		{"one whose own check did not run", &Run{Kernels: []*KernelRun{old(a, b)}}, ExitNoVerdict, BisectSkip},
		{"a part of it", &Run{Part: part, Kernels: []*KernelRun{old(a, b)}}, ExitOK, BisectSkip},
		{"a part of it in which all is denied", &Run{Part: part, Lists: deny, Kernels: []*KernelRun{old(a, b)}},
			ExitNoVerdict, BisectSkip},
		{"a part of a kernel with tokens", &Run{Part: part, Kernels: []*KernelRun{cleanKernel(a)}}, ExitNoVerdict,
			BisectSkip},
		{"a part that is empty on purpose", &Run{Part: part}, ExitOK, BisectAbort},
		{"broken says nothing either, and says why itself",
			&Run{Kernels: []*KernelRun{cleanKernel(a, caseOf("b", Broken))}}, ExitNoVerdict, BisectSkip},
	} {
		if got := tt.run.ExitCode(); got != tt.code {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.code)
		}
		if got := tt.run.BisectCode(); got != tt.bisect {
			t.Errorf("%s: exit %d of a bisection, want %d", tt.name, got, tt.bisect)
		}
		for _, k := range tt.run.Kernels { // as it is stored
			k.pack(newPool())
		}
		if got := tt.run.ExitCode(); got != tt.code {
			t.Errorf("%s: exit %d once stored, want %d", tt.name, got, tt.code)
		}
	}
}

// A comparison with a side that decided nothing has no verdict.
func TestCompareNothing(t *testing.T) {
	some, none := cleanKernel(caseOf("a", Pass)), cleanKernel(caseOf("a", Skip))
	accepted := sideOf(none)
	accepted.Runs[0].AllowEmpty = true
	parts := sideOf(none)
	parts.Runs = append(parts.Runs, sideOf(some).Runs...)
	for _, tt := range []struct {
		name      string
		base, new *Side
		want      int
	}{
		{"both decided", sideOf(some), sideOf(some), ExitOK},
		{"the new one did not", sideOf(some), sideOf(none), ExitNoVerdict},
		{"the base did not", sideOf(none), sideOf(some), ExitNoVerdict},
		{"neither did", sideOf(none), sideOf(none), ExitNoVerdict},
		{"that is accepted", sideOf(some), accepted, ExitOK},
		{"one of two runs of it did", sideOf(some), parts, ExitOK},
		{"it is new, and did not", sideOf(cleanKernel(caseOf("a", Pass))), sideOf(none, kernelOf("l", caseOf("a", Pass))),
			ExitNoVerdict},
	} {
		if got := Compare(tt.base, tt.new).ExitCode(); got != tt.want {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.want)
		}
	}
}

// If two of kernel, rules and pin agree, the third is wrong, and the exit code says which.
func TestFaults(t *testing.T) {
	const text = `needs token
actor owner userns uid=1000
owner bpffs cmds=any maps=any -> b
owner token_create bpffs=b -> t
control owner map_create type=hash token=t
control nobody map_create type=stack => EPERM
owner map_create type=queue token=t
owner map_create type=hash => EPERM
`
	replace := func(old, new string) string { return strings.Replace(text, old, new, 1) }
	const queue, hash, control = 4, 5, 3
	for _, tt := range []struct {
		name   string
		text   string
		omit   string
		change map[int]step.Observation
		status Status
		fault  Culprit
		code   int
		bisect int
		reason string
	}{
		{"all agree", text, "", nil, Pass, "", ExitOK, BisectGood, ""},
		{"the kernel differs from both", text, "", map[int]step.Observation{hash: {Proof: step.Works}}, Fail, KernelWrong,
			ExitDiffers, BisectBad, "got ok, want EPERM"},
		{"a pin differs from both", replace("type=queue token=t", "type=queue token=t => EPERM"), "", nil, Fail,
			ExpectationWrong, ExitUsage, BisectBad,
			"the expectation EPERM at "},
		{"a step that must succeed without a word", replace(" => EPERM\n", " => EPERM\nowner map_create type=queue\n"), "",
			nil, Fail, ExpectationWrong, ExitUsage, BisectBad,
			"contradicts both the kernel and the rules, which say EPERM"},
		{"all three differ", replace("type=queue token=t", "type=queue token=t => EPERM"), "",
			map[int]step.Observation{queue: {Errno: eINVAL}}, Fail, KernelWrong,
			ExitDiffers, BisectBad, "got EINVAL, want EPERM"},
		{"a wrong pin, then the kernel", replace("type=queue token=t", "type=queue token=t => EPERM"), "",
			map[int]step.Observation{hash: {Proof: step.Works}}, Fail,
			KernelWrong, ExitDiffers, BisectBad, "got ok, want EPERM"},
		{"the rules differ from both", text, "map_create/unprivileged-disabled", nil, Fail, OracleWrong, ExitNoVerdict,
			BisectSkip, "the rules are wrong, not the kernel"},
		{"a pin differs from both at a control", replace("type=stack => EPERM", "type=stack => EINVAL"), "", nil, Broken,
			ExpectationWrong, ExitUsage, BisectSkip, "control "},
		{"a control that the kernel gets wrong", text, "", map[int]step.Observation{control: {Proof: step.Works}}, Broken,
			KernelWrong, ExitNoVerdict, BisectSkip, "control "},
		{"what was made does not work", replace("type=queue token=t", "type=queue token=t => EPERM"), "",
			map[int]step.Observation{queue: {Proof: step.DoesNotWork}}, Fail,
			KernelWrong, ExitDiffers, BisectBad, ""},
	} {
		omit := tt.omit
		gu := &guest{facts: facts612(), omit: omit, change: func(_ string, n int, o *step.Observation) {
			if spoilt, ok := tt.change[n]; ok {
				*o = spoilt
			}
		}}
		r := gu.judge(group(t, tt.text).Cases)["demo"]
		run := &Run{Kernels: []*KernelRun{cleanKernel(*r)}}
		if r.Status != tt.status || r.Fault != tt.fault || !strings.Contains(r.Reason, tt.reason) {
			t.Errorf("%s: %s, fault %q: %s", tt.name, r.Status, r.Fault, r.Reason)
		}
		if code, bisect := run.ExitCode(), run.BisectCode(); code != tt.code || bisect != tt.bisect {
			t.Errorf("%s: exit %d, and %d of a bisection; want %d and %d", tt.name, code, bisect, tt.code, tt.bisect)
		}
	}
}

// If only a pin contradicts the set-up, the file is at fault.
func TestFaultOfSetup(t *testing.T) {
	lie := strings.Replace(matrix, "token_create bpffs=b -> t", "token_create bpffs=b -> t => EPERM", 1)
	for id, r := range (&guest{facts: facts612()}).judge(group(t, lie).Cases) {
		if r.Status != Broken || r.Fault != ExpectationWrong {
			t.Errorf("%s: %s, fault %q: %s", id, r.Status, r.Fault, r.Reason)
		}
	}
}

// A step that the oracle does not model leaves the other steps their verdict; the record has the
// kernel's answer, and a pin on the step counts.
func TestNotModelled(t *testing.T) {
	const text = `needs token
actor owner userns uid=1000
owner bpffs cmds=any maps=any -> b
owner token_create bpffs=b -> t
control owner map_create type=hash token=t
control nobody map_create type=hash => EPERM
owner map_create type=queue token=t
owner mkdir in=b name=d
owner open at=/tmp -> e
owner mkdir in=e name=x => ?
`
	const inside = 7 // the step that is not modelled
	for _, tt := range []struct {
		name     string
		text     string
		change   map[int]step.Observation
		status   Status
		unjudged int
		reason   string
	}{
		{"the others pass", text, nil, Pass, 1, ""},
		{"another is wrong", text, map[int]step.Observation{4: {Errno: ePERM}}, Fail, 1, "got EPERM, want ok"},
		{"a pin on it, right", strings.Replace(text, "name=x => ?", "name=x", 1), nil, Pass, 0, ""},
		{"a pin on it, wrong", strings.Replace(text, "name=x => ?", "name=x => EACCES", 1), nil, Fail, 0,
			"got ok, want EACCES"},
		{"what it makes is not followed", text +
			"owner get_pinned in=e name=x -> y => ?\nowner dup y -> z => ?\nowner send z nobody => ?\nnobody close z => ?\n",
			nil, Pass, 5, ""},
	} {
		gu := &guest{facts: facts612(), change: func(_ string, n int, o *step.Observation) {
			if spoilt, ok := tt.change[n]; ok {
				*o = spoilt
			}
			if n >= inside && o.Errno == 0 {
				o.Proof = step.Works
			}
		}}
		r := gu.judge(group(t, tt.text).Cases)["demo"]
		if r.Status != tt.status || !strings.Contains(r.Reason, tt.reason) || len(r.Unjudged()) != tt.unjudged {
			t.Errorf("%s: %s, %d steps without a judge: %s", tt.name, r.Status, len(r.Unjudged()), r.Reason)
			for _, s := range r.Steps {
				t.Logf("%+v", s)
			}
		}
		for _, s := range r.Unjudged() {
			if s.Text == "" || s.Rule == "" || s.Unknown != oracle.NotModelled {
				t.Errorf("%s: the record does not say what was answered to what: %+v", tt.name, s)
			}
		}
	}
}

// If only controls and steps of the harness itself have a verdict, the case is skipped.
func TestNothingModelled(t *testing.T) {
	const text = `actor peer init
control root map_create type=hash
control nobody map_create type=hash => EPERM
root map_create type=queue -> q => ?
root map_create type=array -> a
root close a
`
	f := facts612()
	f.Release, f.Token = "6.1.0", false // of which the rules for map_create know nothing
	ePIN := func(_ string, n int, o *step.Observation) {
		if n == 1 || n == 2 {
			*o = step.Observation{Errno: ePERM}
		}
	}
	r := (&guest{facts: f, change: ePIN}).judge(group(t, text).Cases)["demo"]
	if r.Status != Pass || len(r.Unjudged()) != 1 {
		t.Errorf("a pin judges one step: %s: %s", r.Status, r.Reason)
	}
	open := strings.Replace(text, "type=array -> a", "type=array -> a => ?", 1)
	r = (&guest{facts: f, change: ePIN}).judge(group(t, strings.Replace(open, "root close a\n",
		"root send a peer => ?\n", 1)).Cases)["demo"]
	if r.Status != Skip || !strings.HasPrefix(r.Reason, "not modelled: ") ||
		!strings.HasSuffix(r.Reason, "; the kernel answers EPERM") {
		t.Errorf("nothing is judged: %s: %s", r.Status, r.Reason)
	}
	if len(r.Steps) != 5 || r.Steps[2].Got.Errno != ePERM {
		t.Errorf("what the kernel answered is lost: %+v", r.Steps)
	}
	if code := (&Run{Kernels: []*KernelRun{cleanKernel(*r)}}).ExitCode(); code != ExitNoVerdict {
		t.Errorf("exit %d", code)
	}
}

package report

import (
	"fmt"
	"syscall"
	"time"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

const (
	eperm  = uapi.Errno(syscall.EPERM)
	einval = uapi.Errno(syscall.EINVAL)
	enoent = uapi.Errno(syscall.ENOENT)
)

// fixtures are the runs that every format renders.
var fixtures = []struct {
	name string
	run  func() *result.Run
	exit int
}{
	{"pass", passing, result.ExitOK},
	{"notoken", noToken, result.ExitOK},
	{"everything", everything, result.ExitDiffers},
	{"tainted", tainted, result.ExitDiffers},
	{"broken", brokenControls, result.ExitNoVerdict},
	{"skipped", allSkip, result.ExitNoVerdict},
	{"accepted", acceptedSkip, result.ExitOK},
	{"expectation", wrongExpectation, result.ExitUsage},
	{"oracle", wrongOracle, result.ExitNoVerdict},
	{"unmodelled", unmodelled, result.ExitOK},
	{"error", kernelError, result.ExitNoVerdict},
	{"interrupted", stopped, result.ExitNoVerdict},
	{"stopped-early", stoppedEarly, result.ExitNoVerdict},
	{"damaged", damaged, result.ExitNoVerdict},
	{"nothing", nothing, result.ExitNoVerdict},
	{"expected", expected, result.ExitOK},
	{"unexpected", unexpected, result.ExitDiffers},
	{"hostile", hostile, result.ExitDiffers},
	{"known", known, result.ExitOK},
	{"starved", starved, result.ExitNoVerdict},
	{"lie", lie, result.ExitDiffers},
}

// lie is a run that was damaged on purpose.
func lie() *result.Run {
	r := tainted()
	r.Flags = []string{"--accel", "tcg", "--lie-rule", "token_create/no-cap-bpf"}
	return r
}

// starved holds a machine that got too little of the host's CPU time, and the next machine.
func starved() *result.Run {
	k := newKernel("deb:trixie", passed("token_create/x", 1))
	s := &splat.Share{Span: 20 * time.Second, Ran: 1300 * time.Millisecond, Waited: 18700 * time.Millisecond,
		Life: time.Minute}
	k.Boots[0] = boot(0, vm.Infra, "soft lockup in f, and the host is to blame: "+s.String(),
		splat.Finding{Kind: splat.KindLockup, Title: "soft lockup in f", Case: "token_create/x", Host: s})
	k.Boots[0].Host = s
	k.Boots = append(k.Boots, boot(1, vm.Clean, "powered off after its done record"))
	return newRun(k)
}

// known holds a known defect that matches its entry, so its machine does not count.
func known() *result.Run {
	const defect = "bpf_token_fops has no open method (cases/known/known_reopen.txt:2)"
	k := newKernel("deb:trixie",
		result.NewResult("known_reopen", result.Pass, result.Cause{Kind: result.KnownDefect,
			Entry: "cases/known/known_reopen.txt:2", Text: defect},
			"known defect: "+defect, 1),
		result.CaseResult{ID: "nested_userns", Status: result.Pass})
	b := boot(1, vm.Panicked, "BUG: kernel NULL pointer dereference in bpf_token_get_from_fd",
		splat.Finding{Kind: splat.KindOops, Title: "BUG: kernel NULL pointer dereference in bpf_token_get_from_fd"})
	b.Known = "bpf_token_fops has no open method"
	k.Boots = append(k.Boots, b)
	return newRun(k)
}

func newRun(list ...*result.KernelRun) *result.Run {
	start := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return &result.Run{
		Version: result.Version, Tool: "33a3b73f2fe168f01e13e148510485f2", Args: []string{"run", "--kernel", "deb:trixie"},
		Start: start, End: start.Add(9100 * time.Millisecond), Dir: "results/runs/7", Kernels: list,
	}
}

func newKernel(ref string, cases ...result.CaseResult) *result.KernelRun {
	return &result.KernelRun{
		Ref: ref, Release: "6.12.117+deb13-cloud-amd64", Source: "linux-image-6.12.117+deb13-cloud-amd64 6.12.117-1",
		Digest: "ed8f0dbd", Image: "bcd09c5c", Accel: "tcg: forced", AccelName: "tcg",
		Facts: &step.Facts{Release: "6.12.117+deb13-cloud-amd64", Token: true, BTF: true},
		Boots: []result.Boot{boot(0, vm.Clean, "powered off after its done record")},
		Cases: cases, Decide: 4500 * time.Millisecond,
	}
}

func boot(n int, fate vm.Fate, reason string, list ...splat.Finding) result.Boot {
	return result.Boot{
		Dir: fmt.Sprintf("kernel0/boot%d", n), Fate: fate, Reason: reason, Findings: list,
		Boot: 4100 * time.Millisecond, Decide: 4500 * time.Millisecond, Total: 9100 * time.Millisecond, Cases: 4,
	}
}

func passed(id string, errno uapi.Errno) result.CaseResult {
	return result.CaseResult{ID: id, Status: result.Pass, Steps: []result.StepResult{{Got: step.Observation{Errno: errno},
		ID: "map_create/ok"}}}
}

func skipped(id, why string) result.CaseResult {
	need := result.Need{Kind: cases.NeedConfig, Name: why}
	return result.NewResult(id, result.Skip, result.Cause{Kind: result.Unmet, Need: need}, why, -1)
}

// broken is a case that is broken for a reason from the guest.
func broken(id, why string, boot int) result.CaseResult {
	return brokenBy(result.Cause{Kind: result.ByGuest}, id, why, boot)
}

func brokenBy(c result.Cause, id, why string, boot int) result.CaseResult {
	return result.NewResult(id, result.Broken, c, why, boot)
}

// failed is a case whose second step was wrong.
func failed(id string, s result.StepResult) result.CaseResult {
	s.Wrong = true
	first := result.StepResult{Text: "owner bpffs delegate=cmds:map_create", Want: new(uapi.Errno)}
	out := result.NewResult(id, result.Fail, result.Cause{Kind: result.ByStep, Step: 2, Rule: s.ID}, s.Explain(), 0)
	out.Steps = []result.StepResult{first, s}
	return out
}

func stepResult(text string, got, want uapi.Errno) result.StepResult {
	return result.StepResult{
		Text: text, Got: step.Observation{Errno: got}, Want: &want, ID: "map_create/no-cap-bpf", Func: "map_create",
		Rule: "a map type that the token does not allow needs CAP_BPF in the initial namespace",
	}
}

func passing() *result.Run {
	k := newKernel("deb:trixie", passed("before/one", enoent))
	for i := range 30 {
		k.Cases = append(k.Cases, passed(fmt.Sprintf("map_create/any/owner/CAP_BPF/%d", i), 0))
	}
	for i := range 9 {
		k.Cases = append(k.Cases, skipped(fmt.Sprintf("map_create/new/%d", i), []string{
			"the kernel has no BPF_MAP_TYPE_INSN_ARRAY (added in 6.19)", "the kernel has no BPF_MAP_TYPE_RHASH (added in 7.2)",
			"CONFIG_BPF_LIRC_MODE2 is not set", "the kernel has no BPF_TRACE_FSESSION (added in 7.0)",
			"drift: nobody knows what 7.9 answers",
		}[i*i%5]))
	}
	k.Cases = append(k.Cases, skipped("before_tokens", "the kernel has BPF tokens; this case is for kernels without"))
	return newRun(k)
}

func noToken() *result.Run {
	k := newKernel("deb:bookworm", passed("before_tokens", einval))
	k.Release = "6.1.0-50-cloud-amd64"
	k.Note = "6.1.0-50-cloud-amd64 has no BPF tokens (they came with 6.9): checked is that it says so"
	for i := range 12 {
		k.Cases = append(k.Cases, skipped(fmt.Sprintf("token_create/%d", i), "the kernel has no BPF tokens (added in 6.9)"))
	}
	return newRun(k)
}

// everything has every status and every fate.
func everything() *result.Run {
	k := newKernel("tree:my linux/it's new", passed("map_create/none/owner/none/with/hash", eperm),
		skipped("map_create/new", "CONFIG_BPF_LSM is not set"))
	for _, id := range []string{"map_create/maps/owner/none/with/array", "map_create/maps/owner/none/with/hash",
		"map_create/maps/owner/CAP_BPF/with/hash"} {
		s := stepResult("owner map_create type=hash token=t", 0, eperm)
		s.Pin = "cases/matrix/map_create.txt:14 (map_create: bpf_token_allow_map_type; map_create_alloc 7.3)"
		k.Cases = append(k.Cases, failed(id, s))
	}
	dead := stepResult("owner map_create type=array token=t", 0, 0)
	dead.Got.Proof = step.DoesNotWork
	masks := stepResult("owner token_create -> t", 0, 0)
	masks.Got.Values, masks.Rule, masks.Func = []uint64{1, 0, 0, 0},
		"the token's fdinfo shows the masks [0x1 0x0 0x0 0x0], want [0x3 0x0 0x0 0x0]", "bpf_token_show_fdinfo"
	unknown := stepResult("owner map_create type=99", einval, 0)
	unknown.Want, unknown.Rule, unknown.ID, unknown.Func = nil, "", "", ""
	const control = "got EPERM, want ok: the token allows it (bpf_prog_load)"
	k.Cases = append(k.Cases,
		failed("map_create/works", dead), failed("token_create/masks", masks), failed("map_create/unknown", unknown),
		result.NewResult("token_create/gone", result.Fail, result.Cause{Kind: result.Refuted,
			Need: result.Need{Kind: cases.NeedToken}},
			"no BPF_TOKEN_CREATE although the kernel is 6.12", -1),
		brokenBy(result.Cause{Kind: result.ByMachine, Fate: vm.Panicked}, "prog_load/a",
			"the machine panicked under it: Kernel panic - not syncing: VFS: Unable to mount root", 1),
		brokenBy(result.Cause{Kind: result.ByControl, Control: "prog_load/c", Of: result.ByStep, Step: 1,
			Rule: "prog_load/ok", Text: control}, "prog_load/b",
			"control prog_load/c is fail: "+control, 0),
		brokenBy(result.Cause{Kind: result.Unanswered, Fate: vm.Lost}, "prog_load/d",
			"given up: 3 machines in a row died, the last one lost: qemu was killed from outside: killed", 5))
	k.Boots = append(k.Boots,
		boot(1, vm.Panicked, "Kernel panic - not syncing: VFS: Unable to mount root"),
		boot(2, vm.Hung, "no answer in 10s from the cases from prog_load/d on"),
		boot(3, vm.Tainted, "KASAN: slab-out-of-bounds in bpf_token_free (findings: 3)",
			splat.Finding{Kind: splat.KindKASAN, Title: "KASAN: slab-out-of-bounds in bpf_token_free",
				Lines: []string{"BUG: KASAN"}},
			splat.Finding{Kind: splat.KindWarn, Title: "WARNING in bpf_map_put"},
			splat.Finding{Kind: splat.KindWarn, Title: "WARNING in bpf_map_put"}),
		boot(4, vm.Unbooted, `the machine ended before the guest said hello; last console line: "reboot: System halted"`),
		boot(5, vm.Lost, "qemu was killed from outside: killed"), boot(6, vm.Infra, "qemu exited with status 1: no space"))
	k.Boots[1].Under(result.Blame{Case: "prog_load/a"})
	k.Boots[2].Under(result.Blame{Case: "prog_load/d", Setup: true})
	return newRun(newKernel("deb:trixie", passed("map_create/a", 0)), k,
		&result.KernelRun{Ref: "deb:nowhere", Error: `no suite "nowhere" on the mirror`})
}

// expected fails as a list of known failures says.
func expected() *result.Run {
	c := failed("map_create/known", stepResult("owner map_create", 0, eperm))
	k := newKernel("deb:trixie", passed("map_create/a", 0), c, c)
	k.Cases[2].ID += "/too"
	result.Expect([]result.ListEntry{{Kind: result.ExpectList, Pattern: "map_create/known", Where: "known.txt:3",
		Reason: "fixed in 6.13", Errno: new(uapi.Errno)}}, k)
	return newRun(k)
}

// unexpected holds cases whose result differs from the list of known failures.
func unexpected() *result.Run {
	other := failed("map_create/other", stepResult("owner map_create", einval, eperm))
	k := newKernel("deb:trixie", passed("map_create/passes", 0), other)
	r := newRun(k)
	for _, of := range []string{"map_create/passes", "map_create/other"} {
		r.Lists = append(r.Lists, result.ListEntry{Kind: result.ExpectList, Pattern: of, Where: "my known.txt:3",
			Reason: "fixed in 6.13", Errno: new(uapi.Errno)})
	}
	result.Expect(r.Lists, k)
	return r
}

// tainted passes every case on a machine whose kernel log has a finding.
func tainted() *result.Run {
	k := newKernel("deb:trixie", passed("map_create/a", 0))
	k.Boots[0] = boot(0, vm.Tainted, "WARNING in bpf_map_put (findings: 1)",
		splat.Finding{Kind: splat.KindWarn, Title: "WARNING in bpf_map_put"})
	return newRun(k)
}

// brokenControls has one cause in many cases.
func brokenControls() *result.Run {
	k := newKernel("deb:trixie", passed("token_create/x", 0))
	why := "actor owner: read back capabilities: effective 0x17fffffffff, want 0xffffff7fffffffff"
	for i := range 20 {
		c := fmt.Sprintf("map_create/control/%d", i)
		of := "the guest could not set it up: " + why
		k.Cases = append(k.Cases, brokenBy(result.Cause{Kind: result.ByGuest}, c, of, 0),
			brokenBy(result.Cause{Kind: result.ByControl, Control: c, Of: result.ByGuest, Text: of}, c+"/x",
				"control "+c+" is broken: "+of, 0),
			brokenBy(result.Cause{Kind: result.ByControl, Control: c, Of: result.WrongAnswer, Step: 1, Rule: "map_create/ok"},
				c+"/y",
				"control "+c+" must be allowed and got EPERM", 0))
	}
	bad := stepResult("owner bpffs delegate=any", eperm, 0)
	in := failed("token_create/y", bad)
	in.Status, in.Cause.Kind, in.Reason = result.Broken, result.BySetup,
		`set-up step "owner bpffs delegate=any": got EPERM, want ok`
	k.Cases = append(k.Cases, in)
	for i := range 15 {
		k.Cases = append(k.Cases, broken(fmt.Sprintf("zodd/%02d", i), fmt.Sprintf("reason number %d", i), 0))
	}
	k.Boots[0].Refused = []step.Fixture{{Name: "int BTF", Errno: uapi.Errno(syscall.EAGAIN)},
		{Name: "loader", Errno: einval}}
	return newRun(k)
}

func allSkip() *result.Run {
	return newRun(newKernel("deb:trixie", skipped("a/b", "CONFIG_BPF is not set"), skipped("c", "CONFIG_BPF is not set")))
}

// acceptedSkip may decide nothing (--allow-empty).
func acceptedSkip() *result.Run {
	r := allSkip()
	r.AllowEmpty = true
	return r
}

// blamed is a case whose wrong step is not the kernel's fault.
func blamed(id string, f result.Culprit, s result.StepResult) result.CaseResult {
	s.Fault, s.Pin, s.Rule, s.Func = f, "my/"+id+".txt:7", "nothing refuses it", "map_create"
	c := failed(id, s)
	c.Fault = f
	return c
}

// wrongExpectation fails only because the user's case file is wrong.
func wrongExpectation() *result.Run {
	r := newRun(newKernel("deb:trixie", passed("map_create/a", 0),
		blamed("mine", result.ExpectationWrong, stepResult("owner map_create type=hash token=t", 0, eperm))))
	r.Files = map[string]string{"mine": "my/mine.txt"}
	return r
}

// wrongOracle fails only because a rule is wrong.
func wrongOracle() *result.Run {
	return newRun(newKernel("deb:trixie", passed("map_create/a", 0),
		blamed("mine", result.OracleWrong, stepResult("owner element r update", eperm, 0))))
}

// unmodelled passes with an unjudged step, and with a list that is out of date.
func unmodelled() *result.Run {
	c := passed("mine", 0)
	c.Steps = append(c.Steps, result.StepResult{Text: "owner chmod e mode=0", Got: step.Observation{Errno: eperm},
		Unknown: oracle.NotModelled,
		Rule:    "the rules follow mounts of a bpffs alone", ID: "chmod/not-modelled"})
	new := result.NewResult("map_create/new", result.Skip,
		result.Cause{Kind: result.NotJudged, Step: 1, Rule: "chmod/not-modelled"},
		"not modelled: the rules follow mounts of a bpffs alone; the kernel answers EPERM", 0)
	new.Steps = c.Steps[1:]
	r := newRun(newKernel("deb:trixie", c, new))
	r.Lists = []result.ListEntry{{Kind: result.DenyList, Pattern: "map_crate", Where: "slow.txt:3", Reason: "slow",
		Unmatched: true}}
	return r
}

func kernelError() *result.Run {
	return newRun(&result.KernelRun{Ref: "deb:trixy", Error: `kernel "deb:trixy": no such suite (near: trixie)`})
}

// stopped was interrupted in its second kernel.
func stopped() *result.Run {
	k := newKernel("deb:sid", passed("map_create/a", 0), untried("map_create/b"), untried("prog_load/c"))
	k.Boots[0] = boot(0, vm.Lost, "stopped by the caller: interrupt")
	never := &result.KernelRun{Ref: "deb:7.3", Planned: 3, Error: "interrupted before it was tried"}
	whole := newKernel("deb:trixie", passed("map_create/a", 0), passed("map_create/b", 0), passed("prog_load/c", 0))
	r := newRun(whole, k, never)
	r.Interrupted, r.Resume = true, []string{"results/runs/7"}
	return r
}

func untried(id string) result.CaseResult {
	return result.NewResult(id, result.Interrupted, result.Cause{Kind: result.NotTried}, "the run was interrupted", -1)
}

// damaged has records that are missing and others that were altered: all that
// is left passed.
func damaged() *result.Run {
	k := newKernel("deb:sid", passed("map_create/a", 0))
	k.Planned, k.Absent = 3, 2
	r := newRun(k, newKernel("deb:trixie", passed("map_create/a", 0), passed("map_create/b", 0)))
	r.Resume = []string{"results/my runs/7"}
	r.Damage = []result.Damage{
		{File: "results/runs/7/records.jsonl", Line: 2, Fault: result.Altered, Want: 2},
		{File: "results/runs/7/records.jsonl", Line: 3, Fault: result.Skipped, Record: 4, Want: 3},
	}
	r.MoreDamage = 1
	return r
}

// stoppedEarly was interrupted before a case ran.
func stoppedEarly() *result.Run {
	r := newRun(newKernel("deb:trixie"))
	r.Kernels[0].Boots, r.Interrupted = nil, true
	return r
}

func nothing() *result.Run { return newRun() }

// hostile holds text that would break a terminal, a shell or a parser.
func hostile() *result.Run {
	s := stepResult("owner map_create\n  ok 1 fine\x1b[2J", 0, eperm)
	s.Rule = "a rule\r# SKIP of \u202e\xff two lines\nnot ok 9 x"
	k := newKernel("git:linux#v6.12 $(reboot) 'x'\n", failed("a#b/c\nd # SKIP no", s),
		skipped("a#b/e", "because\nof # two\tlines\x00"))
	k.Note = "a note\x07 with a bell"
	k.Boots = append(k.Boots, boot(1, vm.Panicked, "BUG\x1b[31m: \x00 in x\n1..7"))
	k.Boots[1].Under(result.Blame{Case: "a#b/c\nd # SKIP no"})
	return newRun(k)
}

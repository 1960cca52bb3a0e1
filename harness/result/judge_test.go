package result

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

const (
	ePERM  = uapi.Errno(1)
	eINVAL = uapi.Errno(22)
)

// leastConfig has what every case needs.
func leastConfig() map[string]string {
	out := map[string]string{}
	for _, n := range cases.Always {
		out[n.Name] = "y"
	}
	return out
}

func facts612() *step.Facts {
	return &step.Facts{Release: "6.12.1", Token: true, Config: leastConfig()}
}

// group reads a case file of the test's own.
func group(t *testing.T, text string) *cases.Group {
	t.Helper()
	path := filepath.Join(t.TempDir(), "demo.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := new(cases.Corpus).AddFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// guest observes what a correct kernel answers: the oracle's answers. change may change an
// observation, given its case ("setup" for a world) and step.
type guest struct {
	facts  *step.Facts
	omit   string // of the judge's oracle alone
	change func(id string, n int, o *step.Observation)
}

// must returns a step's expectation; the oracle knows every operation of the tests.
func must(e sim.Expect, err error) sim.Expect {
	if err != nil {
		panic(err)
	}
	return e
}

func (gu *guest) observe(sim *sim.Sim, id string, steps []step.Step) []step.Observation {
	out := []step.Observation{}
	for i := range steps {
		e := must(sim.Step(&steps[i]))
		o := step.Observation{Errno: e.Verdict.Errno, Values: slices.Concat(e.Values, e.Among,
			make([]uint64, len(e.AtMost))), Text: e.Text + e.Prints}
		if e.Code != nil {
			o.Values = []uint64{*e.Code}
		}
		if o.Errno == 0 {
			o.Proof = step.Works
		}
		if gu.change != nil {
			gu.change(id, i, &o)
		}
		out = append(out, o)
	}
	return out
}

// named finds results by their case's name.
func named(rs map[string]*CaseResult) func(*cases.Case) *CaseResult {
	return func(c *cases.Case) *CaseResult { return rs[c.ID] }
}

// guardNamed applies controls to results by their case's name.
func guardNamed(f *step.Facts, cs []*cases.Case, rs map[string]*CaseResult) {
	Guards(f, cs, named(rs), func(c *cases.Case, now CaseResult) { *rs[c.ID] = now })
}

// judge runs cases and judges them as the lab does.
func (gu *guest) judge(cs []*cases.Case) map[string]*CaseResult {
	j := NewJudge(gu.facts, gu.omit)
	sims := map[*cases.World]*sim.Sim{}
	out := map[string]*CaseResult{}
	for _, c := range cs {
		if r := j.Unmet(c); r != nil {
			out[c.ID] = r
			continue
		}
		w := c.World
		if sims[w] == nil {
			sims[w] = sim.New(gu.facts, &w.Program, false)
			j.Setup(w, gu.observe(sims[w], "setup", w.Program.Setup))
		}
		r := j.Case(c, gu.observe(sims[w].Fork(), c.ID, c.Cell()))
		out[c.ID] = &r
	}
	guardNamed(gu.facts, cs, out)
	return out
}

const matrix = `needs token
actor owner userns uid=1000
axis who root owner nobody
axis type hash queue
owner bpffs cmds=map_create maps=hash:queue -> b
owner token_create bpffs=b -> t
owner send t root
owner send t nobody
do $who map_create type=$type token=t
control allow who=root
control refuse who=nobody
pin who=owner type=queue ok # a source
`

func statuses(rs map[string]*CaseResult) map[Status][]string {
	out := map[Status][]string{}
	for id, r := range rs {
		out[r.Status] = append(out[r.Status], strings.TrimPrefix(id, "demo/"))
	}
	for s := range out {
		slices.Sort(out[s])
	}
	return out
}

// If the kernel answers as the oracle says, all built-in cases pass or are skipped with a reason.
func TestJudgePasses(t *testing.T) {
	c, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*step.Facts{{Release: "6.12.1", Token: true}, {Release: "7.3.0", Token: true, StructOpsIndex: 2}} {
		n := map[Status]int{}
		for id, r := range (&guest{facts: f}).judge(all) {
			n[r.Status]++
			if r.Status != Pass && r.Status != Skip || r.Status == Skip && r.Reason == "" {
				t.Errorf("%s on %s: %s: %s", id, f.Release, r.Status, r.Reason)
			}
		}
		if n[Pass] < 2000 {
			t.Errorf("%s: only %d cases pass", f.Release, n[Pass])
		}
	}
}

// Each row makes one observation of the matrix above wrong.
func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name   string
		id     string
		step   int
		spoil  step.Observation
		omit   string
		want   map[Status][]string // what is not a pass
		id2    string              // a case whose reason is looked at
		reason []string
	}{
		{name: "nothing is wrong"},
		{
			name: "refused although the oracle allows it", id: "demo/owner/hash", spoil: step.Observation{Errno: ePERM},
			want: map[Status][]string{Fail: {"owner/hash"}}, id2: "demo/owner/hash",
			reason: []string{"got EPERM, want ok", "map_create"},
		},
		{
			name: "refused although it is pinned too", id: "demo/owner/queue", spoil: step.Observation{Errno: ePERM},
			want: map[Status][]string{Fail: {"owner/queue"}}, id2: "demo/owner/queue", reason: []string{"got EPERM, want ok"},
		},
		{
			name: "another errno than the right one", id: "demo/owner/hash", spoil: step.Observation{Errno: eINVAL},
			want: map[Status][]string{Fail: {"owner/hash"}}, id2: "demo/owner/hash", reason: []string{"got EINVAL, want ok"},
		},
		{
			name: "an object that does not work", id: "demo/owner/hash", spoil: step.Observation{Proof: step.DoesNotWork},
			want: map[Status][]string{Fail: {"owner/hash"}}, id2: "demo/owner/hash",
			reason: []string{"an object that does not work"},
		},
		{
			name: "a token that survives execve", id: "demo/owner/hash", spoil: step.Observation{Proof: step.SurvivesExec},
			want: map[Status][]string{Fail: {"owner/hash"}}, id2: "demo/owner/hash",
			reason: []string{"a descriptor that survives execve(2)"},
		},
		{
			name: "the allowing control is refused", id: "demo/root/hash", spoil: step.Observation{Errno: ePERM},
			want: map[Status][]string{Broken: {"nobody/hash", "owner/hash", "root/hash"}}, id2: "demo/owner/hash",
			reason: []string{"control demo/root/hash is fail", "got EPERM, want ok"},
		},
		{
			name: "the refusing control is allowed", id: "demo/nobody/queue", spoil: step.Observation{Proof: step.Works},
			want: map[Status][]string{Broken: {"nobody/queue", "owner/queue", "root/queue"}}, id2: "demo/nobody/queue",
			reason: []string{"control demo/nobody/queue is fail", "got ok, want EPERM"},
		},
		{
			name: "a token of the set-up survives execve, and serves its purpose", id: "setup", step: 1,
			spoil: step.Observation{Proof: step.SurvivesExec, Values: []uint64{1, 0x400002, 0, 0}},
		},
		{
			name: "a set-up step fails", id: "setup", step: 1, spoil: step.Observation{Errno: ePERM},
			want: map[Status][]string{Broken: {"nobody/hash", "nobody/queue", "owner/hash", "owner/queue", "root/hash",
				"root/queue"}},
			id2: "demo/root/hash", reason: []string{`set-up step "owner token_create bpffs=b -> t"`, "got EPERM, want ok"},
		},
		{
			name: "a token of the set-up holds other masks", id: "setup", step: 1,
			spoil: step.Observation{Proof: step.Works, Values: []uint64{1, 2, 0, 0}},
			want: map[Status][]string{Broken: {"nobody/hash", "nobody/queue", "owner/hash", "owner/queue", "root/hash",
				"root/queue"}},
			id2: "demo/owner/hash", reason: []string{"fdinfo shows the masks [0x1 0x2 0x0 0x0], want [0x1 0x400002 0x0 0x0]"},
		},
		{
			name: "the oracle lacks a rule, and the pin of a cell does not cover it", omit: "map_create/unprivileged-disabled",
			want: map[Status][]string{Broken: {"nobody/hash", "owner/hash", "root/hash"}}, id2: "demo/nobody/hash",
			reason: []string{"got EPERM, want ok"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := group(t, matrix)
			gu := &guest{facts: facts612(), omit: tt.omit, change: func(id string, n int, o *step.Observation) {
				if id == tt.id && n == tt.step {
					*o = tt.spoil
				}
			}}
			rs := gu.judge(g.Cases)
			got := statuses(rs)
			delete(got, Pass)
			for _, s := range Statuses()[:4] {
				if !slices.Equal(got[s], tt.want[s]) {
					t.Errorf("%s: %q, want %q", s, got[s], tt.want[s])
				}
			}
			for _, want := range tt.reason {
				if r := rs[tt.id2]; !strings.Contains(r.Reason, want) {
					t.Errorf("%s: reason %q, want %q", tt.id2, r.Reason, want)
				}
			}
		})
	}
}

// A pin that the kernel contradicts fails the case with its source, even if the oracle agrees with
// the kernel; and so does an oracle that the kernel contradicts, even if a pin agrees.
func TestBothKeysCount(t *testing.T) {
	lie := strings.Replace(matrix, "pin who=owner type=queue ok # a source", "pin who=owner type=queue EINVAL # a lie", 1)
	rs := (&guest{facts: facts612()}).judge(group(t, lie).Cases)
	r := rs["demo/owner/queue"]
	if r.Status != Fail || r.Fault != ExpectationWrong || r.Steps[0].Got.Errno != 0 || *r.Steps[0].Want != eINVAL ||
		!strings.HasSuffix(r.Steps[0].Pin, "demo.txt:12 (a lie)") {
		t.Errorf("a wrong pin: %s: %s, pin %q", r.Status, r.Reason, r.Steps[0].Pin)
	}
	g := group(t, strings.Replace(matrix, "do $who map_create type=$type token=t",
		"do $who map_create type=$type token=t caps=CAP_NET_ADMIN", 1)+
		"pin who=owner EPERM # no CAP_BPF\n")
	gu := &guest{facts: facts612(), omit: "map_create/unprivileged-disabled"}
	r = gu.judge(g.Cases)["demo/owner/hash"]
	if s := r.Steps[0]; !s.Wrong || s.Fault != OracleWrong || *s.Want != 0 || s.Got.Errno != ePERM {
		t.Errorf("the pin is right and the oracle is not: %+v", s)
	}
}

// A step without a known answer is skipped as drift, unless a pin knows the answer.
func TestDrift(t *testing.T) {
	f := facts612()
	f.Max = map[string]uint32{"bpf_map_type": 50}
	g := group(t, `axis type hash 40 41
axis who root nobody
do $who map_create type=$type
control allow who=root type=hash
control refuse who=nobody type=hash
pin type=41 who=root EPERM # a source
`)
	gu := &guest{facts: f, change: func(id string, _ int, o *step.Observation) {
		if strings.HasPrefix(id, "demo/4") {
			*o = step.Observation{Errno: eINVAL}
		}
	}}
	rs := gu.judge(g.Cases)
	if r := rs["demo/40/root"]; r.Status != Skip || len(r.Steps) != 1 || r.Steps[0].ID != "map_create/drift" {
		t.Errorf("unpinned: %s: %s: %+v", r.Status, r.Reason, r.Steps)
	}
	if r := rs["demo/41/root"]; r.Status != Fail || !strings.Contains(r.Reason, "got EINVAL, want EPERM") {
		t.Errorf("pinned: %s: %s", r.Status, r.Reason)
	}
}

const scenario = `control root map_create type=hash
control nobody map_create type=hash => EPERM
root map_create type=queue
root map_create type=stack
`

// In a scenario a wrong control breaks the case and another wrong step fails it; broken stays
// broken, and the first cause is the reason.
func TestScenario(t *testing.T) {
	for _, tt := range []struct {
		wrong  []int
		status Status
		reason string
	}{
		{nil, Pass, ""},
		{[]int{2}, Fail, "got EBADF, want ok"},
		{[]int{2, 3}, Fail, "got EBADF, want ok"},
		{[]int{0}, Broken, `control "root map_create type=hash": got EBADF, want ok`},
		{[]int{1}, Broken, `control "nobody map_create type=hash": got EBADF, want EPERM`},
		{[]int{1, 2, 3}, Broken, `control "nobody`},
		{[]int{0, 1}, Broken, `control "root`},
	} {
		gu := &guest{facts: facts612(), change: func(_ string, n int, o *step.Observation) {
			if slices.Contains(tt.wrong, n) {
				*o = step.Observation{Errno: 9}
			}
		}}
		r := gu.judge(group(t, scenario).Cases)["demo"]
		if r.Status != tt.status || !strings.Contains(r.Reason, tt.reason) || (tt.reason == "") != (r.Reason == "") {
			t.Errorf("steps %d wrong: %s: %q, want %s: %q", tt.wrong, r.Status, r.Reason, tt.status, tt.reason)
		}
		if len(r.Steps) != 4 {
			t.Errorf("steps %d wrong: the result has %d steps, want all", tt.wrong, len(r.Steps))
		}
	}
}

// A control breaks the case also if it comes after the step that it guards.
func TestLateControl(t *testing.T) {
	g := group(t, "root map_create type=queue\n"+scenario)
	gu := &guest{facts: facts612(), change: func(_ string, n int, o *step.Observation) {
		if n == 0 || n == 1 {
			*o = step.Observation{Errno: 9}
		}
	}}
	if r := gu.judge(g.Cases)["demo"]; r.Status != Broken || !strings.Contains(r.Reason, "control") {
		t.Errorf("%s: %s, want broken by its control", r.Status, r.Reason)
	}
}

func TestIncomplete(t *testing.T) {
	g := group(t, matrix)
	c, w := g.Cases[0], g.Worlds[0]
	f := facts612()
	ok := (&guest{facts: f}).observe(sim.New(f, &w.Program, false), "setup", w.Program.Setup)
	one := []step.Observation{{Proof: step.Works}}
	for _, tt := range []struct {
		name string
		do   func(j *Judge) CaseResult
		want string
	}{
		{"no set-up", func(j *Judge) CaseResult { return j.Case(c, one) }, "the guest did not answer for its set-up"},
		{"set-up cut short", func(j *Judge) CaseResult { j.Setup(w, ok[:2]); return j.Case(c, one) },
			"the set-up has 4 steps and showed 2"},
		{"no observation", func(j *Judge) CaseResult { j.Setup(w, ok); return j.Case(c, nil) },
			"it has 1 steps and showed 0"},
		{"too many", func(j *Judge) CaseResult { j.Setup(w, ok); return j.Case(c, append(one, one...)) },
			"it has 1 steps and showed 2"},
		{"the guest gave up", func(j *Judge) CaseResult { j.SetupFailed(w, "no memory"); return j.Case(c, one) },
			"the guest could not set it up: no memory"},
		{"a fault", func(j *Judge) CaseResult { j.Setup(w, ok); return j.Faulted(c, "no fork") }, "no fork"},
		{"a fault after a broken set-up", func(j *Judge) CaseResult {
			j.SetupFailed(w, "no memory")
			return j.Faulted(c,
				"no fork")
		}, "no memory"},
	} {
		if r := tt.do(NewJudge(f, "")); r.Status != Broken || !strings.Contains(r.Reason, tt.want) || r.ID != c.ID {
			t.Errorf("%s: %s %s: %q, want broken: %q", tt.name, r.ID, r.Status, r.Reason, tt.want)
		}
	}
}

// A kernel that should have what a case needs fails the case, also if the control could not run
// either.
func TestRefutedNeed(t *testing.T) {
	text := `axis type each map_type -unspec
axis who root nobody
do $who map_create type=$type
control allow who=root
control refuse who=nobody
`
	count := func(release string, end uint32) (skips, fails, others int) {
		f := &step.Facts{Release: release, Token: true, Max: map[string]uint32{"bpf_map_type": end},
			Config: leastConfig()}
		for _, s := range []string{"PERF_EVENTS", "CGROUPS", "NET", "INET", "XDP_SOCKETS", "CGROUP_BPF", "BPF_JIT",
			"BPF_LSM", "MMU"} {
			f.Config[s] = "y"
		}
		for id, r := range (&guest{facts: f}).judge(group(t, text).Cases) {
			switch {
			case !strings.HasPrefix(id, "demo/rhash/"):
				if r.Status != Pass && r.Status != Skip {
					others++
				}
			case r.Status == Skip && strings.Contains(r.Reason, "no BPF_MAP_TYPE_RHASH (added in 7.2)"):
				skips++
			case r.Status == Fail && strings.Contains(r.Reason, "although the kernel is "+release):
				fails++
			default:
				t.Errorf("%s on %s: %s: %s", id, release, r.Status, r.Reason)
			}
		}
		return skips, fails, others
	}
	if skips, fails, others := count("6.12.1", 34); skips != 2 || fails+others != 0 {
		t.Errorf("6.12: %d skips, %d fails, %d others; want two skips", skips, fails, others)
	}
	if skips, fails, others := count("7.3.0", 35); fails != 2 || skips+others != 0 {
		t.Errorf("7.3 without rhash: %d skips, %d fails, %d others; want two fails", skips, fails, others)
	}
}

func TestUnmet(t *testing.T) {
	g := group(t, "needs token\nneeds config FOO\n"+scenario)
	f := facts612()
	if r := NewJudge(f, "").Unmet(g.Cases[0]); r == nil || r.Status != Skip || r.Reason != "CONFIG_FOO is not set" ||
		r.Boot != -1 {
		t.Errorf("no FOO: %+v", r)
	}
	f.Config["FOO"] = "m"
	if r := NewJudge(f, "").Unmet(g.Cases[0]); r != nil {
		t.Errorf("with FOO: %+v", r)
	}
	f.Token = false
	if r := NewJudge(f, "").Unmet(g.Cases[0]); r == nil || r.Status != Fail ||
		!strings.Contains(r.Reason, "although the kernel is 6.12.1") {
		t.Errorf("6.12 without tokens: %+v", r)
	}
}

// A kernel of unknown configuration that lacks what every case needs skips each case for the
// option; none fails, not even for a missing token.
func TestUnmetAlways(t *testing.T) {
	g := group(t, "needs token\n"+scenario)
	f := &step.Facts{Release: "6.12.1", ConfigOff: []string{"BPF_SYSCALL"}}
	want := "CONFIG_BPF_SYSCALL seems not to be set: the configuration is not known, " +
		"and there is no /proc/sys/kernel/unprivileged_bpf_disabled"
	if r := NewJudge(f, "").Unmet(g.Cases[0]); r == nil || r.Status != Skip || r.Reason != want {
		t.Errorf("got %+v", r)
	}
}

// A cell whose control cannot run is skipped too.
func TestUnmetControl(t *testing.T) {
	g := group(t, `axis who root owner nobody
actor owner userns
do $who prog_load type=xdp
control allow who=root
control refuse who=nobody
`)
	f := facts612()
	f.Config["NET"] = "n"
	for _, c := range g.Cases {
		if r := NewJudge(f, "").Unmet(c); r == nil || r.Status != Skip || r.Reason != "CONFIG_NET is not set" {
			t.Errorf("%s without its control: %+v", c.ID, r)
		}
	}
	f.ConfigOff, f.Config["NET"] = []string{"NET"}, "y"
	if r := NewJudge(f, "").Unmet(g.Cases[0]); r == nil || r.Status != Fail {
		t.Errorf("configuration and BTF contradict each other: %+v", r)
	}
}

// A control must be allowed or refused as its line says, even if oracle and kernel agree that it
// is not; and it must have run.
func TestGuards(t *testing.T) {
	text := strings.Replace(matrix, "control refuse who=nobody", "control refuse who=owner", 1)
	rs := (&guest{facts: facts612()}).judge(group(t, text).Cases)
	for _, id := range []string{"demo/owner/hash", "demo/nobody/hash"} {
		if r := rs[id]; r.Status != Broken || !strings.Contains(r.Reason,
			"control demo/owner/hash must be refused and got ok") {
			t.Errorf("%s: %s: %s", id, r.Status, r.Reason)
		}
	}
	g := group(t, matrix)
	rs = (&guest{facts: facts612()}).judge(g.Cases)
	delete(rs, "demo/root/queue")
	guardNamed(facts612(), g.Cases, rs)
	if r := rs["demo/owner/queue"]; r.Status != Broken || r.Reason != "control demo/root/queue did not run" {
		t.Errorf("a control did not run: %s: %s", r.Status, r.Reason)
	}
	if r := rs["demo/owner/hash"]; r.Status != Pass {
		t.Errorf("another type's case: %s: %s", r.Status, r.Reason)
	}
	rs["demo/root/hash"] = &CaseResult{ID: "demo/root/hash", Status: Broken, Reason: "the machine died"}
	guardNamed(facts612(), g.Cases, rs)
	if r := rs["demo/owner/hash"]; r.Status != Broken || !strings.Contains(r.Reason, "control demo/root/hash is broken") {
		t.Errorf("a control that died: %s: %s", r.Status, r.Reason)
	}
}

// A case whose control was not tried is interrupted; a control that failed breaks it.
func TestUntriedGuards(t *testing.T) {
	g := group(t, matrix)
	rs := (&guest{facts: facts612()}).judge(g.Cases)
	untried := func(id string) *CaseResult {
		return &CaseResult{ID: id, Status: Interrupted, Reason: "the run was interrupted"}
	}
	rs["demo/root/hash"], rs["demo/owner/queue"] = untried("demo/root/hash"), untried("demo/owner/queue")
	guardNamed(facts612(), g.Cases, rs)
	why := "its control demo/root/hash was not tried: the run was interrupted"
	if r := rs["demo/owner/hash"]; r.Status != Interrupted || r.Reason != why || len(r.Steps) == 0 {
		t.Errorf("its control was not tried: %+v", r)
	}
	if r := rs["demo/owner/queue"]; r.Status != Interrupted || r.Reason != "the run was interrupted" {
		t.Errorf("it was not tried itself: %+v", r)
	}
	rs["demo/nobody/hash"] = &CaseResult{ID: "demo/nobody/hash", Status: Broken, Reason: "got ok"}
	rs["demo/owner/hash"] = &CaseResult{ID: "demo/owner/hash", Status: Pass}
	guardNamed(facts612(), g.Cases, rs)
	if r := rs["demo/owner/hash"]; r.Status != Broken {
		t.Errorf("one control was not tried, and one failed: %+v", r)
	}
}

// If nothing shows the configuration, EINVAL for the initial root means that the option is off: a
// skip with its name. If it is known, or the kernel's BTF has what the option compiles in, the
// kernel refuses wrongly: a broken control.
func TestUnknownConfiguration(t *testing.T) {
	text := `axis type each map_type -unspec
axis who root owner nobody
actor owner userns
do $who map_create type=$type
control allow who=root
control refuse who=nobody
`
	for _, from := range []string{"nothing", "configuration", step.FromBTF} {
		f, known := facts612(), from != "nothing"
		f.Config["XDP_SOCKETS"] = "y"
		if from != "configuration" {
			f.Config = nil
		}
		if from == step.FromBTF {
			f.OptionsFrom = from
		}
		gu := &guest{facts: f, change: func(id string, _ int, o *step.Observation) {
			if strings.HasPrefix(id, "demo/xskmap/") || strings.HasPrefix(id, "demo/hash/") {
				*o = step.Observation{Errno: eINVAL}
			}
		}}
		rs := gu.judge(group(t, text).Cases)
		want := map[bool]Status{false: Skip, true: Broken}[known]
		for _, id := range []string{"demo/xskmap/root", "demo/xskmap/owner", "demo/xskmap/nobody"} {
			if r := rs[id]; r.Status != want || !known && !strings.Contains(r.Reason, "CONFIG_XDP_SOCKETS seems not to be set") {
				t.Errorf("%s, known from %s: %s: %s, want %s", id, from, r.Status, r.Reason, want)
			}
		}
		if r := rs["demo/hash/root"]; r.Status != Broken {
			t.Errorf("hash needs no option, known from %s: %s: %s", from, r.Status, r.Reason)
		}
	}
}

// A step's text, counts and values count like its errno.
func TestJudgeBeyondErrno(t *testing.T) {
	g := group(t, `needs token
actor o userns uid=1000
o bpffs cmds=any maps=any at=/mnt/a -> b
o token_create bpffs=b -> t
control o      map_create type=hash token=t
control nobody map_create type=hash => EPERM
o stat b
o mountinfo at=/mnt/a
o fdinfo t
o churn bpffs=b times=10 slack=5
o race use_close token=t times=10
`)
	const stat, mountinfo, fdinfo, churn, race = 4, 5, 6, 7, 8
	for _, tt := range []struct {
		name   string
		step   int
		change func(o *step.Observation)
		want   string // in the reason; "" passes
	}{
		{"as expected", stat, func(*step.Observation) {}, ""},
		{"another mode", stat, func(o *step.Observation) { o.Text = "mode=700 uid=0 gid=0" },
			`the kernel shows "mode=700 uid=0 gid=0", want "mode=1777 uid=0 gid=0"`},
		{"nothing shown", mountinfo, func(o *step.Observation) { o.Text = "" }, `the kernel shows ""`},
		{"another mask", fdinfo, func(o *step.Observation) { o.Values[0] = 1 }, "fdinfo shows the masks"},
		{"up to the bound", churn, func(o *step.Observation) { o.Values[0] = 5 }, ""},
		{"beyond it", churn, func(o *step.Observation) { o.Values[0], o.Text = 6, "filp +6" },
			"6 objects were not freed, want at most 5: filp +6"},
		{"no count", churn, func(o *step.Observation) { o.Values = nil }, "showed nothing that can be compared"},
		{"one of the orders", race, func(o *step.Observation) { o.Values = []uint64{9} }, ""},
		{"neither order", race, func(o *step.Observation) { o.Values = []uint64{0, 14} },
			"a call got EFAULT, which neither order gives"},
		{"no call", race, func(o *step.Observation) { o.Values = nil }, "showed nothing that can be compared"},
		{"refused", race, func(o *step.Observation) { o.Errno = ePERM }, "got EPERM, want ok"},
	} {
		gu := &guest{facts: facts612(), change: func(id string, n int, o *step.Observation) {
			if id == g.Cases[0].ID && n == tt.step {
				tt.change(o)
			}
		}}
		r := gu.judge(g.Cases)[g.Cases[0].ID]
		for i := range r.Steps {
			if got, want := r.Steps[i].Measured, i == churn || i == race; got != want {
				t.Errorf("%s: step %d: measured is %v", tt.name, i, got)
			}
		}
		if (r.Status == Pass) != (tt.want == "") || !strings.Contains(r.Reason, tt.want) {
			t.Errorf("%s: %s, %q, want %q", tt.name, r.Status, r.Reason, tt.want)
		}
	}
}

package cases

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// released are kernels as they describe themselves: the index of the
// struct_ops member is what BTF told on booted ones.
var released = map[string]*step.Facts{
	"5.10": {Release: "5.10.0"},
	"6.1":  {Release: "6.1.0"},
	"6.12": {Release: "6.12.0", Token: true},
	"6.19": {Release: "6.19.0", Token: true},
	"7.3":  {Release: "7.3.0", Token: true, StructOpsIndex: 2},
}

// played is what the oracle expects of a case.
type played struct {
	c      *Case
	skip   string // why the kernel cannot play it
	expect []sim.Expect
}

// must is what a step must show; every operation of the tests is known.
func must(e sim.Expect, err error) sim.Expect {
	if err != nil {
		panic(err)
	}
	return e
}

// play plays a group on a kernel. A rule that is named is left out.
func play(t *testing.T, g *Group, f *step.Facts, omit string) []played {
	t.Helper()
	sims := map[*World]*sim.Sim{}
	out := make([]played, 0, len(g.Cases))
	for _, c := range g.Cases {
		p := played{c: c, skip: unmet(t, c, f)}
		if p.skip == "" {
			if sims[c.World] == nil {
				sims[c.World] = setUp(t, c.World, f, omit)
			}
			sim := sims[c.World].Fork()
			for i := range c.Cell() {
				p.expect = append(p.expect, must(sim.Step(&c.Cell()[i])))
			}
		}
		out = append(out, p)
	}
	return out
}

func unmet(t *testing.T, c *Case, f *step.Facts) string {
	t.Helper()
	for _, n := range c.Needs() {
		met, refuted := n.Check(f)
		if refuted != "" {
			t.Errorf("%s on %s: %s", c.ID, f.Release, refuted)
		}
		if !met {
			return n.String()
		}
	}
	return ""
}

// setUp plays a world's set-up, in which every step must be as pinned.
func setUp(t *testing.T, w *World, f *step.Facts, omit string) *sim.Sim {
	t.Helper()
	sim := sim.New(f, &w.Program, false)
	sim.Omit(omit)
	for i := range w.Program.Setup {
		e := must(sim.Step(&w.Program.Setup[i]))
		if omit == "" {
			checkKeys(t, "set-up of "+w.Group.Name, &w.Info[i], e)
		}
	}
	return sim
}

// pinnedAlone are scenarios of which the rules follow only a part, with the reason: what
// they do not follow is pinned, and ran on 6.12 and 7.3.
var pinnedAlone = map[string]string{
	"raw_call":              "it is about raw, which has no rules",
	"raw_refused":           "it is about raw, which has no rules",
	"run_attributes":        "it is about fields that only raw spells out",
	"cilium_in_container":   "a TCX link is made with raw",
	"bpftrace_in_container": "raw tracepoints and perf links are made with raw",
}

// checkKeys holds one expectation's two keys against each other.
func checkKeys(t *testing.T, id string, info *StepInfo, e sim.Expect) {
	t.Helper()
	v := e.Verdict
	group, _, _ := strings.Cut(id, " ")
	if !v.Known && pinnedAlone[group] != "" && info.Pin != nil && strings.HasSuffix(v.ID, "/not-modelled") {
		return // the pin is the only key
	}
	if !v.Known && info.Pin != nil && strings.HasSuffix(v.ID, "/before-tokens") {
		return // the pin is the only key
	}
	if !v.Known {
		t.Errorf("%s: %q: nobody knows the answer: %s", id, info.Text, v.Rule)
		return
	}
	if v.Rule == "" || v.Func == "" || v.ID == "" {
		t.Errorf("%s: %q: the verdict %+v does not say why", id, info.Text, v)
	}
	if p := info.Pin; p != nil && p.Errno != v.Errno {
		t.Errorf(
			"%s: %q:\n\t%s: pinned %s (%s)\n\toracle: %s by %s (%s)",
			id,
			info.Text,
			p.Where,
			p.Errno,
			p.Note,
			v.Errno,
			v.ID,
			v.Rule,
		)
	}
}

// everyRelease are those of the table, and every release with tokens up to the newest.
func everyRelease() map[string]*step.Facts {
	out := maps.Clone(released)
	newest := released["7.3"].Version()
	for r := TokenRelease; r.Less(newest); r.Minor++ {
		if r.Major == 6 && r.Minor == 20 {
			r = uapi.Release{Major: 7}
		}
		if out[r.String()] == nil {
			out[r.String()] = FactsAt(r)
		}
	}
	return out
}

// TestTwoKeys compares every pin of the built-in cases with the oracle.
func TestTwoKeys(t *testing.T) {
	c := load(t)
	for release, facts := range everyRelease() {
		ran, pins := 0, 0
		for _, g := range c.Groups {
			for _, p := range play(t, g, facts, "") {
				if p.skip != "" {
					continue
				}
				ran++
				for i, e := range p.expect {
					checkKeys(t, p.c.ID+" on "+release, &p.c.Info()[i], e)
					if p.c.Info()[i].Pin != nil {
						pins++
					}
				}
				checkControl(t, release, &p)
			}
		}
		if ran == 0 || pins == 0 {
			t.Errorf("%s: %d cases, %d pins", release, ran, pins)
		}
	}
}

func checkControl(t *testing.T, release string, p *played) {
	t.Helper()
	e := p.expect[0].Verdict.Errno
	if p.c.Control == "allow" && e != 0 || p.c.Control == "refuse" && e == 0 {
		t.Errorf("%s on %s: the control %s gets %s", p.c.ID, release, p.c.Control, e)
	}
}

// neverLoad are the programs that the kernel refuses to everybody: no control
// can allow them.
var neverLoad = []string{"cgroup_skb.cgroup_inet_sock_create", "cgroup_sock_addr", "cgroup_sockopt", "sk_lookup",
	"netfilter"}

// Every cell of the built-in matrices is guarded by a control that is allowed
// and one that is refused, of the same map type or program where that is an axis.
func TestGuards(t *testing.T) {
	for _, g := range load(t).Groups {
		for _, c := range g.Cases {
			if len(c.Cell()) > 1 {
				continue
			}
			has := map[string]bool{c.Control: true}
			last := c.ID[strings.LastIndex(c.ID, "/"):]
			for _, k := range c.Guards() {
				has[k.Control] = true
				if (g.Name == "map_bits" || g.Name == "map_unprivileged" || g.Name == "prog_bits" || g.Name == "map_create" ||
					g.Name == "prog_load") &&
					!strings.HasSuffix(k.ID, last) {
					t.Errorf("%s is guarded by %s, which is about another type", c.ID, k.ID)
				}
			}
			if !has["refuse"] || !has["allow"] && !slices.Contains(neverLoad, last[1:]) {
				t.Errorf("%s is guarded by %q alone", c.ID, ids(c.Guards()))
			}
		}
	}
}

// slowLook is a whole read of /proc/kallsyms: parity_kallsyms runs with --full.
const slowLook = "to read /proc/kallsyms takes a second"

const ownMachine = "the failure leaks an inode on some kernels: known_emfile has a machine to itself"

const held = "parity_unpriv, about objects that are held, runs with --full"

const bounded = "the scenarios of limits take large maps, and run with --full"

const ofPrograms = "sys_bpf, which attaches BPF-LSM programs, runs with --full"

// unnoticed are rules that the default suite does not show, with the reason.
var unnoticed = map[string]string{
	"mount/set-unprivileged": "the next rule refuses the same: who may mount there may delegate",
	"kallsyms/no-program":    slowLook,
	"kallsyms/not-compiled":  slowLook,
	"kallsyms/hidden":        slowLook,
	"prog_load/not-compiled": "jit_settings, which reads /proc/kallsyms, runs with --full; the cells of prog_load are " +
		"skipped where nothing is compiled",
	"kallsyms/no-cap-bpf":             slowLook,
	"kallsyms/sub-no-cap-bpf":         slowLook,
	"token_create/no-fd":              ownMachine,
	"token_create/no-file":            ownMachine,
	"token_create/no-fd-late":         ownMachine,
	"map_create/no-memory":            bounded,
	"map_create/no-fd":                bounded,
	"prog_load/no-fd":                 bounded,
	"btf_load/no-fd":                  bounded,
	"map_create/lsm-bpf-run":          "lsm_kernel runs with --full",
	"call/lsm-bpf-run":                ofPrograms,
	"call/kernel-command":             ofPrograms,
	"map_update_elem/kernel-key":      ofPrograms,
	"map_delete_elem/kernel-key":      ofPrograms,
	"prog_load/limit-used-up":         "only 6.12 before 6.12.48 and 6.16 before 6.16.8 have the check",
	"prog_load/map-root":              "the next rule refuses the same: such a value has a lock",
	"element/no-map":                  held,
	"element/array-delete":            held,
	"fscreate/userns-mount":           "a kernel before tokens must show its patch level for that",
	"link/no-parent":                  "a token has no link, which is ENOENT as well",
	"get_pinned/search":               held,
	"fscreate/excl":                   "a kernel with tokens has the command",
	"mount_attr/idmap-no-userns":      "the next rules refuse the same",
	"prog_load/limit-always-compiles": "no kernel of the tests has CONFIG_BPF_JIT_ALWAYS_ON",
	"write_sysctl/always-compiled":    "no kernel of the tests has CONFIG_BPF_JIT_ALWAYS_ON",
}

// TestEveryRuleIsNoticed leaves out each rule of the oracle in turn: some case
// of the default suite must then expect something else on some kernel.
func TestEveryRuleIsNoticed(t *testing.T) {
	changed := map[string]string{}
	groups := byDefault(t)
	kernels := []*step.Facts{released["7.3"], released["6.19"], released["6.12"], released["6.1"], released["5.10"]}
	for _, f := range append(kernels, restricted()...) {
		for _, g := range groups {
			with := play(t, g, f, "")
			for _, rule := range oracle.Rules() {
				if changed[rule] == "" && decides(rule, with) {
					changed[rule] = differs(with, play(t, g, f, rule))
				}
			}
		}
	}
	for _, rule := range oracle.Rules() {
		_, listed := unnoticed[rule]
		switch {
		case changed[rule] == "" && !listed:
			t.Errorf("no case notices that %s is left out", rule)
		case changed[rule] != "" && listed:
			t.Errorf("%s is listed as unnoticed, and %s notices", rule, changed[rule])
		}
	}
}

// byDefault returns the groups with just their cases of the default suite.
func byDefault(t *testing.T) []*Group {
	t.Helper()
	c := load(t)
	chosen, err := c.Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	in := map[*Group][]*Case{}
	for _, k := range chosen {
		in[k.Group] = append(in[k.Group], k)
	}
	var out []*Group
	for _, g := range c.Groups {
		if len(in[g]) > 0 {
			out = append(out, &Group{Name: g.Name, Cases: in[g]})
		}
	}
	return out
}

// decides reports whether a rule can matter to any of the cases: it decides
// one, or drops a token, which the verdict does not tell.
func decides(rule string, ps []played) bool {
	return strings.Contains(rule, "token-not-covering") || strings.HasSuffix(rule, "lsm-token-cmd") ||
		slices.ContainsFunc(ps, func(p played) bool {
			return slices.ContainsFunc(p.expect, func(e sim.Expect) bool { return e.Verdict.ID == rule })
		})
}

// differs returns a case of which something else is expected.
func differs(a, b []played) string {
	for i := range a {
		for j := range a[i].expect {
			if a[i].expect[j].Verdict.Errno != b[i].expect[j].Verdict.Errno {
				return a[i].c.ID
			}
		}
	}
	return ""
}

// A cell does not see what another cell did to its world.
func TestFork(t *testing.T) {
	g := mustExpand(t, "actor o userns\nroot sysctl unprivileged_bpf_disabled=0\no bpffs cmds=any -> b\n"+matrixHead+
		"do root map_create type=hash\n"+matrixTail)
	sim := setUp(t, g.Worlds[0], released["6.12"], "")
	fork := sim.Fork()
	must(fork.Step(&step.Step{Actor: 1, Op: step.OpSysctl, Args: []step.Arg{{Key: step.KeyValue, Num: 2}}}))
	must(fork.Step(&step.Step{Actor: 0, Op: step.OpClose, Args: []step.Arg{{Key: step.KeyHandle, Num: 1}}}))
	create := step.Step{Actor: 0, Op: step.OpTokenCreate, Caps: uapi.AllCaps,
		Args: []step.Arg{{Key: step.KeyBPFFS, Num: 1}}}
	plain := step.Step{Actor: 0, Op: step.OpMapCreate, Args: []step.Arg{{Key: step.KeyType, Num: 1}}}
	if e := must(fork.Step(&create)); e.Verdict.Errno != 9 {
		t.Errorf("the fork's own bpffs is closed, and token_create got %s", e.Verdict.Errno)
	}
	if e := must(fork.Step(&plain)); e.Verdict.Errno != 1 {
		t.Errorf("the fork's sysctl is 2, and map_create got %s", e.Verdict.Errno)
	}
	if e := must(sim.Step(&create)); e.Verdict.Errno != 0 {
		t.Errorf("token_create got %s after another cell closed the bpffs", e.Verdict.Errno)
	}
	if e := must(sim.Step(&plain)); e.Verdict.Errno != 0 {
		t.Errorf("map_create got %s after another cell set the sysctl", e.Verdict.Errno)
	}
}

// A step that provokes a kernel fault has no known answer.
func TestSysrqIsUnknown(t *testing.T) {
	g := mustExpand(t, scenarioControls+"root sysrq c\n")
	p := play(t, g, released["6.12"], "")
	if v := p[0].expect[2].Verdict; v.Known {
		t.Errorf("sysrq is known to answer %s", v.Errno)
	}
}

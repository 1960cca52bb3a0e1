package guest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// newTestAgent is an agent that changes no setting of this machine: it takes the one that
// worlds begin with for set.
func newTestAgent(t *testing.T) *agent {
	t.Helper()
	g := newAgent(struct{ io.ReadWriter }{})
	g.sysctl = unprivDefault
	t.Cleanup(func() {
		g.dismiss()
		closeFixtures(&g.fix)
		closeFD(g.stats)
	})
	return g
}

// closeFixtures closes what an agent made for requests: a machine has one agent, and
// numbers above highFD must stay free.
func closeFixtures(f *fixtures) {
	for _, fd := range append(f.commands[:], f.inner, f.intBTF, f.extTarget, f.funcBTF) {
		closeFD(fd)
	}
}

// hostFacts describes this machine as hello does.
func hostFacts(g *agent) *step.Facts {
	release := runningRelease()
	return &step.Facts{
		Release: release.String(), Token: true, BTF: g.max != nil, Max: g.max, Enumerators: g.members,
		StructOpsIndex: g.btf.StructOpsIndex, LSM: activeLSMs(), Settings: readSettings(),
		ConfigOff: g.built.off, ConfigOn: g.built.on, OptionsFrom: g.built.from, TypesOff: g.built.typesOff,
	}
}

// harmless are the operations that change nothing outside the actors and their mounts.
func harmless(steps []step.Step) bool {
	return !slices.ContainsFunc(steps, func(s step.Step) bool {
		return slices.Contains([]step.Op{step.OpSysctl, step.OpSysrq, step.OpLSM, step.OpMemory, step.OpChurn,
			step.OpNamespaces, step.OpReopen}, s.Op)
	})
}

// setOtherwise names a setting that a case depends on and that the guest would change, "" if
// this machine has them as the guest would set them.
func setOtherwise(c *cases.Case, f *step.Facts) string {
	steps := slices.Concat(c.World.Program.Setup, c.Cell())
	for name, ops := range map[string][]step.Op{
		step.UnprivDisabled:      nil, // every case
		step.PtraceScope:         {step.OpPidfdGetfd, step.OpProcOpen},
		"fs.protected_hardlinks": {step.OpLink},
	} {
		s := step.SettingNamed(name)
		v, ok := f.Running(name)
		uses := ops == nil || slices.ContainsFunc(steps, func(s step.Step) bool { return slices.Contains(ops, s.Op) })
		if ok && uses && !s.Change.Holds(v) {
			return fmt.Sprintf("%s is %s here, and the guest would set it to %s", name, s.Spell(v), s.Spell(s.Change.Value))
		}
	}
	return ""
}

// playedStep is one step as the agent played it, beside what the oracle expects.
type playedStep struct {
	text string
	want sim.Expect
	pin  *cases.Pin
	got  step.Observation
}

// fault says what is wrong with a step, "" for nothing.
func (p *playedStep) fault() string {
	want := p.want.Verdict.Errno
	switch {
	case p.pin != nil:
		want = p.pin.Errno
	case !p.want.Verdict.Known:
		return ""
	}
	switch {
	case p.got.Errno != want:
		return fmt.Sprintf("got %s, want %s", p.got.Errno, want)
	case p.got.Proof.Fails():
		return p.got.Proof.Fault()
	case p.want.Values != nil && !slices.Equal(p.got.Values, p.want.Values):
		return fmt.Sprintf("got %#x, want %#x", p.got.Values, p.want.Values)
	case p.want.Text != "" && p.got.Text != p.want.Text:
		return fmt.Sprintf("got %q, want %q", p.got.Text, p.want.Text)
	}
	return ""
}

// playCase plays a scenario with the agent and in the simulation.
func playCase(t *testing.T, g *agent, c *cases.Case) []playedStep {
	t.Helper()
	s := sim.New(hostFacts(g), &c.World.Program, false)
	cell, info := c.Steps()
	steps, infos := slices.Concat(c.World.Program.Setup, cell), slices.Concat(c.World.Info, info)
	if !harmless(steps) {
		t.Fatalf("%s changes this machine", c.ID)
	}
	want, err := s.Play(steps)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.assemble(c.World.Program.Actors); err != nil {
		t.Fatal(err)
	}
	got, err := g.play(steps)
	if err != nil {
		t.Fatalf("%s: %v", c.ID, err)
	}
	out := make([]playedStep, len(steps))
	for i := range steps {
		out[i] = playedStep{infos[i].Text, want[i], infos[i].Pin, got[i]}
	}
	return out
}

// Scenarios of the corpus show on this machine's kernel what the oracle expects of it.
// Each one is about a part of the agent.
func TestScenarios(t *testing.T) {
	needTokens(t)
	names := strings.Fields(`token_life token_passed_on mount_calls file_calls abuse_impostor abuse_combined abuse_taken
		abuse_setns masks from_outside nested_userns mount_options mount_reconfigure mount_setters
		abuse_inherited abuse_outlives abuse_pinned abuse_nested abuse_propagated abuse_same_uid abuse_shared
		command_details detach_tcx_refused initial_userns mount_container mount_root mountinfo_cmds unknown_types
		btf_by_id_token token_races`)
	corpus, err := cases.LoadGroups(t.Context(), names...)
	if err != nil {
		t.Fatal(err)
	}
	g := newTestAgent(t)
	facts := hostFacts(g)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			c := corpus.Case(name)
			if c == nil {
				t.Fatal("no such case")
			}
			for _, n := range c.Needs() {
				if met, _ := n.Check(facts); !met {
					t.Skip(n.Reason(facts))
				}
			}
			if why := setOtherwise(c, facts); why != "" {
				t.Skip(why)
			}
			for _, p := range playCase(t, g, c) {
				if why := p.fault(); why != "" {
					t.Errorf("%s: %s", p.text, why)
				}
			}
		})
	}
}

// A step that shows something else than expected is noticed.
func TestPlayedStepFault(t *testing.T) {
	known := func(e uapi.Errno) sim.Expect { return sim.Expect{Verdict: oracle.Verdict{Known: true, Errno: e}} }
	for name, tt := range map[string]struct {
		p    playedStep
		want string
	}{
		"as expected": {playedStep{want: known(1), got: step.Observation{Errno: 1}}, ""},
		"not known":   {playedStep{got: step.Observation{Errno: 1}}, ""},
		"other errno": {playedStep{want: known(1)}, "got ok, want EPERM"},
		"pinned":      {playedStep{want: known(0), pin: &cases.Pin{Errno: 22}}, "got ok, want EINVAL"},
		"does not work": {playedStep{want: known(0), got: step.Observation{Proof: step.DoesNotWork}},
			"an object that does not work"},
		"other masks": {playedStep{want: sim.Expect{Verdict: oracle.Verdict{Known: true}, Values: []uint64{1}}},
			"got [], want [0x1]"},
		"other text": {playedStep{want: sim.Expect{Verdict: oracle.Verdict{Known: true}, Text: "a"},
			got: step.Observation{Text: "b"}}, `got "b", want "a"`},
		"the same values": {playedStep{want: sim.Expect{Verdict: oracle.Verdict{Known: true}, Values: []uint64{1}},
			got: step.Observation{Values: []uint64{1}}}, ""},
	} {
		if got := tt.p.fault(); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A case is skipped for a setting of this machine only if its steps depend on it.
func TestSetOtherwise(t *testing.T) {
	corpus, err := cases.LoadGroups(t.Context(), "masks", "abuse_taken", "file_calls")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		setting string
		value   int64
		skips   string
	}{
		{step.UnprivDisabled, 2, ""}, {step.UnprivDisabled, 0, "abuse_taken file_calls masks"},
		{step.PtraceScope, 0, ""}, {step.PtraceScope, 1, "abuse_taken file_calls"},
		{"fs.protected_hardlinks", 1, "file_calls"}, {step.JITEnable, 0, ""},
	} {
		f := &step.Facts{Settings: map[string]step.Reading{tt.setting: {Running: tt.value}}}
		var skips []string
		for _, name := range []string{"abuse_taken", "file_calls", "masks"} {
			if setOtherwise(corpus.Case(name), f) != "" {
				skips = append(skips, name)
			}
		}
		if got := strings.Join(skips, " "); got != tt.skips {
			t.Errorf("%s=%d skips %q, want %q", tt.setting, tt.value, got, tt.skips)
		}
	}
}

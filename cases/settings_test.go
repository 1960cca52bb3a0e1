package cases

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/step"
)

// having is the kernel 7.3 with settings, a name and a value each.
func having(settings map[string]int64) *step.Facts {
	f := *released["7.3"]
	f.Settings = map[string]step.Reading{}
	for name, v := range settings {
		f.Settings[name] = step.Reading{Booted: v, Running: v}
	}
	return &f
}

// restricted are kernels that each setting which a rule goes by restricts.
func restricted() []*step.Facts {
	return []*step.Facts{
		having(map[string]int64{step.Lockdown: step.LockdownConfidentiality, step.PtraceScope: 3}),
		having(map[string]int64{step.JITHarden: 2, step.KptrRestrict: 1}),
		having(map[string]int64{step.JITEnable: 0}),
		unguarded(),
	}
}

// unguarded is a kernel with mitigations=off.
func unguarded() *step.Facts {
	f := having(map[string]int64{step.Mitigations: 1})
	f.MitigationsOff = true
	return f
}

// TestTwoKeysOfSettings compares every pin with the oracle on kernels that a
// setting restricts: a case whose pin holds no more is skipped for the setting.
func TestTwoKeysOfSettings(t *testing.T) {
	c := load(t)
	locked := having(map[string]int64{step.UnprivDisabled: 1})
	for _, f := range append(restricted(), locked, having(map[string]int64{step.JITKallsyms: 0})) {
		ran, skipped := 0, 0
		for _, g := range c.Groups {
			for _, p := range play(t, g, f, "") {
				if p.skip != "" {
					skipped++
					continue
				}
				ran++
				for i, e := range p.expect {
					checkKeys(t, fmt.Sprintf("%s with %v", p.c.ID, f.Settings), &p.c.Info()[i], e)
				}
				checkControl(t, "7.3", &p)
			}
		}
		if ran == 0 || skipped == 0 {
			t.Errorf("%v: %d cases, %d skipped", f.Settings, ran, skipped)
		}
	}
}

// scenario is a group of the corpus.
func scenario(t *testing.T, name string) *Group {
	t.Helper()
	c, err := LoadGroups(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(c.Groups, func(g *Group) bool { return g.Name == name })
	if i < 0 {
		t.Fatalf("no group %s", name)
	}
	return c.Groups[i]
}

// Each setting decides what a kernel with it was seen to decide, the calls of
// a scenario in their order.
func TestSettingsDecide(t *testing.T) {
	for _, tt := range []struct {
		settings map[string]int64
		group    string
		want     string
	}{
		{nil, "lockdown", "ok ok ok EPERM ok ok ok ok ok ok ok ok EINVAL EINVAL"},
		{map[string]int64{step.Lockdown: step.LockdownIntegrity}, "lockdown",
			"ok ok ok EPERM ok ok ok EINVAL EINVAL ok ok ok EINVAL EINVAL"},
		{map[string]int64{step.Lockdown: step.LockdownConfidentiality}, "lockdown",
			"ok ok ok EPERM EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL EINVAL ok EINVAL EINVAL"},
		{nil, "jit_settings", "ok ok ok EPERM ok ok ok ok ENOENT ok ok"},
		{map[string]int64{step.JITEnable: 1, step.JITKallsyms: 1, step.JITHarden: 0}, "jit_settings",
			"ok ok ok EPERM ok ok ok ok ENOENT ok ok"},
		{map[string]int64{step.JITEnable: 0}, "jit_settings", "ok ok ok EPERM ok ok ENOENT ENOENT ENOENT EINVAL EINVAL"},
		{map[string]int64{step.JITHarden: 1}, "jit_settings", "ok ok ok EPERM ok ok ENOENT ENOENT ENOENT ok ok"},
		{map[string]int64{step.JITKallsyms: 0}, "jit_settings", "ok ok ok EPERM ok ok ENOENT ENOENT ENOENT ok ok"},
		{map[string]int64{step.PtraceScope: 2}, "ptrace_scope", "ok ok ok EPERM ok ok ok EPERM ok"},
		{map[string]int64{step.PtraceScope: 3}, "ptrace_scope", "ok ok ok EPERM EPERM EPERM ok EPERM ok"},
		{map[string]int64{step.JITHarden: 2}, "speculation", "ok ok ok EPERM ok ok ok ok ok ok ok ok ok ok ok ok ok"},
		{map[string]int64{step.JITHarden: 2, step.KptrRestrict: 1}, "speculation",
			"ok ok ok EPERM ok ok ok ok ok ok ok ok ENODATA ENODATA ENODATA ok ENODATA"},
		{map[string]int64{step.JITHarden: 2, step.PerfParanoid: 2}, "speculation",
			"ok ok ok EPERM ok ok ok ok ok ok ok ok ENODATA ENODATA ENODATA ok ENODATA"},
		{map[string]int64{step.JITHarden: 2, step.KptrRestrict: 2}, "speculation",
			"ok ok ok EPERM ok ok ok ok ok ok ok ok ENODATA ENODATA ENODATA ENODATA ENODATA"},
		{map[string]int64{step.JITHarden: 1, step.KptrRestrict: 2}, "speculation",
			"ok ok ok EPERM ok ok ok ok ok ok ok ok ENODATA ENODATA ENODATA ok ok"},
		{map[string]int64{step.JITHarden: 2, step.KptrRestrict: 2, step.JITEnable: 0}, "speculation",
			"ok ok ok EPERM ok ok ok ok ok ok ok ok ok ok ok ok ok"},
	} {
		var got []string
		p := play(t, scenario(t, tt.group), having(tt.settings), "")[0]
		for _, e := range p.expect {
			if !e.Verdict.Known {
				t.Errorf("%s with %v: unknown by %s", tt.group, tt.settings, e.Verdict.ID)
			}
			got = append(got, e.Verdict.Errno.String())
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s with %v:\ngot  %s\nwant %s", tt.group, tt.settings, s, tt.want)
		}
	}
}

// A case that a setting keeps from being asked names the setting, its value and
// the function that reads it. What contradicts the configuration fails.
func TestSettingNeeds(t *testing.T) {
	always := having(map[string]int64{step.JITEnable: 0})
	always.Config = map[string]string{"BPF_JIT_ALWAYS_ON": "y"}
	for _, tt := range []struct {
		name    string
		need    Need
		f       *step.Facts
		met     bool
		refuted string
		reason  string
	}{
		{"as it must be", settingIs(step.PtraceScope, 0), having(map[string]int64{step.PtraceScope: 0}), true, "", ""},
		{"no such setting", settingIs(step.PtraceScope, 0), having(nil), true, "", ""},
		{"a record from before", settingIs(step.PtraceScope, 0), released["6.12"], true, "", ""},
		{"restricted", settingIs(step.PtraceScope, 0), having(map[string]int64{step.PtraceScope: 3}), false, "",
			"kernel.yama.ptrace_scope is 3 and the case needs 0 "},
		{"words", settingIs(step.Lockdown, 0), having(map[string]int64{step.Lockdown: 2}), false, "",
			"lockdown is confidentiality and the case needs none "},
		{"one of several", settingIs(step.JITEnable, 1, 2), having(map[string]int64{step.JITEnable: 2}), true, "", ""},
		{"beyond what a need can tell", settingIs(step.JITEnable, 1, 2), having(map[string]int64{step.JITEnable: 1 << 40}),
			false, "", "is 1099511627776 and the case needs 1 or 2 "},
		{"negative", settingIs(step.JITEnable, 1, 2), having(map[string]int64{step.JITEnable: -1}), false, "",
			"is -1 and the case needs 1 or 2 "},
		{"contradicted", settingIs(step.JITEnable, 1, 2), always, false,
			"net.core.bpf_jit_enable is 0, although CONFIG_BPF_JIT_ALWAYS_ON is set", ""},
	} {
		met, refuted := tt.need.Check(tt.f)
		if met != tt.met || refuted != tt.refuted {
			t.Errorf("%s: met %t, refuted %q, want %t, %q", tt.name, met, refuted, tt.met, tt.refuted)
		}
		if tt.reason == "" {
			continue
		}
		s := step.SettingNamed(tt.need.Name)
		if got := tt.need.Reason(tt.f); !strings.Contains(got, tt.reason) || !strings.HasSuffix(got, "("+s.Func+")") {
			t.Errorf("%s: %q, want %q and the function", tt.name, got, tt.reason)
		}
	}
}

// Cells that a setting concerns need it, and no others.
func TestSettingsSkip(t *testing.T) {
	locked := map[string]int64{step.UnprivDisabled: 1}
	for _, tt := range []struct {
		settings      map[string]int64
		skipped, kept string
	}{
		{map[string]int64{step.Lockdown: step.LockdownIntegrity}, "verifier/0/probe_write_user/root/without/CAP_SYS_ADMIN",
			"verifier/0/jiffies64/root/without/CAP_SYS_ADMIN"},
		{map[string]int64{step.JITEnable: 0}, "prog_load/none/root/all/without/ext", "prog_load/none/root/all/without/xdp"},
		{map[string]int64{step.JITEnable: 0}, "parity_kallsyms", "jit_settings"},
		{map[string]int64{step.JITHarden: 1}, "parity_kallsyms", "jit_settings"},
		{map[string]int64{step.JITKallsyms: 0}, "parity_kallsyms", "jit_settings"},
		{map[string]int64{step.PtraceScope: 3}, "abuse_taken", "ptrace_scope"},
		{map[string]int64{step.PtraceScope: 3}, "abuse_same_uid", "abuse_shell"},
		{map[string]int64{step.CgroupDisable: 1}, "limits", "masks"},
		{map[string]int64{step.CgroupMemory: 1}, "limits", "masks"},
		{locked, "special_fields", "sysctl_locked"},
		{locked, "verifier/0/jiffies64/root/without/CAP_SYS_ADMIN", "masks"},
	} {
		f := having(tt.settings)
		if c := caseNamed(t, tt.skipped); met(c, f) {
			t.Errorf("%s is asked with %v", tt.skipped, tt.settings)
		}
		if c := caseNamed(t, tt.kept); !met(c, f) {
			t.Errorf("%s is not asked with %v", tt.kept, tt.settings)
		}
	}
	off := *released["7.3"]
	off.MitigationsOff = true
	if c := caseNamed(t, "verifier/0/var_stack/owner/with/none"); met(c, &off) {
		t.Errorf("%s is asked with mitigations=off", c.ID)
	}
	if c := caseNamed(t, "verifier/0/uninit_stack/owner/with/none"); !met(c, &off) {
		t.Errorf("%s is not asked with mitigations=off", c.ID)
	}
	bare := *having(map[string]int64{step.LSMArgument: step.LSMWithoutBPF})
	bare.LSM, bare.Config = []string{"capability"}, map[string]string{"BPF_LSM": "y"}
	for _, id := range []string{"lsm_bpf", "map_create/none/root/all/without/inode_storage"} {
		if c := caseNamed(t, id); met(c, &bare) || unmet(t, c, &bare) == "" {
			t.Errorf("%s is asked without the module, which the command line leaves out", id)
		}
	}
	bare.Settings = nil
	if _, refuted := lsmNeeds[len(lsmNeeds)-1].Check(&bare); refuted == "" {
		t.Error("the module is compiled in, not active, and no argument leaves it out: that is no skip")
	}
}

func caseNamed(t *testing.T, id string) *Case {
	t.Helper()
	name, _, _ := strings.Cut(id, "/")
	g := scenario(t, name)
	i := slices.IndexFunc(g.Cases, func(c *Case) bool { return c.ID == id })
	if i < 0 {
		t.Fatalf("no case %s", id)
	}
	return g.Cases[i]
}

// A world begins with kernel.unprivileged_bpf_disabled as it is where nothing
// can change it.
func TestLockedFromBoot(t *testing.T) {
	for v, want := range map[int64]string{0: "ok", 1: "EPERM", 2: "ok"} {
		g := mustExpand(t, scenarioControls+"root sysctl unprivileged_bpf_disabled=0 => ?\n")
		e := play(t, g, having(map[string]int64{step.UnprivDisabled: v}), "")[0].expect
		if got := e[len(e)-1].Verdict.Errno.String(); got != want {
			t.Errorf("running with %d: %s, want %s", v, got, want)
		}
	}
}

// A need may be of some cells alone.
func TestNeedsWhere(t *testing.T) {
	const axes = "axis type hash array\n"
	g := mustExpand(t, axes+"needs setting lockdown=none where type=array\ndo root map_create type=$type\n"+
		"control allow type=hash\ncontrol refuse type=array\n")
	if len(g.Cases[0].Needs()) != 0 || len(g.Cases[1].Needs()) != 1 {
		t.Errorf("needs %v and %v, want one of the array's", g.Cases[0].Needs(), g.Cases[1].Needs())
	}
	for _, bad := range []string{
		"needs setting lockdown=none where", "needs setting lockdown=none where type",
		"needs setting lockdown=none where colour=red",
		"needs setting lockdown=none where type=queue", "needs setting lockdwn=none", "needs setting lockdown",
		"needs setting lockdown=all",
		"needs setting kernel.yama.ptrace_scope=-1", "needs setting kernel.yama.ptrace_scope=64",
		"needs setting kernel.yama.ptrace_scope=none",
	} {
		if _, err := Parse(t.Context(), "x.txt", "x", axes+bad+"\ndo root map_create type=$type\n"); err == nil ||
			!strings.HasPrefix(err.Error(), "x.txt:2: ") {
			t.Errorf("%s: %v, want an error of line 2", bad, err)
		}
	}
}

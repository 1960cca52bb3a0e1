package cases

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// The reason of a skip distinguishes a known configuration from a conclusion.
func TestNeedReason(t *testing.T) {
	lirc := Need{Kind: NeedConfig, Name: "BPF_LIRC_MODE2"}
	known := &step.Facts{Config: map[string]string{"NET": "y"}, ConfigOff: []string{lirc.Name}}
	if got := lirc.Reason(known); got != "CONFIG_BPF_LIRC_MODE2 is not set" {
		t.Errorf("the configuration says so: %q", got)
	}
	got := lirc.Reason(&step.Facts{ConfigOff: []string{lirc.Name}})
	want := "CONFIG_BPF_LIRC_MODE2 seems not to be set: " +
		"the configuration is not known, and the kernel's BTF has no bpf_rc_keydown"
	if got != want {
		t.Errorf("the BTF says so: %q", got)
	}
}

// The reason of a skip names the file or function that shows that the option is not set.
func TestNeedReasonNamesProbe(t *testing.T) {
	for _, tt := range []struct{ symbol, from, want string }{
		{"NET", step.FromBTF, "the kernel's BTF has no dev_get_by_name"},
		{"NET", step.FromKallsyms, "/proc/kallsyms has no dev_get_by_name"},
		{"DEBUG_INFO_BTF", step.FromKallsyms, "there is no /sys/kernel/btf/vmlinux"},
	} {
		n := Need{Kind: NeedConfig, Name: tt.symbol}
		got := n.Reason(&step.Facts{ConfigOff: []string{tt.symbol}, OptionsFrom: tt.from})
		if want := "CONFIG_" + tt.symbol + " seems not to be set: the configuration is not known, and " +
			tt.want; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Every option that a case needs can be looked for in a kernel whose configuration is not known: without a
// probe its cases would break there.
func TestNeededOptionsHaveProbes(t *testing.T) {
	for _, g := range load(t).Groups {
		for _, c := range g.Cases {
			for _, n := range c.Needs() {
				if n.Kind == NeedConfig && step.OptionOf(n.Name) == nil {
					t.Fatalf("%s needs CONFIG_%s, which step.Options has no probe for", c.ID, n.Name)
				}
			}
		}
	}
	for _, o := range step.Options {
		if (o.Func == "") == (o.File == "") {
			t.Errorf("%s: want a function or a file", o.Config)
		}
	}
}

// A case that names a BTF type of the kernel does not run on a kernel without the type.
func TestTypesAreNeeded(t *testing.T) {
	f := FactsAt(uapi.Release{Major: 7, Minor: 3})
	f.ConfigOff = []string{"DEBUG_INFO_BTF"}
	n := 0
	for _, c := range load(t).Group("prog_load").Cases {
		named := strings.Contains(c.ID, "/tracing.") || strings.Contains(c.ID, "/lsm.") ||
			strings.HasSuffix(c.ID, "/struct_ops") || strings.HasSuffix(c.ID, "/ext")
		need, _ := c.Unmet(f)
		unmet := need != nil
		if named != unmet && !strings.Contains(c.ID, "/no_such") {
			t.Errorf("%s: without BTF unmet is %v", c.ID, unmet)
		}
		if named {
			n++
		}
	}
	if n == 0 {
		t.Error("no program names a type")
	}
}

// A need that is not met is a skip, unless the kernel should have met it:
// then the claim is refuted.
func TestNeedCheck(t *testing.T) {
	rhash := Need{Kind: NeedEnum, Tag: uapi.MapTypes.Tag, Name: "BPF_MAP_TYPE_RHASH", Value: 35,
		Since: uapi.Release{Major: 7, Minor: 2}}
	token, noToken := Need{Kind: NeedToken}, Need{Kind: NeedNoToken}
	lirc := Need{Kind: NeedConfig, Name: "BPF_LIRC_MODE2"}
	newer := Need{Kind: NeedRelease, Since: uapi.Release{Major: 6, Minor: 15}}
	at := func(release string, token bool) *step.Facts { return &step.Facts{Release: release, Token: token} }
	maps := func(release string, end uint32) *step.Facts {
		return &step.Facts{Release: release, Token: true, Max: map[string]uint32{"bpf_map_type": end}}
	}
	config := func(value string) *step.Facts {
		f := at("6.12.1", true)
		f.Config = map[string]string{"NET": "y"}
		if value != "" {
			f.Config["BPF_LIRC_MODE2"] = value
		}
		return f
	}
	btf, modules := Need{Kind: NeedConfig, Name: "DEBUG_INFO_BTF"}, Need{Kind: NeedConfig, Name: "MODULES"}
	guards := Need{Kind: NeedGuards}
	fentry := Need{Kind: NeedType, Name: "func bpf_fentry_test1"}
	file := func(f *step.Facts) *step.Facts {
		if f.ConfigOff = []string{"MODULES"}; f.Config != nil {
			f.Config["MODULES"] = "y"
		}
		return f
	}
	untyped := func(f *step.Facts) *step.Facts { f.TypesOff = []string{"func bpf_fentry_test1"}; return f }
	unguarded := func(f *step.Facts) *step.Facts { f.ConfigOff = []string{"CPU_MITIGATIONS"}; return f }
	off := func(f *step.Facts) *step.Facts {
		f.ConfigOff = []string{"BPF_LIRC_MODE2"}
		return f
	}
	for _, tt := range []struct {
		name    string
		need    Need
		f       *step.Facts
		met     bool
		refuted string
	}{
		{"7.3 with rhash", rhash, maps("7.3.4", 36), true, ""},
		{"7.3 without rhash", rhash, maps("7.3.4", 35), false,
			"no BPF_MAP_TYPE_RHASH (added in 7.2), although the kernel is 7.3.4"},
		{"6.12 without rhash", rhash, maps("6.12.117", 34), false, ""},
		{"6.12 with a backported rhash", rhash, maps("6.12.117", 36), true, ""},
		{"7.3 whose BTF says nothing", rhash, at("7.3.4", true), true, ""},
		{"token", token, at("6.9.0", true), true, ""},
		{"6.9 without tokens", token, at("6.9.0", false), false, "although the kernel is 6.9.0"},
		{"7.3 without tokens", token, at("7.3.4", false), false, "although the kernel is 7.3.4"},
		{"6.8 without tokens", token, at("6.8.12", false), false, ""},
		{"6.1 without tokens", noToken, at("6.1.99", false), true, ""},
		{"6.12 with tokens, none wanted", noToken, at("6.12.1", true), false, ""},
		{"6.1 with tokens", noToken, at("6.1.99", true), false, "6.1.99 knows BPF_TOKEN_CREATE"},
		{"symbol y", lirc, config("y"), true, ""},
		{"symbol m", lirc, config("m"), true, ""},
		{"symbol n", lirc, config("n"), false, ""},
		{"symbol absent", lirc, config(""), false, ""},
		{"configuration unknown", lirc, at("6.12.1", true), true, ""},
		{"configuration unknown, BTF without it", lirc, off(at("6.12.1", true)), false, ""},
		{"symbol n, BTF without it", lirc, off(config("n")), false, ""},
		{"symbol y, BTF without it", lirc, off(config("y")), false,
			"CONFIG_BPF_LIRC_MODE2 is set, and the kernel's BTF has no bpf_rc_keydown"},
		{"no BTF", btf, config("y"), false, ""},
		{"no file", modules, file(at("6.12.1", true)), false, ""},
		{"no file, and the configuration has it", modules, file(config("y")), false,
			"CONFIG_MODULES is set, and there is no /proc/modules"},
		{"a type", fentry, at("6.12.1", true), true, ""},
		{"no such type", fentry, untyped(at("6.12.1", true)), false, ""},
		{"mitigations", guards, at("6.12.1", true), true, ""},
		{"mitigations compiled out", guards, unguarded(at("6.12.1", true)), false, ""},
		{"mitigations compiled out before the option", guards, unguarded(at("6.8.1", true)), true, ""},
		{"release", newer, at("6.15.0", true), true, ""},
		{"older release", newer, at("6.12.0", true), false, ""},
	} {
		met, refuted := tt.need.Check(tt.f)
		if met != tt.met || (refuted == "") != (tt.refuted == "") || !strings.Contains(refuted, tt.refuted) {
			t.Errorf("%s: met %v, refuted %q; want %v, %q", tt.name, met, refuted, tt.met, tt.refuted)
		}
		if s := tt.need.String(); s == "" || s == string(tt.need.Kind) {
			t.Errorf("%s: %q is no reason", tt.name, s)
		}
	}
}

// The facts that the running kernel reports replace the defaults of its release.
func TestKernelOf(t *testing.T) {
	k := sim.KernelOf(&step.Facts{Release: "6.12.117-x", Token: true, Max: map[string]uint32{
		"bpf_cmd": 50, "bpf_map_type": 51, "bpf_prog_type": 52, "bpf_attach_type": 53}})
	if k.MaxCmd != 50 || k.MaxMap != 51 || k.MaxProg != 52 || k.MaxAttach != 53 || !k.Token ||
		k.Release != (uapi.Release{Major: 6, Minor: 12}) {
		t.Errorf("got %+v", k)
	}
	k = sim.KernelOf(&step.Facts{Release: "6.12"})
	if k.MaxCmd != 37 || k.MaxMap != 34 || k.MaxProg != 33 || k.MaxAttach != 57 || k.Token {
		t.Errorf("without BTF and tokens: got %+v", k)
	}
}

func TestFactsAt(t *testing.T) {
	for release, token := range map[uapi.Release]bool{{Major: 6, Minor: 8}: false, {Major: 6, Minor: 9}: true,
		{Major: 7, Minor: 0}: true} {
		if f := FactsAt(release); f.Token != token || f.Version() != release || f.Config != nil {
			t.Errorf("%s: %+v", release, f)
		}
	}
}

// What the kernel's BTF names and the tables lack is drift; what they know,
// aliases and the ends of the enumerations are not.
func TestDrift(t *testing.T) {
	f := &step.Facts{Enumerators: map[string][]string{
		uapi.Cmds.Tag:     {"BPF_MAP_CREATE", "BPF_PROG_RUN", "BPF_COMMON_ATTRS", "BPF_NEWEST", "__MAX_BPF_CMD"},
		uapi.MapTypes.Tag: {"BPF_MAP_TYPE_HASH", "BPF_MAP_TYPE_CGROUP_STORAGE", "BPF_MAP_TYPE_STRANGE"},
	}}
	if got, want := Drift(f), []string{"BPF_NEWEST", "BPF_MAP_TYPE_STRANGE"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A CPU without a 16-byte exchange may have no arena. Elsewhere a kernel without one is at fault, unless it has no JIT.
func TestNeedArena(t *testing.T) {
	for _, tt := range []struct {
		f       step.Facts
		met, no bool
	}{
		{step.Facts{}, true, false},
		{step.Facts{Machine: "x86_64", NoArena: "ENOMEM"}, false, true},
		{step.Facts{NoArena: "ENOMEM"}, false, true},
		{step.Facts{Machine: "s390x", NoArena: "EOPNOTSUPP", ConfigOff: []string{"BPF_JIT"}}, true, false},
		{step.Facts{Machine: "ppc64le", NoArena: "ENOMEM"}, false, false},
		{step.Facts{Machine: "riscv64", ISA: "rv64imafdch_zba", NoArena: "EOPNOTSUPP"}, false, false},
		{step.Facts{Machine: "riscv64", ISA: "rv64imafdch_zacas", NoArena: "EOPNOTSUPP"}, false, true},
		{step.Facts{Machine: "riscv64", ISA: "rv64imafdch_zba"}, true, false},
	} {
		met, refuted := Need{Kind: NeedArena}.Check(&tt.f)
		if met != tt.met || (refuted != "") != tt.no {
			t.Errorf("%+v: met %v, refuted %q", tt.f, met, refuted)
		}
	}
}

// A kernel that starts no program of 32 bits is at fault if it should: not without the option, with the emulation
// off, on a CPU that has no such programs, or where the Go toolchain makes none.
func TestNeedCompat(t *testing.T) {
	off := map[string]step.Reading{step.Emulation: {Running: step.EmulationOff}}
	on := map[string]step.Reading{step.Emulation: {Running: step.EmulationOn}}
	disabled := map[string]string{"IA32_EMULATION": "y", "IA32_EMULATION_DEFAULT_DISABLED": "y"}
	for _, tt := range []struct {
		f       step.Facts
		met, no bool
		reason  string
	}{
		{f: step.Facts{Machine: "x86_64"}, met: true},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true}, no: true},
		{f: step.Facts{Machine: "x86_64", No32: step.NoProgram32, Linux32: true}, no: true},
		{f: step.Facts{Machine: "aarch64", No32: step.NoProgram32, Linux32: true},
			reason: "tokentest has no program of 32 bits"},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true, Config: map[string]string{"NET": "y"}},
			reason: "CONFIG_IA32_EMULATION is not set"},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true, ConfigOff: []string{"IA32_EMULATION"}},
			reason: "CONFIG_IA32_EMULATION seems not to be set"},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true, Settings: off},
			reason: "the kernel was booted with ia32_emulation=0"},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true, Config: disabled},
			reason: "CONFIG_IA32_EMULATION_DEFAULT_DISABLED is set"},
		{f: step.Facts{Machine: "x86_64", No32: "ENOEXEC", Linux32: true, Config: disabled, Settings: on}, no: true},
		{f: step.Facts{Machine: "aarch64", No32: "ENOEXEC", Linux32: true}, no: true},
		{f: step.Facts{Machine: "aarch64", No32: step.NoTime32, Linux32: true},
			reason: "CONFIG_COMPAT_32BIT_TIME is not set"},
		{f: step.Facts{Machine: "aarch64", No32: step.NoTime32, Linux32: true,
			Config: map[string]string{"COMPAT_32BIT_TIME": "y"}}, no: true},
		{f: step.Facts{Machine: "aarch64", No32: "ENOEXEC"}, reason: "the CPU runs no programs of 32 bits"},
		{f: step.Facts{Machine: "s390x", No32: "ENOEXEC", Linux32: true}, reason: "the Go toolchain makes no programs"},
	} {
		n := Need{Kind: NeedCompat}
		met, refuted := n.Check(&tt.f)
		if met != tt.met || (refuted != "") != tt.no {
			t.Errorf("%+v: met %v, refuted %q", tt.f, met, refuted)
		}
		if got := n.Reason(&tt.f); !met && !tt.no && !strings.HasPrefix(got, tt.reason) {
			t.Errorf("%+v: got the reason %q, want %q", tt.f, got, tt.reason)
		}
	}
}

package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
)

// FactsAt describes a mainline kernel of a release without booting one, with
// every option on.
func FactsAt(r uapi.Release) *step.Facts {
	return &step.Facts{Release: r.String(), Token: oracle.KernelAt(r).Token}
}

// Need is something that a case needs of the kernel. It can be refuted: if the
// kernel's release should have it and it is missing, the case fails.
type Need struct {
	Kind  NeedKind     `json:"kind"`
	Name  string       `json:"name,omitempty"` // a configuration symbol, or an enumerator as the kernel spells it
	Tag   string       `json:"tag,omitempty"`  // the enumerator's enumeration
	Value uint32       `json:"value,omitempty"`
	Since uapi.Release `json:"since,omitzero"`
	// Values are the values of the setting that meet the need, one bit each.
	Values uint64 `json:"values,omitempty"`
}

// NeedKind says what a Need is about.
type NeedKind string

// The kinds of needs.
const (
	NeedToken   NeedKind = "token"
	NeedNoToken NeedKind = "no token"
	NeedEnum    NeedKind = "enumerator"
	NeedConfig  NeedKind = "config"
	NeedRelease NeedKind = "release"
	NeedLSM     NeedKind = "lsm"
	NeedBefore  NeedKind = "before"
	NeedGuards  NeedKind = "mitigations"
	NeedType    NeedKind = "type"
	NeedSetting NeedKind = "setting"
	NeedArena   NeedKind = "arena"
	NeedCompat  NeedKind = "32 bits"
)

// String names the need as a reason for a skip.
func (n Need) String() string {
	switch n.Kind {
	case NeedToken:
		return "the kernel has no BPF_TOKEN_CREATE (added in 6.9)"
	case NeedNoToken:
		return "the kernel has BPF tokens; this case is for kernels without"
	case NeedEnum:
		return fmt.Sprintf("the kernel has no %s (added in %s)", n.Name, n.Since)
	case NeedConfig:
		return fmt.Sprintf("CONFIG_%s is not set", n.Name)
	case NeedLSM:
		return fmt.Sprintf("the LSM %s is not active", n.Name)
	case NeedRelease:
		return fmt.Sprintf("the kernel is older than %s", n.Since)
	case NeedGuards:
		return "CPU mitigations are off (mitigations=off, or CONFIG_CPU_MITIGATIONS is not set)"
	case NeedBefore:
		return fmt.Sprintf("the kernel is %s or newer", n.Since)
	case NeedType:
		return "the kernel's BTF has no " + n.Name
	case NeedSetting:
		return fmt.Sprintf("%s is not %s", n.Name, n.values())
	case NeedCompat:
		return "the kernel runs no programs of 32 bits"
	case NeedArena:
		return "the kernel has no arena on this CPU, which does not exchange 16 bytes at once (kmalloc_nolock)"
	}
	return string(n.Kind)
}

// Always are the needs of every case: the call under test, the sockets over which the guest passes
// descriptors, and the namespaces that own a bpffs.
var Always = configNeeds("BPF_SYSCALL UNIX USER_NS")

// TokenRelease is the release that added BPF_TOKEN_CREATE.
var TokenRelease = uapi.Release{Major: 6, Minor: 9}

// Check reports whether the kernel meets the need. When it does not although
// its release says that it should, refuted says so.
func (n Need) Check(f *step.Facts) (met bool, refuted string) {
	old := f.Version().Less(n.Since)
	switch n.Kind {
	case NeedToken:
		met, old = f.Token, f.Version().Less(TokenRelease)
	case NeedNoToken:
		if f.Token && f.Version().Less(TokenRelease) {
			return false, fmt.Sprintf("%s knows BPF_TOKEN_CREATE, which came with 6.9", f.Release)
		}
		return !f.Token, ""
	case NeedEnum:
		met = n.Value < end(f, n.Tag)
	case NeedConfig:
		return n.checkConfig(f)
	case NeedLSM:
		return n.checkLSM(f)
	case NeedRelease:
		return !old, ""
	case NeedBefore:
		return old, ""
	case NeedGuards:
		return !sim.KernelOf(f).MitigationsOff, ""
	case NeedType:
		return !slices.Contains(f.TypesOff, n.Name), ""
	case NeedSetting:
		return n.checkSetting(f)
	case NeedArena:
		return n.checkArena(f)
	case NeedCompat:
		return n.checkCompat(f)
	}
	if !met && !old {
		return false, fmt.Sprintf("%s, although the kernel is %s", n, f.Release)
	}
	return met, ""
}

// checkConfig uses the configuration or, if that is unknown, what the running kernel
// has. They must not contradict each other.
func (n Need) checkConfig(f *step.Facts) (met bool, refuted string) {
	missing := n.missing(f)
	if f.Config == nil {
		return missing == "", ""
	}
	v := f.Config[n.Name]
	met = v != "n" && v != ""
	if met && missing != "" {
		return false, fmt.Sprintf("CONFIG_%s is set, and %s", n.Name, missing)
	}
	return met, ""
}

// checkArena refutes a kernel that refused an arena on a CPU that has what arenas need.
func (n Need) checkArena(f *step.Facts) (met bool, refuted string) {
	if met, _ = (Need{Kind: NeedConfig, Name: "BPF_JIT"}).checkConfig(f); f.NoArena == "" || !met {
		return true, "" // that need says why
	}
	if of := arch.Find(f.Machine); of == nil || of.Exchanges128(f.ISA) {
		return false, fmt.Sprintf("the kernel refused an arena with %s, although the CPU exchanges 16 bytes at once",
			f.NoArena)
	}
	return false, ""
}

// checkCompat refutes a kernel that did not start a program of 32 bits although it has the option, was not booted
// without it, and lets a process have the personality of one, as arm64_personality does on a CPU that runs them.
func (n Need) checkCompat(f *step.Facts) (met bool, refuted string) {
	of := arch.Or(arch.Find(f.Machine))
	if f.No32 == "" || of.Compat.Option == "" {
		return f.No32 == "", ""
	}
	if f.No32 == step.NoProgram32 { // tokentest itself always has that of arch.Default
		if of == arch.Default {
			refuted = "the image has no program of 32 bits"
		}
		return false, refuted
	}
	if f.No32 == step.NoTime32 {
		if time32.isSet(f) {
			refuted = "a program of 32 bits has no clock, although CONFIG_" + time32.Name + " is set"
		}
		return false, refuted
	}
	option := Need{Kind: NeedConfig, Name: of.Compat.Option}
	set, _ := option.checkConfig(f)
	how, _ := f.Running(step.Emulation)
	byDefault := (Need{Kind: NeedConfig, Name: option.Name + "_DEFAULT_DISABLED"}).isSet(f) && how != step.EmulationOn
	if !set || !f.Linux32 || how == step.EmulationOff || byDefault {
		return false, ""
	}
	return false, fmt.Sprintf("the kernel refused to start a program of 32 bits with %s, although CONFIG_%s is set",
		f.No32, option.Name)
}

// time32 compiles in the system calls with times of 32 bits.
var time32 = Need{Kind: NeedConfig, Name: "COMPAT_32BIT_TIME"}

// isSet reports whether the configuration is known and has the option.
func (n Need) isSet(f *step.Facts) bool { return f.Config[n.Name] == "y" || f.Config[n.Name] == "m" }

// compatReason says why no program of 32 bits runs.
func compatReason(f *step.Facts) string {
	of := arch.Or(arch.Find(f.Machine))
	how, _ := f.Running(step.Emulation)
	option := Need{Kind: NeedConfig, Name: of.Compat.Option}
	set, _ := option.checkConfig(f)
	switch {
	case of.Compat.Option == "":
		return fmt.Sprintf("the Go toolchain makes no programs of 32 bits for %s", of)
	case f.No32 == step.NoProgram32:
		return fmt.Sprintf("tokentest has no program of 32 bits for %s built in: run it in its checkout, with Go", of)
	case f.No32 == step.NoTime32:
		return "CONFIG_" + time32.Name + " is not set, and the Go toolchain's programs of 32 bits need it"
	case !set:
		return option.Reason(f)
	case how == step.EmulationOff:
		return "the kernel was booted with " + step.Emulation + "=0"
	case !f.Linux32:
		return "the CPU runs no programs of 32 bits"
	}
	return "CONFIG_" + option.Name + "_DEFAULT_DISABLED is set"
}

// missing says which part of the option the running kernel does not have, or "".
func (n Need) missing(f *step.Facts) string {
	o := step.OptionOf(n.Name)
	switch {
	case o == nil || !slices.Contains(f.ConfigOff, n.Name):
		return ""
	case o.File != "":
		return "there is no " + o.File
	case f.OptionsFrom == step.FromKallsyms:
		return "/proc/kallsyms has no " + o.Func
	}
	return "the kernel's BTF has no " + o.Func
}

// Reason says why a kernel that does not meet the need skips the case, and how that is
// known.
func (n Need) Reason(f *step.Facts) string {
	if n.Kind == NeedConfig && f.Config == nil {
		return fmt.Sprintf(
			"CONFIG_%s seems not to be set: the configuration is not known, and %s",
			n.Name,
			n.missing(f),
		)
	}
	switch n.Kind {
	case NeedSetting:
		return n.settingReason(f)
	case NeedCompat:
		return compatReason(f)
	}
	return n.String()
}

// checkLSM refutes the need if the LSM is compiled in: the lab boots with every LSM that
// is compiled in, unless the kernel's command line names others.
func (n Need) checkLSM(f *step.Facts) (met bool, refuted string) {
	if f.LSM == nil || slices.Contains(f.LSM, n.Name) {
		return true, ""
	}
	if named, _ := f.Running(step.LSMArgument); named == step.LSMWithoutBPF {
		return false, ""
	}
	if f.Config["BPF_LSM"] == "y" && n.Name == "bpf" {
		return false, fmt.Sprintf("%s although CONFIG_BPF_LSM is set: active are %s", n, strings.Join(f.LSM, ","))
	}
	return false, ""
}

func end(f *step.Facts, tag string) uint32 {
	k := sim.KernelOf(f)
	return map[string]uint32{
		uapi.Cmds.Tag: k.MaxCmd, uapi.MapTypes.Tag: k.MaxMap,
		uapi.ProgTypes.Tag: k.MaxProg, uapi.AttachTypes.Tag: k.MaxAttach,
	}[tag]
}

// Drift lists the enumerators of commands, map, program and attach types and the helpers that the running
// kernel has and this program does not know. The oracle has no answer for them until a
// maintainer adds them to the tables.
func Drift(f *step.Facts) []string {
	var out []string
	for _, e := range Enums() {
		for _, name := range f.Enumerators[e.Tag] {
			short := shortName(&e, name)
			if !strings.HasPrefix(name, "__MAX_") &&
				!slices.ContainsFunc(e.Members, func(m uapi.Member) bool { return m.Name == short }) {
				out = append(out, name)
			}
		}
	}
	return append(out, f.Enumerators[uapi.HelperEnum]...) // the guest reports the unknown ones alone
}

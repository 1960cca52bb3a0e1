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
	if n.Kind == NeedSetting {
		return n.settingReason(f)
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

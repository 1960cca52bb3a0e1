package sim

import (
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
)

// KernelOf returns what the oracle needs to know about the kernel: the description of its
// release, in which the facts that the running kernel reported replace the defaults.
func KernelOf(f *step.Facts) *oracle.Kernel {
	k := oracle.KernelAt(f.Version())
	k.Token, k.Patch = f.Token, f.Patch()
	k.MitigationsOff = f.MitigationsOff || !f.Version().Less(optionSince) && off(f, "CPU_MITIGATIONS")
	k.BypassesV4, k.Page = bypassesV4(f), f.PageSize
	if of := arch.Find(f.Machine); of != nil {
		k.JITLimit, k.ReadsProcesses = of.JITLimit, readsProcesses(f, of)
	}
	k.Settings = settingsOf(f)
	k.Enumerators = f.Enumerators
	k.NoBTF = off(f, "DEBUG_INFO_BTF")
	labels := func(module string) bool { return slices.Contains(labelling, module) }
	k.NoLabels = f.LSM != nil && !slices.ContainsFunc(f.LSM, labels)
	for tag, p := range map[string]*uint32{
		uapi.Cmds.Tag: &k.MaxCmd, uapi.MapTypes.Tag: &k.MaxMap,
		uapi.ProgTypes.Tag: &k.MaxProg, uapi.AttachTypes.Tag: &k.MaxAttach,
	} {
		if n := f.Max[tag]; n != 0 {
			*p = n
		}
	}
	return k
}

// labelling are the security modules that reserve an extended attribute of new files (lbs_xattr_count).
var labelling = []string{"selinux", "smack", "evm"}

// readsProcesses reports whether nothing keeps the kernel from the memory of the running process.
func readsProcesses(f *step.Facts, of *arch.Arch) bool {
	hardware := of.HasPAN(f.ISA) && (of.PAN.Option == "" || !off(f, of.PAN.Option))
	return !hardware && f.Config[of.PAN.Software] != "y"
}

// bypassesV4 reports whether the kernel asks its architecture, and what that answers.
func bypassesV4(f *step.Facts) bool {
	of := arch.Find(f.Machine)
	return of != nil && of.BypassSpecV4 && f.BTF &&
		!slices.Contains(f.TypesOff, step.TypeName(step.KindFunc, step.FuncBypassV4))
}

// optionSince is the release in which CONFIG_CPU_MITIGATIONS came to every
// architecture; without it cpu_mitigations_off() is an inline function that returns true.
var optionSince = uapi.Release{Major: 6, Minor: 9}

// off reports whether an option is known not to be set, from the configuration or from a missing file or function.
func off(f *step.Facts, symbol string) bool {
	return f.Config != nil && f.Config[symbol] != "y" || slices.Contains(f.ConfigOff, symbol)
}

package sim

import (
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
)

// The values at which a setting begins to restrict.
const (
	paranoidPointers = 2 // kernel.perf_event_paranoid, kallsyms_for_perf
	noAttach         = 3 // kernel.yama.ptrace_scope, YAMA_SCOPE_NO_ATTACH
)

// settingsOf returns the settings that the rules go by. One that the kernel
// does not have, or that a record from before does not tell, restricts nothing.
func settingsOf(f *step.Facts) oracle.Settings {
	is := func(name string, value int64) bool {
		v, ok := f.Running(name)
		return ok && v == value
	}
	lockdown, _ := f.Running(step.Lockdown)
	harden, _ := f.Running(step.JITHarden)
	scope, _ := f.Running(step.PtraceScope)
	restrict, _ := f.Running(step.KptrRestrict)
	paranoid, _ := f.Running(step.PerfParanoid)
	return oracle.Settings{
		Lockdown:       oracle.Lockdown(lockdown),
		NoJIT:          is(step.JITEnable, 0) || off(f, "BPF_JIT"),
		Blinds:         int(harden),
		HidesSymbols:   is(step.JITKallsyms, 0),
		HidesPointers:  oracle.HidesPointers(int(restrict), paranoid >= paranoidPointers),
		NoProfiling:    paranoid >= paranoidPointers,
		NoAttach:       scope >= noAttach,
		AlwaysCompiles: f.Config["BPF_JIT_ALWAYS_ON"] == "y" || slices.Contains(f.ConfigOn, "BPF_JIT_ALWAYS_ON"),
	}
}

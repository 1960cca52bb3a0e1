package oracle

import "tokentest/cases/uapi"

// Settings are the settings of a running kernel that decide a call. The zero
// value restricts nothing beyond the checks that every kernel makes.
type Settings struct {
	// Lockdown is the level that security_locked_down compares with.
	Lockdown Lockdown
	// NoJIT says that net.core.bpf_jit_enable is 0, or CONFIG_BPF_JIT is not set: no program is compiled.
	NoJIT bool
	// Blinds is net.core.bpf_jit_harden: 1 blinds the constants of programs
	// whose loader lacks CAP_BPF, 2 of all.
	Blinds int
	// JITFull says that net.core.bpf_jit_limit is used up.
	JITFull bool
	// AlwaysCompiles is CONFIG_BPF_JIT_ALWAYS_ON, with which bpf_jit_enable is 1 and no program is interpreted.
	AlwaysCompiles bool
	// HidesSymbols says that net.core.bpf_jit_kallsyms is 0.
	HidesSymbols bool
	// HidesPointers says which threads kallsyms_show_value refuses: 0 none, 1
	// those without CAP_SYSLOG in the initial user namespace, 2 all.
	HidesPointers int
	// NoProfiling says that kernel.perf_event_paranoid is above 1: then kptr_restrict=0 hides as 1 does.
	NoProfiling bool
	// NoAttach says that kernel.yama.ptrace_scope is 3: no process may attach
	// to another.
	NoAttach bool
	// SELinux is the mode and the policy that a case sets.
	SELinux SELinux
}

// Lockdown is a level of the kernel's lockdown.
type Lockdown int

// The levels, in order: each also closes what the level before it closes.
const (
	Integrity       Lockdown = 1
	Confidentiality Lockdown = 2
)

func lockedDown(from Lockdown) func(s *Settings) bool {
	return func(s *Settings) bool { return s.Lockdown >= from }
}

func noJIT(s *Settings) bool { return s.NoJIT }

// Instructions asks the kernel for a program's instructions after the verifier,
// with BPF_OBJ_GET_INFO_BY_FD.
type Instructions struct{ Of *Symbol }

var instructionRules = []rule[*Instructions]{
	{id: "blinded", fn: "bpf_prog_get_info_by_fd", errno: eNODATA,
		text: "the program's constants are blinded, and its loader must not see kernel pointers",
		when: func(s *Settings) bool { return s.HidesPointers != 0 },
		holds: func(c *call[*Instructions]) bool {
			return c.req.Of.Blinded && c.Kernel.hidesPointers(c.req.Of.Loader)
		}},
}

func (r *Instructions) decide(w *World, trace *[]Line) Verdict {
	return run(w, "barriers", r, nil, instructionRules, trace)
}

// Blinds mirrors bpf_jit_blinding_enabled of include/linux/filter.h.
// bpf_prog_alloc calls it before the program has its token, so that CAP_BPF is
// checked in the initial user namespace.
func (k *Kernel) Blinds(of *Symbol) bool {
	return k.Settings.Blinds > 1 || k.Settings.Blinds == 1 && !of.loaderHas(k, uapi.CAP_BPF, nil)
}

// Compiles mirrors bpf_jit_charge_modmem, which asks no token: whether a program is compiled. One that is not
// is interpreted.
func (k *Kernel) Compiles(loader Cred) bool {
	return !k.Settings.NoJIT && (!k.Settings.JITFull || loader.capable(Initial, uapi.CAP_BPF) ||
		loader.capable(Initial, uapi.CAP_SYS_ADMIN))
}

// HidesPointers is Settings.HidesPointers for a value of kernel.kptr_restrict: kallsyms_show_value and
// kallsyms_for_perf of kernel/ksyms_common.c.
func HidesPointers(restrict int, noProfiling bool) int {
	if restrict == 0 && noProfiling {
		return 1
	}
	return min(restrict, hidesFromAll)
}

const hidesFromAll = 2

// hidesPointers mirrors kallsyms_show_value of kernel/ksyms_common.c if
// pointers are restricted.
func (k *Kernel) hidesPointers(c Cred) bool {
	return k.Settings.HidesPointers != 1 || !c.capable(Initial, uapi.CAP_SYSLOG)
}

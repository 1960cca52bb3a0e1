package cases

import (
	"slices"

	"tokentest/cases/step"
)

// lsmNeeds are what a BPF-LSM program needs of the kernel: register_fentry attaches it to a hook, which ftrace manages.
var lsmNeeds = append(configNeeds("BPF_LSM DEBUG_INFO_BTF KALLSYMS DYNAMIC_FTRACE_WITH_DIRECT_CALLS"),
	Need{Kind: NeedLSM, Name: "bpf"})

func attaches(steps []step.Step) bool {
	return slices.ContainsFunc(steps, func(s step.Step) bool { return s.Op == step.OpLSM })
}

// Hooks reports whether the world's cells or its set-up attach programs to LSM hooks.
func (w *World) Hooks() bool { return w.hooks }

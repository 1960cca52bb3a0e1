package oracle

import (
	"fmt"

	"tokentest/cases/uapi"
)

// Masks mirrors bpf_bypass_spec_v1 without a token, which array_map_alloc asks for a new map: whether programs mask
// the indexes of an array of the caller's.
func (w *World) Masks() bool {
	c := &call[any]{World: w}
	return !w.Kernel.trustsCPU() && !c.tokenCapable(uapi.CAP_PERFMON)
}

// bodySize is what becomes of a body: its instructions, those that are left if dead code is removed, how many the
// verifier looks at, and how many if it also follows a branch that the CPU may guess.
type bodySize struct{ insns, alive, verified, guessed int }

var bodySizes = map[Body]bodySize{
	0:           {2, 2, 2, 2},
	HasDeadCode: {6, 4, 5, 8},
	HasNotTaken: {7, 4, 5, 7},
	HasBranches: {5, 5, 7, 7},
}

// branchesPruned is how many instructions of HasBranches the verifier looks at if it keeps every state.
const branchesPruned = 6

// Translated says what BPF_OBJ_GET_INFO_BY_FD shows of what the verifier made of a program, or false if the rules
// do not cover it.
func (p *Program) Translated(k *Kernel) (string, bool) {
	if p.Type != uapi.BPF_PROG_TYPE_SOCKET_FILTER || p.Lines || p.Other || p.Helper || p.Symbol.Blinded && p.Maps {
		return "", false
	}
	trusted := p.Symbol.BypassesSpecV1(k)
	switch p.Body {
	case TailCalls:
		return fmt.Sprintf("masks %d", number(p.Masks)), true
	case AddsToElement:
		return fmt.Sprintf("masks %d", number(!trusted)), true
	}
	size, known := bodySizes[p.Body]
	if !known || p.Maps {
		return "", false
	}
	capable := p.Symbol.loaderHas(k, uapi.CAP_BPF, p.Symbol.Token)
	insns, verified := size.insns, size.guessed
	if trusted {
		verified = size.verified
	}
	if capable {
		insns = size.alive
	}
	if p.Body == HasBranches && p.Freq && capable {
		verified = branchesPruned
	}
	if p.Symbol.Blinded {
		return fmt.Sprintf("blinded, verified %d", verified), true
	}
	return fmt.Sprintf("instructions %d, verified %d, masks 0", insns, verified), true
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// CallsKnown reports whether the rules cover which calls of helpers are left in a program.
func (p *Program) CallsKnown() bool {
	_, sized := bodySizes[p.Body]
	return !p.Helper && !p.Maps && (sized || p.Body == SpillsContext || p.Body == ReturnsContext)
}

// RunProg is BPF_PROG_TEST_RUN of a program.
type RunProg struct{ FD FD }

func (r *RunProg) command() uapi.Cmd { return uapi.BPF_PROG_TEST_RUN }

type runCall = call[*RunProg]

// runs are the program types that the rules cover.
func (r *RunProg) is(t uapi.ProgType) bool { return r.FD.Loaded != nil && r.FD.Loaded.Type == t }

var runProgRules = []rule[*RunProg]{
	lsmBPF[*RunProg](),
	{id: "bad-fd", fn: "____bpf_prog_get", errno: eBADF, text: badFDText,
		holds: func(c *runCall) bool { return c.req.FD.notOpen() }},
	{id: "no-program", fn: "____bpf_prog_get", errno: eINVAL, text: "the descriptor is not a program",
		holds: func(c *runCall) bool { return c.req.FD.Loaded == nil }},
	{id: "no-test-run", fn: "bpf_prog_test_run", errno: eNOTSUPP, text: "programs of this type cannot be run so",
		holds: func(c *runCall) bool { return c.req.is(uapi.BPF_PROG_TYPE_KPROBE) }},
	{id: "not-modelled", blind: true, text: "the oracle does not cover test runs of this type",
		holds: func(c *runCall) bool {
			return !c.req.is(uapi.BPF_PROG_TYPE_SOCKET_FILTER) && !c.req.is(uapi.BPF_PROG_TYPE_XDP) &&
				!c.req.is(uapi.BPF_PROG_TYPE_CGROUP_SKB) &&
				!(c.req.is(uapi.BPF_PROG_TYPE_SYSCALL) && (c.req.FD.Loaded.Body == 0 || c.req.FD.Loaded.Body == CallsFindSymbol))
		}},
	{id: "symbol", fn: "bpf_kallsyms_lookup_name", errno: ePERM,
		when: func(s *Settings) bool { return s.HidesPointers != 0 },
		text: "the program asks for an address of the kernel, which the process that runs it may not see: bpf_dump_raw_ok",
		holds: func(c *runCall) bool {
			return c.req.FD.Loaded != nil && c.req.FD.Loaded.Body == CallsFindSymbol && c.Kernel.hidesPointers(c.Caller)
		}},
}

func (r *RunProg) decide(w *World, trace *[]Line) Verdict {
	return run(w, "run_prog", r, nil, runProgRules, trace).allowedBy("bpf_prog_test_run")
}

package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// The checks of bpf_check that need a privilege of the loader: kernel/bpf/verifier.c, cfg.c and helpers.c.

// helpersBPF are the bodies whose helper bpf_base_func_proto guards with CAP_BPF.
var helpersBPF = []Body{CallsJiffies64, CallsGetCurrentTask, CallsProbeReadKernel, UsesStaleSlice}

// calls reports whether the program calls a helper that is in one of the sets.
func (a *ProgAttr) calls(k *Kernel, sets ...uapi.HelperSet) bool {
	return a.Helper != nil && slices.Contains(sets, a.Helper.Set(k.Release))
}

// baseSockets are the types of which bpf_sk_base_func_proto says it of every helper in uapi.Helpers:
// sk_filter_func_proto and flow_dissector_func_proto have other helpers beside.
var baseSockets = []uapi.ProgType{uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_FLOW_DISSECTOR}

// asksBase reports whether the rules cover which helpers the program has: bpf_sk_base_func_proto and
// bpf_base_func_proto say it of a socket's types, since 6.16 bpf_base_func_proto alone of a syscall program.
func (r *ProgLoad) asksBase(k *Kernel) bool {
	return slices.Contains(baseSockets, r.Type) || r.Type == uapi.BPF_PROG_TYPE_SYSCALL && k.has(linux(6, 16))
}

var helperUnknown = rule[*ProgLoad]{id: "helper-not-modelled", blind: true,
	text:  "the oracle does not cover which helpers a program of this type has",
	holds: progAttr(func(c *progCall, a *ProgAttr) bool { return a.Helper != nil && !c.req.asksBase(c.Kernel) })}

var helperAbsent = rule[*ProgLoad]{id: "helper-absent", fn: "check_helper_call", errno: eINVAL,
	text: "the program type does not have the helper",
	holds: progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.calls(c.Kernel, 0) || !slices.Contains(baseSockets, c.req.Type) && a.calls(c.Kernel, uapi.HelperSock) ||
			(a.Body == CallsSysBpf || a.Body == CallsFindSymbol) && c.req.Type != uapi.BPF_PROG_TYPE_SYSCALL
	})}

var helperSock = rule[*ProgLoad]{id: "helper-socket", fn: "bpf_sk_base_func_proto", errno: eINVAL,
	text: "the helper, which casts a socket, needs CAP_PERFMON " + checkedNS,
	holds: progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.calls(c.Kernel, uapi.HelperSock) && !c.tokenCapable(uapi.CAP_PERFMON)
	})}

var helperSysBpf = rule[*ProgLoad]{id: "helper-sys-bpf", fn: "syscall_prog_func_proto", errno: eINVAL,
	text:  "the helper, which makes a bpf(2) call, needs CAP_PERFMON " + checkedNS,
	holds: bodyNeeds(uapi.CAP_PERFMON, CallsSysBpf)}

// helperTrace is the only helper that a type of its own guards.
var helperTrace = rule[*ProgLoad]{id: "helper-trace", fn: "lirc_mode2_func_proto", errno: eINVAL,
	text:  "the helper, which writes to the trace, needs CAP_PERFMON " + checkedNS,
	holds: bodyNeeds(uapi.CAP_PERFMON, CallsTracePrintk)}

// tracingReads are the bodies whose helper bpf_tracing_func_proto alone has.
var tracingReads = []Body{CallsProbeRead, CallsProbeReadStr}

// readsKernel reports whether the program calls a helper that LOCKDOWN_BPF_READ_KERNEL closes.
func (a *ProgAttr) readsKernel() bool {
	return a.Body == CallsProbeReadKernel || slices.Contains(tracingReads, a.Body) ||
		a.Helper != nil && a.Helper.ReadsKernel
}

// bodyTypes are the program types for which the rules cover a body; a body that is not here has them all.
var bodyTypes = map[Body]uapi.ProgType{
	UsesStalePacket: uapi.BPF_PROG_TYPE_XDP, CallsTracePrintk: uapi.BPF_PROG_TYPE_LIRC_MODE2,
	TailCalls: uapi.BPF_PROG_TYPE_SOCKET_FILTER, LinksBounds: uapi.BPF_PROG_TYPE_SOCKET_FILTER,
	AddsToElement: uapi.BPF_PROG_TYPE_SOCKET_FILTER, StoresInValue: uapi.BPF_PROG_TYPE_SOCKET_FILTER,
	StoresInRecord: uapi.BPF_PROG_TYPE_SOCKET_FILTER, UsesStaleRecord: uapi.BPF_PROG_TYPE_SOCKET_FILTER,
	UsesStaleSlice: uapi.BPF_PROG_TYPE_SOCKET_FILTER, StoresInPacket: uapi.BPF_PROG_TYPE_XDP,
	StoresInKeys: uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, PassesPointer: uapi.BPF_PROG_TYPE_SOCKET_FILTER,
	HelperOverwritesSpill: uapi.BPF_PROG_TYPE_SOCKET_FILTER, PassesNoBytes: uapi.BPF_PROG_TYPE_SOCKET_FILTER,
	StoresInContext: uapi.BPF_PROG_TYPE_SOCKET_FILTER, ReadsBeforeContext: uapi.BPF_PROG_TYPE_KPROBE,
}

var bodyUnknown = rule[*ProgLoad]{id: "body-not-modelled", blind: true,
	text: "the oracle does not cover such a program of this type, or with such a map",
	holds: progAttr(func(c *progCall, a *ProgAttr) bool {
		of, some := bodyTypes[a.Body]
		return some && (c.req.Type != of || a.Uses != nil && !a.hasMap())
	})}

// hasMap reports whether the rules cover what the program does with its map.
func (a *ProgAttr) hasMap() bool {
	switch a.Body {
	case TailCalls:
		return a.Uses.Map == uapi.BPF_MAP_TYPE_PROG_ARRAY
	case StoresInRecord, UsesStaleRecord:
		return a.Uses.Map == uapi.BPF_MAP_TYPE_RINGBUF
	}
	return a.Uses.Map == uapi.BPF_MAP_TYPE_HASH && a.Uses.Content != nil && a.Uses.Content.Plain
}

// mustCompile reports whether the interpreter cannot run the program, or does so in another way.
func (r *ProgLoad) mustCompile() bool {
	a := r.Attr
	return r.Type == uapi.BPF_PROG_TYPE_STRUCT_OPS || r.Type == uapi.BPF_PROG_TYPE_EXT || a != nil &&
		(slices.Contains(kfuncs, a.Body) || a.Body == CallsSubprog || a.Uses != nil && a.Uses.Map == uapi.BPF_MAP_TYPE_ARENA)
}

// helperCallRules are the checks of check_helper_call once the program has the helper.
var helperCallRules = []rule[*ProgLoad]{
	// Before 6.16 no helper that the rules cover sleeps.
	{id: "helper-sleeps", fn: "check_helper_call", errno: eINVAL, since: linux(6, 16),
		text: "the helper may sleep, and the program may not",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
			return a.Helper != nil && a.Helper.Sleeps && !a.sleepable()
		})},
	{id: "helper-argument", fn: "check_func_arg", errno: eACCES,
		text:  "the program calls the helper without the map, object or function that it takes",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Helper != nil && !a.Helper.Callable() })},
}

var kfuncs = []Body{CallsKfunc, CallsKfuncPerfmon, CallsKfuncDestructive, ReadsBTF}

// kfuncRule is like subprogRule. 7.3 has a function of its own for it, add_kfuncs.
var kfuncRule = rule[*ProgLoad]{id: "kfunc", fn: "add_subprog_and_kfunc", errno: ePERM,
	text:  "a program that calls functions of the kernel needs CAP_BPF " + checkedNS,
	holds: bodyNeeds(uapi.CAP_BPF, kfuncs...)}

// arenaRules are checks of check_map_prog_compatibility.
var arenaRules = []rule[*ProgLoad]{
	{id: "kfunc-not-compiled", fn: "add_kfunc_call", errno: eNOTSUPP, when: noJIT,
		text:  "net.core.bpf_jit_enable is 0, and only a compiled program calls functions of the kernel",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return slices.Contains(kfuncs, a.Body) })},
	{id: "arena", fn: "check_map_prog_compatibility", errno: ePERM,
		text: "a program that uses an arena needs CAP_BPF and CAP_PERFMON " + checkedNS,
		holds: arena(func(c *progCall, _ *FD) bool {
			return !c.tokenCapable(uapi.CAP_PERFMON) || !c.tokenCapable(uapi.CAP_BPF)
		})},
	{id: "arena-not-compiled", fn: "check_map_prog_compatibility", errno: eOPNOTSUPP, when: noJIT,
		text:  "net.core.bpf_jit_enable is 0, and only a compiled program uses an arena",
		holds: arena(func(*progCall, *FD) bool { return true })},
	{id: "arena-not-modelled", blind: true, text: "a process has mapped the arena",
		holds: arena(func(_ *progCall, fd *FD) bool { return fd.Content != nil && fd.Content.Moved })},
	{id: "arena-address", fn: "check_map_prog_compatibility", errno: eINVAL,
		text:  "the arena has no address in a process: map_extra is 0, and no process has mapped it",
		holds: arena(func(_ *progCall, fd *FD) bool { return fd.Content == nil || !fd.Content.Placed })},
}

// arena makes a rule of a check of the arena that the program uses.
func arena(f func(c *progCall, fd *FD) bool) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.Uses != nil && a.Uses.Map == uapi.BPF_MAP_TYPE_ARENA && f(c, a.Uses)
	})
}

var backEdgeRule = rule[*ProgLoad]{id: "back-edge", fn: "push_insn", errno: eINVAL,
	text:  "a program that jumps back needs CAP_BPF " + checkedNS,
	holds: bodyNeeds(uapi.CAP_BPF, Loops)}

// kfuncTypes are the program types for which the rules know which functions of the kernel they may call.
var kfuncTypes = []uapi.ProgType{
	uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_PROG_TYPE_XDP,
	uapi.BPF_PROG_TYPE_SCHED_CLS,
}

// kfuncCallRules are the checks of check_kfunc_call, and those of what such functions return.
var kfuncCallRules = []rule[*ProgLoad]{
	{id: "kfunc-not-modelled", blind: true,
		text: "the oracle does not cover which functions of the kernel a program of this type may call",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return slices.Contains(kfuncs, a.Body) && !slices.Contains(kfuncTypes, c.req.Type)
		})},
	{id: "kfunc-type", fn: "fetch_kfunc_meta", errno: eACCES,
		text: "a program of this type may not call the function of the kernel",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.Body == CallsKfuncDestructive && c.req.Type == uapi.BPF_PROG_TYPE_SOCKET_FILTER
		})},
	{id: "kfunc-destructive", fn: "check_kfunc_call", errno: eACCES,
		text: "a function that ends the kernel needs CAP_SYS_BOOT " + initialNS + ", with any token",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.Body == CallsKfuncDestructive && !c.initialCapable(uapi.CAP_SYS_BOOT)
		})},
	{id: "kfunc-perfmon", fn: "check_kfunc_call", errno: ePERM, since: linux(7, 3),
		text:  "a function that reads memory for the program needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, CallsKfuncPerfmon)},
	{id: "btf-read", fn: "check_ptr_to_btf_access", errno: ePERM,
		text:  "to read a struct of the kernel needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReadsBTF)},
}

// pointerRules are checks of what a program does with pointers.
var pointerRules = []rule[*ProgLoad]{
	{id: "map-body-unmodelled", blind: true,
		text: "the oracle does not cover what such a program does with such a map",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
			if a.Body == HasBlankKey || a.Body == HasPointerKey {
				return a.Uses.Map != uapi.BPF_MAP_TYPE_HASH
			}
			return a.Body == HasMap && !isMap(a.Uses.Map, hasElements|isCgroupData) &&
				a.Uses.Map != uapi.BPF_MAP_TYPE_ARENA || a.Body == ReadsMap && !isMap(a.Uses.Map, hasElements)
		})},
	{id: "no-bytes", fn: "check_mem_size_reg", errno: eACCES, text: "the helper takes no buffer that may have no bytes",
		holds: isBody(PassesNoBytes)},
	{id: "before-context", fn: "__check_ptr_off_reg", errno: eACCES,
		text:  "a pointer before the context is no way into it",
		holds: isBody(ReadsBeforeContext)},
	{id: "map-read", fn: "check_ptr_to_map_access", errno: ePERM,
		text:  "to read the kernel's struct bpf_map needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReadsMap)},
	{id: "partial-spill", fn: "check_stack_write_fixed_off", errno: eACCES,
		text:  "to overwrite a part of a pointer on the stack needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, OverwritesSpill, HelperOverwritesSpill)},
	{id: "add-to-pointer", fn: "check_stack_read_fixed_off", errno: eACCES,
		text:  "to add to a pointer on the stack needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, AddsToSpill)},
	{id: "mixed-read", fn: "check_stack_read_fixed_off", errno: eACCES,
		text:  "to read stack that is written in part needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReadsMixed)},
	{id: "blank-slot", fn: "check_stack_read_fixed_off", errno: eACCES,
		text:  "to read stack that is not written needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReadsBlankSlot)},
	{id: "var-write", fn: "check_stack_write_var_off", errno: eINVAL,
		text:  "to write to one of two places of the stack, of which one has a pointer, needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, WritesVariably)},
	{id: "stale-packet", fn: "mark_reg_invalid", errno: eACCES,
		text:  "to use a pointer into a packet that was changed, as a number, needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, UsesStalePacket)},
	{id: "stale-record", fn: "release_reference", errno: eACCES,
		text:  "to use a pointer to a record that was given away, as a number, needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, UsesStaleRecord)},
	{id: "stale-slice", fn: "destroy_if_dynptr_stack_slot", errno: eACCES,
		text:  "to use a pointer into a dynptr that was overwritten, as a number, needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, UsesStaleSlice)},
	{id: "pointer-stored", fn: "check_mem_access", errno: eACCES,
		text: "to store a pointer in a map, a record, a packet, the keys of a flow or the context needs CAP_PERFMON " +
			checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, StoresInValue, StoresInRecord, StoresInPacket, StoresInKeys, StoresInContext)},
	{id: "pointer-added", fn: "check_atomic", errno: eACCES,
		text:  "to add a pointer to a number in memory needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, AddsPointer)},
	{id: "spill-forgotten", fn: "check_reg_sane_offset", errno: eINVAL,
		text:  "without CAP_BPF " + checkedNS + " the verifier forgets a number on the stack: as an offset it has no bounds",
		holds: bodyNeeds(uapi.CAP_BPF, UsesSpilledNumber)},
	{id: "pointer-passed", fn: "check_func_arg", errno: eACCES,
		text:  "to give a helper a pointer for a number needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, PassesPointer)},
	{id: "pointer-part", fn: "check_alu_op", errno: eACCES,
		text:  "to negate a pointer, or to take a part of it, needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, NegatesPointer, ExtendsHalf, CopiesHalf)},
	{id: "linked-bounds", fn: "adjust_reg_min_max_vals", errno: eACCES,
		text:  "only with CAP_BPF " + checkedNS + " the bounds of a number also bound the one made from it",
		holds: bodyNeeds(uapi.CAP_BPF, LinksBounds)},
	{id: "blank-key", fn: "check_stack_range_initialized", errno: eACCES,
		text:  "to give a helper a buffer that is not written needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, HasBlankKey)},
	{id: "pointer-key", fn: "check_stack_range_initialized", errno: eACCES,
		text:  "to give a helper a buffer with a pointer needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, HasPointerKey)},
	{id: "pointer-halves", fn: "adjust_ptr_min_max_vals", errno: eACCES,
		text:  "to subtract the lower half of a pointer needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, SubtractsHalves)},
	{id: "pointer-arithmetic", fn: "adjust_reg_min_max_vals", errno: eACCES,
		text:  "to subtract a pointer from a pointer needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, SubtractsPointers)},
	{id: "pointer-compare", fn: "check_cond_jmp_op", errno: eACCES,
		text:  "to compare a pointer with another or with a number needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ComparesPointers, ComparesNumber, ComparesConst)},
	{id: "far-stack", fn: "sanitize_check_bounds", errno: eACCES,
		text: "a pointer beyond the stack, even if it is not used, needs CAP_PERFMON " + checkedNS +
			", unless mitigations are off",
		holds: guarded(PointsBeyondStack)},
	{id: "loop-speculated", fn: "is_state_visited", errno: eINVAL,
		text: "without CAP_PERFMON " + checkedNS + " the verifier also follows the branch that a CPU may guess, and this " +
			"loop does not end there",
		holds: guarded(Loops)},
}

// guarded makes a rule of a check that bpf_bypass_spec_v1 switches off.
func guarded(b Body) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.Body == b && !c.Kernel.trustsCPU() && !c.tokenCapable(uapi.CAP_PERFMON)
	})
}

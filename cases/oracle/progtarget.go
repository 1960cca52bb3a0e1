package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// subprogRule is the first check of bpf_check that depends on the instructions.
var subprogRule = rule[*ProgLoad]{id: "subprog", fn: "add_subprog_and_kfunc", errno: ePERM,
	text:  "a program that calls functions of its own needs CAP_BPF " + checkedNS,
	holds: bodyNeeds(uapi.CAP_BPF, CallsSubprog)}

// targetRules are the checks of check_attach_btf_id of kernel/bpf/verifier.c, and of
// check_struct_ops_btf_id and bpf_check_attach_target, which it calls.
var targetRules = []rule[*ProgLoad]{
	{id: "only-sleepable", fn: "check_attach_btf_id", errno: eINVAL, text: "a syscall program must be sleepable",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_SYSCALL && !a.sleepable()
		})},
	{id: "not-sleepable", fn: "can_be_sleepable", errno: eINVAL,
		text:  "a program of this type and expected attach type cannot be sleepable",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool { return a.sleepable() && !c.req.canSleep(c.Kernel) })},

	{id: "no-struct-ops", fn: "check_struct_ops_btf_id", errno: eNOTSUPP,
		text: "attach_btf_id is not a struct_ops",
		holds: attachID(func(c *progCall, id AttachID) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_STRUCT_OPS && (id == NoID || id == FirstID)
		})},
	{id: "no-attach-id", fn: "bpf_check_attach_target", errno: eINVAL, text: "attach_btf_id is 0",
		holds: attachID(func(c *progCall, id AttachID) bool { return id == NoID && c.req.attaches() && !c.req.multi() })},
	{id: "target-no-btf", fn: "bpf_check_attach_target", errno: eINVAL,
		text:  "the program to attach to has no BTF",
		holds: attachProgram(func(c *progCall, _ *Program) bool { return c.req.attaches() })},
	{id: "no-function", fn: "bpf_check_attach_target", errno: eINVAL, text: "attach_btf_id is not a function",
		holds: attachID(func(c *progCall, id AttachID) bool { return id == FirstID && c.req.attaches() })},
	{id: "attach-id-not-modelled", blind: true, text: "the oracle does not know what attach_btf_id is",
		holds: attachID(func(_ *progCall, id AttachID) bool { return id == OtherID })},
	{id: "not-compiled", fn: "bpf_check_attach_target", errno: eINVAL, when: noJIT,
		text:  "net.core.bpf_jit_enable is 0, and a program can replace only a function of a compiled program",
		holds: func(c *progCall) bool { return c.req.Type == uapi.BPF_PROG_TYPE_EXT }},
	{id: "ext-functions", fn: "check_btf_func", errno: eINVAL,
		text: "the program has a function that its BTF does not name",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_EXT && a.Body == CallsSubprog
		})},
	{id: "no-target-type", fn: "bpf_check_attach_target", errno: eINVAL,
		text: "no program is attached to a function with this expected attach type",
		holds: func(c *progCall) bool {
			return c.req.attaches() && c.req.Type != uapi.BPF_PROG_TYPE_EXT && !c.req.hasTarget(c.Kernel)
		}},
	{id: "hook-target-type", fn: "bpf_check_attach_target", errno: eINVAL,
		text: "an LSM hook is no tracepoint, no iterator, and no function whose return value a program replaces",
		holds: func(c *progCall) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_LSM && slices.Contains(noHook, c.req.Attach)
		}},
	{id: "target-not-sleepable", fn: "btf_id_allow_sleepable", errno: eINVAL, text: "the function may not sleep",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.sleepable() && c.req.Type == uapi.BPF_PROG_TYPE_TRACING && c.req.Attach == uapi.BPF_MODIFY_RETURN
		})},
}

// attachFD makes a rule of a check of attach_prog_fd.
func attachFD(f func(fd *FD) bool) func(c *progCall) bool {
	return progAttr(func(_ *progCall, a *ProgAttr) bool { return a.AttachFD != nil && f(a.AttachFD) })
}

// attachProgram makes a rule of a check of the program that attach_prog_fd is.
func attachProgram(f func(c *progCall, p *Program) bool) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.AttachFD != nil && !a.AttachFD.notOpen() && a.AttachFD.Loaded != nil && f(c, a.AttachFD.Loaded)
	})
}

// attachID makes a rule of a check of attach_btf_id.
func attachID(f func(c *progCall, id AttachID) bool) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool { return f(c, a.AttachID) })
}

// attaches reports whether bpf_check_attach_target looks at the program.
func (r *ProgLoad) attaches() bool {
	return r.Type == uapi.BPF_PROG_TYPE_TRACING || r.Type == uapi.BPF_PROG_TYPE_LSM || r.Type == uapi.BPF_PROG_TYPE_EXT
}

// multi mirrors is_tracing_multi.
func (r *ProgLoad) multi() bool { return slices.Contains(multiAttach, r.Attach) }

func (a *ProgAttr) sleepable() bool { return a.Flags&fSleepable != 0 }

const (
	fSleepable = 1 << 4
	fFrags     = 1 << 5
	fBoundOnly = 1 << 6
)

// sleepers are the expected attach types with which a tracing program can be sleepable.
var sleepers = []uapi.AttachType{
	uapi.BPF_TRACE_FENTRY, uapi.BPF_TRACE_FEXIT, uapi.BPF_MODIFY_RETURN, uapi.BPF_TRACE_ITER,
	uapi.BPF_TRACE_FSESSION, uapi.BPF_TRACE_FENTRY_MULTI, uapi.BPF_TRACE_FEXIT_MULTI, uapi.BPF_TRACE_FSESSION_MULTI,
}

var (
	lsmAttach = []uapi.AttachType{uapi.BPF_LSM_MAC, uapi.BPF_LSM_CGROUP}
	noHook    = []uapi.AttachType{uapi.BPF_TRACE_RAW_TP, uapi.BPF_TRACE_ITER, uapi.BPF_MODIFY_RETURN}
)

// sleepingTracepoint is when can_be_sleepable took programs for tracepoints. Seen: refused by 7.0.13 and 7.1.3; taken
// by 7.1.7, 7.2.6 and 7.3.4.
var sleepingTracepoint = fix{since: linux(7, 2), stable: map[uapi.Release]int{linux(7, 1): 7}}

// canSleep mirrors can_be_sleepable.
func (r *ProgLoad) canSleep(k *Kernel) bool {
	switch r.Type {
	case uapi.BPF_PROG_TYPE_TRACING:
		return slices.Contains(sleepers, r.Attach)
	case uapi.BPF_PROG_TYPE_LSM:
		return r.Attach != uapi.BPF_LSM_CGROUP
	case uapi.BPF_PROG_TYPE_TRACEPOINT, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT:
		return sleepingTracepoint.in(k)
	case uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_PROG_TYPE_STRUCT_OPS, uapi.BPF_PROG_TYPE_SYSCALL:
		return true
	}
	return false
}

// targets are the expected attach types that bpf_check_attach_target knows, with the first release.
var targets = map[uapi.AttachType]uapi.Release{
	uapi.BPF_TRACE_RAW_TP: {}, uapi.BPF_TRACE_ITER: {}, uapi.BPF_MODIFY_RETURN: {}, uapi.BPF_LSM_MAC: {},
	uapi.BPF_LSM_CGROUP: {}, uapi.BPF_TRACE_FENTRY: {}, uapi.BPF_TRACE_FEXIT: {},
	uapi.BPF_TRACE_FSESSION:     linux(7, 0),
	uapi.BPF_TRACE_FENTRY_MULTI: linux(7, 2), uapi.BPF_TRACE_FEXIT_MULTI: linux(7, 2),
	uapi.BPF_TRACE_FSESSION_MULTI: linux(7, 2),
}

func (r *ProgLoad) hasTarget(k *Kernel) bool {
	since, ok := targets[r.Attach]
	return ok && k.has(since)
}

// The devices of a machine: the loopback device has no function to offload to, and no machine
// has as many devices as noDevice. What other device a kernel makes by itself depends on its options.
const (
	loopback = 1
	noDevice = 1000

	noDeviceText  = "the device does not exist"
	noOffloadText = "the device takes no BPF program (the loopback device)"
	deviceText    = "the oracle does not know which devices the kernel makes by itself"
)

// onDevice makes a rule of a check of a request for a device.
func onDevice(f func(c *progCall, a *ProgAttr) bool) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool { return a.Ifindex != 0 && f(c, a) })
}

func badDeviceFlags(c *progCall, a *ProgAttr) bool {
	bound := a.Flags&fBoundOnly != 0
	return a.Flags&^(fBoundOnly|fFrags) != 0 || c.req.Token.Flag || a.Flags&fFrags != 0 && !bound ||
		bound && c.req.Type == uapi.BPF_PROG_TYPE_SCHED_CLS
}

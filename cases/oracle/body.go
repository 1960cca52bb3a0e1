package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// ProgAttr is what a program's attribute holds beside its type, its expected
// attach type and its token.
type ProgAttr struct {
	Flags    uint32
	Insns    uint64 // the number of instructions
	BadInsns bool   // they cannot be read
	BadName  bool
	BadLog   bool // the log attributes do not go together
	Ifindex  uint32
	BTFID    bool // attach_btf_id is given to a type that may not have one
	BadFD    bool // attach_prog_fd is neither a program nor a BTF
	Body     Body
	Uses     *FD // what the program gives for a map to look an element up in; nil for none
}

// Body is a program that the verifier takes with a certain privilege alone.
type Body uint8

// The bodies.
const (
	CallsJiffies64 Body = iota + 1
	CallsGetCurrentTask
	CallsProbeWriteUser
	ReturnsContext
	ReadsSkbData
	ReadsUninitStack
	VariesStackPointer
	CallsSubprog
)

const (
	// progFlags are those that bpf_prog_load takes: bits 0 to 7 and BPF_F_TOKEN_FD.
	progFlags  = 0xff | uapi.BPF_F_TOKEN_FD
	unprivMost = 4096    // BPF_MAXINSNS
	most       = 1000000 // BPF_COMPLEXITY_LIMIT_INSNS
)

// writeUserSince is the first release that asks the program's token for
// bpf_probe_write_user: bpf_tracing_func_proto does, where before
// bpf_get_probe_write_proto asked capable(); booted 6.12 and 6.16 differ.
var writeUserSince = uapi.Release{Major: 6, Minor: 16}

func progWith(f func(c *call[*ProgLoad], a *ProgAttr) bool) func(c *call[*ProgLoad]) bool {
	return func(c *call[*ProgLoad]) bool { return c.req.Attr != nil && f(c, c.req.Attr) }
}

// progBefore are bpf_prog_load's checks before its token's.
func progBefore() []rule[*ProgLoad] {
	badLog := progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BadLog })
	f := faultRules("bpf_prog_load", func(r *ProgLoad) Fault { return r.Fault })
	return append(f[:2:2], bpfHook(constant[*ProgLoad](uapi.BPF_PROG_LOAD)),
		rule[*ProgLoad]{id: "log", text: "the log attributes do not go together", fn: "bpf_log_attr_init", errno: eINVAL, since: lateChecks, holds: badLog},
		rule[*ProgLoad]{id: "flags", text: "there are flags that the kernel does not know", fn: "bpf_prog_load", errno: eINVAL,
			holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.Flags&^progFlags != 0 })})
}

// progSize stands between the sysctl and the type's permissions.
var progSize = rule[*ProgLoad]{id: "insn-count", text: "no instruction, or more than 4096 without CAP_BPF where it counts", fn: "bpf_prog_load", errno: e2BIG,
	holds: progWith(func(c *call[*ProgLoad], a *ProgAttr) bool {
		return a.Insns == 0 || a.Insns > most || a.Insns > unprivMost && !c.tokenCapable(uapi.CAP_BPF)
	})}

var progBTF = []rule[*ProgLoad]{
	{id: "attach-fd", text: "attach_prog_fd is neither a program nor a BTF", fn: "bpf_prog_load", errno: eINVAL,
		holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BadFD })},
	{id: "attach-btf-id", text: "the program type attaches to no BTF type", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BTFID })},
}

var progInsns = []rule[*ProgLoad]{
	{id: "insns-unreadable", text: "the instructions cannot be read", fn: "bpf_prog_load", errno: eFAULT,
		holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BadInsns })},
	{id: "offload", text: "there is no such device", fn: "bpf_prog_dev_bound_init", errno: eINVAL,
		holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.Ifindex != 0 })},
}

// progAfter are the last checks: the name, and the verifier's.
func progAfter() []rule[*ProgLoad] {
	needs := func(id, text, fn string, errno uapi.Errno, want uapi.Cap, bodies ...Body) rule[*ProgLoad] {
		return rule[*ProgLoad]{id: id, text: text, fn: fn, errno: errno,
			holds: progWith(func(c *call[*ProgLoad], a *ProgAttr) bool {
				return slices.Contains(bodies, a.Body) && !c.tokenCapable(want)
			})}
	}
	writeUser := func(id, text, fn string) rule[*ProgLoad] {
		return needs(id, text, fn, eINVAL, uapi.CAP_SYS_ADMIN, CallsProbeWriteUser)
	}
	early := writeUser("helper-sys-admin-initial", "the helper wants CAP_SYS_ADMIN in the initial user namespace, whatever the token", "bpf_get_probe_write_proto")
	early.until = writeUserSince
	early.holds = progWith(func(c *call[*ProgLoad], a *ProgAttr) bool {
		return a.Body == CallsProbeWriteUser && !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
	})
	late := writeUser("helper-sys-admin", "the helper wants CAP_SYS_ADMIN where it counts", "bpf_tracing_func_proto")
	late.since = writeUserSince
	variable := needs("variable-stack", "a stack pointer at an unknown offset wants CAP_PERFMON where it counts, unless mitigations are off", "bpf_bypass_spec_v1", eACCES, uapi.CAP_PERFMON, VariesStackPointer)
	guarded := variable.holds
	variable.holds = func(c *call[*ProgLoad]) bool { return !c.Kernel.trustsCPU() && guarded(c) }
	return []rule[*ProgLoad]{
		{id: "bad-name", text: "the name holds what a name may not", fn: "bpf_obj_name_cpy", errno: eINVAL,
			holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BadName })},
		progHook(),
		{id: "log-late", text: "the log attributes do not go together", fn: "bpf_vlog_init", errno: eINVAL, until: lateChecks,
			holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.BadLog })},
		needs("helper-bpf", "the helper wants CAP_BPF where it counts", "bpf_base_func_proto", eINVAL, uapi.CAP_BPF, CallsJiffies64, CallsGetCurrentTask),
		needs("helper-perfmon", "the helper wants CAP_PERFMON where it counts", "bpf_base_func_proto", eINVAL, uapi.CAP_PERFMON, CallsGetCurrentTask),
		early, late,
		needs("skb-data", "a cgroup's program may read the packet with CAP_BPF where it counts", "cg_skb_is_valid_access", eACCES, uapi.CAP_BPF, ReadsSkbData),
		needs("pointer-leak", "to leak a pointer wants CAP_PERFMON where it counts", "bpf_allow_ptr_leaks", eACCES, uapi.CAP_PERFMON, ReturnsContext),
		needs("uninit-stack", "to read what the stack held wants CAP_PERFMON where it counts", "bpf_allow_uninit_stack", eACCES, uapi.CAP_PERFMON, ReadsUninitStack),
		variable,
		needs("subprog", "a program with functions wants CAP_BPF where it counts", "add_subprog_and_kfunc", ePERM, uapi.CAP_BPF, CallsSubprog),
		{id: "map-bad-fd", text: "the program's map is a descriptor that is not open", fn: "resolve_pseudo_ldimm64", errno: eBADF,
			holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool { return a.Uses != nil && notOpen(*a.Uses) })},
		{id: "map-no-map", text: "the program's map is a descriptor of something else", fn: "resolve_pseudo_ldimm64", errno: eINVAL,
			holds: progWith(func(_ *call[*ProgLoad], a *ProgAttr) bool {
				return a.Uses != nil && !notOpen(*a.Uses) && a.Uses.Map == uapi.BPF_MAP_TYPE_UNSPEC
			})},
	}
}

package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Call is a bpf(2) command other than those with lists of their own, on
// objects that exist.
type Call struct {
	Cmd uapi.Cmd
	Fault
	On    CallOn
	ID    uint32   // an id that no object has; 0 for that of an object that exists
	Token TokenRef // open_flags and fd_by_id_token_fd, or the bytes in their place
	Prog  FD       // the cgroup_skb program, with the token that it was loaded with
	Given bool     // the case gives Prog, so that it may not be open
	// FromKernel is as that of a MapCreate.
	FromKernel bool
}

// CallOn is the object of a call if it is not the usual one.
type CallOn uint8

// The objects that a command checks differently.
const (
	CallSkb     CallOn = iota + 1 // a cgroup_skb program
	CallTCX                       // every tcx program of a device, named by no program's descriptor
	CallPrivate                   // a pinned object that only root may open
)

type (
	callRule  = rule[*Call]
	otherCall = call[*Call]
)

func (r *Call) command() uapi.Cmd  { return r.Cmd }
func (r *Call) tokenRef() TokenRef { return r.Token }
func (r *Call) fault() Fault       { return r.Fault }

// callRules are the checks of __sys_bpf, before it calls the command's function.
var callRules = rulesOf([]callRule{
	lsmBPFRun[*Call](),
	{id: "kernel-command", fn: "bpf_sys_bpf", errno: eINVAL, text: "no program makes this command with bpf_sys_bpf",
		holds: func(c *otherCall) bool {
			return c.req.FromKernel && (c.req.Common != 0 || !slices.Contains(programCmds, c.req.Cmd))
		}},
	attrTooLong[*Call](),
	attrUnreadable[*Call](),
}, commonRules[*Call](), []callRule{
	// A case names such a command only by its number with BPF_COMMON_ATTRS, which 7.2 knows.
	selinuxBPF(func(c *otherCall) uapi.Cmd { return c.req.Cmd }).from(7, 2),
	lsmRule("lsm-bpf", "security_bpf", "the LSM hook bpf refuses the command", uapi.HookBPF,
		func(c *otherCall) hookArgs {
			return hookArgs{cmd: shown(c, c.req.Cmd), kernel: c.req.FromKernel}
		}),
	commonUnknown[*Call](),
	{id: "unknown", fn: "__sys_bpf", errno: eINVAL, text: unknownText,
		holds: func(c *otherCall) bool { return uint32(c.req.Cmd) >= c.Kernel.MaxCmd }},
})

// otherCommand is what the kernel's function for a command checks, in its order.
type otherCommand struct {
	cmd   uapi.Cmd
	fn    string
	rules []callRule
}

// otherCommands are the commands of __sys_bpf's switch, by number. They take
// no token, except BPF_BTF_GET_FD_BY_ID.
var otherCommands = []otherCommand{
	ungated(uapi.BPF_MAP_LOOKUP_ELEM, "map_lookup_elem"),
	{uapi.BPF_MAP_UPDATE_ELEM, "map_update_elem", []callRule{attr("map_update_elem"), kernelKey}},
	{uapi.BPF_MAP_DELETE_ELEM, "map_delete_elem", []callRule{attr("map_delete_elem"), kernelKey}},
	ungated(uapi.BPF_MAP_GET_NEXT_KEY, "map_get_next_key"),
	{uapi.BPF_OBJ_PIN, "bpf_obj_pin", rulesOf([]callRule{attr("bpf_obj_pin"), lsmMknod[*Call]()}, lsmNew[*Call]())},
	{uapi.BPF_OBJ_GET, "bpf_obj_get", []callRule{
		attr("bpf_obj_get"),
		{id: "no-permission", fn: "bpf_obj_do_get", errno: eACCES,
			text:  "the mode of the pinned object does not let the caller open it",
			holds: mayNotOpenPin},
		lsmRule("lsm-inode", "path_permission", "the LSM hook inode_permission refuses the file", uapi.HookInodePermission,
			func(*otherCall) hookArgs { return hookArgs{mask: mayReadWrite} }),
		selinuxObject("selinux_bpf_map", fixedMap), lsmMapFD,
	}},
	{uapi.BPF_PROG_ATTACH, "bpf_prog_attach", []callRule{
		attr("bpf_prog_attach"),
		progBadFD, progNone, progOther("bpf_prog_get_type"),
		skbNoCap(eINVAL), // bpf_prog_attach turns EPERM into EINVAL
	}},
	{uapi.BPF_PROG_DETACH, "bpf_prog_detach", []callRule{
		attr("bpf_prog_detach"),
		{id: "no-cap-net-admin", fn: "bpf_mprog_detach_empty", errno: ePERM, text: netAdminText, fix: &detachFix,
			holds: func(c *otherCall) bool { return c.req.On == CallTCX && !c.netCapable() }},
		{id: "nothing-attached", fn: "tcx_prog_detach", errno: eNOENT, text: "no program is attached to the device",
			holds: func(c *otherCall) bool { return c.req.On == CallTCX }},
	}},
	ungated(uapi.BPF_PROG_TEST_RUN, "bpf_prog_test_run"),
	{uapi.BPF_PROG_GET_NEXT_ID, "bpf_obj_get_next_id", getNextID},
	{uapi.BPF_MAP_GET_NEXT_ID, "bpf_obj_get_next_id", getNextID},
	{uapi.BPF_PROG_GET_FD_BY_ID, "bpf_prog_get_fd_by_id", []callRule{
		attrNoToken("bpf_prog_get_fd_by_id"), noSysAdmin("bpf_prog_get_fd_by_id"), noSuchID("bpf_prog_by_id"),
		selinuxObject("selinux_bpf_prog", func(*otherCall) *FD { return &FD{Loaded: &Program{}} }),
		lsmRule("lsm-prog", "bpf_prog_new_fd", "the LSM hook bpf_prog refuses the descriptor", uapi.HookProg,
			func(*otherCall) hookArgs { return hookArgs{} }),
	}},
	{uapi.BPF_MAP_GET_FD_BY_ID, "bpf_map_get_fd_by_id", []callRule{
		attrNoToken("bpf_map_get_fd_by_id"), noSysAdmin("bpf_map_get_fd_by_id"), noSuchID("bpf_map_get_fd_by_id"),
		selinuxObject("selinux_bpf_map", fixedMap), lsmMapFD,
	}},
	ungated(uapi.BPF_OBJ_GET_INFO_BY_FD, "bpf_obj_get_info_by_fd"),
	{uapi.BPF_PROG_QUERY, "bpf_prog_query", []callRule{
		{id: "no-cap-net-admin", fn: "bpf_net_capable", errno: ePERM, text: netAdminText,
			holds: func(c *otherCall) bool { return !c.netCapable() }},
		attr("bpf_prog_query"), // after the capability: only this command does that
	}},
	ungated(uapi.BPF_RAW_TRACEPOINT_OPEN, "bpf_raw_tracepoint_open"),
	{uapi.BPF_BTF_GET_FD_BY_ID, "bpf_btf_get_fd_by_id", btfGetFDByID},
	{uapi.BPF_TASK_FD_QUERY, "bpf_task_fd_query", []callRule{
		attr("bpf_task_fd_query"), noSysAdmin("bpf_task_fd_query"),
	}},
	ungated(uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM, "map_lookup_and_delete_elem"),
	{uapi.BPF_MAP_FREEZE, "map_freeze", []callRule{
		attr("map_freeze"),
		always("mapped", "map_freeze", eBUSY, "the map is mapped writable"),
	}},
	{uapi.BPF_BTF_GET_NEXT_ID, "bpf_obj_get_next_id", getNextID},
	ungated(uapi.BPF_MAP_LOOKUP_BATCH, "bpf_map_do_batch"),
	{uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH, "bpf_map_do_batch", []callRule{
		attr("bpf_map_do_batch"),
		always("all-read", "__htab_map_lookup_and_delete_batch", eNOENT,
			"the batch reached the last bucket: the elements are read and deleted"),
	}},
	ungated(uapi.BPF_MAP_UPDATE_BATCH, "bpf_map_do_batch"),
	ungated(uapi.BPF_MAP_DELETE_BATCH, "bpf_map_do_batch"),
	{uapi.BPF_LINK_CREATE, "link_create", []callRule{
		attr("link_create"), progBadFD, progNone, progOther("bpf_prog_attach_check_attach_type"), skbNoCap(ePERM),
	}},
	ungated(uapi.BPF_LINK_UPDATE, "link_update"),
	{uapi.BPF_LINK_GET_FD_BY_ID, "bpf_link_get_fd_by_id", []callRule{
		attrNoToken("bpf_link_get_fd_by_id"), noSysAdmin("bpf_link_get_fd_by_id"), noSuchID("bpf_link_by_id"),
	}},
	{uapi.BPF_LINK_GET_NEXT_ID, "bpf_obj_get_next_id", getNextID},
	{uapi.BPF_ENABLE_STATS, "bpf_enable_stats", []callRule{
		attr("bpf_enable_stats"), noSysAdmin("bpf_enable_stats"),
	}},
	ungated(uapi.BPF_ITER_CREATE, "bpf_iter_create"),
	ungated(uapi.BPF_LINK_DETACH, "link_detach"),
	ungated(uapi.BPF_PROG_BIND_MAP, "bpf_prog_bind_map"),
	ungated(uapi.BPF_PROG_STREAM_READ_BY_FD, "prog_stream_read"),
	ungated(uapi.BPF_PROG_ASSOC_STRUCT_OPS, "prog_assoc_struct_ops"),
}

// programCmds are the commands that bpf_sys_bpf makes.
var programCmds = []uapi.Cmd{
	uapi.BPF_MAP_CREATE, uapi.BPF_MAP_DELETE_ELEM, uapi.BPF_MAP_UPDATE_ELEM, uapi.BPF_MAP_FREEZE,
	uapi.BPF_MAP_GET_FD_BY_ID, uapi.BPF_PROG_LOAD, uapi.BPF_BTF_LOAD, uapi.BPF_LINK_CREATE, uapi.BPF_RAW_TRACEPOINT_OPEN,
}

// kernelKey is about the key of an element, which the guest gives as the address of a process's memory. The kernel
// takes it for an address of its own, and not every architecture refuses that (copy_from_kernel_nofault_allowed).
var kernelKey = callRule{id: "kernel-key", fn: "kvmemdup_bpfptr", errno: eFAULT,
	text:  "a program makes the command, and the key is in the memory of a process",
	holds: func(c *otherCall) bool { return c.req.FromKernel && !c.Kernel.ReadsProcesses }}

// fixedMap is the map that a call gets a descriptor of, and lsmMapFD the hook of that.
func fixedMap(*otherCall) *FD { return &FD{Map: uapi.BPF_MAP_TYPE_HASH} }

var lsmMapFD = lsmRule("lsm-map", "bpf_map_new_fd", "the LSM hook bpf_map refuses the descriptor", uapi.HookMap,
	func(*otherCall) hookArgs { return hookArgs{mask: fmode(0)} })

// getNextID are the checks of bpf_obj_get_next_id.
var getNextID = []callRule{
	attrNoToken("bpf_obj_get_next_id"),
	{id: "id-too-big", fn: "bpf_obj_get_next_id", errno: eINVAL, text: "the id is INT_MAX or more",
		holds: func(c *otherCall) bool { return c.req.ID >= maxID }},
	noSysAdmin("bpf_obj_get_next_id"),
	noSuchID("bpf_obj_get_next_id"),
}

const maxID = 1<<31 - 1 // INT_MAX

// btfGetFDByID are the checks of bpf_btf_get_fd_by_id. It takes a token since
// 6.15: "bpf: Add BPF token support to BPF_BTF_GET_FD_BY_ID".
var btfGetFDByID = []callRule{
	{id: "attr", fn: "bpf_btf_get_fd_by_id", errno: eINVAL, text: attrText,
		holds: func(c *otherCall) bool {
			return c.req.Tail || c.req.Token.Flag && !c.Kernel.has(linux(6, 15))
		}},
	tokenBadFD[*Call]("fd_by_id_token_fd").from(6, 15),
	tokenNotToken[*Call]("fd_by_id_token_fd").from(6, 15),
	tokenCmd[*Call]("token-not-covering", uapi.BPF_BTF_GET_FD_BY_ID).from(6, 15),
	lsmTokenCmd[*Call](uapi.BPF_BTF_GET_FD_BY_ID).from(6, 15),
	{id: "no-cap-sys-admin", fn: "bpf_btf_get_fd_by_id", errno: ePERM,
		text:  "the caller lacks CAP_SYS_ADMIN " + checkedNS,
		holds: func(c *otherCall) bool { return !c.tokenCapable(uapi.CAP_SYS_ADMIN) }},
	noSuchID("btf_get_fd_by_id"),
}

const (
	attrText     = "a byte after the command's last field is not 0"
	netAdminText = "the caller lacks CAP_NET_ADMIN " + initialNS
)

// ungated is a command that asks for no capability: the descriptors are enough.
func ungated(cmd uapi.Cmd, fn string) otherCommand {
	return otherCommand{cmd, fn, []callRule{attr(fn)}}
}

// attr is CHECK_ATTR.
func attr(fn string) callRule {
	return callRule{id: "attr", fn: fn, errno: eINVAL, text: attrText,
		holds: func(c *otherCall) bool { return c.req.Tail }}
}

// attrNoToken is CHECK_ATTR of a command whose last field is before the place
// of a token's descriptor.
func attrNoToken(fn string) callRule {
	return callRule{id: "attr", fn: fn, errno: eINVAL, text: attrText,
		holds: func(c *otherCall) bool { return c.req.Tail || c.req.Token.Flag }}
}

func noSysAdmin(fn string) callRule {
	return callRule{id: "no-cap-sys-admin", fn: fn, errno: ePERM,
		text:  "the caller lacks CAP_SYS_ADMIN " + initialNS,
		holds: func(c *otherCall) bool { return !c.initialCapable(uapi.CAP_SYS_ADMIN) }}
}

func noSuchID(fn string) callRule {
	return callRule{id: "no-such-id", fn: fn, errno: eNOENT, text: "no object has this id",
		holds: func(c *otherCall) bool { return c.req.ID != 0 }}
}

// progBadFD is bpf_prog_get of the program to attach.
var progBadFD = callRule{id: "prog-bad-fd", fn: "bpf_prog_get", errno: eBADF, text: progBadFDText,
	holds: func(c *otherCall) bool { return c.req.Given && c.req.Prog.notOpen() }}

// progNone is the other result of bpf_prog_get.
var progNone = callRule{id: "prog-none", fn: "bpf_prog_get", errno: eINVAL, text: "the descriptor is not a program",
	holds: func(c *otherCall) bool { return c.req.Given && !c.req.Prog.notOpen() && c.req.Prog.Loaded == nil }}

// progOther is the check of the program's type: a call attaches to the cgroup's incoming packets.
func progOther(fn string) callRule {
	return callRule{id: "prog-other", fn: fn, errno: eINVAL, text: progOtherText,
		holds: func(c *otherCall) bool {
			p := c.req.Prog.Loaded
			return c.req.Given && p != nil && p.Type != uapi.BPF_PROG_TYPE_CGROUP_SKB
		}}
}

// skbNoCap is the check of a cgroup_skb program: the kernel asks the token that
// the program was loaded with, not one of the caller's.
func skbNoCap(errno uapi.Errno) callRule {
	return callRule{id: "no-cap-net-admin", fn: "bpf_prog_attach_check_attach_type", errno: errno,
		text: "the caller lacks CAP_NET_ADMIN in the user namespace of the cgroup_skb program's token " +
			"(without a token: in the initial one)",
		holds: func(c *otherCall) bool { return c.req.On == CallSkb && !c.tokenCapable(uapi.CAP_NET_ADMIN) }}
}

// always is a rule for a request that passes every check and still gets an errno.
func always(id, fn string, errno uapi.Errno, text string) callRule {
	return callRule{id: id, fn: fn, errno: errno, text: text, holds: func(*otherCall) bool { return true }}
}

func mayNotOpenPin(c *otherCall) bool {
	return c.req.On == CallPrivate && !Inode{Mode: pinMode}.permits(c.Caller, mayRead|mayWrite)
}

// detachFix is "bpf: Fix tcx/netkit detach permissions when prog fd isn't given"
// (ae23bc81ddf7). Before it, every process could detach programs from a device.
// Seen: absent from 6.12.113, 6.16.12, 6.17.13 and 6.18.12; present in 6.12.115,
// 6.18.15 and 6.19.6. Debian's changelog lists it for 6.12.114.
var detachFix = fix{
	since:  linux(7, 0),
	stable: map[uapi.Release]int{linux(6, 12): 114, linux(6, 18): 15, linux(6, 19): 6},
}

func commandOf(cmd uapi.Cmd) *otherCommand {
	for i := range otherCommands {
		if otherCommands[i].cmd == cmd {
			return &otherCommands[i]
		}
	}
	return nil
}

// token returns the token that decides where a capability is checked: the one
// given, or that of the program to attach.
func (r *Call) token() *Token {
	if r.Cmd == uapi.BPF_PROG_ATTACH || r.Cmd == uapi.BPF_LINK_CREATE {
		return r.Prog.Token
	}
	return r.Token.token()
}

func (r *Call) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "call"); !ok {
		return v
	}
	v := run(w, "call", r, nil, callRules, trace)
	if v.Errno != 0 {
		return v
	}
	if empty := r.empty(); empty != nil {
		return empty.decide(w.withoutLSM(), trace)
	}
	k := commandOf(r.Cmd)
	if k == nil {
		return drift("the oracle has no rules for the command "+r.Cmd.String(), "call")
	}
	return run(w, r.Cmd.String(), r, r.token(), k.rules, trace).allowedBy(k.fn)
}

// empty is the request of a command that has an operation of its own, with an attribute of zeros. A case
// names such a command only by its number with BPF_COMMON_ATTRS.
func (r *Call) empty() Request {
	switch r.Cmd {
	case uapi.BPF_MAP_CREATE:
		return &MapCreate{Attr: &MapAttr{}, Fault: r.Fault}
	case uapi.BPF_PROG_LOAD:
		return &ProgLoad{Attr: &ProgAttr{AttachID: NoID}, Fault: r.Fault}
	case uapi.BPF_BTF_LOAD:
		return &BTFLoad{Junk: true, Fault: r.Fault}
	case uapi.BPF_TOKEN_CREATE:
		return &TokenCreate{BPFFS: FD{Kind: Object}, Fault: r.Fault} // descriptor 0, /dev/null
	}
	return nil
}

// Sysctl is a write to kernel.unprivileged_bpf_disabled by root.
type Sysctl struct{ Value int }

// SysctlLocked is the value that cannot be changed any more.
const SysctlLocked = 1

// sysctlMax is the greatest value, SYSCTL_TWO.
const sysctlMax = 2

var sysctlRules = []rule[*Sysctl]{
	{id: "range", fn: "proc_dointvec_minmax", errno: eINVAL, text: "the value is not 0, 1 or 2",
		holds: func(c *call[*Sysctl]) bool { return c.req.Value < 0 || c.req.Value > sysctlMax }},
	{id: "locked", fn: "bpf_unpriv_handler", errno: ePERM,
		text:  "kernel.unprivileged_bpf_disabled is 1, which is final",
		holds: func(c *call[*Sysctl]) bool { return c.UnprivDisabled == SysctlLocked && c.req.Value != SysctlLocked }},
}

func (r *Sysctl) decide(w *World, trace *[]Line) Verdict {
	return run(w, "sysctl", r, nil, sysctlRules, trace)
}

package oracle

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

const (
	callNOENT = eNOENT
	callBUSY  = uapi.Errno(unix.EBUSY)
	callACCES = uapi.Errno(unix.EACCES)

	sysAdminText = "the caller lacks CAP_SYS_ADMIN in the initial user namespace"
	netAdminText = "the caller lacks CAP_NET_ADMIN in the initial user namespace"
	attrText     = "the attribute is not 0 behind the command's last field"
	noIDText     = "nothing has this id"
)

// The releases that changed what a command looks at.
var (
	btfTokenSince = uapi.Release{Major: 6, Minor: 15} // "bpf: Add BPF token support to BPF_BTF_GET_FD_BY_ID"
	commonSince   = uapi.Release{Major: 7, Minor: 2}  // BPF_COMMON_ATTRS
)

// CallOn says what a call is about when that is not the usual object.
type CallOn uint8

// The objects that a command treats otherwise.
const (
	CallSkb     CallOn = iota + 1 // a cgroup_skb program
	CallTCX                       // every tcx program of a device, by no program's fd
	CallPrivate                   // a pinned object that only root may open
)

// idMax is where bpf_obj_get_next_id has no next id, INT_MAX.
const idMax = 1<<31 - 1

// Call is a command that makes none of the objects with masks: on objects that
// are there and that the caller holds.
type Call struct {
	Cmd    uapi.Cmd
	Common bool // with BPF_COMMON_ATTRS
	Fault
	On    CallOn
	ID    uint32   // an id that nothing has; 0: that of an object that is there
	Token TokenRef // open_flags and fd_by_id_token_fd, or what lies in their place
	Prog  FD       // the cgroup_skb program, with the token that it remembers
	Given bool     // Prog is the caller's descriptor, and may not be open
}

type (
	callRule = rule[*Call]
	callCall = call[*Call]
)

// callRules are what __sys_bpf decides before it calls the command's function.
var callRules = append(faultRules("", func(r *Call) Fault { return r.Fault })[:2:2],
	hookedCall,
	callRule{id: "common", text: "BPF_COMMON_ATTRS is not known", fn: "__sys_bpf", errno: eINVAL, until: commonSince,
		holds: func(c *callCall) bool { return c.req.Common }},
	callRule{id: "unknown", text: unknownText, fn: "__sys_bpf", errno: eINVAL,
		holds: func(c *callCall) bool { return uint32(c.req.Cmd) >= c.Kernel.MaxCmd }},
)

func attrRule(fn string) callRule {
	return callRule{id: "attr", text: attrText, fn: fn, errno: eINVAL, holds: func(c *callCall) bool { return c.req.Tail }}
}

// attrTokenRule is attrRule of a command in whose attribute the place of a
// token's fd lies behind the last field.
func attrTokenRule(fn string) callRule {
	return callRule{id: "attr", text: attrText, fn: fn, errno: eINVAL, holds: func(c *callCall) bool { return c.req.Tail || c.req.Token.Flag }}
}

func sysAdminRule(fn string) callRule {
	return callRule{id: "no-cap-sys-admin", text: sysAdminText, fn: fn, errno: ePERM,
		holds: func(c *callCall) bool { return !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN) }}
}

// netCapable mirrors bpf_net_capable of include/linux/bpf.h.
func (c *call[R]) netCapable() bool {
	return c.Caller.capable(Initial, uapi.CAP_NET_ADMIN) || c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
}

func noIDRule(fn string) callRule {
	return callRule{id: "no-such-id", text: noIDText, fn: fn, errno: callNOENT, holds: func(c *callCall) bool { return c.req.ID != 0 }}
}

func nextIDRules() []callRule {
	const fn = "bpf_obj_get_next_id"
	return []callRule{
		attrTokenRule(fn),
		{id: "id-too-big", text: "there is no id behind INT_MAX", fn: fn, errno: eINVAL, holds: func(c *callCall) bool { return c.req.ID >= idMax }},
		sysAdminRule(fn),
		noIDRule(fn),
	}
}

func fdByIDRules(fn, lookup string) []callRule {
	return []callRule{attrTokenRule(fn), sysAdminRule(fn), noIDRule(lookup)}
}

// skbRules are bpf_prog_get of both, and bpf_prog_attach_check_attach_type of a
// cgroup_skb program: the capability counts where the program's own token says,
// not any of the caller's.
func skbRules(errno uapi.Errno) []callRule {
	return []callRule{
		{id: "prog-bad-fd", text: "the program's descriptor is not open, or is an O_PATH descriptor", fn: "bpf_prog_get", errno: eBADF,
			holds: func(c *callCall) bool { return c.req.Given && notOpen(c.req.Prog) }},
		{id: "no-cap-net-admin", text: "the caller lacks CAP_NET_ADMIN where the cgroup_skb program's token counts it", fn: "bpf_prog_attach_check_attach_type", errno: errno,
			holds: func(c *callCall) bool { return c.req.On == CallSkb && !c.tokenCapable(uapi.CAP_NET_ADMIN) }},
	}
}

// command is what the kernel's function for a command checks, in its order.
type command struct {
	cmd   uapi.Cmd
	fn    string
	rules []callRule
}

// only is a command that whoever holds the descriptors may use.
func only(cmd uapi.Cmd, fn string, behind ...callRule) command {
	return command{cmd, fn, append([]callRule{attrRule(fn)}, behind...)}
}

// always is what a request answers behind every check.
func always(id, text, fn string, errno uapi.Errno) callRule {
	return callRule{id: id, text: text, fn: fn, errno: errno, holds: func(*callCall) bool { return true }}
}

// commands follow kernel/bpf/syscall.c.
var commands = []command{
	only(uapi.BPF_MAP_LOOKUP_ELEM, "map_lookup_elem"),
	only(uapi.BPF_MAP_UPDATE_ELEM, "map_update_elem"),
	only(uapi.BPF_MAP_DELETE_ELEM, "map_delete_elem"),
	only(uapi.BPF_MAP_GET_NEXT_KEY, "map_get_next_key"),
	only(uapi.BPF_OBJ_PIN, "bpf_obj_pin"),
	only(uapi.BPF_OBJ_GET, "bpf_obj_get", callRule{id: "no-permission", text: "the pinned object's mode does not let the caller in", fn: "bpf_obj_do_get", errno: callACCES,
		holds: func(c *callCall) bool {
			return c.req.On == CallPrivate && c.Caller.Euid != 0 && !c.Caller.capable(Initial, uapi.CAP_DAC_OVERRIDE)
		}}),
	only(uapi.BPF_PROG_ATTACH, "bpf_prog_attach", skbRules(eINVAL)...), // which turns the EPERM into EINVAL
	only(uapi.BPF_PROG_DETACH, "bpf_prog_detach",
		callRule{id: "no-cap-net-admin", text: netAdminText, fn: "bpf_mprog_detach_empty", errno: ePERM, fix: &detachFix,
			holds: func(c *callCall) bool { return c.req.On == CallTCX && !c.netCapable() }},
		callRule{id: "nothing-attached", text: "no program is attached to the device", fn: "tcx_prog_detach", errno: callNOENT,
			holds: func(c *callCall) bool { return c.req.On == CallTCX }}),
	only(uapi.BPF_PROG_TEST_RUN, "bpf_prog_test_run"),
	{uapi.BPF_PROG_GET_NEXT_ID, "bpf_obj_get_next_id", nextIDRules()},
	{uapi.BPF_MAP_GET_NEXT_ID, "bpf_obj_get_next_id", nextIDRules()},
	{uapi.BPF_PROG_GET_FD_BY_ID, "bpf_prog_get_fd_by_id", fdByIDRules("bpf_prog_get_fd_by_id", "bpf_prog_by_id")},
	{uapi.BPF_MAP_GET_FD_BY_ID, "bpf_map_get_fd_by_id", fdByIDRules("bpf_map_get_fd_by_id", "bpf_map_get_fd_by_id")},
	only(uapi.BPF_OBJ_GET_INFO_BY_FD, "bpf_obj_get_info_by_fd"),
	{uapi.BPF_PROG_QUERY, "bpf_prog_query", []callRule{
		{id: "no-cap-net-admin", text: netAdminText, fn: "bpf_net_capable", errno: ePERM, holds: func(c *callCall) bool { return !c.netCapable() }},
		attrRule("bpf_prog_query"), // behind the capability, as nowhere else
	}},
	only(uapi.BPF_RAW_TRACEPOINT_OPEN, "bpf_raw_tracepoint_open"),
	{uapi.BPF_BTF_GET_FD_BY_ID, "bpf_btf_get_fd_by_id", []callRule{
		{id: "attr", text: attrText, fn: "bpf_btf_get_fd_by_id", errno: eINVAL,
			holds: func(c *callCall) bool {
				return c.req.Tail || c.req.Token.Flag && c.Kernel.Release.Less(btfTokenSince)
			}},
		{id: "token-bad-fd", text: "fd_by_id_token_fd is not open, or is an O_PATH descriptor", fn: tokenGetFn, errno: eBADF, since: btfTokenSince,
			holds: func(c *callCall) bool { return c.req.Token.badFD() }},
		{id: "token-not-a-token", text: "fd_by_id_token_fd is not a token", fn: tokenGetFn, errno: eINVAL, since: btfTokenSince,
			holds: func(c *callCall) bool { return c.req.Token.notToken() }},
		{id: "token-not-covering", text: "the token does not allow btf_get_fd_by_id, and is ignored", fn: "bpf_token_allow_cmd", drop: true, since: btfTokenSince,
			holds: func(c *callCall) bool {
				return c.tok != nil && !bit(c.tok.Allowed.Cmds, uint32(uapi.BPF_BTF_GET_FD_BY_ID), c.Kernel.MaxCmd)
			}},
		btfTokenHook,
		{id: "no-cap-sys-admin", text: "the caller lacks CAP_SYS_ADMIN where it counts", fn: "bpf_btf_get_fd_by_id", errno: ePERM,
			holds: func(c *callCall) bool { return !c.tokenCapable(uapi.CAP_SYS_ADMIN) }},
		noIDRule("btf_get_fd_by_id"),
	}},
	only(uapi.BPF_TASK_FD_QUERY, "bpf_task_fd_query", sysAdminRule("bpf_task_fd_query")),
	only(uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM, "map_lookup_and_delete_elem"),
	only(uapi.BPF_MAP_FREEZE, "map_freeze", always("mapped", "the map is mapped writable", "map_freeze", callBUSY)),
	{uapi.BPF_BTF_GET_NEXT_ID, "bpf_obj_get_next_id", nextIDRules()},
	only(uapi.BPF_MAP_LOOKUP_BATCH, "bpf_map_do_batch"),
	only(uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH, "bpf_map_do_batch",
		always("all-read", "no bucket is left: the elements are read and deleted", "__htab_map_lookup_and_delete_batch", callNOENT)),
	only(uapi.BPF_MAP_UPDATE_BATCH, "bpf_map_do_batch"),
	only(uapi.BPF_MAP_DELETE_BATCH, "bpf_map_do_batch"),
	only(uapi.BPF_LINK_CREATE, "link_create", skbRules(ePERM)...),
	only(uapi.BPF_LINK_UPDATE, "link_update"),
	{uapi.BPF_LINK_GET_FD_BY_ID, "bpf_link_get_fd_by_id", fdByIDRules("bpf_link_get_fd_by_id", "bpf_link_by_id")},
	{uapi.BPF_LINK_GET_NEXT_ID, "bpf_obj_get_next_id", nextIDRules()},
	only(uapi.BPF_ENABLE_STATS, "bpf_enable_stats", sysAdminRule("bpf_enable_stats")),
	only(uapi.BPF_ITER_CREATE, "bpf_iter_create"),
	only(uapi.BPF_LINK_DETACH, "link_detach"),
	only(uapi.BPF_PROG_BIND_MAP, "bpf_prog_bind_map"),
	only(uapi.BPF_PROG_STREAM_READ_BY_FD, "prog_stream_read"),
	only(uapi.BPF_PROG_ASSOC_STRUCT_OPS, "prog_assoc_struct_ops"),
}

func commandOf(cmd uapi.Cmd) *command {
	for i := range commands {
		if commands[i].cmd == cmd {
			return &commands[i]
		}
	}
	return nil
}

// token returns the token that decides where a capability counts: the one
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
	k := commandOf(r.Cmd)
	if k == nil {
		return Verdict{Rule: "the oracle knows no rules of the command " + r.Cmd.String(), ID: "call/drift"}
	}
	v = run(w, r.Cmd.String(), r, r.token(), k.rules, trace)
	if v.Errno == 0 {
		v.Func = k.fn
	}
	return v
}

// commandRules lists the stable names of the rules of every command.
func commandRules() []string {
	var out []string
	for _, id := range ids(callRules) {
		out = append(out, "call/"+id)
	}
	for i := range commands {
		for _, id := range ids(commands[i].rules) {
			out = append(out, commands[i].cmd.String()+"/"+id)
		}
	}
	return append(out, "sysctl/"+sysctlRules[0].id)
}

// Keeps returns the token that a program remembers when its load succeeds:
// the one given, unless the load went on without it.
func (r *ProgLoad) Keeps(w *World) *Token {
	c := &call[*ProgLoad]{World: w, req: r, tok: r.Token.token()}
	for i := range progToken {
		if progToken[i].drop && progToken[i].holds(c) {
			return nil
		}
	}
	return c.tok
}

// Sysctl is a write to kernel.unprivileged_bpf_disabled by root.
type Sysctl struct{ Value int }

// SysctlLocked is the value that cannot be changed any more.
const SysctlLocked = 1

var sysctlRules = []rule[*Sysctl]{
	{id: "locked", text: "kernel.unprivileged_bpf_disabled is 1, for good", fn: "bpf_unpriv_handler", errno: ePERM,
		holds: func(c *call[*Sysctl]) bool { return c.UnprivDisabled == SysctlLocked && c.req.Value != SysctlLocked }},
}

func (r *Sysctl) decide(w *World, trace *[]Line) Verdict {
	return run(w, "sysctl", r, nil, sysctlRules, trace)
}

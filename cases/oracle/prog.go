package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// ProgLoad is BPF_PROG_LOAD. Attach is expected_attach_type as the caller
// gives it. Without Attr it is a smallest program that the verifier takes for
// its type.
type ProgLoad struct {
	Type   uapi.ProgType
	Attach uapi.AttachType
	Token  TokenRef
	Attr   *ProgAttr
	Fault  Fault
	NoFD   bool // the process may open no more descriptors
}

// attach returns expected_attach_type after bpf_prog_load_fixup_attach_type,
// which runs before the masks are consulted.
func (r *ProgLoad) attach() uapi.AttachType {
	switch {
	case r.Attach != 0:
	case r.Type == uapi.BPF_PROG_TYPE_CGROUP_SOCK:
		return uapi.BPF_CGROUP_INET_SOCK_CREATE
	case r.Type == uapi.BPF_PROG_TYPE_SK_REUSEPORT:
		return uapi.BPF_SK_REUSEPORT_SELECT
	}
	return r.Attach
}

var (
	// progsNet are those of is_net_admin_prog_type, kernel/bpf/syscall.c.
	progsNet = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_PROG_TYPE_SCHED_ACT, uapi.BPF_PROG_TYPE_XDP,
		uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_PROG_TYPE_LWT_IN, uapi.BPF_PROG_TYPE_LWT_OUT,
		uapi.BPF_PROG_TYPE_LWT_XMIT, uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_PROG_TYPE_SK_SKB,
		uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_PROG_TYPE_SK_MSG, uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL, uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, uapi.BPF_PROG_TYPE_CGROUP_SYSCTL,
		uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT, uapi.BPF_PROG_TYPE_EXT, uapi.BPF_PROG_TYPE_NETFILTER,
	}
	// progsPerfmon are those of is_perfmon_prog_type, kernel/bpf/syscall.c.
	progsPerfmon = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_PROG_TYPE_TRACEPOINT, uapi.BPF_PROG_TYPE_PERF_EVENT,
		uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, uapi.BPF_PROG_TYPE_TRACING,
		uapi.BPF_PROG_TYPE_STRUCT_OPS, uapi.BPF_PROG_TYPE_EXT, uapi.BPF_PROG_TYPE_LSM,
	}
	// progsFree need no capability when the sysctl is 0, bpf_prog_load.
	progsFree = []uapi.ProgType{uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_CGROUP_SKB}
	// progsBPF need CAP_BPF alone.
	progsBPF = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_UNSPEC, uapi.BPF_PROG_TYPE_LIRC_MODE2, uapi.BPF_PROG_TYPE_SK_REUSEPORT,
		uapi.BPF_PROG_TYPE_SK_LOOKUP, uapi.BPF_PROG_TYPE_SYSCALL,
	}
	// attachsOf lists what bpf_prog_load_check_attach takes, kernel/bpf/syscall.c;
	// a type that is not here takes any.
	attachsOf = map[uapi.ProgType][]uapi.AttachType{
		uapi.BPF_PROG_TYPE_CGROUP_SKB: {uapi.BPF_CGROUP_INET_INGRESS, uapi.BPF_CGROUP_INET_EGRESS},
		uapi.BPF_PROG_TYPE_CGROUP_SOCK: {uapi.BPF_CGROUP_INET_SOCK_CREATE, uapi.BPF_CGROUP_INET_SOCK_RELEASE,
			uapi.BPF_CGROUP_INET4_POST_BIND, uapi.BPF_CGROUP_INET6_POST_BIND},
		uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: {uapi.BPF_CGROUP_INET4_BIND, uapi.BPF_CGROUP_INET6_BIND,
			uapi.BPF_CGROUP_INET4_CONNECT, uapi.BPF_CGROUP_INET6_CONNECT, uapi.BPF_CGROUP_UNIX_CONNECT,
			uapi.BPF_CGROUP_INET4_GETPEERNAME, uapi.BPF_CGROUP_INET6_GETPEERNAME, uapi.BPF_CGROUP_UNIX_GETPEERNAME,
			uapi.BPF_CGROUP_INET4_GETSOCKNAME, uapi.BPF_CGROUP_INET6_GETSOCKNAME, uapi.BPF_CGROUP_UNIX_GETSOCKNAME,
			uapi.BPF_CGROUP_UDP4_SENDMSG, uapi.BPF_CGROUP_UDP6_SENDMSG, uapi.BPF_CGROUP_UNIX_SENDMSG,
			uapi.BPF_CGROUP_UDP4_RECVMSG, uapi.BPF_CGROUP_UDP6_RECVMSG, uapi.BPF_CGROUP_UNIX_RECVMSG},
		uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT: {uapi.BPF_CGROUP_SETSOCKOPT, uapi.BPF_CGROUP_GETSOCKOPT},
		uapi.BPF_PROG_TYPE_SK_LOOKUP:      {uapi.BPF_SK_LOOKUP},
		uapi.BPF_PROG_TYPE_SK_REUSEPORT:   {uapi.BPF_SK_REUSEPORT_SELECT, uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE},
		uapi.BPF_PROG_TYPE_NETFILTER:      {uapi.BPF_NETFILTER},
		uapi.BPF_PROG_TYPE_SYSCALL:        {0},
		uapi.BPF_PROG_TYPE_EXT:            {0},
	}
	// attachsMulti are tracing's alone since 7.2, bpf_prog_load_check_attach.
	attachsMulti = []uapi.AttachType{uapi.BPF_TRACE_FENTRY_MULTI, uapi.BPF_TRACE_FEXIT_MULTI, uapi.BPF_TRACE_FSESSION_MULTI}
)

func progClassKnown(t uapi.ProgType) bool {
	return slices.Contains(progsNet, t) || slices.Contains(progsPerfmon, t) || slices.Contains(progsFree, t) || slices.Contains(progsBPF, t)
}

// progLoadRules follow bpf_prog_load of kernel/bpf/syscall.c, then bpf_check.
var progLoadRules = slices.Concat(progBefore(), progToken, []rule[*ProgLoad]{progSize}, progGate, progBTF, progAttach, progInsns, progType, progAfter(), []rule[*ProgLoad]{noFDRule("bpf_prog_new_fd", func(r *ProgLoad) bool { return r.NoFD })})

var progToken = []rule[*ProgLoad]{
	{id: "token-bad-fd", text: "prog_token_fd is not open, or is an O_PATH descriptor", fn: tokenGetFn, errno: eBADF,
		holds: func(c *call[*ProgLoad]) bool { return c.req.Token.badFD() }},
	{id: "token-not-a-token", text: "prog_token_fd is not a token", fn: tokenGetFn, errno: eINVAL,
		holds: func(c *call[*ProgLoad]) bool { return c.req.Token.notToken() }},
	{id: "token-not-covering-cmd", text: "the token does not allow prog_load, and is ignored", fn: "bpf_token_allow_cmd", drop: true,
		holds: func(c *call[*ProgLoad]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Cmds, uint32(uapi.BPF_PROG_LOAD), c.Kernel.MaxCmd)
		}},
	cmdHook[*ProgLoad](uapi.BPF_PROG_LOAD),
	{id: "token-not-covering-type", text: "the token does not allow the program type, and is ignored", fn: "bpf_token_allow_prog_type", drop: true,
		holds: func(c *call[*ProgLoad]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Progs, uint32(c.req.Type), c.Kernel.MaxProg)
		}},
	{id: "token-not-covering-attach", text: "the token does not allow the expected attach type, and is ignored", fn: "bpf_token_allow_prog_type", drop: true,
		holds: func(c *call[*ProgLoad]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Attachs, uint32(c.req.attach()), c.Kernel.MaxAttach)
		}},
	{id: "unprivileged-disabled", text: unprivText, fn: "bpf_prog_load", errno: ePERM,
		holds: func(c *call[*ProgLoad]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }},
}

var progGate = []rule[*ProgLoad]{
	{id: "no-cap-bpf", text: "the program type wants CAP_BPF", fn: "bpf_prog_load", errno: ePERM,
		holds: func(c *call[*ProgLoad]) bool {
			return !slices.Contains(progsFree, c.req.Type) && !c.tokenCapable(uapi.CAP_BPF)
		}},
	{id: "no-cap-net-admin", text: "the program type wants CAP_NET_ADMIN", fn: "is_net_admin_prog_type", errno: ePERM,
		holds: func(c *call[*ProgLoad]) bool {
			return slices.Contains(progsNet, c.req.Type) && !c.tokenCapable(uapi.CAP_NET_ADMIN)
		}},
	{id: "no-cap-perfmon", text: "the program type wants CAP_PERFMON", fn: "is_perfmon_prog_type", errno: ePERM,
		holds: func(c *call[*ProgLoad]) bool {
			return slices.Contains(progsPerfmon, c.req.Type) && !c.tokenCapable(uapi.CAP_PERFMON)
		}},
}

var progAttach = []rule[*ProgLoad]{
	{id: "multi-not-tracing", text: "the attach type is for tracing programs alone", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		since: uapi.Release{Major: 7, Minor: 2},
		holds: func(c *call[*ProgLoad]) bool {
			return slices.Contains(attachsMulti, c.req.Attach) && c.req.Type != uapi.BPF_PROG_TYPE_TRACING
		}},
	{id: "bad-attach-type", text: "the program type does not take this expected attach type", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		holds: func(c *call[*ProgLoad]) bool {
			list, ok := attachsOf[c.req.Type]
			return ok && !slices.Contains(list, c.req.attach())
		}},
}

var progType = []rule[*ProgLoad]{
	{id: "bad-type", text: "the kernel has no such program type", fn: "find_prog_type", errno: eINVAL,
		holds: func(c *call[*ProgLoad]) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_UNSPEC || uint32(c.req.Type) >= c.Kernel.MaxProg
		}},
}

func (r *ProgLoad) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "prog_load"); !ok {
		return v
	}
	if uint32(r.Type) < w.Kernel.MaxProg && !progClassKnown(r.Type) {
		return Verdict{Rule: "the oracle knows no class of program type " + r.Type.String(), ID: "prog_load/drift"}
	}
	if r.Attr != nil && r.Attr.Uses != nil && !r.Attr.Uses.looksUp() {
		return Verdict{Rule: "the oracle does not follow programs that use such a map of type " + r.Attr.Uses.Map.String(), ID: "prog_load/map-unmodelled"}
	}
	return run(w, "prog_load", r, r.Token.token(), progLoadRules, trace)
}

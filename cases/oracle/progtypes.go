package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// progType is what bpf_prog_load asks for a program type.
type progType struct {
	free     bool // needs no capability if the sysctl is 0; all others need CAP_BPF
	netAdmin bool // is_net_admin_prog_type
	perfmon  bool // is_perfmon_prog_type
	traces   bool // its helpers are those of bpf_tracing_func_proto
	target   bool // takes attach_btf_id: bpf_prog_load_check_attach
	// attach are the values of expected_attach_type that
	// bpf_prog_load_check_attach takes, nil if it takes all.
	attach []uapi.AttachType
}

var sockAddrAttach = []uapi.AttachType{
	uapi.BPF_CGROUP_INET4_BIND, uapi.BPF_CGROUP_INET6_BIND,
	uapi.BPF_CGROUP_INET4_CONNECT, uapi.BPF_CGROUP_INET6_CONNECT, uapi.BPF_CGROUP_UNIX_CONNECT,
	uapi.BPF_CGROUP_INET4_GETPEERNAME, uapi.BPF_CGROUP_INET6_GETPEERNAME, uapi.BPF_CGROUP_UNIX_GETPEERNAME,
	uapi.BPF_CGROUP_INET4_GETSOCKNAME, uapi.BPF_CGROUP_INET6_GETSOCKNAME, uapi.BPF_CGROUP_UNIX_GETSOCKNAME,
	uapi.BPF_CGROUP_UDP4_SENDMSG, uapi.BPF_CGROUP_UDP6_SENDMSG, uapi.BPF_CGROUP_UNIX_SENDMSG,
	uapi.BPF_CGROUP_UDP4_RECVMSG, uapi.BPF_CGROUP_UDP6_RECVMSG, uapi.BPF_CGROUP_UNIX_RECVMSG,
}

// progTypes has every program type that the oracle knows.
var progTypes = map[uapi.ProgType]progType{
	uapi.BPF_PROG_TYPE_UNSPEC:        {},
	uapi.BPF_PROG_TYPE_SOCKET_FILTER: {free: true},
	uapi.BPF_PROG_TYPE_KPROBE:        {perfmon: true, traces: true},
	uapi.BPF_PROG_TYPE_SCHED_CLS:     {netAdmin: true},
	uapi.BPF_PROG_TYPE_SCHED_ACT:     {netAdmin: true},
	uapi.BPF_PROG_TYPE_TRACEPOINT:    {perfmon: true, traces: true},
	uapi.BPF_PROG_TYPE_XDP:           {netAdmin: true},
	uapi.BPF_PROG_TYPE_PERF_EVENT:    {perfmon: true, traces: true},
	uapi.BPF_PROG_TYPE_CGROUP_SKB: {free: true,
		attach: []uapi.AttachType{uapi.BPF_CGROUP_INET_INGRESS, uapi.BPF_CGROUP_INET_EGRESS}},
	uapi.BPF_PROG_TYPE_CGROUP_SOCK: {netAdmin: true,
		attach: []uapi.AttachType{uapi.BPF_CGROUP_INET_SOCK_CREATE, uapi.BPF_CGROUP_INET_SOCK_RELEASE,
			uapi.BPF_CGROUP_INET4_POST_BIND, uapi.BPF_CGROUP_INET6_POST_BIND}},
	uapi.BPF_PROG_TYPE_LWT_IN:           {netAdmin: true},
	uapi.BPF_PROG_TYPE_LWT_OUT:          {netAdmin: true},
	uapi.BPF_PROG_TYPE_LWT_XMIT:         {netAdmin: true},
	uapi.BPF_PROG_TYPE_SOCK_OPS:         {netAdmin: true},
	uapi.BPF_PROG_TYPE_SK_SKB:           {netAdmin: true},
	uapi.BPF_PROG_TYPE_CGROUP_DEVICE:    {netAdmin: true},
	uapi.BPF_PROG_TYPE_SK_MSG:           {netAdmin: true},
	uapi.BPF_PROG_TYPE_RAW_TRACEPOINT:   {perfmon: true, traces: true},
	uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: {netAdmin: true, attach: sockAddrAttach},
	uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL:    {netAdmin: true},
	uapi.BPF_PROG_TYPE_LIRC_MODE2:       {},
	uapi.BPF_PROG_TYPE_SK_REUSEPORT: {
		attach: []uapi.AttachType{uapi.BPF_SK_REUSEPORT_SELECT, uapi.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE}},
	uapi.BPF_PROG_TYPE_FLOW_DISSECTOR:          {netAdmin: true},
	uapi.BPF_PROG_TYPE_CGROUP_SYSCTL:           {netAdmin: true},
	uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: {perfmon: true, traces: true},
	uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT: {netAdmin: true,
		attach: []uapi.AttachType{uapi.BPF_CGROUP_SETSOCKOPT, uapi.BPF_CGROUP_GETSOCKOPT}},
	uapi.BPF_PROG_TYPE_TRACING:    {perfmon: true, traces: true, target: true},
	uapi.BPF_PROG_TYPE_STRUCT_OPS: {perfmon: true, target: true},
	uapi.BPF_PROG_TYPE_EXT:        {netAdmin: true, perfmon: true, target: true, attach: []uapi.AttachType{0}},
	uapi.BPF_PROG_TYPE_LSM:        {perfmon: true, traces: true, target: true},
	uapi.BPF_PROG_TYPE_SK_LOOKUP:  {attach: []uapi.AttachType{uapi.BPF_SK_LOOKUP}},
	uapi.BPF_PROG_TYPE_SYSCALL:    {traces: true, attach: []uapi.AttachType{0}},
	uapi.BPF_PROG_TYPE_NETFILTER:  {netAdmin: true, attach: []uapi.AttachType{uapi.BPF_NETFILTER}},
}

// multiAttach are attach types that 7.2 added for tracing programs.
var multiAttach = []uapi.AttachType{
	uapi.BPF_TRACE_FENTRY_MULTI, uapi.BPF_TRACE_FEXIT_MULTI, uapi.BPF_TRACE_FSESSION_MULTI,
}

// takesAttach is the switch of bpf_prog_load_check_attach.
func (p progType) takesAttach(a uapi.AttachType) bool {
	return p.attach == nil || slices.Contains(p.attach, a)
}

package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// readsData are the program types that read the context at the place of __sk_buff's data, and readsFirst
// those that read its first four bytes as a number: the is_valid_access functions of each type.
var (
	readsData = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_PROG_TYPE_SCHED_ACT,
		uapi.BPF_PROG_TYPE_TRACEPOINT, uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_PROG_TYPE_CGROUP_SOCK,
		uapi.BPF_PROG_TYPE_LWT_IN, uapi.BPF_PROG_TYPE_LWT_OUT, uapi.BPF_PROG_TYPE_LWT_XMIT,
		uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL, uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_PROG_TYPE_SK_SKB,
		uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
		uapi.BPF_PROG_TYPE_FLOW_DISSECTOR, uapi.BPF_PROG_TYPE_SYSCALL,
	}
	readsFirst = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_SOCKET_FILTER, uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_PROG_TYPE_SCHED_CLS,
		uapi.BPF_PROG_TYPE_SCHED_ACT, uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_PROG_TYPE_CGROUP_SOCK,
		uapi.BPF_PROG_TYPE_LWT_IN, uapi.BPF_PROG_TYPE_LWT_OUT, uapi.BPF_PROG_TYPE_LWT_XMIT,
		uapi.BPF_PROG_TYPE_LWT_SEG6LOCAL, uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_PROG_TYPE_SK_SKB,
		uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_PROG_TYPE_SYSCALL,
	}
	// writesTime are those whose programs set the time of a packet, or may write anywhere into the context.
	writesTime = []uapi.ProgType{
		uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_PROG_TYPE_SCHED_CLS, uapi.BPF_PROG_TYPE_SCHED_ACT,
		uapi.BPF_PROG_TYPE_SYSCALL,
	}
	postBind = []uapi.AttachType{uapi.BPF_CGROUP_INET4_POST_BIND, uapi.BPF_CGROUP_INET6_POST_BIND}
)

// readsContext reports whether the program's type lets a body read what it reads of its context.
func (r *ProgLoad) readsContext(b Body) bool {
	switch b {
	case ReadsSkbData:
		return slices.Contains(readsData, r.Type)
	case WritesTime:
		return slices.Contains(writesTime, r.Type)
	case VariesStackPointer, WritesVariably:
		return slices.Contains(readsFirst, r.Type) && r.Attach != uapi.BPF_TRACE_ITER &&
			!slices.Contains(postBind, r.Attach) // sock_filter_is_valid_access
	}
	return true
}

// returns is what check_return_code lets a program return.
type returns uint8

const (
	anything  returns = iota
	zeroOrOne         // and for some attach types 2 and 3
	noMore            // nothing above 0
)

// mayReturn reports whether a body may return what it does: 1, or a pointer to the context.
func (r *ProgLoad) mayReturn(k *Kernel, b Body) bool {
	allowed := r.returns(k)
	return allowed == anything || allowed == zeroOrOne && b != ReturnsContext
}

func (r *ProgLoad) returns(k *Kernel) returns {
	switch r.Type {
	case uapi.BPF_PROG_TYPE_CGROUP_SKB, uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
		uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_PROG_TYPE_CGROUP_SYSCTL, uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT,
		uapi.BPF_PROG_TYPE_SOCK_OPS, uapi.BPF_PROG_TYPE_SK_LOOKUP, uapi.BPF_PROG_TYPE_NETFILTER:
		return zeroOrOne
	case uapi.BPF_PROG_TYPE_KPROBE:
		session := r.Attach == uapi.BPF_TRACE_KPROBE_SESSION || r.Attach == uapi.BPF_TRACE_UPROBE_SESSION
		if session && uint32(r.Attach) < k.MaxAttach {
			return zeroOrOne
		}
	case uapi.BPF_PROG_TYPE_RAW_TRACEPOINT:
		if r.Attach == uapi.BPF_TRACE_RAW_TP {
			return noMore
		}
	case uapi.BPF_PROG_TYPE_TRACING:
		return r.tracingReturns()
	case uapi.BPF_PROG_TYPE_LSM:
		if r.Attach == uapi.BPF_LSM_CGROUP {
			return zeroOrOne
		}
		if k.has(linux(6, 12)) { // get_func_retval_range: the hook returns an errno
			return noMore
		}
	}
	return anything
}

func (r *ProgLoad) tracingReturns() returns {
	switch r.Attach {
	case uapi.BPF_TRACE_RAW_TP, uapi.BPF_MODIFY_RETURN:
		return anything
	case uapi.BPF_TRACE_ITER, uapi.BPF_LSM_MAC, uapi.BPF_LSM_CGROUP: // those of LSM programs: return-kind, before 7.1
		return zeroOrOne
	}
	return noMore
}

package step

import (
	"slices"

	"tokentest/cases/uapi"
)

// Spot is what a program is attached to: an object of the machine that the agent made, or a point in the kernel.
type Spot uint8

// The spots.
const (
	SpotXDP Spot = iota + 1
	SpotTCX
	SpotNetkit // the loopback device, which is none
	SpotNetfilter
	SpotSkLookup
	SpotFlowDissector
	SpotSkb
	SpotDevice
	SpotSock
	SpotSockAddr
	SpotSysctl
	SpotSockopt
	SpotSockOps
	SpotLSMCgroup
	SpotSkMsg
	SpotFentry
	SpotLSM
	SpotTPBTF
	SpotRawTP
	SpotIter
	SpotKprobeMulti
	SpotUprobeMulti
	SpotPerfEvent
	SpotKprobe
	SpotFentryMulti
	spots
)

// AttachPoint says what the target of a request is.
type AttachPoint uint8

// The points.
const (
	AtNothing AttachPoint = iota
	AtDevice              // the loopback device
	AtNetns               // the initial network namespace
	AtCgroup              // a cgroup without processes, below the root of the hierarchy
	AtSockMap
	AtEvent      // a perf event that counts nothing
	AtProbe      // a perf event that is a kprobe
	AtHook       // the incoming packets of IPv4
	AtTracepoint // a raw tracepoint, by name: BPF_RAW_TRACEPOINT_OPEN
	AtSymbol
	AtFunction // an id of the kernel's BTF
	AtFile
)

// SpotShape is a row of the table of spots.
type SpotShape struct {
	Name   string
	Attach uapi.AttachType // attach_type of the request
	Type   uint32          // of the link, enum bpf_link_type
	At     AttachPoint
	Config string // the symbols that the target needs
}

var spotShapes = [spots]SpotShape{
	SpotXDP:    {Name: "xdp", Type: 6, Attach: uapi.BPF_XDP, At: AtDevice, Config: "NET"},
	SpotTCX:    {Name: "tcx", Type: 11, Attach: uapi.BPF_TCX_INGRESS, At: AtDevice, Config: "NET_XGRESS"},
	SpotNetkit: {Name: "netkit", Type: 13, Attach: uapi.BPF_NETKIT_PRIMARY, At: AtDevice, Config: "NETKIT"},
	SpotNetfilter: {Name: "netfilter", Type: 10, Attach: uapi.BPF_NETFILTER, At: AtHook,
		Config: "NETFILTER_BPF_LINK"},
	SpotSkLookup: {Name: "sk_lookup", Type: 5, Attach: uapi.BPF_SK_LOOKUP, At: AtNetns, Config: "INET"},
	SpotFlowDissector: {Name: "flow_dissector", Type: 5, Attach: uapi.BPF_FLOW_DISSECTOR, At: AtNetns,
		Config: "NET"},
	SpotSkb: {Name: "cgroup_skb", Type: 3, Attach: uapi.BPF_CGROUP_INET_INGRESS, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotDevice: {Name: "cgroup_device", Type: 3, Attach: uapi.BPF_CGROUP_DEVICE, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotSock: {Name: "cgroup_sock", Type: 3, Attach: uapi.BPF_CGROUP_INET_SOCK_CREATE, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotSockAddr: {Name: "cgroup_sock_addr", Type: 3, Attach: uapi.BPF_CGROUP_INET4_BIND, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotSysctl: {Name: "cgroup_sysctl", Type: 3, Attach: uapi.BPF_CGROUP_SYSCTL, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotSockopt: {Name: "cgroup_sockopt", Type: 3, Attach: uapi.BPF_CGROUP_GETSOCKOPT, At: AtCgroup,
		Config: "CGROUP_BPF"},
	SpotSockOps: {Name: "sock_ops", Type: 3, Attach: uapi.BPF_CGROUP_SOCK_OPS, At: AtCgroup, Config: "CGROUP_BPF"},
	SpotLSMCgroup: {Name: "lsm_cgroup", Type: 3, Attach: uapi.BPF_LSM_CGROUP, At: AtCgroup,
		Config: "CGROUP_BPF BPF_LSM"},
	SpotSkMsg:  {Name: "sk_msg", Type: 14, Attach: uapi.BPF_SK_MSG_VERDICT, At: AtSockMap, Config: "INET"},
	SpotFentry: {Name: "fentry", Type: 2, Attach: uapi.BPF_TRACE_FENTRY, Config: trampolineConfig},
	SpotLSM:    {Name: "lsm", Type: 2, Attach: uapi.BPF_LSM_MAC, Config: "BPF_LSM KALLSYMS"},
	SpotTPBTF:  {Name: "tp_btf", Type: 1, Attach: uapi.BPF_TRACE_RAW_TP, Config: "BPF_EVENTS"},
	SpotRawTP:  {Name: "raw_tp", Type: 1, At: AtTracepoint, Config: "BPF_EVENTS"},
	SpotIter:   {Name: "iter", Type: 4, Attach: uapi.BPF_TRACE_ITER, Config: "BPF_EVENTS"},
	SpotKprobeMulti: {Name: "kprobe_multi", Type: 8, Attach: uapi.BPF_TRACE_KPROBE_MULTI, At: AtSymbol,
		Config: "FPROBE NET"},
	SpotUprobeMulti: {Name: "uprobe_multi", Type: 12, Attach: uapi.BPF_TRACE_UPROBE_MULTI, At: AtFile,
		Config: "UPROBES BPF_EVENTS"},
	SpotPerfEvent: {Name: "perf_event", Type: 7, Attach: uapi.BPF_PERF_EVENT, At: AtEvent, Config: "BPF_EVENTS"},
	SpotKprobe: {Name: "kprobe", Type: 7, Attach: uapi.BPF_PERF_EVENT, At: AtProbe,
		Config: "BPF_EVENTS KPROBE_EVENTS NET"},
	SpotFentryMulti: {Name: "fentry_multi", Type: 15, Attach: uapi.BPF_TRACE_FENTRY_MULTI, At: AtFunction,
		Config: trampolineConfig + " DYNAMIC_FTRACE_WITH_DIRECT_CALLS HAVE_SINGLE_FTRACE_DIRECT_OPS"},
}

// ShowsAddresses reports whether BPF_OBJ_GET_INFO_BY_FD tells where the link's probes are.
func (t Spot) ShowsAddresses() bool {
	return t == SpotKprobeMulti || t == SpotKprobe || t == SpotFentryMulti
}

// Spots are the spots as a case file spells them.
var Spots = spotNames()

func spotNames() []string {
	out := make([]string, spots)
	for i := range spotShapes {
		out[i] = spotShapes[i].Name
	}
	return out
}

// Shape is the target's row.
func (t Spot) Shape() *SpotShape {
	if t >= spots {
		t = 0
	}
	return &spotShapes[t]
}

// Queried are the spots whose programs BPF_PROG_QUERY shows.
var Queried = []Spot{SpotTCX, SpotFlowDissector, SpotSkb, SpotDevice, SpotSock, SpotSockAddr, SpotSysctl,
	SpotSockopt, SpotSockOps}

// IsQueried reports whether root can ask for the target's programs.
func (t Spot) IsQueried() bool { return slices.Contains(Queried, t) }

// SpotNeeds are the options that the target of a step needs, and those that compile the kind of link in.
func SpotNeeds(s *Step) string {
	t, _ := s.Num(KeySpot)
	return Spot(t).Shape().Config
}

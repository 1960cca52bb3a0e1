package oracle

import "tokentest/cases/uapi"

// OnLink is BPF_LINK_UPDATE, BPF_LINK_DETACH or BPF_ITER_CREATE of a link.
type OnLink struct {
	What  uapi.Cmd
	FD    FD
	New   FD       // the program that BPF_LINK_UPDATE gives the link
	Old   *FD      // the one that it must have
	Has   *Program // the one that it has
	Gone  bool     // it was detached
	Chain *Chain   // what is attached at the link's target
}

type onLink = call[*OnLink]

func (r *OnLink) command() uapi.Cmd { return r.What }

func (r *OnLink) link() *Bond {
	if r.FD.Link == nil {
		return &Bond{}
	}
	return r.FD.Link
}

func (r *OnLink) at() uapi.AttachType { return r.link().To.Attach }

func (r *OnLink) is(all ...uapi.AttachType) bool {
	for _, at := range all {
		if r.link().To.At != Tracepoint && r.at() == at {
			return true
		}
	}
	return false
}

// inNetns, replacesExpected and so on are the kinds of links whose functions differ.
func (r *OnLink) inNetns() bool { return r.link().To.At == Netns }

func (r *OnLink) replacesExpected() bool {
	return r.is(uapi.BPF_XDP, uapi.BPF_TRACE_ITER, uapi.BPF_SK_MSG_VERDICT)
}

// updates reports whether the kind of link has a function update_prog.
func (r *OnLink) updates() bool {
	return r.link().To.At == Cgroup || r.inNetns() || r.replacesExpected() ||
		r.is(uapi.BPF_TCX_INGRESS, uapi.BPF_NETFILTER)
}

// detaches reports whether the kind of link has a function detach.
func (r *OnLink) detaches() bool {
	return r.link().To.At == Cgroup || r.inNetns() ||
		r.is(uapi.BPF_TCX_INGRESS, uapi.BPF_NETFILTER, uapi.BPF_XDP, uapi.BPF_SK_MSG_VERDICT)
}

// firstGone are the kinds that look first whether they are detached: cgroup_bpf_replace, bpf_xdp_link_update and
// tcx_link_update do, the others compare the programs before.
func (r *OnLink) firstGone() bool {
	return r.link().To.At == Cgroup || r.is(uapi.BPF_XDP, uapi.BPF_TCX_INGRESS)
}

func (r *OnLink) program() *Program {
	if r.New.Loaded == nil {
		return &Program{}
	}
	return r.New.Loaded
}

func (r *OnLink) has() *Program {
	if r.Has == nil {
		return &Program{}
	}
	return r.Has
}

var linkBadFD = []rule[*OnLink]{
	lsmBPF[*OnLink](),
	{id: "bad-fd", fn: "bpf_link_get_from_fd", errno: eBADF, text: badFDText,
		holds: func(c *onLink) bool { return c.req.FD.notOpen() }},
	{id: "no-link", fn: "bpf_link_get_from_fd", errno: eINVAL, text: "the descriptor is not a link",
		holds: func(c *onLink) bool { return c.req.FD.Link == nil }},
}

// linkUpdateRules are the checks of link_update of kernel/bpf/syscall.c, and of the function update_prog of the kind
// of link. Whoever has the link's descriptor and a program may replace the program.
var linkUpdateRules = rulesOf(linkBadFD, []rule[*OnLink]{
	{id: "prog-bad-fd", fn: "bpf_prog_get", errno: eBADF, text: progBadFDText,
		holds: func(c *onLink) bool { return c.req.New.notOpen() }},
	{id: "prog-none", fn: "bpf_prog_get", errno: eINVAL, text: "the descriptor is not a program",
		holds: func(c *onLink) bool { return c.req.New.Loaded == nil }},
	{id: "old-bad-fd", fn: "bpf_prog_get", errno: eBADF, text: "the old program's descriptor is not open",
		holds: func(c *onLink) bool { return c.req.Old != nil && c.req.Old.notOpen() }},
	{id: "old-none", fn: "bpf_prog_get", errno: eINVAL, text: "the old program's descriptor is not a program",
		holds: func(c *onLink) bool { return c.req.Old != nil && c.req.Old.Loaded == nil }},
	{id: "no-update", fn: "link_update", errno: eINVAL, text: "the program of this kind of link cannot be replaced",
		holds: func(c *onLink) bool { return !c.req.updates() }},
	{id: "netfilter", fn: "bpf_nf_link_update", errno: eOPNOTSUPP,
		text:  "the program of a netfilter link cannot be replaced",
		holds: func(c *onLink) bool { return c.req.is(uapi.BPF_NETFILTER) }},
	{id: "gone", fn: "bpf_xdp_link_update", errno: eNOLINK, text: "the link was detached",
		holds: func(c *onLink) bool { return c.req.Gone && c.req.firstGone() }},
	{id: "not-old", fn: "bpf_xdp_link_update", errno: ePERM, text: "the link has another program than the old one named",
		holds: func(c *onLink) bool { return c.req.Old != nil && c.req.Old.Loaded != c.req.Has }},
	{id: "twice", fn: "bpf_mprog_attach", errno: eEXIST, text: "the device already has the program, from another link",
		holds: func(c *onLink) bool {
			return c.req.is(uapi.BPF_TCX_INGRESS) && c.req.New.Loaded != c.req.Has && c.req.Chain.has(c.req.New.Loaded)
		}},
	{id: "other-type", fn: "__cgroup_bpf_replace", errno: eINVAL, text: "the new program is of another type",
		holds: func(c *onLink) bool {
			p, has := c.req.program(), c.req.has()
			return p.Type != has.Type || c.req.replacesExpected() && p.Expected != has.Expected
		}},
	{id: "gone-late", fn: "bpf_netns_link_update_prog", errno: eNOLINK, text: "the link was detached",
		holds: func(c *onLink) bool { return c.req.Gone }},
})

// linkDetachRules are the checks of link_detach. The link's descriptor is enough.
var linkDetachRules = rulesOf(linkBadFD, []rule[*OnLink]{
	{id: "no-detach", fn: "link_detach", errno: eOPNOTSUPP, text: "this kind of link cannot be detached",
		holds: func(c *onLink) bool { return !c.req.detaches() }},
})

// iterCreateRules are the checks of bpf_iter_create.
var iterCreateRules = rulesOf(linkBadFD[:2], []rule[*OnLink]{
	{id: "no-iterator", fn: "bpf_iter_new_fd", errno: eINVAL, text: "the descriptor is not a link of an iterator",
		holds: func(c *onLink) bool { return !c.req.is(uapi.BPF_TRACE_ITER) }},
})

// LinkInfo is BPF_OBJ_GET_INFO_BY_FD of a link. It needs no capability; who must not see kernel pointers gets zeros.
type LinkInfo struct {
	FD      FD
	Several bool // a tracing link to several functions
}

func (r *LinkInfo) command() uapi.Cmd { return uapi.BPF_OBJ_GET_INFO_BY_FD }

var linkInfoRules = []rule[*LinkInfo]{
	lsmBPF[*LinkInfo](),
	{id: "bad-fd", fn: "bpf_obj_get_info_by_fd", errno: eBADFD, text: badFDText,
		holds: func(c *call[*LinkInfo]) bool { return c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers the information about links",
		holds: func(c *call[*LinkInfo]) bool { return c.req.FD.Link == nil }},
}

func (r *LinkInfo) decide(w *World, trace *[]Line) Verdict {
	return run(w, "link_info", r, nil, linkInfoRules, trace)
}

// ShowsAddresses mirrors bpf_kprobe_multi_link_fill_link_info and bpf_perf_link_fill_kprobe, which 6.6 added, and
// bpf_tracing_multi_link_fill_link_info, which 7.3 added. They go by the caller's credentials.
func (r *LinkInfo) ShowsAddresses(w *World) bool {
	if r.Several && !w.Kernel.has(linux(7, 3)) {
		return false
	}
	return w.Kernel.has(linux(6, 6)) && (w.Kernel.Settings.HidesPointers == 0 || !w.Kernel.hidesPointers(w.Caller))
}

// QueryEvent is ioctl(PERF_EVENT_IOC_QUERY_BPF), which tells the programs at a tracepoint.
type QueryEvent struct{}

var queryEventRules = []rule[*QueryEvent]{
	{id: "no-cap-perfmon", fn: "perf_event_query_prog_array", errno: ePERM,
		text: "the caller lacks CAP_PERFMON " + initialNS + ", with any token",
		holds: func(c *call[*QueryEvent]) bool { // perfmon_capable
			return !c.initialCapable(uapi.CAP_PERFMON) && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		}},
}

func (r *QueryEvent) decide(w *World, trace *[]Line) Verdict {
	return run(w, "query_event", r, nil, queryEventRules, trace).allowedBy("perf_event_query_prog_array")
}

func (r *OnLink) decide(w *World, trace *[]Line) Verdict {
	switch r.What {
	case uapi.BPF_LINK_UPDATE:
		return run(w, "link_update", r, nil, linkUpdateRules, trace)
	case uapi.BPF_LINK_DETACH:
		return run(w, "link_detach", r, nil, linkDetachRules, trace)
	}
	return run(w, "iter_create", r, nil, iterCreateRules, trace).allowedBy("bpf_iter_create")
}

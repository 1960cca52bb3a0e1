package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Point is what the target of an attach request is.
type Point uint8

// The points that the kernel's functions treat differently.
const (
	InKernel Point = iota // the program or the request names a place in the kernel
	Device                // the loopback device
	Netns
	Cgroup
	SockMap
	Event
	Probe      // a perf event that is a kprobe
	Tracepoint // BPF_RAW_TRACEPOINT_OPEN
)

// Target is what a program is attached to.
type Target struct {
	Attach uapi.AttachType
	At     Point
}

// Bond is what a link's descriptor refers to. All descriptors of a link share it.
type Bond struct {
	To   Target
	Type uapi.ProgType
}

// Entry is a program at a target, with the link that holds it there, if one does.
type Entry struct {
	Prog *Program
	Link *Bond
	// Pinned says that the link got a name in a bpffs, Lost that only such a name may still hold it.
	Pinned, Lost bool
}

// Chain is what is attached at a target. Flags are those of the first program at a cgroup.
type Chain struct {
	Flags   uint32
	Entries []Entry
}

func (h *Chain) any(is func(e *Entry) bool) bool {
	return slices.ContainsFunc(h.Entries, func(e Entry) bool { return is(&e) })
}

func (h *Chain) has(p *Program) bool { return h.any(func(e *Entry) bool { return e.Prog == p }) }

func (h *Chain) linked() bool { return h.any(func(e *Entry) bool { return e.Link != nil }) }

// Uncertain reports whether a link that the simulation does not follow may still be there.
func (h *Chain) Uncertain() bool { return h.any(func(e *Entry) bool { return e.Lost }) }

// Attach is BPF_LINK_CREATE, BPF_RAW_TRACEPOINT_OPEN, BPF_PROG_ATTACH or BPF_PROG_DETACH.
type Attach struct {
	What  uapi.Cmd
	Prog  *FD // nil: BPF_PROG_DETACH that names none
	To    Target
	Chain *Chain
	Flags uint32
	Rel   *FD    // relative_fd; nil for none
	RelID uint32 // relative_id, which no object has; 0 for none
	Old   *FD    // replace_bpf_fd; nil for none
	Fault
}

type attachCall = call[*Attach]

func (r *Attach) command() uapi.Cmd { return r.What }
func (r *Attach) fault() Fault      { return r.Fault }

// The flags of attach requests, include/uapi/linux/bpf.h.
const (
	fOverride = 1 << 0
	fMulti    = 1 << 1
	fReplace  = 1 << 2
	fBefore   = 1 << 3
	fAfter    = 1 << 4
	fID       = 1 << 5
	fPreorder = 1 << 6
	fOfLink   = 1 << 13

	// LinkFlags is how a cgroup notes a link, SavedFlags are all that it notes.
	LinkFlags  = fMulti
	SavedFlags = fOverride | fMulti

	flagsBase  = fOverride | fMulti | fReplace | fPreorder
	flagsMprog = fReplace | fBefore | fAfter | fID | fOfLink
)

// progTypeOf is attach_type_to_prog_type of kernel/bpf/syscall.c, for the attach types of targets.
func progTypeOf(at uapi.AttachType) uapi.ProgType {
	switch at {
	case uapi.BPF_CGROUP_INET_INGRESS, uapi.BPF_CGROUP_INET_EGRESS:
		return uapi.BPF_PROG_TYPE_CGROUP_SKB
	case uapi.BPF_CGROUP_DEVICE:
		return uapi.BPF_PROG_TYPE_CGROUP_DEVICE
	case uapi.BPF_CGROUP_INET_SOCK_CREATE:
		return uapi.BPF_PROG_TYPE_CGROUP_SOCK
	case uapi.BPF_CGROUP_INET4_BIND:
		return uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR
	case uapi.BPF_CGROUP_SYSCTL:
		return uapi.BPF_PROG_TYPE_CGROUP_SYSCTL
	case uapi.BPF_CGROUP_GETSOCKOPT:
		return uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT
	case uapi.BPF_CGROUP_SOCK_OPS:
		return uapi.BPF_PROG_TYPE_SOCK_OPS
	case uapi.BPF_SK_MSG_VERDICT:
		return uapi.BPF_PROG_TYPE_SK_MSG
	case uapi.BPF_FLOW_DISSECTOR:
		return uapi.BPF_PROG_TYPE_FLOW_DISSECTOR
	case uapi.BPF_TRACE_FENTRY, uapi.BPF_TRACE_RAW_TP, uapi.BPF_TRACE_ITER, uapi.BPF_TRACE_FENTRY_MULTI:
		return uapi.BPF_PROG_TYPE_TRACING
	case uapi.BPF_LSM_MAC, uapi.BPF_LSM_CGROUP:
		return uapi.BPF_PROG_TYPE_LSM
	case uapi.BPF_SK_LOOKUP:
		return uapi.BPF_PROG_TYPE_SK_LOOKUP
	case uapi.BPF_XDP:
		return uapi.BPF_PROG_TYPE_XDP
	case uapi.BPF_TCX_INGRESS, uapi.BPF_NETKIT_PRIMARY:
		return uapi.BPF_PROG_TYPE_SCHED_CLS
	}
	return uapi.BPF_PROG_TYPE_UNSPEC
}

func (r *Attach) ptype() uapi.ProgType { return progTypeOf(r.To.Attach) }

// isCgroup is is_cgroup_prog_type without the check of the attach type.
func (r *Attach) isCgroup() bool {
	return r.To.At == Cgroup || r.To.At == Tracepoint || r.ptype() == uapi.BPF_PROG_TYPE_LSM
}

// isMprog is bpf_mprog_supported.
func (r *Attach) isMprog() bool { return r.ptype() == uapi.BPF_PROG_TYPE_SCHED_CLS }

func (r *Attach) relative() bool { return r.Rel != nil || r.RelID != 0 }

// fits mirrors bpf_prog_attach_check_attach_type, without the capability of cgroup_skb programs.
func (r *Attach) fits() bool {
	p, at := r.prog(), r.To.Attach
	switch p.Type {
	case uapi.BPF_PROG_TYPE_CGROUP_SOCK, uapi.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, uapi.BPF_PROG_TYPE_CGROUP_SOCKOPT,
		uapi.BPF_PROG_TYPE_SK_LOOKUP:
		return at == p.Expected
	case uapi.BPF_PROG_TYPE_EXT:
		return true
	case uapi.BPF_PROG_TYPE_NETFILTER:
		return at == uapi.BPF_NETFILTER
	case uapi.BPF_PROG_TYPE_PERF_EVENT, uapi.BPF_PROG_TYPE_TRACEPOINT:
		return at == uapi.BPF_PERF_EVENT
	case uapi.BPF_PROG_TYPE_KPROBE:
		return r.fitsKprobe()
	case uapi.BPF_PROG_TYPE_SCHED_CLS:
		return r.isMprog()
	}
	t := progTypeOf(at)
	return t != uapi.BPF_PROG_TYPE_UNSPEC && t == p.Type
}

func (r *Attach) fitsKprobe() bool {
	e, at := r.prog().Expected, r.To.Attach
	switch e {
	case uapi.BPF_TRACE_KPROBE_MULTI, uapi.BPF_TRACE_UPROBE_MULTI, uapi.BPF_TRACE_KPROBE_SESSION,
		uapi.BPF_TRACE_UPROBE_SESSION:
		return at == e
	}
	return at == uapi.BPF_PERF_EVENT || at == uapi.BPF_TRACE_KPROBE_MULTI || at == uapi.BPF_TRACE_UPROBE_MULTI
}

// prog is the program that the request names; an empty one for anything else.
func (r *Attach) prog() *Program {
	if r.Prog == nil || r.Prog.Loaded == nil {
		return &Program{}
	}
	return r.Prog.Loaded
}

// token is the one that the program was loaded with: bpf_prog_attach_check_attach_type asks it.
func (r *Attach) token() *Token {
	if r.Prog == nil {
		return nil
	}
	return r.Prog.Token
}

// Rules that attaching and detaching share.
var (
	attachHead = []rule[*Attach]{
		attrTooLong[*Attach](), attrUnreadable[*Attach](), lsmBPF[*Attach](), attrTail[*Attach]("__sys_bpf"),
	}
	attachBadFD = rule[*Attach]{id: "prog-bad-fd", fn: "bpf_prog_get", errno: eBADF, text: progBadFDText,
		holds: func(c *attachCall) bool { return c.req.Prog != nil && c.req.Prog.notOpen() }}
	attachNone = rule[*Attach]{id: "prog-none", fn: "bpf_prog_get", errno: eINVAL, text: "the descriptor is not a program",
		holds: func(c *attachCall) bool {
			return c.req.Prog != nil && c.req.Prog.Loaded == nil && !c.req.Prog.notOpen()
		}}
	attachOther = rule[*Attach]{id: "prog-other", fn: "bpf_prog_get_type", errno: eINVAL, text: progOtherText,
		holds: func(c *attachCall) bool {
			return c.req.Prog != nil && c.req.Prog.Loaded != nil && c.req.prog().Type != c.req.ptype()
		}}
	attachSkb = rule[*Attach]{id: "no-cap-net-admin", fn: "bpf_prog_attach_check_attach_type", errno: ePERM,
		text: "the caller lacks CAP_NET_ADMIN in the user namespace of the cgroup_skb program's token " +
			"(without a token: in the initial one)",
		holds: func(c *attachCall) bool {
			return c.req.prog().Type == uapi.BPF_PROG_TYPE_CGROUP_SKB && !c.tokenCapable(uapi.CAP_NET_ADMIN)
		}}
	attachType = rule[*Attach]{id: "attach-type", fn: "bpf_prog_attach_check_attach_type", errno: eINVAL,
		text:  "the program cannot be attached to this attach type",
		holds: func(c *attachCall) bool { return !c.req.fits() }}
	attachLost = rule[*Attach]{id: "not-modelled", blind: true,
		text:  "a link that only a name in a bpffs may still hold was attached there",
		holds: func(c *attachCall) bool { return c.req.Chain.Uncertain() }}
)

// with returns the rule with another errno.
func (r rule[R]) with(errno uapi.Errno) rule[R] {
	r.errno = errno
	return r
}

// linkRules are the checks of link_create of kernel/bpf/syscall.c, and of the functions that it calls by the
// program's type. Apart from cgroup_skb programs no capability is asked for.
var linkRules = rulesOf(attachHead, []rule[*Attach]{
	attachBadFD, attachNone, attachSkb, attachType,
	{id: "ext-not-modelled", blind: true, text: "the oracle does not cover links of programs that replace a function",
		holds: func(c *attachCall) bool { return c.req.prog().Type == uapi.BPF_PROG_TYPE_EXT }},
	{id: "other-expected", fn: "link_create", errno: eINVAL,
		text: "a tracing or LSM program was loaded for another attach type",
		holds: func(c *attachCall) bool {
			p := c.req.prog()
			return (p.Type == uapi.BPF_PROG_TYPE_TRACING || p.Type == uapi.BPF_PROG_TYPE_LSM) && p.Expected != c.req.To.Attach
		}},
	{id: "no-netkit", fn: "netkit_dev_fetch", errno: eNXIO, text: "the loopback device is no netkit device",
		holds: func(c *attachCall) bool { return c.req.To.Attach == uapi.BPF_NETKIT_PRIMARY }},
	{id: "flags", fn: "link_create", errno: eINVAL, text: "the kind of link takes no such flags",
		holds: func(c *attachCall) bool { return c.req.badLinkFlags(c.Kernel) }},
	{id: "flags-not-modelled", blind: true, text: "the oracle does not cover these flags at this target",
		holds: func(c *attachCall) bool { return c.req.Flags != 0 && !c.req.isMprog() && !c.req.freeFlags() }},
	{id: "no-multi", fn: "bpf_kprobe_multi_link_attach", errno: eINVAL,
		text: "the program was not loaded for several probes",
		holds: func(c *attachCall) bool {
			at := c.req.To.Attach
			return (at == uapi.BPF_TRACE_KPROBE_MULTI || at == uapi.BPF_TRACE_UPROBE_MULTI) && c.req.prog().Expected != at
		}},
	attachLost,
	{id: "no-probe", fn: "perf_event_set_bpf_prog", errno: eINVAL,
		text: "a kprobe takes programs of the type kprobe only, and none that may sleep",
		holds: func(c *attachCall) bool {
			p := c.req.prog()
			return c.req.To.At == Probe && (p.Type != uapi.BPF_PROG_TYPE_KPROBE || p.Sleeps)
		}},
	{id: "taken", fn: "link_create", text: "the target, or the program, already has what excludes the link",
		holds:  func(c *attachCall) bool { return c.req.taken() != 0 },
		answer: func(c *attachCall) uapi.Errno { return c.req.taken() }},
	{id: "no-event", fn: "perf_event_set_bpf_handler", errno: eINVAL,
		text: "the event takes programs of the type perf_event only",
		holds: func(c *attachCall) bool {
			return c.req.To.At == Event && c.req.prog().Type != uapi.BPF_PROG_TYPE_PERF_EVENT
		}},
	{id: "xdp-map", fn: "dev_xdp_attach", errno: eINVAL, text: "the program is for a devmap or a cpumap",
		holds: func(c *attachCall) bool {
			e := c.req.prog().Expected
			return e == uapi.BPF_XDP_DEVMAP || e == uapi.BPF_XDP_CPUMAP
		}},
})

// freeFlags reports whether the function that makes the link does not look at the flags.
func (r *Attach) freeFlags() bool {
	switch r.To.Attach {
	case uapi.BPF_TRACE_FENTRY, uapi.BPF_TRACE_RAW_TP, uapi.BPF_LSM_MAC:
		return r.To.At == InKernel
	}
	return false
}

// xdpModes are the flags of a link at a device, XDP_FLAGS_MODES.
const xdpModes = 0xe

func (r *Attach) badLinkFlags(k *Kernel) bool {
	switch {
	case r.Flags == 0 || r.isMprog() || r.freeFlags() || r.To.Attach == uapi.BPF_TRACE_UPROBE_MULTI:
		return false
	case r.To.Attach == uapi.BPF_XDP:
		return r.Flags&^xdpModes != 0 || r.Flags&(r.Flags-1) != 0
	case r.To.At == Cgroup:
		return r.Flags&^(fID|fBefore|fAfter|fPreorder|fOfLink) != 0
	}
	return true
}

// taken is what the function that makes the link says about what is there already; 0 if it takes the program.
func (r *Attach) taken() uapi.Errno {
	h, p := r.Chain, r.prog()
	switch r.To.Attach {
	case uapi.BPF_XDP, uapi.BPF_NETFILTER: // dev_xdp_attach, nf_hook_entries_grow: one of this priority
		return whether(len(h.Entries) > 0, eBUSY)
	case uapi.BPF_SK_MSG_VERDICT: // sock_map_prog_update
		return whether(h.linked(), eBUSY)
	case uapi.BPF_TRACE_FENTRY, uapi.BPF_LSM_MAC, uapi.BPF_TRACE_FENTRY_MULTI: // bpf_trampoline_link_prog
		return whether(h.has(p), eBUSY)
	case uapi.BPF_PERF_EVENT: // perf_event_set_bpf_handler
		return whether(len(h.Entries) > 0, eEXIST)
	case uapi.BPF_FLOW_DISSECTOR: // netns_bpf_link_attach
		if h.linked() {
			return e2BIG
		}
		return whether(len(h.Entries) > 0, eEXIST)
	case uapi.BPF_TCX_INGRESS:
		return r.mprogAttach()
	}
	return whether(r.To.At == Cgroup && len(h.Entries) > 0 && h.Flags != fMulti, ePERM) // __cgroup_bpf_attach
}

func whether(holds bool, errno uapi.Errno) uapi.Errno {
	if holds {
		return errno
	}
	return 0
}

// mprogAttach mirrors bpf_mprog_attach of kernel/bpf/mprog.c.
func (r *Attach) mprogAttach() uapi.Errno {
	h, p := r.Chain, r.prog()
	if h.has(p) {
		return eEXIST
	}
	rel, errno := r.tuple(p.Type)
	switch {
	case errno != 0:
		return errno
	case r.Flags&fReplace != 0 && r.Old == nil: // BPF_LINK_CREATE names no program to replace
		return eNOENT
	}
	at, errno := r.replaced()
	if errno == 0 {
		_, errno = r.position(rel, at)
	}
	return errno
}

// replaced mirrors bpf_mprog_pos_exact, and find_attach_entry of kernel/bpf/cgroup.c, which passes over links. It is
// the place of the program that the new one replaces, none without BPF_F_REPLACE.
func (r *Attach) replaced() (at int, errno uapi.Errno) {
	if r.Flags&fReplace == 0 || r.Old == nil {
		return none, 0
	}
	at = slices.IndexFunc(r.Chain.Entries, func(e Entry) bool {
		return e.Prog == r.Old.Loaded && (r.isMprog() || e.Link == nil)
	})
	if at < 0 {
		return none, eNOENT
	}
	return at, whether(r.Chain.Entries[at].Link != nil, eBUSY)
}

// Replaces is the place of the program that a successful BPF_PROG_ATTACH takes away, -1 for none.
func (r *Attach) Replaces() int {
	at, _ := r.replaced()
	return max(at, -1)
}

// mprogDetach mirrors bpf_mprog_detach.
func (r *Attach) mprogDetach() uapi.Errno {
	h := r.Chain
	t := uapi.BPF_PROG_TYPE_UNSPEC
	if r.Prog != nil {
		t = r.prog().Type
	}
	if r.Flags&fReplace != 0 {
		return eINVAL
	}
	if len(h.Entries) == 0 {
		return eNOENT
	}
	rel, errno := r.tuple(t)
	if errno != 0 {
		return errno
	}
	at := none
	if r.Prog != nil {
		at = slices.IndexFunc(h.Entries, func(e Entry) bool { return e.Prog == r.prog() })
		if at < 0 {
			return eNOENT
		}
		if h.Entries[at].Link != nil {
			return eBUSY
		}
	}
	if at, errno = r.position(rel, at); errno != 0 {
		return errno
	}
	return whether(h.Entries[min(max(at, 0), len(h.Entries)-1)].Link != nil, eBUSY) // bpf_mprog_fetch
}

// Detached is the place of the program that a successful BPF_PROG_DETACH at a device removes.
func (r *Attach) Detached() int {
	at := none
	if r.Prog != nil {
		at = slices.IndexFunc(r.Chain.Entries, func(e Entry) bool { return e.Prog == r.prog() })
	}
	rel, _ := r.tuple(uapi.BPF_PROG_TYPE_UNSPEC)
	at, _ = r.position(rel, at)
	return min(max(at, 0), len(r.Chain.Entries)-1)
}

// Inserted is the place at which a successful request at a device puts its program.
func (r *Attach) Inserted() int {
	rel, _ := r.tuple(r.prog().Type)
	at, _ := r.position(rel, none)
	if r.Flags&fBefore != 0 {
		at++
	}
	return min(max(at, 0), len(r.Chain.Entries))
}

// none is a place that no check has named yet; -1 is the place before the first.
const none = -2

// tuple mirrors bpf_mprog_tuple_relative: the program next to which the new one shall be.
func (r *Attach) tuple(t uapi.ProgType) (rel *Entry, errno uapi.Errno) {
	if r.Flags&fID != 0 { // bpf_link_by_id, bpf_prog_by_id: no object has the id
		return nil, eNOENT
	}
	if r.RelID != 0 { // the number is read as a descriptor's
		return nil, eBADF
	}
	if r.Rel == nil {
		return nil, whether(r.Flags&fOfLink != 0, eINVAL)
	}
	if r.Rel.notOpen() {
		return nil, eBADF
	}
	e := &Entry{Prog: r.Rel.Loaded}
	if r.Flags&fOfLink != 0 {
		e = r.entryOf(r.Rel.Link)
		if r.Rel.Link == nil || t != uapi.BPF_PROG_TYPE_UNSPEC && r.Rel.Link.Type != t {
			return nil, eINVAL
		}
		return e, 0
	}
	if e.Prog == nil || t != uapi.BPF_PROG_TYPE_UNSPEC && e.Prog.Type != t {
		return nil, eINVAL
	}
	return e, 0
}

// entryOf is what a link has at the target; an entry that is not there, if it has nothing.
func (r *Attach) entryOf(l *Bond) *Entry {
	if i := slices.IndexFunc(r.Chain.Entries, func(e Entry) bool { return e.Link == l }); i >= 0 {
		return &r.Chain.Entries[i]
	}
	return &Entry{Link: l, Prog: &Program{}}
}

// position mirrors what bpf_mprog_attach and bpf_mprog_detach do with BPF_F_BEFORE and BPF_F_AFTER.
func (r *Attach) position(rel *Entry, at int) (int, uapi.Errno) {
	all := r.Chain.Entries
	where := func(e Entry) bool { return rel != nil && e.Prog == rel.Prog && (rel.Link == nil || e.Link == rel.Link) }
	for _, side := range []struct {
		flag         uint32
		step, border int
	}{{fBefore, -1, -1}, {fAfter, 1, len(all)}} {
		if r.Flags&side.flag == 0 {
			continue
		}
		to := side.border
		if rel != nil {
			i := slices.IndexFunc(all, where)
			if i < 0 {
				return 0, eNOENT
			}
			to = i + side.step
		}
		if at >= -1 && to != at {
			return 0, eRANGE
		}
		at = to
	}
	if at >= -1 {
		return at, 0
	}
	return len(all), whether(rel != nil || r.Flags != 0, eINVAL)
}

// attachRules are the checks of bpf_prog_attach of kernel/bpf/syscall.c, and of the functions that it calls by the
// program's type.
var attachRules = rulesOf(attachHead, []rule[*Attach]{
	{id: "no-type", fn: "attach_type_to_prog_type", errno: eINVAL, text: "no type of program is for this attach type",
		holds: func(c *attachCall) bool {
			unknown := uint32(c.req.To.Attach) >= c.Kernel.MaxAttach
			return c.req.To.At != Tracepoint && (unknown || c.req.ptype() == uapi.BPF_PROG_TYPE_UNSPEC)
		}},
	{id: "flags", fn: "bpf_prog_attach", errno: eINVAL, text: "the type of program takes no such flags",
		holds: func(c *attachCall) bool { return c.req.badAttachFlags() }},
	{id: "order-not-modelled", blind: true, text: "the oracle does not cover an order among the programs of a cgroup",
		holds: func(c *attachCall) bool {
			return c.req.isCgroup() && (c.req.Flags&(flagsMprog&^fReplace|fPreorder) != 0 || c.req.relative())
		}},
	attachBadFD, attachNone, attachOther, attachSkb.with(eINVAL), attachType,
	{id: "no-cgroup", fn: "cgroup_get_from_fd", errno: eBADF, text: "the target is not a cgroup",
		holds: func(c *attachCall) bool { return c.req.To.At == Tracepoint }},
	{id: "no-target", fn: "bpf_prog_attach", errno: eINVAL, text: "programs of this type are attached by a link only",
		holds: func(c *attachCall) bool { return !c.req.attaches() }},
	{id: "no-netkit", fn: "netkit_dev_fetch", errno: eNXIO, text: "the loopback device is no netkit device",
		holds: func(c *attachCall) bool { return c.req.To.Attach == uapi.BPF_NETKIT_PRIMARY }},
	{id: "old-bad-fd", fn: "bpf_prog_get", errno: eBADF, text: "replace_bpf_fd is not open",
		holds: func(c *attachCall) bool { return c.req.replaces() && c.req.Old.notOpen() }},
	{id: "old-other", fn: "bpf_prog_get_type", errno: eINVAL, text: "replace_bpf_fd is no program of this type",
		holds: func(c *attachCall) bool {
			o := c.req.Old
			return c.req.replaces() && !o.notOpen() && (o.Loaded == nil || o.Loaded.Type != c.req.ptype())
		}},
	{id: "flags-late", fn: "__cgroup_bpf_attach", errno: eINVAL, text: "the target takes no such flags",
		holds: func(c *attachCall) bool { return c.req.badTargetFlags() }},
	attachLost,
	{id: "taken", fn: "bpf_prog_attach", text: "the target already has what excludes the program",
		holds:  func(c *attachCall) bool { return c.req.progTaken() != 0 },
		answer: func(c *attachCall) uapi.Errno { return c.req.progTaken() }},
})

// attaches reports whether bpf_prog_attach has a case for the program's type.
func (r *Attach) attaches() bool {
	if r.To.At == Cgroup || r.isMprog() {
		return true
	}
	return r.ptype() == uapi.BPF_PROG_TYPE_SK_MSG || r.ptype() == uapi.BPF_PROG_TYPE_FLOW_DISSECTOR
}

func (r *Attach) badAttachFlags() bool {
	switch {
	case r.isMprog():
		return r.Flags&^flagsMprog != 0
	case r.isCgroup():
		return r.Flags&^(flagsBase|flagsMprog) != 0
	}
	return r.Flags&^flagsBase != 0 || r.relative()
}

func (r *Attach) badTargetFlags() bool {
	switch {
	case r.isMprog():
		return r.Flags&fReplace != 0 && r.Old == nil // bpf_prog_get_type: replace_bpf_fd is /dev/null
	case r.To.At == Cgroup:
		return r.Flags&fReplace != 0 && (r.Old == nil || r.Flags&fMulti == 0) ||
			r.Flags&(fOverride|fMulti) == fOverride|fMulti
	}
	return r.Flags != 0 || r.Old != nil // sock_map_get_from_fd, netns_bpf_prog_attach
}

// replaces reports whether the kernel looks for the program of replace_bpf_fd.
func (r *Attach) replaces() bool {
	return r.Flags&fReplace != 0 && r.Old != nil && (r.isMprog() || r.To.At == Cgroup && r.Flags&fMulti != 0)
}

// progTaken is what the target says to the program; 0 if it takes it.
func (r *Attach) progTaken() uapi.Errno {
	h, p := r.Chain, r.prog()
	switch {
	case r.To.Attach == uapi.BPF_TCX_INGRESS:
		return r.mprogAttach()
	case r.To.Attach == uapi.BPF_FLOW_DISSECTOR: // netns_bpf_prog_attach
		if h.linked() {
			return eEXIST
		}
		return whether(h.has(p), eINVAL)
	case r.To.At == SockMap:
		return whether(h.linked(), eBUSY)
	case len(h.Entries) > 0 && h.Flags != r.Flags&(fOverride|fMulti): // __cgroup_bpf_attach
		return ePERM
	}
	twice := h.any(func(e *Entry) bool { return e.Prog == p && e.Link == nil })
	if r.replaces() { // find_attach_entry
		if twice && p != r.Old.Loaded {
			return eINVAL
		}
		_, errno := r.replaced()
		return errno
	}
	return whether(r.Flags&fMulti != 0 && twice, eINVAL) // find_attach_entry
}

// detachRules are the checks of bpf_prog_detach of kernel/bpf/syscall.c. Whoever can name the target detaches,
// with two exceptions: at a device without a program's descriptor, and a program that must be named.
var detachRules = rulesOf(attachHead, []rule[*Attach]{
	{id: "flags", fn: "bpf_prog_detach", errno: eINVAL, text: "the type of program takes no flags here",
		holds: func(c *attachCall) bool {
			if c.req.isMprog() {
				return c.req.Flags&^flagsMprog != 0
			}
			return c.req.Flags != 0 || c.req.relative()
		}},
	{id: "no-type", fn: "bpf_prog_detach", errno: eINVAL, text: "programs of this type are attached by a link only",
		holds: func(c *attachCall) bool { return !c.req.isCgroup() && !c.req.attaches() }},
	// Unlike BPF_PROG_ATTACH, it takes every LSM program for one of a cgroup.
	{id: "no-cgroup", fn: "cgroup_get_from_fd", errno: eBADF, text: "the target is not a cgroup",
		holds: func(c *attachCall) bool { return c.req.isCgroup() && c.req.To.At != Cgroup }},
	{id: "no-cap-net-admin", fn: "bpf_mprog_detach_empty", errno: ePERM, text: netAdminText, fix: &detachFix,
		holds: func(c *attachCall) bool { return c.req.isMprog() && c.req.Prog == nil && !c.netCapable() }},
	named(attachBadFD), named(attachNone), named(attachOther),
	{id: "unnamed", fn: "bpf_prog_get", errno: eINVAL, text: "no program is named",
		holds: func(c *attachCall) bool { return c.req.Prog == nil && !c.req.isMprog() && c.req.To.At != Cgroup }},
	{id: "no-netkit", fn: "netkit_dev_fetch", errno: eNXIO, text: "the loopback device is no netkit device",
		holds: func(c *attachCall) bool { return c.req.To.Attach == uapi.BPF_NETKIT_PRIMARY }},
	attachLost,
	{id: "not-attached", fn: "bpf_prog_detach", text: "the target does not have the program, or a link has it",
		holds:  func(c *attachCall) bool { return c.req.notAttached() != 0 },
		answer: func(c *attachCall) uapi.Errno { return c.req.notAttached() }},
})

// named is a rule about a program that a cgroup does not insist on: a wrong descriptor there is none.
func named(r rule[*Attach]) rule[*Attach] {
	holds := r.holds
	r.holds = func(c *attachCall) bool { return c.req.To.At != Cgroup && holds(c) }
	return r
}

// Named is the program that BPF_PROG_DETACH names, or nil: at a cgroup any other descriptor is as good as none.
func (r *Attach) Named() *Program {
	if r.Prog == nil || r.Prog.notOpen() || r.Prog.Loaded == nil || r.prog().Type != r.ptype() {
		return nil
	}
	return r.Prog.Loaded
}

func (r *Attach) notAttached() uapi.Errno {
	h, p := r.Chain, r.Named()
	unlinked := func(e *Entry) bool { return e.Prog == p && e.Link == nil }
	switch {
	case r.isMprog():
		return r.mprogDetach()
	case r.To.Attach == uapi.BPF_LSM_CGROUP && p == nil: // bpf_cgroup_atype_find: no program names the hook
		return eNOENT
	case r.To.Attach == uapi.BPF_FLOW_DISSECTOR && h.linked(): // __netns_bpf_prog_detach
		return eINVAL
	case r.To.At == SockMap && h.linked(): // sock_map_prog_update
		return eBUSY
	case r.To.At == Cgroup && h.Flags&fMulti == 0: // find_detach_entry: NONE and OVERRIDE need no program
		return whether(len(h.Entries) == 0, eNOENT)
	case r.To.At == Cgroup && p == nil:
		return eINVAL
	}
	return whether(!h.any(unlinked), eNOENT)
}

func (r *Attach) decide(w *World, trace *[]Line) Verdict {
	switch {
	case r.What == uapi.BPF_LINK_CREATE && r.To.At == Tracepoint:
		r.What = uapi.BPF_RAW_TRACEPOINT_OPEN
		return run(w, "raw_tracepoint_open", r, nil, rawTPRules, trace).allowedBy("bpf_raw_tracepoint_open")
	case r.What == uapi.BPF_LINK_CREATE:
		return run(w, "link_create", r, r.token(), linkRules, trace)
	case r.What == uapi.BPF_PROG_ATTACH:
		return run(w, "prog_attach", r, r.token(), attachRules, trace).allowedBy("bpf_prog_attach")
	}
	return run(w, "prog_detach", r, nil, detachRules, trace).allowedBy("bpf_prog_detach")
}

// rawTPRules are the checks of bpf_raw_tracepoint_open.
var rawTPRules = rulesOf(attachHead, []rule[*Attach]{
	attachBadFD, attachNone,
	{id: "prog-other", fn: "bpf_raw_tp_link_attach", errno: eINVAL,
		text: "the program is not one for raw tracepoints that are named",
		holds: func(c *attachCall) bool {
			t := c.req.prog().Type
			return t != uapi.BPF_PROG_TYPE_UNSPEC && t != uapi.BPF_PROG_TYPE_RAW_TRACEPOINT &&
				t != uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE
		}},
})

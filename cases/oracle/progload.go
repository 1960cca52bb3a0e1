package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// ProgLoad is BPF_PROG_LOAD. Attach is expected_attach_type as the caller
// gives it. If Attr is nil, the program is a minimal one that the verifier
// takes for its type.
type ProgLoad struct {
	Type   uapi.ProgType
	Attach uapi.AttachType
	Token  TokenRef
	Attr   *ProgAttr
	Fault  Fault
	NoFD   bool // the process has no free descriptor
}

// ProgAttr is the other members of a program's attribute.
type ProgAttr struct {
	Flags    uint32
	Insns    uint64 // the number of instructions
	BadInsns bool   // the instructions cannot be read
	BadName  bool
	BadLog   bool // the log attributes do not fit together
	Ifindex  uint32
	AttachID AttachID
	Sign     *uint32 // signature_size; nil if there is no signature
	Ring     int32   // keyring_id
	Signed   bool    // the signature is one of the smallest program that returns 2
	Binds    *FD     // the descriptor in fd_array; nil for none
	AttachFD *FD     // attach_prog_fd; nil where it is 0, or for ext the program whose function is replaced
	Body     Body
	Helper   *uapi.Helper // the helper that the program calls; nil for none
	Uses     *FD          // the map that the program uses, to look up an element if it has no body; nil for none
}

// AttachID is attach_btf_id, an id in the kernel's BTF or, for ext, in the BTF of the program that
// is extended.
type AttachID uint8

// The ids. No kernel's BTF has a function as type 1: a function has a prototype.
const (
	OwnID    AttachID = iota // the type's own; 0 for a type that takes none
	NoID                     // 0, for a type that takes one
	FirstID                  // 1: no function, and no struct of a struct_ops
	OtherID                  // another id, of a kind that the oracle does not know
	TooBigID                 // greater than BTF_MAX_TYPE
)

// Body is a program that the verifier takes only with a certain privilege.
type Body uint8

// The bodies.
const (
	CallsJiffies64 Body = iota + 1
	CallsGetCurrentTask
	CallsProbeWriteUser
	CallsProbeReadKernel
	ReturnsContext
	ReadsSkbData
	ReadsUninitStack
	VariesStackPointer
	CallsSubprog
	SpillsContext
	Loops
	CallsKfunc
	CallsKfuncPerfmon
	CallsKfuncDestructive
	ReadsBTF
	ReadsMap
	HasMap
	SubtractsPointers
	ComparesPointers
	OverwritesSpill
	WritesTime
	PointsBeyondStack
	CallsSysBpf
	HasDeadCode
	HasBranches
	AddsToSpill
	ReadsMixed
	SubtractsHalves
	HasBlankKey
	HasPointerKey
	ReadsBlankSlot
	WritesVariably
	UsesStalePacket
	LinksBounds
	AddsToElement
	TailCalls
	HasNotTaken
	CallsProbeRead
	CallsProbeReadStr
	CallsTracePrintk
	CallsFindSymbol
	NegatesPointer
	ExtendsHalf
	CopiesHalf
	StoresInValue
	StoresInRecord
	StoresInPacket
	StoresInKeys
	UsesStaleRecord
	UsesStaleSlice
	StoresInContext
	PassesPointer
	ComparesNumber
	ComparesConst
	AddsPointer
	UsesSpilledNumber
	HelperOverwritesSpill
	PassesNoBytes
	ReadsBeforeContext
)

const (
	// knownProgFlags are the flags that bpf_prog_load takes.
	knownProgFlags = 0xff | uapi.BPF_F_TOKEN_FD
	maxInsns       = 4096    // BPF_MAXINSNS
	maxInsnsBPF    = 1000000 // BPF_COMPLEXITY_LIMIT_INSNS
)

type progCall = call[*ProgLoad]

// progLoadRules are the checks of BPF_PROG_LOAD in the kernel's order:
// __sys_bpf, bpf_prog_load of kernel/bpf/syscall.c, then bpf_check, the
// verifier. Since 6.14 the last field ends the attribute; before, fd_array_cnt
// was behind it.
var progLoadRules = rulesOf([]rule[*ProgLoad]{
	attrTooLong[*ProgLoad](),
	attrUnreadable[*ProgLoad](),
}, commonRules[*ProgLoad](), []rule[*ProgLoad]{
	selinuxBPF((*progCall).cmd),
	lsmBPF[*ProgLoad](),
	commonUnknown[*ProgLoad](),
	// 7.2 checks the log first: "bpf: Add syscall common attributes support".
	{id: "log", fn: "bpf_log_attr_init", errno: eINVAL, since: linux(7, 2), text: progLogText,
		holds: func(c *progCall) bool {
			return c.req.Fault.Common.refused() || c.req.Attr != nil && c.req.Attr.BadLog
		}},
	{id: "attr-tail", fn: "bpf_prog_load", errno: eINVAL, until: linux(6, 14), text: attrText,
		holds: func(c *progCall) bool { return c.req.Fault.Tail }},
	{id: "flags", fn: "bpf_prog_load", errno: eINVAL, text: "prog_flags has flags that the kernel does not know",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Flags&^knownProgFlags != 0 })},

	// The token and the permissions.
	tokenBadFD[*ProgLoad]("prog_token_fd"),
	tokenNotToken[*ProgLoad]("prog_token_fd"),
	tokenCmd[*ProgLoad]("token-not-covering-cmd", uapi.BPF_PROG_LOAD),
	lsmTokenCmd[*ProgLoad](uapi.BPF_PROG_LOAD),
	{id: "token-not-covering-type", fn: "bpf_token_allow_prog_type", drop: true,
		text: "the token does not allow the program type and is ignored",
		holds: func(c *progCall) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Progs, uint32(c.req.Type), c.Kernel.MaxProg)
		}},
	{id: "token-not-covering-attach", fn: "bpf_token_allow_prog_type", drop: true,
		text: "the token does not allow the expected attach type and is ignored",
		holds: func(c *progCall) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Attachs, uint32(c.req.Expected()), c.Kernel.MaxAttach)
		}},
	sysctlNew[*ProgLoad]("bpf_prog_load"),
	{id: "insn-count", fn: "bpf_prog_load", errno: e2BIG,
		text:  "the program has no instruction, or more than 4096 without CAP_BPF " + checkedNS,
		holds: progAttr(badInsnCount)},
	{id: "no-cap-bpf", fn: "bpf_prog_load", errno: ePERM,
		text:  "the program type needs CAP_BPF " + checkedNS,
		holds: func(c *progCall) bool { return !c.req.typ().free && !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "no-cap-net-admin", fn: "is_net_admin_prog_type", errno: ePERM,
		text:  "the program type needs CAP_NET_ADMIN " + checkedNS,
		holds: func(c *progCall) bool { return c.req.typ().netAdmin && !c.tokenCapable(uapi.CAP_NET_ADMIN) }},
	{id: "no-cap-perfmon", fn: "is_perfmon_prog_type", errno: ePERM,
		text:  "the program type needs CAP_PERFMON " + checkedNS,
		holds: func(c *progCall) bool { return c.req.typ().perfmon && !c.tokenCapable(uapi.CAP_PERFMON) }},

	// The rest of bpf_prog_load, then bpf_prog_load_check_attach.
	{id: "attach-fd", fn: "bpf_prog_load", errno: eINVAL, text: "attach_prog_fd is neither a program nor a BTF",
		holds: attachFD(func(fd *FD) bool { return fd.notOpen() || fd.Loaded == nil && !fd.BTF })},
	{id: "attach-btf", fn: "bpf_prog_load", errno: eNOTSUPP, text: "attach_prog_fd is a BTF that is not the kernel's",
		holds: attachFD(func(fd *FD) bool { return fd.BTF && !fd.Kernel })},
	{id: "attach-id-too-big", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		text:  "attach_btf_id is greater than BTF_MAX_TYPE",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.AttachID == TooBigID })},
	{id: "attach-btf-id", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		text: "the program type does not take attach_btf_id",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.AttachID != NoID && a.AttachID != OwnID && !c.req.typ().target
		})},
	{id: "multi-not-tracing", fn: "bpf_prog_load_check_attach", errno: eINVAL, since: linux(7, 2),
		text: "only tracing programs take this expected attach type",
		holds: func(c *progCall) bool {
			return c.req.multi() && c.req.Type != uapi.BPF_PROG_TYPE_TRACING
		}},
	{id: "multi-one", fn: "bpf_prog_load_check_attach", errno: eINVAL, since: linux(7, 2),
		text: "a program for many functions names one, or a program",
		holds: func(c *progCall) bool {
			a := c.req.Attr
			return c.req.multi() && c.req.Type == uapi.BPF_PROG_TYPE_TRACING &&
				(a == nil || a.AttachID != NoID || a.AttachFD != nil)
		}},
	{id: "attach-program", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		text: "only tracing and ext programs are attached to a program",
		holds: attachProgram(func(c *progCall, _ *Program) bool {
			return c.req.Type != uapi.BPF_PROG_TYPE_TRACING && c.req.Type != uapi.BPF_PROG_TYPE_EXT
		})},
	{id: "bad-attach-type", fn: "bpf_prog_load_check_attach", errno: eINVAL,
		text:  "the program type does not take this expected attach type",
		holds: func(c *progCall) bool { return !c.req.typ().takesAttach(c.req.Expected()) }},
	{id: "insns-unreadable", fn: "bpf_prog_load", errno: eFAULT, text: "the instructions cannot be read",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.BadInsns })},
}, signatureEarly(), []rule[*ProgLoad]{
	{id: "offload-type", fn: "bpf_prog_dev_bound_init", errno: eINVAL,
		text: "prog_ifindex is set, and the program type is neither sched_cls nor xdp",
		holds: onDevice(func(c *progCall, _ *ProgAttr) bool {
			return c.req.Type != uapi.BPF_PROG_TYPE_SCHED_CLS && c.req.Type != uapi.BPF_PROG_TYPE_XDP
		})},
	{id: "offload-flags", fn: "bpf_prog_dev_bound_init", errno: eINVAL,
		text: "a program on a device takes no prog_flags but BPF_F_XDP_DEV_BOUND_ONLY (only xdp) and with it " +
			"BPF_F_XDP_HAS_FRAGS; so it takes no token",
		holds: onDevice(badDeviceFlags)},
	{id: "offload", fn: "bpf_prog_dev_bound_init", errno: eINVAL, text: noDeviceText,
		holds: onDevice(func(_ *progCall, a *ProgAttr) bool { return a.Ifindex >= noDevice })},
	{id: "offload-not-modelled", blind: true, text: deviceText,
		holds: onDevice(func(_ *progCall, a *ProgAttr) bool { return a.Ifindex != loopback })},
	{id: "offload-not-supported", fn: "bpf_dev_offload_check", errno: eOPNOTSUPP, text: noOffloadText,
		holds: onDevice(func(_ *progCall, _ *ProgAttr) bool { return true })},
	{id: "bad-type", fn: "find_prog_type", errno: eINVAL, text: "the kernel does not have the program type",
		holds: func(c *progCall) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_UNSPEC || uint32(c.req.Type) >= c.Kernel.MaxProg
		}},
	{id: "bad-name", fn: "bpf_obj_name_cpy", errno: eINVAL, text: badNameText,
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.BadName })},
}, fromRelease(7, 3, bindRules()), signedRules(), []rule[*ProgLoad]{
	selinuxProgLoad,
	lsmProgLoad,

	// bpf_check. Each program has at most one body, so the order of these rules does not matter.
	{id: "log-late", fn: "bpf_vlog_init", errno: eINVAL, until: linux(7, 2), text: progLogText,
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.BadLog })},
}, beforeRelease(7, 3, "-late", fromRelease(6, 14, bindRules())), []rule[*ProgLoad]{
	opening(subprogRule),
	kfuncRule,
	{id: "map-bad-fd", fn: "resolve_pseudo_ldimm64", errno: eBADF,
		text:  "the program's map is a descriptor that is not open, or an O_PATH descriptor",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Uses != nil && a.Uses.notOpen() })},
	{id: "map-no-map", fn: "resolve_pseudo_ldimm64", errno: eINVAL,
		text: "the program's map is a descriptor that is not a map",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
			return a.Uses != nil && !a.Uses.notOpen() && a.Uses.Map == uapi.BPF_MAP_TYPE_UNSPEC
		})},
	{id: "map-exclusive", fn: "check_map_prog_compatibility", errno: eACCES, since: linux(6, 18),
		text:  "the map is for another program alone",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Uses != nil && a.Uses.exclusive() })},
	{id: "map-root", fn: "check_map_prog_compatibility", errno: eINVAL,
		text: "a tracing program cannot use a map with bpf_list_head or bpf_rb_root",
		holds: specialMap(func(c *progCall, f Field) bool {
			return f == Root && slices.Contains(tracingTypes, c.req.Type)
		})},
	{id: "map-lock", fn: "check_map_prog_compatibility", errno: eINVAL,
		text: "a socket filter cannot use a map with a lock, and a tracing program none with a bpf_spin_lock, " +
			"before 7.3 none with a bpf_res_spin_lock",
		holds: specialMap(func(c *progCall, f Field) bool {
			spin := f == 0 || f == Root
			return (spin || f == ResLock) && c.req.Type == uapi.BPF_PROG_TYPE_SOCKET_FILTER ||
				(spin || f == ResLock && !c.Kernel.has(linux(7, 3))) && slices.Contains(tracingTypes, c.req.Type)
		})},
	{id: "map-timer", fn: "check_map_prog_compatibility", errno: eINVAL, until: linux(7, 0),
		text: "a tracing program cannot use a map with bpf_timer or bpf_wq",
		holds: specialMap(func(c *progCall, f Field) bool {
			return f == Timer && slices.Contains(tracingTypes, c.req.Type)
		})},
	{id: "map-sleepable", fn: "check_map_prog_compatibility", errno: eINVAL,
		text: "a sleepable program cannot use a map of this type",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.Uses != nil && a.sleepable() && isMap(a.Uses.Map, noSleep) &&
				(a.Uses.Map != uapi.BPF_MAP_TYPE_LPM_TRIE || !c.Kernel.has(linux(7, 2)))
		})},
	{id: "storage-taken", fn: "bpf_cgroup_storage_assign", errno: eBUSY, since: linux(6, 14),
		text: "the program has another cgroup storage of the same type, in fd_array",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
			return a.Uses != nil && a.Binds != nil && isMap(a.Uses.Map, isCgroupData) && a.Uses.Map == a.Binds.Map &&
				a.Uses.Content != a.Binds.Content
		})},
}, arenaRules, []rule[*ProgLoad]{backEdgeRule}, targetRules, []rule[*ProgLoad]{
	{id: "helper-type", fn: "bpf_tracing_func_proto", errno: eINVAL,
		text: "the program type does not have the helper, which is for tracing",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return (a.Body == CallsProbeWriteUser || slices.Contains(tracingReads, a.Body)) && !c.req.typ().traces
		})},
	bodyUnknown,
	helperUnknown,
	helperAbsent,
	{id: "helper-bpf", fn: "bpf_base_func_proto", errno: eINVAL,
		text: "the helper needs CAP_BPF " + checkedNS,
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return (slices.Contains(helpersBPF, a.Body) || a.calls(c.Kernel, uapi.HelperBPF, uapi.HelperPerfmon)) &&
				!c.tokenCapable(uapi.CAP_BPF)
		})},
	// Before 6.16 bpf_tracing_func_proto had these helpers, for syscall programs too.
	{id: "helper-perfmon", fn: "bpf_base_func_proto", errno: eINVAL,
		text: "the helper needs CAP_PERFMON " + checkedNS,
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			calls := (a.Body == CallsGetCurrentTask || a.Body == CallsProbeReadKernel) &&
				(c.Kernel.has(linux(6, 16)) || !c.req.typ().traces)
			return (calls || a.calls(c.Kernel, uapi.HelperPerfmon)) && !c.tokenCapable(uapi.CAP_PERFMON)
		})},
	helperSock,
	helperSysBpf,
	helperTrace,
	{id: "read-locked-down", fn: "bpf_base_func_proto", errno: eINVAL, when: lockedDown(Confidentiality),
		text: "lockdown closes the helper, which reads kernel memory: security_locked_down(LOCKDOWN_BPF_READ_KERNEL)",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool {
			return a.readsKernel()
		})},
	lsmLockedDown("lsm-read-locked-down", "bpf_base_func_proto", CallsProbeReadKernel),
	{id: "write-locked-down", fn: "bpf_tracing_func_proto", errno: eINVAL, when: lockedDown(Integrity),
		text:  "lockdown closes the helper, which writes to a process: security_locked_down(LOCKDOWN_BPF_WRITE_USER)",
		holds: progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Body == CallsProbeWriteUser })},
	lsmLockedDown("lsm-write-locked-down", "bpf_tracing_func_proto", CallsProbeWriteUser).before(6, 16),
	// Kernels before 6.16 ask capable(), later ones the program's token. Seen on 6.12 and 6.16.
	{id: "helper-sys-admin-initial", fn: "bpf_get_probe_write_proto", errno: eINVAL, until: linux(6, 16),
		text: "the helper needs CAP_SYS_ADMIN " + initialNS + ", with any token",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.Body == CallsProbeWriteUser && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		})},
	{id: "helper-sys-admin", fn: "bpf_tracing_func_proto", errno: eINVAL, since: linux(6, 16),
		text:  "the helper needs CAP_SYS_ADMIN " + checkedNS,
		holds: bodyNeeds(uapi.CAP_SYS_ADMIN, CallsProbeWriteUser)},
	lsmLockedDown("lsm-write-locked-down-late", "bpf_tracing_func_proto", CallsProbeWriteUser).from(6, 16),
	{id: "skb-data", fn: "cg_skb_is_valid_access", errno: eACCES,
		text:  "a cgroup_skb program needs CAP_BPF to read the packet, " + checkedNS,
		holds: bodyNeeds(uapi.CAP_BPF, ReadsSkbData)},
	{id: "skb-tstamp", fn: "cg_skb_is_valid_access", errno: eACCES,
		text:  "a cgroup_skb program needs CAP_BPF to set the time of a packet, " + checkedNS,
		holds: bodyNeeds(uapi.CAP_BPF, WritesTime)},
	{id: "context-not-modelled", blind: true, text: "the oracle does not cover what such a program writes to its context",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return a.Body == WritesTime &&
				(c.req.Type == uapi.BPF_PROG_TYPE_SOCK_OPS || c.req.Type == uapi.BPF_PROG_TYPE_STRUCT_OPS)
		})},
	{id: "context", fn: "check_ctx_access", errno: eACCES,
		text:  "the program type has no access to this part of its context",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool { return !c.req.readsContext(a.Body) })},
	{id: "pointer-leak", fn: "bpf_allow_ptr_leaks", errno: eACCES,
		text:  "a program that leaks a pointer needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReturnsContext)},
	{id: "uninit-stack", fn: "check_stack_slot_within_bounds", errno: eACCES,
		text:  "a program that reads uninitialized stack needs CAP_PERFMON " + checkedNS,
		holds: bodyNeeds(uapi.CAP_PERFMON, ReadsUninitStack)},
	{id: "variable-stack", fn: "bpf_bypass_spec_v1", errno: eACCES,
		text: "a stack pointer with a variable offset needs CAP_PERFMON " + checkedNS + ", unless mitigations are off",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return (a.Body == VariesStackPointer || a.Body == WritesVariably) && !c.Kernel.trustsCPU() &&
				!c.tokenCapable(uapi.CAP_PERFMON)
		})},
}, helperCallRules, kfuncCallRules, pointerRules, []rule[*ProgLoad]{
	// The lookup of an element.
	{id: "map-lookup", fn: "check_map_func_compatibility", errno: eINVAL,
		text:  "no program looks up an element of such a map",
		holds: usesMap(func(fd *FD) bool { return isMap(fd.Map, noLookup) })},
	{id: "map-keyless", fn: "check_func_arg", errno: eACCES, text: "the map has no keys",
		holds: usesMap(func(fd *FD) bool { return isMap(fd.Map, keyless) })},
	{id: "map-unmodelled", blind: true,
		text:  "the oracle does not cover a program that looks up an element of such a map",
		holds: usesMap(func(fd *FD) bool { return !isMap(fd.Map, anyLookup) })},
	{id: "map-wide", fn: "check_stack_access_within_bounds", errno: eINVAL,
		text:  "the map's key is longer than what the program has on its stack",
		holds: usesMap(func(fd *FD) bool { return fd.Content != nil && fd.Content.Wide })},
	{id: "return-kind", fn: "check_return_code", errno: eNOTSUPP, until: linux(7, 1),
		text: "a tracing program has an expected attach type of LSM programs",
		holds: func(c *progCall) bool {
			return c.req.Type == uapi.BPF_PROG_TYPE_TRACING && slices.Contains(lsmAttach, c.req.Attach)
		}},
	{id: "return-value", fn: "check_return_code", errno: eINVAL,
		text: "the program returns what its type and expected attach type do not allow",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			return (a.Body != 0 || a.Helper != nil) && !c.req.mayReturn(c.Kernel, a.Body)
		})},
	{id: "limit-not-modelled", blind: true, when: func(s *Settings) bool { return s.JITFull },
		text:  "the oracle does not cover programs that must be compiled where net.core.bpf_jit_limit is used up",
		holds: func(c *progCall) bool { return c.req.mustCompile() && !c.Kernel.Compiles(c.Caller) }},
	{id: "limit-used-up", fn: "bpf_prog_select_runtime", errno: eNOTSUPP, fix: &noFallbackFix, until: fallbackFix.since,
		when: func(s *Settings) bool { return s.JITFull && !s.NoJIT },
		text: "the program is not compiled, as net.core.bpf_jit_limit is used up for a loader without CAP_BPF " +
			initialNS,
		holds: func(c *progCall) bool { return !fallbackFix.in(c.Kernel) && !c.Kernel.Compiles(c.Caller) }},
	{id: "limit-always-compiles", fn: "bpf_prog_select_runtime", errno: eNOTSUPP,
		when: func(s *Settings) bool { return s.JITFull && !s.NoJIT && s.AlwaysCompiles },
		text: "the program is not compiled, as net.core.bpf_jit_limit is used up for a loader without CAP_BPF " +
			initialNS + ", and the kernel has no interpreter: CONFIG_BPF_JIT_ALWAYS_ON",
		holds: func(c *progCall) bool { return !c.Kernel.Compiles(c.Caller) }},
}, logRules(progIsSilent, Common.uses), []rule[*ProgLoad]{
	selinuxObject("selinux_bpf_prog", func(c *progCall) *FD { return &FD{Loaded: &Program{}, Label: c.Domain} }),
	lsmRule("lsm-prog", "bpf_prog_new_fd", "the LSM hook bpf_prog refuses the descriptor", uapi.HookProg,
		func(*progCall) hookArgs { return hookArgs{} }),
	noFD[*ProgLoad]("bpf_prog_new_fd"),
})

// noFallbackFix is "bpf: Avoid __bpf_prog_ret0_warn when jit fails": a program that was to be compiled and was not is
// refused. fallbackFix is "bpf: Allow fall back to interpreter for programs with stack size <= 512" (df0cb5cb50bd),
// which takes that back. Seen: refused on 6.12.43 and 6.16.3; interpreted on 6.12.57, 6.16.12 and 6.17.8. The
// announcements of stable kernels list the second for 6.12.48 and 6.16.8. The first may be in releases before 6.12.43,
// of which none was seen.
var (
	noFallbackFix = fix{since: linux(6, 16), stable: map[uapi.Release]int{linux(6, 12): 43}}
	fallbackFix   = fix{since: linux(6, 17), stable: map[uapi.Release]int{linux(6, 12): 48, linux(6, 16): 8}}
)

// specialMap makes a rule of a check of the special field of the map that the program uses.
func specialMap(f func(c *progCall, field Field) bool) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool {
		return a.Uses != nil && a.Uses.Content != nil && a.Uses.Content.Special && f(c, a.Uses.Content.Field)
	})
}

// tracingTypes are is_tracing_prog_type.
var tracingTypes = []uapi.ProgType{
	uapi.BPF_PROG_TYPE_KPROBE, uapi.BPF_PROG_TYPE_TRACEPOINT, uapi.BPF_PROG_TYPE_PERF_EVENT,
	uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, uapi.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
}

const progLogText = "log_level, log_size and log_buf do not fit together"

// lsmProgLoad is the hook bpf_prog_load. Since 7.3 bpf_check calls it, with
// the program's token; before, bpf_prog_load called it, with no token.
//
// bpf_check checks two capabilities for every program, even if it does not use the
// results, so the hook bpf_token_capable always runs.
var lsmProgLoad = func() rule[*ProgLoad] {
	inVerifier := linux(7, 3)
	r := lsmRule("lsm", "security_bpf_prog_load", "the LSM hook bpf_prog_load refuses the program", uapi.HookProgLoad,
		func(c *progCall) hookArgs {
			if !c.Kernel.has(inVerifier) {
				return hookArgs{}
			}
			return hookArgs{tok: c.tok}
		})
	hook := r.holds
	r.holds = func(c *progCall) bool {
		if c.Kernel.has(inVerifier) {
			c.verifierAsks()
			return hook(c)
		}
		refused := hook(c)
		if !refused {
			c.verifierAsks()
		}
		return refused
	}
	return r
}()

// selinuxProgLoad gets the token since 7.3, as lsmProgLoad does.
var selinuxProgLoad = func() rule[*ProgLoad] {
	r := selinuxCreate[*ProgLoad]("selinux_bpf_prog_load", uapi.PermProgLoad)
	r.holds = func(c *progCall) bool {
		by := c.grantor()
		if !c.Kernel.has(linux(7, 3)) {
			by = c.Domain
		}
		return c.denies(by, c.Domain, uapi.PermProgLoad)
	}
	return r
}()

func (c *call[R]) verifierAsks() {
	if !c.decided {
		c.tokenCapable(uapi.CAP_PERFMON)
		c.tokenCapable(uapi.CAP_BPF)
	}
}

func (r *ProgLoad) command() uapi.Cmd  { return uapi.BPF_PROG_LOAD }
func (r *ProgLoad) tokenRef() TokenRef { return r.Token }
func (r *ProgLoad) fault() Fault       { return r.Fault }
func (r *ProgLoad) noFD() bool         { return r.NoFD }

func (r *ProgLoad) typ() progType { return progTypes[r.Type] }

// Expected returns expected_attach_type after bpf_prog_load_fixup_attach_type,
// which runs before the kernel compares the masks.
func (r *ProgLoad) Expected() uapi.AttachType {
	switch {
	case r.Attach != 0:
	case r.Type == uapi.BPF_PROG_TYPE_CGROUP_SOCK:
		return uapi.BPF_CGROUP_INET_SOCK_CREATE
	case r.Type == uapi.BPF_PROG_TYPE_SK_REUSEPORT:
		return uapi.BPF_SK_REUSEPORT_SELECT
	}
	return r.Attach
}

// progAttr makes a rule of a check of the attribute. It does not hold for a
// request without Attr, which is well formed.
func progAttr(f func(c *progCall, a *ProgAttr) bool) func(c *progCall) bool {
	return func(c *progCall) bool { return c.req.Attr != nil && f(c, c.req.Attr) }
}

// bodyNeeds makes a rule of the capability that some bodies need.
func bodyNeeds(want uapi.Cap, bodies ...Body) func(c *progCall) bool {
	return progAttr(func(c *progCall, a *ProgAttr) bool {
		return slices.Contains(bodies, a.Body) && !c.tokenCapable(want)
	})
}

// isBody makes a rule of bodies that no capability allows.
func isBody(bodies ...Body) func(c *progCall) bool {
	return progAttr(func(_ *progCall, a *ProgAttr) bool { return slices.Contains(bodies, a.Body) })
}

func badInsnCount(c *progCall, a *ProgAttr) bool {
	return a.Insns == 0 || a.Insns > maxInsnsBPF || a.Insns > maxInsns && !c.tokenCapable(uapi.CAP_BPF)
}

func (r *ProgLoad) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "prog_load"); !ok {
		return v
	}
	if _, known := progTypes[r.Type]; uint32(r.Type) < w.Kernel.MaxProg && !known {
		return drift("the oracle does not know the program type "+r.Type.String(), "prog_load")
	}
	return run(w, "prog_load", r, r.Token.token(), progLoadRules, trace)
}

// usesMap makes a rule of a check of the map that the program looks an element up in.
func usesMap(f func(fd *FD) bool) func(c *progCall) bool {
	return progAttr(func(_ *progCall, a *ProgAttr) bool { return a.Uses != nil && a.Body == 0 && f(a.Uses) })
}

// Keeps returns the token that a program is loaded with if the load succeeds:
// the one given, or nil if the kernel ignored it.
func (r *ProgLoad) Keeps(w *World) *Token {
	c := &progCall{World: w, req: r, tok: r.Token.token()}
	for i := range progLoadRules {
		if rule := &progLoadRules[i]; rule.drop && rule.holds(c) {
			return nil
		}
	}
	return c.tok
}

// lsmLockedDown is what security_locked_down asks, after the lockdown module, before a program gets a helper.
func lsmLockedDown(id, fn string, b Body) rule[*ProgLoad] {
	return rule[*ProgLoad]{id: id, fn: fn, errno: eINVAL,
		text: "the LSM hook locked_down refuses the helper: the program type does not have it then",
		holds: progAttr(func(c *progCall, a *ProgAttr) bool {
			reads := b == CallsProbeReadKernel && a.readsKernel()
			return (a.Body == b || reads) && c.hook(uapi.HookLockedDown, hookArgs{}) != 0
		})}
}

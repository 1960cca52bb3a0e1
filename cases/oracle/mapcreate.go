package oracle

import "tokentest/cases/uapi"

// MapCreate is BPF_MAP_CREATE. If Attr is nil, the other attributes are well
// formed for the type.
type MapCreate struct {
	Type  uapi.MapType
	Token TokenRef
	Attr  *MapAttr
	Fault Fault
	NoFD  bool // the process has no free descriptor
	// FromKernel says that a syscall program makes the request with
	// bpf_sys_bpf, while the caller runs it with BPF_PROG_TEST_RUN.
	FromKernel bool
}

// MapAttr is the other members of a map's attribute.
type MapAttr struct {
	Key, Value, Max, Flags, NUMA uint32
	Extra, Ifindex               uint32
	BTFKey, BTFValue, Vmlinux    uint32 // btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id
	BadInner                     bool   // inner_map_fd is not a map
	BTFClosed, BTFNone           bool   // btf_fd is not open; btf_fd is not a BTF
	BadName                      bool
	Types                        uint32 // how many types the BTF has, each of them 4 bytes long
	Special                      bool   // the value's BTF type has a bpf_spin_lock
	BadStruct                    bool   // the value does not have the size of the struct that Vmlinux names
}

type mapCall = call[*MapCreate]

// mapCreateRules are the checks of BPF_MAP_CREATE in the kernel's order:
// __sys_bpf, then map_create of kernel/bpf/syscall.c (since 7.2 mostly
// map_create_alloc), which calls the map type's map_alloc_check before it looks
// at the token, and the type's map_alloc after the permissions.
var mapCreateRules = []rule[*MapCreate]{
	lsmBPFRun,
	attrTooLong[*MapCreate](),
	attrUnreadable[*MapCreate](),
	lsmBPF[*MapCreate](),
	attrTail[*MapCreate]("map_create"),
	{id: "btf-ids", fn: "map_create", errno: eINVAL, text: "the BTF type ids do not fit together",
		holds: mapAttr(badBTFIDs)},
	{id: "map-extra", fn: "map_create", errno: eINVAL, text: "map_extra is not 0, and the map type does not use it",
		holds: mapAttr(uselessExtra)},
	{id: "file-flags", fn: "bpf_get_file_flag", errno: eINVAL, until: linux(7, 2), text: fileFlagsText,
		holds: mapAttr(bothFileFlags)},
	{id: "numa-node", fn: "map_create", errno: eINVAL, text: "the machine does not have the NUMA node",
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.Flags&fNUMA != 0 && a.NUMA != 0 })},
	{id: "bad-type", fn: "map_create", errno: eINVAL, text: "the kernel does not have the map type",
		holds: func(c *mapCall) bool {
			return c.req.Type == uapi.BPF_MAP_TYPE_UNSPEC || uint32(c.req.Type) >= c.Kernel.MaxMap
		}},

	// The type's map_alloc_check, before the token. Only the seed needs a permission here.
	{id: "inner-value", fn: "fd_htab_map_alloc_check", errno: eINVAL,
		text: "the value of a map of maps is not 4 bytes long",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return c.req.Type == uapi.BPF_MAP_TYPE_HASH_OF_MAPS && a.Value != 4
		})},
	{id: "zero-seed", fn: "htab_map_alloc_check", errno: ePERM,
		text: "BPF_F_ZERO_SEED needs CAP_SYS_ADMIN " + initialNS + ", with any token",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return isMap(c.req.Type, isHash) && a.Flags&fZeroSeed != 0 && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		})},
	{id: "alloc-flags", fn: "map_alloc_check", errno: eINVAL, text: "the map type does not take these flags",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return !c.req.late() && c.req.badFlags() })},
	{id: "lru-prealloc", fn: "htab_map_alloc_check", errno: eNOTSUPP,
		text: "an LRU map does not take BPF_F_NO_PREALLOC",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return isMap(c.req.Type, isLRU) && a.Flags&fNoPrealloc != 0
		})},
	{id: "alloc-sizes", fn: "map_alloc_check", errno: eINVAL, text: "the map type does not take these sizes",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return !c.req.late() && c.req.badSizes() })},
	{id: "alloc-too-big", fn: "map_alloc_check", errno: e2BIG, text: "the value is too long for any memory",
		holds: mapAttr(valueTooBig)},

	// The token and the permissions.
	tokenBadFD[*MapCreate]("map_token_fd"),
	tokenNotToken[*MapCreate]("map_token_fd"),
	tokenCmd[*MapCreate]("token-not-covering-cmd", uapi.BPF_MAP_CREATE),
	lsmTokenCmd[*MapCreate](uapi.BPF_MAP_CREATE),
	{id: "token-not-covering-type", fn: "bpf_token_allow_map_type", drop: true,
		text: "the token does not allow the map type and is ignored",
		holds: func(c *mapCall) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Maps, uint32(c.req.Type), c.Kernel.MaxMap)
		}},
	sysctlNew[*MapCreate]("map_create"),
	{id: "no-cap-bpf", fn: "map_create", errno: ePERM,
		text:  "the map type needs CAP_BPF " + checkedNS,
		holds: func(c *mapCall) bool { return c.req.needs(capBPF) && !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "no-cap-net-admin", fn: "map_create", errno: ePERM,
		text:  "the map type needs CAP_NET_ADMIN " + checkedNS,
		holds: func(c *mapCall) bool { return c.req.needs(capNetAdmin) && !c.tokenCapable(uapi.CAP_NET_ADMIN) }},

	// The type's map_alloc.
	{id: "offload-privileged", fn: "bpf_map_offload_map_alloc", errno: ePERM,
		text: "a map on a device needs CAP_SYS_ADMIN " + initialNS + ", with any token",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return a.Ifindex != 0 && !c.initialCapable(uapi.CAP_SYS_ADMIN)
		})},
	{id: "offload-device", fn: "bpf_map_offload_map_alloc", errno: eINVAL, text: "the device does not exist",
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.Ifindex != 0 })},
	{id: "inner-fd", fn: "bpf_map_meta_alloc", errno: eBADF, text: "inner_map_fd is not a map",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool { return a.BadInner && isMap(c.req.Type, isOfMaps) })},
	{id: "alloc-late", fn: "map_alloc", errno: eINVAL, text: "the map type does not take these flags or sizes",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return c.req.badLate() })},
	// An array is allocated with __GFP_RETRY_MAYFAIL: the charge fails, and the kernel kills no process.
	{id: "no-memory", fn: "bpf_map_area_alloc", errno: eNOMEM,
		text:  "the map does not fit into the caller's memory cgroup",
		holds: func(c *mapCall) bool { return c.Memory != 0 && c.req.exceeds(c.Memory) }},

	// The rest of map_create.
	{id: "bad-name", fn: "bpf_obj_name_cpy", errno: eINVAL, text: badNameText,
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.BadName })},
	{id: "btf-closed", fn: "btf_get_by_fd", errno: eBADF, text: "btf_fd is not open",
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.namesBTF() && a.BTFClosed })},
	{id: "btf-none", fn: "btf_get_by_fd", errno: eINVAL, text: "btf_fd is not a BTF",
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.namesBTF() && a.BTFNone })},
	{id: "btf-sizes", fn: "map_check_btf", errno: eINVAL,
		text:  "a BTF type does not exist, or its size is not the map's",
		holds: mapAttr(badBTFSizes)},
	// Before 6.2 a value with a lock needed no capability.
	{id: "special-fields", fn: "map_check_btf", errno: ePERM, since: linux(6, 2),
		text:  "a value with special fields, such as a lock, needs CAP_BPF " + checkedNS,
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool { return a.Special && !c.tokenCapable(uapi.CAP_BPF) })},
	// 7.2 moved the check here: "bpf: Add syscall common attributes support".
	{id: "file-flags-late", fn: "bpf_get_file_flag", errno: eINVAL, since: linux(7, 2), text: fileFlagsText,
		holds: mapAttr(bothFileFlags)},
	lsmMapCreate,
	noFD[*MapCreate]("bpf_map_new_fd"),
}

const (
	fileFlagsText = "map_flags has both BPF_F_RDONLY and BPF_F_WRONLY"
	badNameText   = "the name has a character other than a letter, a digit, _ or ."
)

// lsmBPFRun is the hook for the BPF_PROG_TEST_RUN of the program that makes
// the request: if it refuses, the program does not run.
var lsmBPFRun = func() rule[*MapCreate] {
	r := lsmRule("lsm-bpf-run", "security_bpf",
		"the LSM hook bpf refuses BPF_PROG_TEST_RUN, so that the program that makes the request does not run",
		HookBPF, func(*mapCall) hookArgs { return hookArgs{cmd: uapi.BPF_PROG_TEST_RUN} })
	hook := r.holds
	r.holds = func(c *mapCall) bool { return c.req.FromKernel && hook(c) }
	return r
}()

var lsmMapCreate = lsmRule("lsm", "security_bpf_map_create", "the LSM hook bpf_map_create refuses the map",
	HookMapCreate, func(c *mapCall) hookArgs { return hookArgs{tok: c.tok, kernel: c.req.FromKernel} })

func (r *MapCreate) command() uapi.Cmd  { return uapi.BPF_MAP_CREATE }
func (r *MapCreate) tokenRef() TokenRef { return r.Token }
func (r *MapCreate) fault() Fault       { return r.Fault }
func (r *MapCreate) noFD() bool         { return r.NoFD }

// mapAttr makes a rule of a check of the attribute. It does not hold for a
// request without Attr, which is well formed.
func mapAttr(f func(c *mapCall, a *MapAttr) bool) func(c *mapCall) bool {
	return func(c *mapCall) bool { return c.req.Attr != nil && f(c, c.req.Attr) }
}

func (r *MapCreate) needs(what capability) bool { return mapTypes[r.Type].needs == what }

func (r *MapCreate) late() bool { return mapTypes[r.Type].late }

func badBTFIDs(c *mapCall, a *MapAttr) bool {
	if a.Vmlinux != 0 {
		return c.req.Type != uapi.BPF_MAP_TYPE_STRUCT_OPS || a.BTFKey != 0 || a.BTFValue != 0
	}
	return a.BTFKey != 0 && a.BTFValue == 0
}

func uselessExtra(c *mapCall, a *MapAttr) bool {
	switch c.req.Type {
	case uapi.BPF_MAP_TYPE_BLOOM_FILTER, uapi.BPF_MAP_TYPE_ARENA:
		return false
	case uapi.BPF_MAP_TYPE_RHASH:
		return a.Extra != 0 && c.Kernel.MaxMap <= uint32(uapi.BPF_MAP_TYPE_RHASH)
	}
	return a.Extra != 0
}

func bothFileFlags(_ *mapCall, a *MapAttr) bool { return a.Flags&fFile == fFile }

func badBTFSizes(_ *mapCall, a *MapAttr) bool {
	const size = 4 // of every type of the BTF
	return a.checksBTF() && (a.BTFValue > a.Types || a.Value != size ||
		a.BTFKey > a.Types || a.BTFKey != 0 && a.Key != size)
}

// A value of tooBig bytes or more fits no memory: every type refuses it with
// E2BIG or EINVAL. Between sizeKnown and tooBig the answer depends on the machine.
const (
	tooBig    = 1 << 31
	sizeKnown = 1 << 14
)

func valueTooBig(c *mapCall, a *MapAttr) bool {
	s := mapTypes[c.req.Type]
	return a.Value >= tooBig && c.req.Type != uapi.BPF_MAP_TYPE_STRUCT_OPS && s.value == nil &&
		(!s.late || c.req.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER)
}

// badFlags reports flags that the type does not take.
func (r *MapCreate) badFlags() bool {
	a, s := r.Attr, mapTypes[r.Type]
	return a.Flags&^s.flags != 0 || a.Flags&s.must != s.must || a.Flags&fProg == fProg
}

// badSizes reports sizes that the type does not take.
func (r *MapCreate) badSizes() bool {
	const page = 4096
	a, s := r.Attr, mapTypes[r.Type]
	switch {
	case !takes(s.key, a.Key), !takes(s.max, a.Max),
		isMap(r.Type, isRing) && (a.Max&(a.Max-1) != 0 || a.Max%page != 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS:
		return a.Vmlinux == 0 // bpf_struct_ops_map_alloc checks the value's size
	case isMap(r.Type, isLocal) && (a.BTFKey == 0 || a.BTFValue == 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STACK_TRACE && (a.Value%8 != 0 || a.Value >= tooBig),
		r.Type == uapi.BPF_MAP_TYPE_LPM_TRIE && (a.Key < 5 || a.Key > 260 || a.Value >= tooBig),
		r.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER && a.Extra > 15:
		return true
	}
	return !takes(s.value, a.Value)
}

// badLate reports what the type's map_alloc refuses.
func (r *MapCreate) badLate() bool {
	if r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS { // no request combines the flag with a module's BTF
		return r.Attr.BadStruct || r.Attr.Flags&fVtypeFD != 0
	}
	return r.late() && (r.badFlags() || r.badSizes())
}

// namesBTF reports whether map_create reads btf_fd.
func (a *MapAttr) namesBTF() bool { return a.BTFKey != 0 || a.BTFValue != 0 || a.Vmlinux != 0 }

// checksBTF reports whether map_check_btf looks the types up.
func (a *MapAttr) checksBTF() bool {
	return a.BTFValue != 0 && a.Vmlinux == 0 && !a.BTFClosed && !a.BTFNone
}

// area is how many bytes an array's elements take.
func (r *MapCreate) area() uint64 {
	if r.Attr == nil || r.Type != uapi.BPF_MAP_TYPE_ARRAY {
		return 0
	}
	return uint64(r.Attr.Value) * uint64(r.Attr.Max)
}

// margin is the factor between a map and its limit at which the answer is
// certain: the cgroup is charged for the process as well.
const margin = 4

func (r *MapCreate) exceeds(max uint64) bool { return r.area() >= margin*max }
func (r *MapCreate) fitsIn(max uint64) bool  { return r.area() <= max/margin }

// unmodelled says what about an attribute the rules do not cover, or "".
func (r *MapCreate) unmodelled(w *World) string {
	a := r.Attr
	switch {
	case a.Value > sizeKnown && a.Value < tooBig, a.Key > sizeKnown, a.Max > sizeKnown:
		return "sizes that depend on the machine's memory"
	case a.Value >= tooBig && isMap(r.Type, isCgroupData):
		return "the maximum size of a cgroup's storage"
	case r.Type == uapi.BPF_MAP_TYPE_RHASH && a.Extra != 0, r.Type == uapi.BPF_MAP_TYPE_ARENA && a.Extra != 0:
		return "map_extra of this map type"
	case w.Memory != 0 && !r.fitsIn(w.Memory) && !r.exceeds(w.Memory):
		return "maps of about the size of the memory cgroup"
	case a.Special && r.Type != uapi.BPF_MAP_TYPE_HASH && r.Type != uapi.BPF_MAP_TYPE_ARRAY:
		return "a value with a lock in this map type"
	case a.checksBTF() && (a.BTFKey == 0 || !isMap(r.Type, anyLookup)) && !isMap(r.Type, isLocal):
		return "the BTF types that this map type needs"
	case a.Flags&fNUMA != 0 && a.NUMA == 0:
		return "a NUMA node of the machine"
	}
	return ""
}

func (r *MapCreate) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "map_create"); !ok {
		return v
	}
	_, known := mapTypes[r.Type]
	if uint32(r.Type) < w.Kernel.MaxMap && r.Type != uapi.BPF_MAP_TYPE_UNSPEC && !known {
		return drift("the oracle does not know the map type "+r.Type.String(), "map_create")
	}
	v := run(w, "map_create", r, r.Token.token(), mapCreateRules, trace)
	if r.Attr != nil && r.Fault == (Fault{}) && known {
		if why := r.unmodelled(w); why != "" {
			return Verdict{Rule: "the oracle does not cover " + why, ID: "map_create/unmodelled"}
		}
	}
	return v
}

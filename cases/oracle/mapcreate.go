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
	Inner                        *FD    // inner_map_fd; nil for a good one
	BTFClosed, BTFNone           bool   // btf_fd is not open; btf_fd is not a BTF
	BadName                      bool
	Types                        uint32   // how many types the BTF has, each of them 4 bytes long
	Special                      bool     // the value's BTF type has a special field
	Field                        Field    // which one; 0 for a bpf_spin_lock
	Sizes                        []uint32 // of the BTF's types, if they are not all 4 bytes long
	BTFKernel                    bool     // btf_fd is the kernel's BTF
	Excl                         *uint32  // excl_prog_hash_size; nil if there is no excl_prog_hash
	BadStruct                    bool     // the value does not have the size of the struct that Vmlinux names
	NoStruct                     bool     // Vmlinux names no struct_ops
}

type mapCall = call[*MapCreate]

// mapCreateRules are the checks of BPF_MAP_CREATE in the kernel's order:
// __sys_bpf, then map_create of kernel/bpf/syscall.c (since 7.2 mostly
// map_create_alloc), which calls the map type's map_alloc_check before it looks
// at the token, and the type's map_alloc after the permissions.
var mapCreateRules = rulesOf([]rule[*MapCreate]{
	lsmBPFRun[*MapCreate](),
	attrTooLong[*MapCreate](),
	attrUnreadable[*MapCreate](),
}, commonRules[*MapCreate](), []rule[*MapCreate]{
	selinuxBPF((*mapCall).cmd),
	lsmBPF[*MapCreate](),
	commonUnknown[*MapCreate](),
	{id: "log", fn: "bpf_vlog_init", errno: eINVAL, since: linux(7, 2),
		text:  "the log of the common attributes has a level, a size and a buffer that do not fit together",
		holds: func(c *mapCall) bool { return c.req.Fault.Common.invalid() }},
	opening(attrTail[*MapCreate]("map_create")),
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

	{id: "sizes-not-modelled", blind: true, text: bigSizesText,
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool { return !c.req.late() && a.sizesUnknown(c.req.Type) })},

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
	{id: "extra-too-big", fn: "rhtab_map_alloc_check", errno: e2BIG, since: linux(7, 2),
		text: "map_extra, the number of elements to expect, is over 65535",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return c.req.Type == uapi.BPF_MAP_TYPE_RHASH && a.Extra > maxHint && a.Flags&(fNoPrealloc|fZeroSeed) == fNoPrealloc
		})},
	{id: "alloc-flags", fn: "map_alloc_check", errno: eINVAL, text: "the map type does not take these flags",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return !c.req.late() && c.req.badFlags(c.Kernel) })},
	{id: "lru-prealloc", fn: "htab_map_alloc_check", errno: eNOTSUPP,
		text: "an LRU map does not take BPF_F_NO_PREALLOC",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return isMap(c.req.Type, isLRU) && a.Flags&fNoPrealloc != 0
		})},
	{id: "alloc-sizes", fn: "map_alloc_check", errno: eINVAL, text: "the map type does not take these sizes",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return !c.req.late() && c.req.badSizes(c.Kernel) })},
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
	{id: "offload-type", fn: "bpf_map_offload_map_alloc", errno: eINVAL,
		text: "only an array or a hash can be on a device",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return a.Ifindex != 0 && c.req.Type != uapi.BPF_MAP_TYPE_ARRAY && c.req.Type != uapi.BPF_MAP_TYPE_HASH
		})},
	{id: "offload-device", fn: "bpf_map_offload_map_alloc", errno: eINVAL, text: noDeviceText,
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.Ifindex >= noDevice })},
	{id: "offload-not-modelled", blind: true, text: deviceText,
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.Ifindex != 0 && a.Ifindex != loopback })},
	{id: "offload-not-supported", fn: "bpf_dev_offload_check", errno: eOPNOTSUPP, text: noOffloadText,
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.Ifindex != 0 })},
	{id: "inner-fd", fn: "bpf_map_meta_alloc", errno: eBADF, text: "inner_map_fd is not open",
		holds: innerMap(func(fd *FD) bool { return fd.notOpen() })},
	{id: "inner-none", fn: "bpf_map_meta_alloc", errno: eINVAL, text: "inner_map_fd is not a map, or a map of maps",
		holds: innerMap(func(fd *FD) bool { return fd.Map == uapi.BPF_MAP_TYPE_UNSPEC || isMap(fd.Map, isOfMaps) })},
	{id: "inner-exclusive", fn: "bpf_map_meta_alloc", errno: eNOTSUPP, fix: &innerExclusiveFix,
		text:  "a map for one program alone cannot be inside of another",
		holds: innerMap(func(fd *FD) bool { return fd.exclusive() })},
	{id: "inner-type", fn: "bpf_map_meta_alloc", errno: eNOTSUPP, text: "a map of this type cannot be inside of another",
		holds: innerMap(func(fd *FD) bool { return isMap(fd.Map, noMeta) })},
	{id: "late-not-modelled", blind: true, text: bigSizesText, holds: mapAttr(lateUnknown)},
	{id: "no-struct-ops", fn: "bpf_struct_ops_map_alloc", errno: eNOTSUPP,
		text: "btf_vmlinux_value_type_id is not a struct_ops",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return c.req.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS && a.NoStruct && a.Flags&fVtypeFD == 0
		})},
	{id: "alloc-late", fn: "map_alloc", errno: eINVAL, text: "the map type does not take these flags or sizes",
		holds: mapAttr(func(c *mapCall, _ *MapAttr) bool { return c.req.badLate(c.Kernel) })},
	{id: "long-key", fn: "sock_hash_alloc", errno: e2BIG, text: "the key is longer than 512 bytes",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return c.req.Type == uapi.BPF_MAP_TYPE_SOCKHASH && a.Key > maxBPFStack
		})},
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
	{id: "btf-kernel", fn: "map_create", errno: eACCES, text: "btf_fd is the kernel's BTF",
		holds: mapAttr(func(_ *mapCall, a *MapAttr) bool { return a.namesBTF() && a.BTFKernel })},
	{id: "btf-sizes", fn: "map_check_btf", errno: eINVAL,
		text:  "a BTF type does not exist, or its size is not the map's",
		holds: mapAttr(badBTFSizes)},
	{id: "btf-no-key", fn: "map_check_btf", errno: eINVAL, text: "the map type needs a BTF type for its key",
		holds: mapBTF(func(c *mapCall, a *MapAttr) bool { return a.BTFKey == 0 && isMap(c.req.Type, noBTFCheck) })},
	// Before 6.2 a value with a lock needed no capability.
	{id: "special-fields", fn: "map_check_btf", errno: ePERM, since: linux(6, 2),
		text:  "a value with special fields, such as a lock, needs CAP_BPF " + checkedNS,
		holds: mapBTF(func(c *mapCall, a *MapAttr) bool { return a.Special && !c.tokenCapable(uapi.CAP_BPF) })},
	{id: "special-access", fn: "map_check_btf", errno: eACCES,
		text: "a value with special fields does not go with BPF_F_RDONLY_PROG or BPF_F_WRONLY_PROG",
		holds: mapBTF(func(c *mapCall, a *MapAttr) bool {
			return a.Special && (a.Flags&fProg != 0 || isMap(c.req.Type, readOnlyProg))
		})},
	{id: "special-type", fn: "map_check_btf", errno: eOPNOTSUPP, text: "the map type takes no value with such a field",
		holds: mapBTF(func(c *mapCall, a *MapAttr) bool { return a.Special && !a.Field.goesIn(c.req.Type) })},
	{id: "btf-none-taken", fn: "map_check_no_btf", errno: eNOTSUPP, text: "the map type takes no BTF types",
		holds: mapBTF(func(c *mapCall, _ *MapAttr) bool { return isMap(c.req.Type, noBTF) })},
	{id: "btf-key-kind", fn: "array_map_check_btf", errno: eINVAL,
		text:  "the BTF type of the key is not what the map type takes: an integer of 32 bits, or none",
		holds: mapBTF(badBTFKey)},
	{id: "exclusive", fn: "map_create", errno: eINVAL, since: linux(6, 18),
		text: "excl_prog_hash is not 32 bytes long, the length of a SHA-256 (EINVAL), or a syscall program gives it at an " +
			"address that is not the kernel's (EFAULT)",
		holds: mapAttr(func(c *mapCall, a *MapAttr) bool {
			return a.Excl != nil && (*a.Excl != sha256Len || c.req.FromKernel)
		}),
		answer: func(c *mapCall) uapi.Errno {
			if a := c.req.Attr; a != nil && a.Excl != nil && *a.Excl == sha256Len {
				return eFAULT
			}
			return eINVAL
		}},
}, logRules(mapSilent, Common.uses), []rule[*MapCreate]{
	// 7.2 moved the check here: "bpf: Add syscall common attributes support".
	{id: "file-flags-late", fn: "bpf_get_file_flag", errno: eINVAL, since: linux(7, 2), text: fileFlagsText,
		holds: mapAttr(bothFileFlags)},
	selinuxCreate[*MapCreate]("selinux_bpf_map_create", uapi.PermMapCreate),
	lsmMapCreate,
	selinuxObject("selinux_bpf_map", func(c *mapCall) *FD {
		fd := &FD{Map: uapi.BPF_MAP_TYPE_HASH, Label: c.Domain}
		if c.req.Attr != nil {
			fd.Only = DirectionOf(c.req.Attr.Flags)
		}
		return fd
	}),
	lsmRule("lsm-map", "bpf_map_new_fd", "the LSM hook bpf_map refuses the descriptor", uapi.HookMap,
		func(c *mapCall) hookArgs {
			if c.req.Attr == nil {
				return hookArgs{mask: fmode(0)}
			}
			return hookArgs{mask: fmode(c.req.Attr.Flags)}
		}),
	noFD[*MapCreate]("bpf_map_new_fd"),
})

const (
	fileFlagsText = "map_flags has both BPF_F_RDONLY and BPF_F_WRONLY"
	badNameText   = "the name has a character other than a letter, a digit, _ or ."
)

// lsmBPFRun is the hook for the BPF_PROG_TEST_RUN of the program that makes
// the request: if it refuses, the program does not run.
func lsmBPFRun[R any]() rule[R] {
	r := lsmRule("lsm-bpf-run", "security_bpf",
		"the LSM hook bpf refuses BPF_PROG_TEST_RUN, so that the program that makes the request does not run",
		uapi.HookBPF, func(*call[R]) hookArgs { return hookArgs{cmd: uapi.BPF_PROG_TEST_RUN} })
	hook := r.holds
	r.holds = func(c *call[R]) bool { return fromKernel(c.req) && hook(c) }
	return r
}

var lsmMapCreate = lsmRule("lsm", "security_bpf_map_create", "the LSM hook bpf_map_create refuses the map",
	uapi.HookMapCreate, func(c *mapCall) hookArgs { return hookArgs{tok: c.tok, kernel: c.req.FromKernel} })

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
	if len(a.Sizes) > 0 {
		is := func(id, size uint32) bool { return id <= uint32(len(a.Sizes)) && a.Sizes[id-1] == size }
		return a.checksBTF() && (!is(a.BTFValue, a.Value) || a.BTFKey != 0 && !is(a.BTFKey, a.Key))
	}
	return a.checksBTF() && (a.BTFValue > a.Types || a.Value != size ||
		a.BTFKey > a.Types || a.BTFKey != 0 && a.Key != size)
}

const sha256Len = 32

const maxHint = 1<<16 - 1 // of a resizable hash, U16_MAX

// Field is a special field of a map's value, other than a bpf_spin_lock.
type Field uint8

// The fields that map_check_btf of kernel/bpf/syscall.c treats differently.
const (
	Timer    Field = iota + 1 // bpf_timer, bpf_wq
	TaskWork                  // bpf_task_work
	Kptr                      // a pointer to an object of the kernel, bpf_refcount
	ResLock                   // bpf_res_spin_lock
	Root                      // bpf_list_head or bpf_rb_root, with a bpf_spin_lock
	Uptr                      // a pointer to memory of a process
)

// goesIn reports whether a map's values may have the field.
func (f Field) goesIn(t uapi.MapType) bool {
	switch f {
	case Timer, TaskWork:
		return t == uapi.BPF_MAP_TYPE_HASH || t == uapi.BPF_MAP_TYPE_LRU_HASH || t == uapi.BPF_MAP_TYPE_ARRAY
	case Kptr:
		return t == uapi.BPF_MAP_TYPE_PERCPU_HASH || t == uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH ||
			t == uapi.BPF_MAP_TYPE_PERCPU_ARRAY || isMap(t, isLocal) || Timer.goesIn(t)
	case Root: // bpf_list_head goes into an LRU hash, too, but its lock does not
		return t == uapi.BPF_MAP_TYPE_HASH || t == uapi.BPF_MAP_TYPE_ARRAY
	case Uptr:
		return t == uapi.BPF_MAP_TYPE_TASK_STORAGE
	}
	return isMap(t, takesLock)
}

// A value of tooBig bytes or more fits no memory: every type refuses it with
// E2BIG or EINVAL. Between the known sizes and tooBig the answer depends on the machine.
const (
	tooBig    = 1 << 31
	sizeKnown = 1 << 14
	ringKnown = 1 << 16 // bytes of a ring buffer, which are whole pages
)

func valueTooBig(c *mapCall, a *MapAttr) bool {
	s := mapTypes[c.req.Type]
	return a.Value >= tooBig && c.req.Type != uapi.BPF_MAP_TYPE_STRUCT_OPS && s.value == nil &&
		(!s.late || c.req.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER)
}

// badFlags reports flags that the type does not take.
func (r *MapCreate) badFlags(k *Kernel) bool {
	a, s := r.Attr, mapTypes[r.Type]
	flags := s.flags
	if r.Type == uapi.BPF_MAP_TYPE_RINGBUF && k.has(linux(6, 19)) {
		flags |= fOverwrite
	}
	return a.Flags&^flags != 0 || a.Flags&s.must != s.must || a.Flags&fProg == fProg
}

// badSizes reports sizes that the type does not take.
func (r *MapCreate) badSizes(k *Kernel) bool {
	a, s := r.Attr, mapTypes[r.Type]
	switch {
	case !takes(s.key, a.Key), !takes(s.max, a.Max),
		a.Flags&fNUMA != 0 && (isMap(r.Type, noNUMA) || a.Flags&fNoCommonLRU != 0),
		isMap(r.Type, isRing) && (a.Max&(a.Max-1) != 0 || a.Max%k.page() != 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS:
		return a.Vmlinux == 0 // bpf_struct_ops_map_alloc checks the value's size
	case isMap(r.Type, isLocal) && (a.BTFKey == 0 || a.BTFValue == 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STACK_TRACE && badStack(a),
		r.Type == uapi.BPF_MAP_TYPE_LPM_TRIE && (a.Key < 5 || a.Key > 260 || a.Value >= tooBig),
		r.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER && a.Extra > 15,
		r.Type == uapi.BPF_MAP_TYPE_RHASH && a.Extra > a.Max:
		return true
	}
	return !takes(s.value, a.Value)
}

// badStack mirrors stack_map_alloc: a value is at most kernel.perf_event_max_stack addresses, 127 by
// default, or as many build ids.
func badStack(a *MapAttr) bool {
	const address, buildID, maxStack = 8, 32, 127
	size := uint32(address)
	if a.Flags&fBuildID != 0 {
		size = buildID
	}
	return a.Value%size != 0 || a.Value/size > maxStack
}

// badLate reports what the type's map_alloc refuses.
func (r *MapCreate) badLate(k *Kernel) bool {
	if r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS { // no request combines the flag with a module's BTF
		return r.Attr.BadStruct || r.Attr.Flags&fVtypeFD != 0
	}
	return r.late() && (r.badFlags(k) || r.badSizes(k))
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

const (
	maxBPFStack = 512 // MAX_BPF_STACK
	fewCPUs     = 64  // no kernel is built for fewer, if it is for more than one
)

const bigSizesText = "the oracle does not cover sizes that depend on the machine's memory"

func (a *MapAttr) sizesUnknown(t uapi.MapType) bool {
	most := uint32(sizeKnown)
	if isMap(t, isRing) {
		most = ringKnown
	}
	return a.Value > sizeKnown && a.Value < tooBig || a.Key > sizeKnown || a.Max > most
}

// lateUnknown reports what the rules do not cover of the type's map_alloc.
func lateUnknown(c *mapCall, a *MapAttr) bool {
	t := c.req.Type
	switch {
	case c.req.late() && a.sizesUnknown(t), a.Value >= tooBig && isMap(t, isCgroupData):
		return true
	case t == uapi.BPF_MAP_TYPE_CPUMAP && a.Max > fewCPUs: // NR_CPUS
		return true
	case t == uapi.BPF_MAP_TYPE_ARENA && a.Extra != 0: // arena_map_alloc: an address that is not a page, or too high
		page := c.Kernel.page()
		return a.Extra%page != 0 || uint64(a.Extra)+uint64(a.Max)*uint64(page) > 1<<32
	}
	if c.Memory == 0 {
		return false
	}
	if t != uapi.BPF_MAP_TYPE_ARRAY {
		return uint64(a.Value)*uint64(max(a.Max, 1)) > c.Memory/margin
	}
	return !c.req.fitsIn(c.Memory) && !c.req.exceeds(c.Memory)
}

// innerMap makes a rule of a check of inner_map_fd.
func innerMap(f func(fd *FD) bool) func(c *mapCall) bool {
	return mapAttr(func(c *mapCall, a *MapAttr) bool {
		return a.Inner != nil && isMap(c.req.Type, isOfMaps) && f(a.Inner)
	})
}

// mapBTF makes a rule of a check of the BTF types.
func mapBTF(f func(c *mapCall, a *MapAttr) bool) func(c *mapCall) bool {
	return mapAttr(func(c *mapCall, a *MapAttr) bool { return a.checksBTF() && f(c, a) })
}

// badBTFKey reports what the type's map_check_btf refuses of a key; type 1 of each BTF is an integer.
func badBTFKey(c *mapCall, a *MapAttr) bool {
	switch t := c.req.Type; {
	case t == uapi.BPF_MAP_TYPE_BLOOM_FILTER:
		return a.BTFKey != 0
	case isMap(t, isCgroupData): // its key is longer than each type of a case's BTF
		return true
	case isMap(t, isHash) || t == uapi.BPF_MAP_TYPE_RHASH || t == uapi.BPF_MAP_TYPE_LPM_TRIE:
		return a.BTFKey == 0
	case t == uapi.BPF_MAP_TYPE_ARRAY || t == uapi.BPF_MAP_TYPE_PERCPU_ARRAY || isMap(t, isLocal):
		return a.BTFKey != 1
	}
	return false
}

// innerExclusiveFix made bpf_map_meta_alloc refuse a map for one program alone. Seen: absent from 7.0.13 and 7.1.3;
// present in 7.1.7, 7.2.6 and 7.3.4.
var innerExclusiveFix = fix{since: linux(7, 2), stable: map[uapi.Release]int{linux(7, 1): 7}}

func (r *MapCreate) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "map_create"); !ok {
		return v
	}
	_, known := mapTypes[r.Type]
	if uint32(r.Type) < w.Kernel.MaxMap && r.Type != uapi.BPF_MAP_TYPE_UNSPEC && !known {
		return drift("the oracle does not know the map type "+r.Type.String(), "map_create")
	}
	return run(w, "map_create", r, r.Token.token(), mapCreateRules, trace)
}

package oracle

import (
	"slices"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

const (
	e2BIG     = uapi.Errno(unix.E2BIG)
	eFAULT    = uapi.Errno(unix.EFAULT)
	eACCES    = uapi.Errno(unix.EACCES)
	eNOTSUPP  = uapi.ENOTSUPP
	checkAttr = "a byte behind the command's last field is not 0"
)

// lateChecks is the release that looks at log attributes before and at a map's
// file flags after everything else: "bpf: Add syscall common attributes support".
var lateChecks = uapi.Release{Major: 7, Minor: 2}

// Fault says how union bpf_attr is wrong as a whole.
type Fault struct {
	Tail       bool // a byte behind the command's last field is not 0
	TooLong    bool // a byte behind what the kernel knows is not 0, or longer than a page
	Unreadable bool
}

// faultRules are what __sys_bpf checks of every command, and then the command's own CHECK_ATTR.
func faultRules[R any](fn string, fault func(R) Fault) []rule[R] {
	return []rule[R]{
		{id: "attr-too-long", text: "the attribute holds what the kernel does not know", fn: "bpf_check_uarg_tail_zero", errno: e2BIG,
			holds: func(c *call[R]) bool { return fault(c.req).TooLong }},
		{id: "attr-unreadable", text: "the attribute cannot be read", fn: "__sys_bpf", errno: eFAULT,
			holds: func(c *call[R]) bool { return fault(c.req).Unreadable }},
		{id: "attr-tail", text: checkAttr, fn: fn, errno: eINVAL,
			holds: func(c *call[R]) bool { return fault(c.req).Tail }},
	}
}

// MapAttr is what a map's attribute holds beside its type and its token.
type MapAttr struct {
	Key, Value, Max, Flags, NUMA uint32
	Extra, Ifindex               uint32
	BTFKey, BTFValue, Vmlinux    uint32
	BadInner, BTFClosed, BTFNone bool // inner_map_fd is no map; btf_fd is not open, or no BTF
	BadName                      bool
	Types                        uint32 // how many types the BTF has, each of them 4 bytes long
	Special                      bool   // the value's BTF type has a lock in it
	BadStruct                    bool   // the value has not the size of the struct that Vmlinux names
}

// Bits of map_flags, include/uapi/linux/bpf.h.
const (
	fNoPrealloc  = 1 << 0
	fNoCommonLRU = 1 << 1
	fNUMA        = 1 << 2
	fRDONLY      = 1 << 3
	fWRONLY      = 1 << 4
	fBuildID     = 1 << 5
	fZeroSeed    = 1 << 6
	fRDONLYProg  = 1 << 7
	fWRONLYProg  = 1 << 8
	fClone       = 1 << 9
	fMmapable    = 1 << 10
	fPreserve    = 1 << 11
	fInner       = 1 << 12
	fLink        = 1 << 13
	fVtypeFD     = 1 << 15
	fSegv        = 1 << 17
	fNoUserConv  = 1 << 18
	fAccess      = fRDONLY | fWRONLY | fRDONLYProg | fWRONLYProg
	fFile        = fRDONLY | fWRONLY
)

// mapShape is what a map type takes: sizes (nil for any but 0), the flags that
// it knows and the one that it must have.
type mapShape struct {
	key, value  []uint32
	max         []uint32
	flags, must uint32
	late        bool // its map_alloc checks this, behind the permissions; it has no map_alloc_check
}

var (
	zero  = []uint32{0}
	four  = []uint32{4}
	word  = []uint32{4, 8}
	hashF = uint32(fNoPrealloc | fNoCommonLRU | fNUMA | fAccess | fZeroSeed)

	shapeHash    = mapShape{flags: hashF}
	shapeArray   = mapShape{key: four, flags: fNUMA | fAccess}
	shapeFDArray = mapShape{key: four, value: four, flags: fNUMA | fFile}
	shapeQueue   = mapShape{key: zero, flags: fNUMA | fAccess}
	shapeDev     = mapShape{key: four, value: word, flags: fNUMA | fFile}
	shapeLocal   = mapShape{key: four, max: zero, flags: fNoPrealloc | fClone, must: fNoPrealloc}
	shapeCgroup  = mapShape{key: []uint32{8, 16}, max: zero, flags: fNUMA | fAccess, late: true}
	shapeRing    = mapShape{key: zero, value: zero, flags: fNUMA, late: true}
)

// mapShapes follow each type's map_alloc_check, or its map_alloc where it has none.
var mapShapes = map[uapi.MapType]mapShape{
	uapi.BPF_MAP_TYPE_HASH: shapeHash, uapi.BPF_MAP_TYPE_PERCPU_HASH: shapeHash,
	uapi.BPF_MAP_TYPE_LRU_HASH: shapeHash, uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH: shapeHash,
	uapi.BPF_MAP_TYPE_HASH_OF_MAPS: shapeHash, // whose value is checked first: fd_htab_map_alloc_check
	uapi.BPF_MAP_TYPE_RHASH:        {flags: hashF &^ fZeroSeed, must: fNoPrealloc},
	uapi.BPF_MAP_TYPE_ARRAY:        {key: four, flags: fNUMA | fMmapable | fAccess | fInner},
	uapi.BPF_MAP_TYPE_PERCPU_ARRAY: shapeArray, uapi.BPF_MAP_TYPE_PROG_ARRAY: shapeFDArray,
	uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY: {key: four, value: four, flags: fNUMA | fFile | fPreserve},
	uapi.BPF_MAP_TYPE_CGROUP_ARRAY:     shapeFDArray, uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS: shapeFDArray,
	uapi.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: {key: four, value: word, flags: fNUMA | fAccess},
	uapi.BPF_MAP_TYPE_QUEUE:               shapeQueue, uapi.BPF_MAP_TYPE_STACK: shapeQueue,
	uapi.BPF_MAP_TYPE_DEVMAP: shapeDev, uapi.BPF_MAP_TYPE_DEVMAP_HASH: shapeDev,
	uapi.BPF_MAP_TYPE_SK_STORAGE: shapeLocal, uapi.BPF_MAP_TYPE_INODE_STORAGE: shapeLocal,
	uapi.BPF_MAP_TYPE_TASK_STORAGE: shapeLocal, uapi.BPF_MAP_TYPE_CGRP_STORAGE: shapeLocal,
	uapi.BPF_MAP_TYPE_STRUCT_OPS:                       {key: four, max: []uint32{1}, flags: fLink | fVtypeFD},
	uapi.BPF_MAP_TYPE_INSN_ARRAY:                       {key: four, value: []uint32{16}},
	uapi.BPF_MAP_TYPE_BLOOM_FILTER:                     {key: zero, flags: fNUMA | fZeroSeed | fAccess, late: true},
	uapi.BPF_MAP_TYPE_STACK_TRACE:                      {key: four, flags: fNUMA | fFile | fBuildID, late: true},
	uapi.BPF_MAP_TYPE_LPM_TRIE:                         {flags: fNoPrealloc | fNUMA | fAccess, must: fNoPrealloc, late: true},
	uapi.BPF_MAP_TYPE_CPUMAP:                           {key: four, value: word, flags: fNUMA, late: true},
	uapi.BPF_MAP_TYPE_SOCKMAP:                          {key: four, value: word, flags: fNUMA | fFile, late: true},
	uapi.BPF_MAP_TYPE_SOCKHASH:                         {value: word, flags: fNUMA | fFile, late: true},
	uapi.BPF_MAP_TYPE_XSKMAP:                           {key: four, value: four, flags: fNUMA | fFile, late: true},
	uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED:        shapeCgroup,
	uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED: shapeCgroup,
	uapi.BPF_MAP_TYPE_RINGBUF:                          shapeRing, uapi.BPF_MAP_TYPE_USER_RINGBUF: shapeRing,
	uapi.BPF_MAP_TYPE_ARENA: {key: zero, value: zero, flags: fMmapable | fSegv | fNoUserConv, must: fMmapable, late: true},
}

// tooBig is a value size that no type takes: INT_MAX and more is E2BIG or
// EINVAL to all. Between it and sizeKnown the answer hangs on the machine.
const (
	tooBig    = 1 << 31
	sizeKnown = 1 << 14
)

var (
	mapsHash = []uapi.MapType{uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_PERCPU_HASH, uapi.BPF_MAP_TYPE_LRU_HASH,
		uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH, uapi.BPF_MAP_TYPE_HASH_OF_MAPS}
	mapsLRU = []uapi.MapType{uapi.BPF_MAP_TYPE_LRU_HASH, uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH}
	mapsStr = []uapi.MapType{uapi.BPF_MAP_TYPE_SK_STORAGE, uapi.BPF_MAP_TYPE_INODE_STORAGE,
		uapi.BPF_MAP_TYPE_TASK_STORAGE, uapi.BPF_MAP_TYPE_CGRP_STORAGE}
	mapsExtra = []uapi.MapType{uapi.BPF_MAP_TYPE_BLOOM_FILTER, uapi.BPF_MAP_TYPE_ARENA}
	mapsPage  = []uapi.MapType{uapi.BPF_MAP_TYPE_RINGBUF, uapi.BPF_MAP_TYPE_USER_RINGBUF}
)

// fits reports whether a size is among those taken.
func fits(n uint32, taken []uint32) bool {
	if taken == nil {
		return n != 0
	}
	return slices.Contains(taken, n)
}

func (r *MapCreate) is(list []uapi.MapType) bool { return slices.Contains(list, r.Type) }

// badFlags reports flags that the type does not take.
func (r *MapCreate) badFlags() bool {
	a, s := r.Attr, mapShapes[r.Type]
	const bothProg = fRDONLYProg | fWRONLYProg
	return a.Flags&^s.flags != 0 || a.Flags&s.must != s.must || a.Flags&bothProg == bothProg ||
		slices.Contains(mapsHash, r.Type) && !r.is(mapsLRU) && a.Flags&fNoCommonLRU != 0
}

// badSizes reports sizes that the type does not take.
func (r *MapCreate) badSizes() bool {
	a, s := r.Attr, mapShapes[r.Type]
	switch {
	case !fits(a.Key, s.key), !fits(a.Max, s.max), r.is(mapsPage) && (a.Max&(a.Max-1) != 0 || a.Max%4096 != 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS:
		return a.Vmlinux == 0 // the value's size is checked behind the permissions
	case r.is(mapsStr) && (a.BTFKey == 0 || a.BTFValue == 0):
		return true
	case r.Type == uapi.BPF_MAP_TYPE_STACK_TRACE && (a.Value%8 != 0 || a.Value >= tooBig),
		r.Type == uapi.BPF_MAP_TYPE_LPM_TRIE && (a.Key < 5 || a.Key > 260 || a.Value >= tooBig),
		r.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER && a.Extra > 15:
		return true
	}
	return !fits(a.Value, s.value)
}

// badLate is what the type's map_alloc refuses.
func (r *MapCreate) badLate() bool {
	if r.Type == uapi.BPF_MAP_TYPE_STRUCT_OPS { // no request gives a module's BTF with the flag
		return r.Attr.BadStruct || r.Attr.Flags&fVtypeFD != 0
	}
	return mapShapes[r.Type].late && (r.badFlags() || r.badSizes())
}

// unmodelled says what the rules do not follow of an attribute, "" for nothing.
func (r *MapCreate) unmodelled(w *World) string {
	a := r.Attr
	cgroup := r.Type == uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED || r.Type == uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED
	switch {
	case a.Value > sizeKnown && a.Value < tooBig, a.Key > sizeKnown, a.Max > sizeKnown:
		return "sizes that hang on the machine's memory"
	case a.Value >= tooBig && cgroup:
		return "the most that a cgroup's storage holds"
	case r.Type == uapi.BPF_MAP_TYPE_RHASH && a.Extra != 0, r.Type == uapi.BPF_MAP_TYPE_ARENA && a.Extra != 0:
		return "map_extra of this type"
	case w.Memory != 0 && !r.fitsIn(w.Memory) && !r.exceeds(w.Memory):
		return "maps that just fit into the memory cgroup, or just do not"
	case a.Special && r.Type != uapi.BPF_MAP_TYPE_HASH && r.Type != uapi.BPF_MAP_TYPE_ARRAY:
		return "the map types that a value with a lock may be in"
	case a.hasBTF() && (a.BTFKey == 0 || !r.is(mapsLookup)) && !r.is(mapsStr):
		return "what the map type itself wants of BTF types"
	case a.Flags&fNUMA != 0 && a.NUMA == 0:
		return "a NUMA node of the machine"
	}
	return ""
}

// with makes a check of an attribute; one that is well formed passes it.
func with(f func(c *call[*MapCreate], a *MapAttr) bool) func(c *call[*MapCreate]) bool {
	return func(c *call[*MapCreate]) bool { return c.req.Attr != nil && f(c, c.req.Attr) }
}

// mapBefore are map_create's checks before its token's and the permissions'.
func mapBefore() []rule[*MapCreate] {
	f := faultRules("map_create", func(r *MapCreate) Fault { return r.Fault })
	return append(slices.Insert(slices.Insert(f, 0, runHook), 3, bpfHook(constant[*MapCreate](uapi.BPF_MAP_CREATE))),
		rule[*MapCreate]{id: "btf-ids", text: "the BTF ids do not go together", fn: "map_create", errno: eINVAL,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
				if a.Vmlinux != 0 {
					return c.req.Type != uapi.BPF_MAP_TYPE_STRUCT_OPS || a.BTFKey != 0 || a.BTFValue != 0
				}
				return a.BTFKey != 0 && a.BTFValue == 0
			})},
		rule[*MapCreate]{id: "map-extra", text: "the map type has no use for map_extra", fn: "map_create", errno: eINVAL,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
				rhash := c.req.Type == uapi.BPF_MAP_TYPE_RHASH && c.Kernel.MaxMap > uint32(uapi.BPF_MAP_TYPE_RHASH)
				return a.Extra != 0 && !c.req.is(mapsExtra) && !rhash
			})},
		rule[*MapCreate]{id: "file-flags", text: "a map cannot be both read-only and write-only", fn: "bpf_get_file_flag", errno: eINVAL, until: lateChecks,
			holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.Flags&fFile == fFile })},
		rule[*MapCreate]{id: "numa-node", text: "the machine has no such NUMA node", fn: "map_create", errno: eINVAL,
			holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.Flags&fNUMA != 0 && a.NUMA != 0 })},
		rule[*MapCreate]{id: "bad-type", text: "the kernel has no such map type", fn: "map_create", errno: eINVAL,
			holds: func(c *call[*MapCreate]) bool {
				return c.req.Type == uapi.BPF_MAP_TYPE_UNSPEC || uint32(c.req.Type) >= c.Kernel.MaxMap
			}},
		rule[*MapCreate]{id: "inner-value", text: "the value of a map of maps is a descriptor", fn: "fd_htab_map_alloc_check", errno: eINVAL,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
				return c.req.Type == uapi.BPF_MAP_TYPE_HASH_OF_MAPS && a.Value != 4
			})},
		rule[*MapCreate]{id: "zero-seed", text: "BPF_F_ZERO_SEED wants CAP_SYS_ADMIN in the initial user namespace, whatever the token", fn: "htab_map_alloc_check", errno: ePERM,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
				return c.req.is(mapsHash) && a.Flags&fZeroSeed != 0 && !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
			})},
		rule[*MapCreate]{id: "alloc-flags", text: "the map type does not take these flags", fn: "map_alloc_check", errno: eINVAL,
			holds: with(func(c *call[*MapCreate], _ *MapAttr) bool { return !mapShapes[c.req.Type].late && c.req.badFlags() })},
		rule[*MapCreate]{id: "lru-prealloc", text: "an LRU map is always allocated before", fn: "htab_map_alloc_check", errno: eNOTSUPP,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool { return c.req.is(mapsLRU) && a.Flags&fNoPrealloc != 0 })},
		rule[*MapCreate]{id: "alloc-sizes", text: "the map type does not take these sizes", fn: "map_alloc_check", errno: eINVAL,
			holds: with(func(c *call[*MapCreate], _ *MapAttr) bool { return !mapShapes[c.req.Type].late && c.req.badSizes() })},
		rule[*MapCreate]{id: "alloc-too-big", text: "the value is too big for any memory", fn: "map_alloc_check", errno: e2BIG,
			holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
				s := mapShapes[c.req.Type]
				return a.Value >= tooBig && c.req.Type != uapi.BPF_MAP_TYPE_STRUCT_OPS && s.value == nil &&
					(!s.late || c.req.Type == uapi.BPF_MAP_TYPE_BLOOM_FILTER)
			})})
}

// specialSince is the release that asks for a capability: before it locks alone did not.
var specialSince = uapi.Release{Major: 6, Minor: 2}

// mapAfter are map_create's checks behind the permissions.
var mapAfter = []rule[*MapCreate]{
	{id: "offload-privileged", text: "a map on a device wants CAP_SYS_ADMIN in the initial user namespace, whatever the token", fn: "bpf_map_offload_map_alloc", errno: ePERM,
		holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
			return a.Ifindex != 0 && !c.Caller.capable(Initial, uapi.CAP_SYS_ADMIN)
		})},
	{id: "offload-device", text: "there is no such device", fn: "bpf_map_offload_map_alloc", errno: eINVAL,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.Ifindex != 0 })},
	{id: "inner-fd", text: "inner_map_fd is no map", fn: "bpf_map_meta_alloc", errno: eBADF,
		holds: with(func(c *call[*MapCreate], a *MapAttr) bool {
			return a.BadInner && c.req.is([]uapi.MapType{uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, uapi.BPF_MAP_TYPE_HASH_OF_MAPS})
		})},
	{id: "alloc-late", text: "the map type does not take these flags or sizes", fn: "map_alloc", errno: eINVAL,
		holds: with(func(c *call[*MapCreate], _ *MapAttr) bool { return c.req.badLate() })},
	noMemory,
	{id: "bad-name", text: "the name holds what a name may not", fn: "bpf_obj_name_cpy", errno: eINVAL,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.BadName })},
	{id: "btf-closed", text: "btf_fd is not open", fn: "btf_get_by_fd", errno: eBADF,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.wantsBTF() && a.BTFClosed })},
	{id: "btf-none", text: "btf_fd is no BTF", fn: "btf_get_by_fd", errno: eINVAL,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.wantsBTF() && a.BTFNone })},
	{id: "btf-sizes", text: "a BTF type is not there, or has not the map's size", fn: "map_check_btf", errno: eINVAL,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool {
			return a.hasBTF() && (a.BTFValue > a.Types || a.Value != btfSize || a.BTFKey > a.Types || a.BTFKey != 0 && a.Key != btfSize)
		})},
	{id: "special-fields", text: "a value with special fields, such as a lock, wants CAP_BPF", fn: "map_check_btf", errno: ePERM, since: specialSince,
		holds: with(func(c *call[*MapCreate], a *MapAttr) bool { return a.Special && !c.tokenCapable(uapi.CAP_BPF) })},
	{id: "file-flags-late", text: "a map cannot be both read-only and write-only", fn: "bpf_get_file_flag", errno: eINVAL, since: lateChecks,
		holds: with(func(_ *call[*MapCreate], a *MapAttr) bool { return a.Flags&fFile == fFile })},
}

func (a *MapAttr) wantsBTF() bool { return a.BTFKey != 0 || a.BTFValue != 0 || a.Vmlinux != 0 }

// hasBTF reports whether the value's BTF type is looked up in a BTF.
func (a *MapAttr) hasBTF() bool {
	return a.BTFValue != 0 && a.Vmlinux == 0 && !a.BTFClosed && !a.BTFNone
}

const btfSize = 4

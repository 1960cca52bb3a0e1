package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

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
	fOverwrite   = 1 << 19

	fFile     = fRDONLY | fWRONLY
	fProg     = fRDONLYProg | fWRONLYProg
	fAccess   = fFile | fProg
	hashFlags = fNoPrealloc | fNoCommonLRU | fNUMA | fAccess | fZeroSeed
	noLRU     = hashFlags &^ fNoCommonLRU
)

// capability is what map_create's switch over map_type asks for.
type capability uint8

const (
	noCap capability = iota
	capBPF
	capNetAdmin
)

// family is a set of map types that some checks treat in the same way. A type can be in several.
type family uint32

const (
	isHash       family = 1 << iota // htab_map_alloc_check
	isLRU                           // the hashes whose elements are always preallocated
	isOfMaps                        // its elements are maps
	isRing                          // its size is a power of two of whole pages
	isCgroupData                    // the storage of a cgroup
	isLocal                         // the storage of an object, bpf_local_storage_map_alloc_check
	isFixed                         // its elements cannot be deleted
	noMeta                          // cannot be inside of another map: no map_meta_equal
	noBTF                           // takes no BTF types: map_check_no_btf
	noBTFCheck                      // has no map_check_btf, so that a BTF type of the key is needed
	readOnlyProg                    // has BPF_F_RDONLY_PROG by itself: dev_map_init_map
	takesLock                       // its value may hold a bpf_spin_lock: map_check_btf
	noNUMA                          // takes no NUMA node: it has a value for each processor
	keyless                         // a program that looks an element up reads no key
	noLookup                        // no program may look an element up
	noSleep                         // a sleepable program may not use it: check_map_prog_compatibility
	anyLookup                       // every program type may look an element up, check_map_func_compatibility
	hasElements                     // the rules cover its elements
	hasMemory                       // has a map_mmap
)

// mapType is what a map type takes. For key, value and max, nil stands for
// every size but 0.
type mapType struct {
	needs           capability
	family          family
	key, value, max []uint32
	flags           uint32 // the flags that it knows
	must            uint32 // the flags that it must have
	// late says that the type has no map_alloc_check: its map_alloc checks
	// sizes and flags, after the permissions.
	late bool
}

const (
	hashElements  = isHash | takesLock | anyLookup | hasElements
	arrayElements = isFixed | anyLookup | hasElements
)

var (
	zero     = []uint32{0}
	one      = []uint32{1}
	four     = []uint32{4}
	eight    = []uint32{4, 8}
	cgroupID = []uint32{8, 16}

	localStorage = mapType{needs: capBPF, family: isLocal | takesLock | noLookup, key: four, max: zero,
		flags: fNoPrealloc | fClone, must: fNoPrealloc}
	cgroupStore = mapType{family: isCgroupData | noMeta | noLookup, key: cgroupID, max: zero,
		flags: fNUMA | fAccess, late: true}
	fdArray = mapType{family: noBTF, key: four, value: four, flags: fNUMA | fFile}
	ringbuf = mapType{family: isRing | noBTFCheck | keyless | hasMemory, key: zero, value: zero, flags: fNUMA, late: true}
)

// mapTypes has every map type that the oracle knows: the switch of map_create
// (map_create_alloc since 7.2), and the type's map_alloc_check or map_alloc.
var mapTypes = map[uapi.MapType]mapType{
	uapi.BPF_MAP_TYPE_HASH: {family: hashElements, flags: noLRU},
	uapi.BPF_MAP_TYPE_ARRAY: {
		family: arrayElements | takesLock | hasMemory,
		key:    four,
		flags:  fNUMA | fMmapable | fAccess | fInner,
	},
	uapi.BPF_MAP_TYPE_PROG_ARRAY: {
		family: hasElements | noMeta | noBTFCheck | noLookup,
		key:    four,
		value:  four,
		flags:  fNUMA | fFile,
	},
	uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY: {
		family: noBTF | noLookup,
		key:    four,
		value:  four,
		flags:  fNUMA | fFile | fPreserve,
	},
	uapi.BPF_MAP_TYPE_PERCPU_HASH:  {family: (hashElements &^ takesLock) | noNUMA, flags: noLRU},
	uapi.BPF_MAP_TYPE_PERCPU_ARRAY: {family: arrayElements | noNUMA, key: four, flags: fNUMA | fAccess},
	uapi.BPF_MAP_TYPE_STACK_TRACE: {
		needs:  capBPF,
		family: noBTF | noLookup,
		key:    four,
		flags:  fNUMA | fFile | fBuildID,
		late:   true,
	},
	uapi.BPF_MAP_TYPE_CGROUP_ARRAY: fdArray.of(noLookup),
	uapi.BPF_MAP_TYPE_LRU_HASH: {
		needs:  capBPF,
		family: isHash | isLRU | anyLookup | hasElements,
		flags:  hashFlags,
	},
	uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH: {
		needs:  capBPF,
		family: isHash | isLRU | noNUMA | anyLookup | hasElements,
		flags:  hashFlags,
	},
	uapi.BPF_MAP_TYPE_LPM_TRIE: {needs: capBPF, family: noSleep | anyLookup | hasElements,
		flags: fNoPrealloc | fNUMA | fAccess, must: fNoPrealloc,
		late: true},
	uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS: fdArray.of(isOfMaps | noMeta | anyLookup),
	uapi.BPF_MAP_TYPE_HASH_OF_MAPS: { // value 4: fd_htab_map_alloc_check
		family: isHash | isOfMaps | noMeta | noBTF | anyLookup,
		flags:  noLRU,
	},
	uapi.BPF_MAP_TYPE_DEVMAP: {
		needs:  capNetAdmin,
		family: noBTF | readOnlyProg,
		key:    four,
		value:  eight,
		flags:  fNUMA | fFile,
	},
	uapi.BPF_MAP_TYPE_SOCKMAP: {
		needs:  capNetAdmin,
		family: noBTF,
		key:    four,
		value:  eight,
		flags:  fNUMA | fFile,
		late:   true,
	},
	uapi.BPF_MAP_TYPE_CPUMAP: {
		needs:  capBPF,
		family: noBTF | noLookup,
		key:    four,
		value:  eight,
		flags:  fNUMA,
		late:   true,
	},
	uapi.BPF_MAP_TYPE_XSKMAP: {
		needs:  capNetAdmin,
		family: noBTF | noSleep | anyLookup,
		key:    four,
		value:  four,
		flags:  fNUMA | fFile,
		late:   true,
	},
	uapi.BPF_MAP_TYPE_SOCKHASH: {
		needs:  capNetAdmin,
		family: noBTF,
		value:  eight,
		flags:  fNUMA | fFile,
		late:   true,
	},

	uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED: cgroupStore.of(takesLock),
	uapi.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: {
		needs:  capBPF,
		family: noBTFCheck,
		key:    four,
		value:  eight,
		flags:  fNUMA | fAccess,
	},
	uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED: cgroupStore,

	uapi.BPF_MAP_TYPE_QUEUE: {
		needs:  capBPF,
		family: noBTFCheck | keyless,
		key:    zero,
		flags:  fNUMA | fAccess,
	},
	uapi.BPF_MAP_TYPE_STACK: {
		needs:  capBPF,
		family: noBTFCheck | keyless,
		key:    zero,
		flags:  fNUMA | fAccess,
	},
	uapi.BPF_MAP_TYPE_SK_STORAGE: localStorage,
	uapi.BPF_MAP_TYPE_DEVMAP_HASH: {
		needs:  capNetAdmin,
		family: noBTF | readOnlyProg,
		key:    four,
		value:  eight,
		flags:  fNUMA | fFile,
	},
	uapi.BPF_MAP_TYPE_STRUCT_OPS: {
		needs:  capBPF,
		family: noMeta | noLookup,
		key:    four,
		max:    one,
		flags:  fLink | fVtypeFD,
	},
	uapi.BPF_MAP_TYPE_RINGBUF:       ringbuf,
	uapi.BPF_MAP_TYPE_INODE_STORAGE: localStorage,
	uapi.BPF_MAP_TYPE_TASK_STORAGE:  localStorage,
	uapi.BPF_MAP_TYPE_BLOOM_FILTER: {
		needs:  capBPF,
		family: noSleep | keyless,
		key:    zero,
		flags:  fNUMA | fZeroSeed | fAccess,
		late:   true,
	},
	uapi.BPF_MAP_TYPE_USER_RINGBUF: ringbuf,
	uapi.BPF_MAP_TYPE_CGRP_STORAGE: localStorage,
	uapi.BPF_MAP_TYPE_ARENA: {needs: capBPF, family: noLookup | hasMemory, key: zero, value: zero,
		flags: fMmapable | fSegv | fNoUserConv,
		must:  fMmapable, late: true},
	uapi.BPF_MAP_TYPE_INSN_ARRAY: {needs: capBPF, family: noMeta, key: four, value: []uint32{16}},
	uapi.BPF_MAP_TYPE_RHASH:      {family: takesLock, flags: noLRU &^ fZeroSeed, must: fNoPrealloc},
}

// of returns the type with a family added.
func (t mapType) of(f family) mapType {
	t.family |= f
	return t
}

// isMap reports whether a map type is in a family.
func isMap(t uapi.MapType, f family) bool { return mapTypes[t].family&f != 0 }

// takes reports whether a size is among those that a map type takes.
func takes(sizes []uint32, n uint32) bool {
	if sizes == nil {
		return n != 0
	}
	return slices.Contains(sizes, n)
}

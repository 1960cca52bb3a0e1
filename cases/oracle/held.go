package oracle

import "tokentest/cases/uapi"

// Freeze is BPF_MAP_FREEZE: no process may change the elements of the map any more.
type Freeze struct {
	FD     FD
	Mapped bool // a process has the map's memory mapped writable
}

func (r *Freeze) command() uapi.Cmd { return uapi.BPF_MAP_FREEZE }

// mapBadFD and mapNone are the two results of __bpf_map_get.
func mapBadFD[R command](fd func(r R) FD) []rule[R] {
	return []rule[R]{
		lsmBPF[R](),
		{id: "bad-fd", fn: "__bpf_map_get", errno: eBADF, text: badFDText,
			holds: func(c *call[R]) bool { return fd(c.req).notOpen() }},
		{id: "no-map", fn: "__bpf_map_get", errno: eINVAL, text: "the descriptor is not a map",
			holds: func(c *call[R]) bool { return fd(c.req).Map == uapi.BPF_MAP_TYPE_UNSPEC }},
	}
}

// freezeRules are the checks of map_freeze of kernel/bpf/syscall.c.
var freezeRules = rulesOf(mapBadFD(func(r *Freeze) FD { return r.FD }), []rule[*Freeze]{
	{id: "not-supported", fn: "map_freeze", errno: eNOTSUPP,
		text: "a struct_ops map, and one whose values have special fields such as a lock, cannot be frozen",
		holds: func(c *call[*Freeze]) bool {
			return c.req.FD.Map == uapi.BPF_MAP_TYPE_STRUCT_OPS || c.req.FD.Content != nil && c.req.FD.Content.Special
		}},
	{id: "direction", fn: "map_get_sys_perms", errno: ePERM, text: "the map's descriptor is opened with BPF_F_RDONLY",
		holds: func(c *call[*Freeze]) bool { return c.req.FD.Only == ReadOnly }},
	{id: "frozen", fn: "map_get_sys_perms", errno: ePERM, text: frozenText,
		holds: func(c *call[*Freeze]) bool { return c.req.FD.frozen() }},
	{id: "mapped", fn: "map_freeze", errno: eBUSY, text: "a process has the map's memory mapped writable",
		holds: func(c *call[*Freeze]) bool { return c.req.Mapped }},
})

const frozenText = "the map is frozen"

func (f *FD) frozen() bool { return f.Content != nil && f.Content.Frozen }

// Apply notes that the map is frozen.
func (r *Freeze) Apply() {
	if r.FD.Content != nil {
		r.FD.Content.Frozen = true
	}
}

func (r *Freeze) decide(w *World, trace *[]Line) Verdict {
	return run(w, "map_freeze", r, nil, freezeRules, trace)
}

// Batch is a batch command about one element, the one under key 0.
type Batch struct {
	FD FD
	Do uapi.Cmd
}

type batchCall = call[*Batch]

func (r *Batch) command() uapi.Cmd { return r.Do }

func (r *Batch) reads() bool {
	return r.Do == uapi.BPF_MAP_LOOKUP_BATCH || r.Do == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH
}

func (r *Batch) writes() bool { return r.Do != uapi.BPF_MAP_LOOKUP_BATCH }

func (r *Batch) deletes() bool {
	return r.Do == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH || r.Do == uapi.BPF_MAP_DELETE_BATCH
}

// batchRules are the checks of bpf_map_do_batch of kernel/bpf/syscall.c, and of the functions of hashes and arrays.
var batchRules = rulesOf(mapBadFD(func(r *Batch) FD { return r.FD }), []rule[*Batch]{
	{id: "direction", fn: "map_get_sys_perms", errno: ePERM,
		text: "the map's descriptor is opened for the other direction (BPF_F_RDONLY, BPF_F_WRONLY)",
		holds: func(c *batchCall) bool {
			return c.req.reads() && c.req.FD.Only == WriteOnly || c.req.writes() && c.req.FD.Only == ReadOnly
		}},
	{id: "frozen", fn: "map_get_sys_perms", errno: ePERM, text: frozenText,
		holds: func(c *batchCall) bool { return c.req.writes() && c.req.FD.frozen() }},
	{id: "no-batch", fn: "bpf_map_do_batch", errno: eNOTSUPP, text: "the map type has no such batch command",
		holds: func(c *batchCall) bool {
			switch c.req.FD.Map {
			case uapi.BPF_MAP_TYPE_QUEUE, uapi.BPF_MAP_TYPE_STACK:
				return true
			case uapi.BPF_MAP_TYPE_ARRAY:
				return c.req.deletes()
			}
			return false
		}},
	{id: "not-modelled", blind: true, text: "the oracle covers batches of hashes and arrays only",
		holds: func(c *batchCall) bool {
			return c.req.FD.Map != uapi.BPF_MAP_TYPE_HASH && c.req.FD.Map != uapi.BPF_MAP_TYPE_ARRAY
		}},
	{id: "all-read", fn: "__htab_map_lookup_and_delete_batch", errno: eNOENT,
		text: "the batch reached the hash's last bucket",
		holds: func(c *batchCall) bool {
			return c.req.reads() && c.req.FD.Map == uapi.BPF_MAP_TYPE_HASH
		}},
	{id: "no-element", fn: "generic_map_delete_batch", errno: eNOENT, text: "the map has no element with the key",
		holds: func(c *batchCall) bool {
			return c.req.Do == uapi.BPF_MAP_DELETE_BATCH && (c.req.FD.Content == nil || !c.req.FD.Content.Stored)
		}},
})

// Apply notes what the step leaves in the map: also a lookup that deletes, which ends with an errno.
func (r *Batch) Apply(v *Verdict) {
	switch {
	case r.FD.Content == nil || !v.Known:
	case v.ID == "batch/all-read" && r.deletes(), v.Errno == 0 && r.Do == uapi.BPF_MAP_DELETE_BATCH:
		r.FD.Content.Stored = false
	case v.Errno == 0 && r.Do == uapi.BPF_MAP_UPDATE_BATCH:
		r.FD.Content.Stored = true
	}
}

func (r *Batch) decide(w *World, trace *[]Line) Verdict {
	return run(w, "batch", r, nil, batchRules, trace)
}

// ProgInfo is BPF_OBJ_GET_INFO_BY_FD of a program.
type ProgInfo struct{ FD FD }

func (r *ProgInfo) command() uapi.Cmd { return uapi.BPF_OBJ_GET_INFO_BY_FD }

var progInfoRules = []rule[*ProgInfo]{
	lsmBPF[*ProgInfo](),
	{id: "bad-fd", fn: "bpf_obj_get_info_by_fd", errno: eBADFD, text: badFDText,
		holds: func(c *call[*ProgInfo]) bool { return c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers the information about programs",
		holds: func(c *call[*ProgInfo]) bool { return c.req.FD.Loaded == nil }},
}

func (r *ProgInfo) decide(w *World, trace *[]Line) Verdict {
	return run(w, "prog_info", r, nil, progInfoRules, trace)
}

// Shows mirrors bpf_prog_get_info_by_fd: to whom it shows a program's instructions, that it is compiled, and what
// would tell addresses.
func (r *ProgInfo) Shows(w *World) (insns, compiled, addresses bool) {
	c := &call[*ProgInfo]{World: w, req: r}
	s := &w.Kernel.Settings
	insns = c.initialCapable(uapi.CAP_BPF) || c.initialCapable(uapi.CAP_SYS_ADMIN) // bpf_capable
	compiled = insns && r.FD.Loaded != nil && !r.FD.Loaded.Symbol.Interpreted
	opener := r.FD.Opener // the credentials of the file, not of the caller
	return insns, compiled, insns && (s.HidesPointers == 0 || !w.Kernel.hidesPointers(opener))
}

package oracle

import "tokentest/cases/uapi"

// Mmap is mmap(2) with MAP_SHARED of the first page of a map.
type Mmap struct {
	FD    FD
	Write bool // PROT_WRITE
}

type mmapCall = call[*Mmap]

// mmapRules are the checks of do_mmap of mm/mmap.c, of bpf_map_mmap of kernel/bpf/syscall.c, and of the map_mmap of the
// types that have one.
var mmapRules = []rule[*Mmap]{
	{id: "bad-fd", fn: "ksys_mmap_pgoff", errno: eBADF, text: badFDText,
		holds: func(c *mmapCall) bool { return c.req.FD.notOpen() }},
	{id: "not-modelled", blind: true, text: "the oracle covers maps, programs and tokens",
		holds: func(c *mmapCall) bool {
			f := &c.req.FD
			return f.Map == uapi.BPF_MAP_TYPE_UNSPEC && f.Loaded == nil && f.Kind != TokenFD || f.Map != 0 && f.Content == nil
		}},
	{id: "direction", fn: "do_mmap", errno: eACCES,
		text: "the map's descriptor is opened for the other direction (BPF_F_RDONLY, BPF_F_WRONLY)",
		holds: func(c *mmapCall) bool {
			return c.req.FD.Only == WriteOnly || c.req.Write && c.req.FD.Only == ReadOnly
		}},
	{id: "no-map", fn: "do_mmap", errno: eNODEV, text: "the descriptor is not a map",
		holds: func(c *mmapCall) bool { return c.req.FD.Map == uapi.BPF_MAP_TYPE_UNSPEC }},
	{id: "not-supported", fn: "bpf_map_mmap", errno: eNOTSUPP,
		text: "the map type has no memory to map, or the values have special fields such as a lock",
		holds: func(c *mmapCall) bool {
			return !isMap(c.req.FD.Map, hasMemory) || c.req.content().Special
		}},
	// do_mmap takes VM_SHARED from a file that is not open for writing.
	{id: "not-shared", fn: "bpf_map_mmap", errno: eINVAL,
		text:  "the map's descriptor is opened with BPF_F_RDONLY, so that the memory is not shared",
		holds: func(c *mmapCall) bool { return c.req.FD.Only == ReadOnly }},
	{id: "frozen", fn: "bpf_map_mmap", errno: ePERM, text: frozenText,
		holds: func(c *mmapCall) bool { return c.req.Write && c.req.FD.frozen() }},
	{id: "read-only", fn: "bpf_map_mmap", errno: eACCES, text: "the map has BPF_F_RDONLY_PROG",
		holds: func(c *mmapCall) bool { return c.req.Write && c.req.content().Flags&fRDONLYProg != 0 }},
	{id: "arena-not-modelled", blind: true, text: "the oracle does not cover where the memory of an arena is",
		holds: func(c *mmapCall) bool { return c.req.FD.Map == uapi.BPF_MAP_TYPE_ARENA }},
	{id: "no-memory", fn: "array_map_mmap", errno: eINVAL, text: "the array was not made with BPF_F_MMAPABLE",
		holds: func(c *mmapCall) bool {
			return c.req.FD.Map == uapi.BPF_MAP_TYPE_ARRAY && c.req.content().Flags&fMmapable == 0
		}},
	{id: "consumer", fn: "ringbuf_map_mmap_user", errno: ePERM,
		text:  "the first page of a user ringbuf says how far the kernel has read",
		holds: func(c *mmapCall) bool { return c.req.Write && c.req.FD.Map == uapi.BPF_MAP_TYPE_USER_RINGBUF }},
}

// content is the map's; an explanation asks for that of other descriptors, too.
func (r *Mmap) content() Content {
	if r.FD.Content == nil {
		return Content{}
	}
	return *r.FD.Content
}

func (r *Mmap) decide(w *World, trace *[]Line) Verdict {
	return run(w, "mmap", r, nil, mmapRules, trace)
}

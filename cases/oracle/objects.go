package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Element is a lookup, an update or a delete of a map's element. The map has
// an element with the key.
type Element struct {
	FD FD
	Do uapi.Cmd
}

func (r *Element) command() uapi.Cmd { return r.Do }

// elementRules are the checks of map_lookup_elem, map_update_elem and
// map_delete_elem of kernel/bpf/syscall.c. None of them asks for a capability.
var elementRules = []rule[*Element]{
	lsmBPF[*Element](),
	{id: "bad-fd", fn: "__bpf_map_get", errno: eBADF, text: badFDText,
		holds: func(c *call[*Element]) bool { return c.req.FD.notOpen() }},
	{id: "no-map", fn: "__bpf_map_get", errno: eINVAL, text: "the descriptor is not a map",
		holds: func(c *call[*Element]) bool { return c.req.FD.Map == uapi.BPF_MAP_TYPE_UNSPEC }},
	{id: "array-delete", fn: "array_map_delete_elem", errno: eINVAL, text: "an array's elements cannot be deleted",
		holds: func(c *call[*Element]) bool {
			return c.req.Do == uapi.BPF_MAP_DELETE_ELEM && isMap(c.req.FD.Map, isFixed)
		}},
}

func (r *Element) decide(w *World, trace *[]Line) Verdict {
	if r.FD.Map != uapi.BPF_MAP_TYPE_UNSPEC && !isMap(r.FD.Map, hasElements) {
		return Verdict{
			Rule: "the oracle does not cover elements of a " + r.FD.Map.String(), ID: "element/unmodelled",
		}
	}
	return run(w, "element", r, nil, elementRules, trace)
}

// ObjGet is BPF_OBJ_GET of a name in the root of a bpffs.
type ObjGet struct {
	In   FD
	Name string
}

func (r *ObjGet) command() uapi.Cmd { return uapi.BPF_OBJ_GET }

// objGetRules are the checks of bpf_obj_get_user and bpf_obj_do_get of kernel/bpf/inode.c.
var objGetRules = []rule[*ObjGet]{
	lsmBPF[*ObjGet](),
	{id: "search", fn: "inode_permission", errno: eACCES, text: searchText,
		holds: func(c *call[*ObjGet]) bool { return !c.req.In.BPFFS.Root.permits(c.Caller, mayExec) }},
	{id: "no-name", fn: "bpf_obj_do_get", errno: eNOENT, text: "the name does not exist",
		holds: func(c *call[*ObjGet]) bool { return !slices.Contains(c.req.In.BPFFS.Names, c.req.Name) }},
	{id: "file", fn: "bpf_obj_do_get", errno: eACCES,
		text: "the mode of the pinned file does not let the caller read and write it",
		holds: func(c *call[*ObjGet]) bool {
			p, ok := c.req.In.BPFFS.Pins[c.req.Name]
			return ok && !p.Inode.permits(c.Caller, mayRead|mayWrite)
		}},
	{id: "no-object", fn: "bpf_inode_type", errno: eACCES, text: "the name is a directory, not a pinned object",
		holds: func(c *call[*ObjGet]) bool {
			_, ok := c.req.In.BPFFS.Pins[c.req.Name]
			return !ok
		}},
}

func (r *ObjGet) decide(w *World, trace *[]Line) Verdict {
	if r.In.Kind != BPFFSRoot {
		return Verdict{Rule: "the oracle covers only names in the root of a bpffs", ID: "get_pinned/not-modelled"}
	}
	return run(w, "get_pinned", r, nil, objGetRules, trace)
}

// TokenInfo is BPF_OBJ_GET_INFO_BY_FD of a token.
type TokenInfo struct{ FD FD }

func (r *TokenInfo) command() uapi.Cmd { return uapi.BPF_OBJ_GET_INFO_BY_FD }

// tokenInfoRules are the checks of bpf_obj_get_info_by_fd of kernel/bpf/syscall.c.
var tokenInfoRules = []rule[*TokenInfo]{
	lsmBPF[*TokenInfo](),
	{id: "bad-fd", fn: "bpf_obj_get_info_by_fd", errno: eBADFD, text: badFDText,
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.notOpen() }},
	// 6.17 has struct bpf_token_info.
	{id: "no-info", fn: "bpf_obj_get_info_by_fd", errno: eINVAL, until: linux(6, 17),
		text:  "the kernel has no information about tokens",
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.Kind == TokenFD }},
	{id: "no-object", fn: "bpf_obj_get_info_by_fd", errno: eINVAL,
		text:  "the descriptor is not a map, a program, a link, a BTF or a token",
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.Kind != TokenFD && !c.req.FD.Pinned && !c.req.FD.BTF }},
}

func (r *TokenInfo) decide(w *World, trace *[]Line) Verdict {
	return run(w, "token_info", r, nil, tokenInfoRules, trace)
}

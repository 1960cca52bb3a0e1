package oracle

import "tokentest/cases/uapi"

// Element is a lookup, an update or a delete of the element under key 0 of a map. To
// look it up or to delete it, the guest puts it there first.
type Element struct {
	FD FD
	Do uapi.Cmd
}

type elementCall = call[*Element]

func (r *Element) command() uapi.Cmd { return r.Do }

// elementRules are the checks of map_lookup_elem, map_update_elem and
// map_delete_elem of kernel/bpf/syscall.c. None of them asks for a capability.
var elementRules = []rule[*Element]{
	lsmBPF[*Element](),
	{id: "bad-fd", fn: "__bpf_map_get", errno: eBADF, text: badFDText,
		holds: func(c *elementCall) bool { return c.req.FD.notOpen() }},
	{id: "no-map", fn: "__bpf_map_get", errno: eINVAL, text: "the descriptor is not a map",
		holds: func(c *elementCall) bool { return c.req.FD.Map == uapi.BPF_MAP_TYPE_UNSPEC }},
	{id: "direction", fn: "map_get_sys_perms", errno: ePERM,
		text: "the map's descriptor is opened for the other direction (BPF_F_RDONLY, BPF_F_WRONLY)",
		holds: func(c *elementCall) bool {
			if c.req.Do == uapi.BPF_MAP_LOOKUP_ELEM {
				return c.req.FD.Only == WriteOnly
			}
			return c.req.FD.Only == ReadOnly
		}},
	{id: "frozen", fn: "map_get_sys_perms", errno: ePERM, text: frozenText,
		holds: func(c *elementCall) bool { return c.req.Do != uapi.BPF_MAP_LOOKUP_ELEM && c.req.FD.frozen() }},
	{id: "not-modelled", blind: true, text: "the oracle does not cover elements of a map of this type",
		holds: func(c *elementCall) bool {
			return !isMap(c.req.FD.Map, hasElements) && c.req.FD.Map != uapi.BPF_MAP_TYPE_STRUCT_OPS
		}},
	{id: "struct-ops-value", fn: "bpf_struct_ops_map_update_elem", errno: eINVAL,
		text:  "the value of a struct_ops map has a reference count, which is the kernel's",
		holds: structOps(uapi.BPF_MAP_UPDATE_ELEM, func(*Content) bool { return true })},
	{id: "struct-ops-linked", fn: "bpf_struct_ops_map_delete_elem", errno: eOPNOTSUPP,
		text:  "a link registers the struct_ops, and its end unregisters it",
		holds: structOps(uapi.BPF_MAP_DELETE_ELEM, func(m *Content) bool { return m != nil && m.Flags&fLink != 0 })},
	{id: "struct-ops-idle", fn: "bpf_struct_ops_map_delete_elem", errno: eNOENT,
		text:  "the struct_ops is not registered",
		holds: structOps(uapi.BPF_MAP_DELETE_ELEM, func(*Content) bool { return true })},
	{id: "array-delete", fn: "array_map_delete_elem", errno: eINVAL, text: "an array's elements cannot be deleted",
		holds: func(c *elementCall) bool {
			return c.req.Do == uapi.BPF_MAP_DELETE_ELEM && isMap(c.req.FD.Map, isFixed)
		}},
	{id: "no-element", fn: "bpf_map_copy_value", errno: eNOENT, text: "the map has no element with the key",
		holds: func(c *elementCall) bool {
			return c.req.Do == uapi.BPF_MAP_LOOKUP_ELEM && !c.req.stored() && !isMap(c.req.FD.Map, isFixed) &&
				c.req.FD.Map != uapi.BPF_MAP_TYPE_STRUCT_OPS // of which the kernel shows zeros
		}},
}

// structOps makes a rule of a command about the only element of a struct_ops map.
func structOps(do uapi.Cmd, f func(m *Content) bool) func(c *elementCall) bool {
	return func(c *elementCall) bool {
		return c.req.FD.Map == uapi.BPF_MAP_TYPE_STRUCT_OPS && c.req.Do == do && f(c.req.FD.Content)
	}
}

// stored reports whether the map has the element: the guest could put it there, or it was there.
func (r *Element) stored() bool {
	return r.FD.Only != ReadOnly && !r.FD.frozen() || r.FD.Content != nil && r.FD.Content.Stored
}

// Apply notes what the step leaves in the map.
func (r *Element) Apply() {
	if r.FD.Content != nil && r.FD.Only != ReadOnly && !r.FD.frozen() && isMap(r.FD.Map, hasElements) {
		r.FD.Content.Stored = r.Do != uapi.BPF_MAP_DELETE_ELEM || isMap(r.FD.Map, isFixed)
	}
}

func (r *Element) decide(w *World, trace *[]Line) Verdict {
	return run(w, "element", r, nil, elementRules, trace)
}

// TokenInfo is BPF_OBJ_GET_INFO_BY_FD of a token.
type TokenInfo struct {
	FD     FD
	Length uint32 // info_len
}

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
	{id: "too-long", fn: "bpf_check_uarg_tail_zero", errno: e2BIG, text: "the length is over a page",
		holds: func(c *call[*TokenInfo]) bool { return c.req.Length > c.Kernel.page() }},
	{id: "length-not-modelled", blind: true,
		text:  "the oracle covers lengths beyond that of a token's information only of tokens",
		holds: func(c *call[*TokenInfo]) bool { return c.req.FD.Kind != TokenFD && c.req.Length > uapi.TokenInfoSize }},
}

func (r *TokenInfo) decide(w *World, trace *[]Line) Verdict {
	return run(w, "token_info", r, nil, tokenInfoRules, trace)
}

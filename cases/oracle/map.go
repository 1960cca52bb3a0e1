package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// MapCreate is BPF_MAP_CREATE. Without Attr the other attributes are well
// formed for the type.
type MapCreate struct {
	Type  uapi.MapType
	Token TokenRef
	Attr  *MapAttr
	Fault Fault
	NoFD  bool // the process may open no more descriptors
	// FromKernel says that a program asks for it, in a run that the caller
	// started with BPF_PROG_TEST_RUN: bpf_sys_bpf.
	FromKernel bool
}

// The classes of map_create's switch over map_type, kernel/bpf/syscall.c.
var (
	mapsFree = []uapi.MapType{
		uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_ARRAY, uapi.BPF_MAP_TYPE_PROG_ARRAY,
		uapi.BPF_MAP_TYPE_PERF_EVENT_ARRAY, uapi.BPF_MAP_TYPE_PERCPU_HASH, uapi.BPF_MAP_TYPE_PERCPU_ARRAY,
		uapi.BPF_MAP_TYPE_CGROUP_ARRAY, uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, uapi.BPF_MAP_TYPE_HASH_OF_MAPS,
		uapi.BPF_MAP_TYPE_CGROUP_STORAGE_DEPRECATED, uapi.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED,
		uapi.BPF_MAP_TYPE_RINGBUF, uapi.BPF_MAP_TYPE_USER_RINGBUF, uapi.BPF_MAP_TYPE_RHASH,
	}
	mapsBPF = []uapi.MapType{
		uapi.BPF_MAP_TYPE_STACK_TRACE, uapi.BPF_MAP_TYPE_LRU_HASH, uapi.BPF_MAP_TYPE_LRU_PERCPU_HASH,
		uapi.BPF_MAP_TYPE_LPM_TRIE, uapi.BPF_MAP_TYPE_CPUMAP, uapi.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
		uapi.BPF_MAP_TYPE_QUEUE, uapi.BPF_MAP_TYPE_STACK, uapi.BPF_MAP_TYPE_SK_STORAGE,
		uapi.BPF_MAP_TYPE_STRUCT_OPS, uapi.BPF_MAP_TYPE_INODE_STORAGE, uapi.BPF_MAP_TYPE_TASK_STORAGE,
		uapi.BPF_MAP_TYPE_BLOOM_FILTER, uapi.BPF_MAP_TYPE_CGRP_STORAGE, uapi.BPF_MAP_TYPE_ARENA,
		uapi.BPF_MAP_TYPE_INSN_ARRAY,
	}
	mapsNet = []uapi.MapType{
		uapi.BPF_MAP_TYPE_DEVMAP, uapi.BPF_MAP_TYPE_SOCKMAP, uapi.BPF_MAP_TYPE_XSKMAP,
		uapi.BPF_MAP_TYPE_SOCKHASH, uapi.BPF_MAP_TYPE_DEVMAP_HASH,
	}
)

func mapClassKnown(t uapi.MapType) bool {
	return slices.Contains(mapsFree, t) || slices.Contains(mapsBPF, t) || slices.Contains(mapsNet, t)
}

// mapCreateRules follow map_create of kernel/bpf/syscall.c.
var mapCreateRules = slices.Concat(mapBefore(), mapGate, mapAfter, []rule[*MapCreate]{mapHook, noFDRule("bpf_map_new_fd", func(r *MapCreate) bool { return r.NoFD })})

// mapGate is the token and the permissions.
var mapGate = []rule[*MapCreate]{
	{id: "token-bad-fd", text: "map_token_fd is not open, or is an O_PATH descriptor", fn: tokenGetFn, errno: eBADF,
		holds: func(c *call[*MapCreate]) bool { return c.req.Token.badFD() }},
	{id: "token-not-a-token", text: "map_token_fd is not a token", fn: tokenGetFn, errno: eINVAL,
		holds: func(c *call[*MapCreate]) bool { return c.req.Token.notToken() }},
	{id: "token-not-covering-cmd", text: "the token does not allow map_create, and is ignored", fn: "bpf_token_allow_cmd", drop: true,
		holds: func(c *call[*MapCreate]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Cmds, uint32(uapi.BPF_MAP_CREATE), c.Kernel.MaxCmd)
		}},
	cmdHook[*MapCreate](uapi.BPF_MAP_CREATE),
	{id: "token-not-covering-type", text: "the token does not allow the map type, and is ignored", fn: "bpf_token_allow_map_type", drop: true,
		holds: func(c *call[*MapCreate]) bool {
			return c.tok != nil && !bit(c.tok.Allowed.Maps, uint32(c.req.Type), c.Kernel.MaxMap)
		}},
	{id: "unprivileged-disabled", text: unprivText, fn: "map_create", errno: ePERM,
		holds: func(c *call[*MapCreate]) bool { return c.UnprivDisabled != 0 && !c.tokenCapable(uapi.CAP_BPF) }},
	{id: "no-cap-bpf", text: "the map type wants CAP_BPF", fn: "map_create", errno: ePERM,
		holds: func(c *call[*MapCreate]) bool {
			return slices.Contains(mapsBPF, c.req.Type) && !c.tokenCapable(uapi.CAP_BPF)
		}},
	{id: "no-cap-net-admin", text: "the map type wants CAP_NET_ADMIN", fn: "map_create", errno: ePERM,
		holds: func(c *call[*MapCreate]) bool {
			return slices.Contains(mapsNet, c.req.Type) && !c.tokenCapable(uapi.CAP_NET_ADMIN)
		}},
}

func (r *MapCreate) decide(w *World, trace *[]Line) Verdict {
	if v, ok := beforeTokens(w, "map_create"); !ok {
		return v
	}
	if uint32(r.Type) < w.Kernel.MaxMap && r.Type != uapi.BPF_MAP_TYPE_UNSPEC && !mapClassKnown(r.Type) {
		return Verdict{Rule: "the oracle knows no class of map type " + r.Type.String(), ID: "map_create/drift"}
	}
	v := run(w, "map_create", r, r.Token.token(), mapCreateRules, trace)
	if r.Attr != nil && r.Fault == (Fault{}) && mapClassKnown(r.Type) {
		if why := r.unmodelled(w); why != "" {
			return Verdict{Rule: "the oracle does not follow " + why, ID: "map_create/unmodelled"}
		}
	}
	return v
}

// beforeTokens refuses to guess for kernels whose checks the rules do not
// follow: before 6.9 they stood in other places.
func beforeTokens(w *World, cmd string) (Verdict, bool) {
	if w.Kernel.Token {
		return Verdict{}, true
	}
	return Verdict{Rule: "the oracle's rules for " + cmd + " begin with the kernels that have tokens", ID: cmd + "/before-tokens"}, false
}

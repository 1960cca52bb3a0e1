package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// Element is a call about an element of a map whose key is there.
type Element struct {
	FD FD
	Do uapi.Cmd
}

// mapsArray are the types whose elements cannot be deleted.
var mapsArray = []uapi.MapType{uapi.BPF_MAP_TYPE_ARRAY, uapi.BPF_MAP_TYPE_PERCPU_ARRAY}

// mapsLookup are types in which any program may look an element up,
// check_map_func_compatibility.
var mapsLookup = append([]uapi.MapType{uapi.BPF_MAP_TYPE_HASH, uapi.BPF_MAP_TYPE_PERCPU_HASH}, mapsArray...)

// looksUp reports whether the rules know what becomes of a program that looks
// an element up in what the descriptor is.
func (f FD) looksUp() bool {
	return f.Map == uapi.BPF_MAP_TYPE_UNSPEC || slices.Contains(mapsLookup, f.Map) && !f.Wide
}

// mapsElement are the types that the rules follow.
var mapsElement = append([]uapi.MapType{uapi.BPF_MAP_TYPE_PROG_ARRAY}, mapsLookup...)

// elementRules follow map_lookup_elem and its like: there is no permission among them.
var elementRules = []rule[*Element]{
	bpfHook(func(r *Element) uapi.Cmd { return r.Do }),
	{id: "bad-fd", text: badFDText, fn: "__bpf_map_get", errno: eBADF, holds: func(c *call[*Element]) bool { return notOpen(c.req.FD) }},
	{id: "no-map", text: "the descriptor is no map", fn: "__bpf_map_get", errno: eINVAL,
		holds: func(c *call[*Element]) bool { return c.req.FD.Map == uapi.BPF_MAP_TYPE_UNSPEC }},
	{id: "array-delete", text: "an array's elements cannot be deleted", fn: "array_map_delete_elem", errno: eINVAL,
		holds: func(c *call[*Element]) bool {
			return c.req.Do == uapi.BPF_MAP_DELETE_ELEM && slices.Contains(mapsArray, c.req.FD.Map)
		}},
}

func (r *Element) decide(w *World, trace *[]Line) Verdict {
	if r.FD.Map != uapi.BPF_MAP_TYPE_UNSPEC && !slices.Contains(mapsElement, r.FD.Map) {
		return Verdict{Rule: "the oracle does not follow elements of " + r.FD.Map.String(), ID: "element/unmodelled"}
	}
	return run(w, "element", r, nil, elementRules, trace)
}

// Pinned is what lies under a name of a bpffs, and the file's owner and bits.
type Pinned struct {
	FD    FD
	Inode Inode
}

// pinMode is the mode of what is pinned, bpf_mkobj: the guest has no umask that
// takes from it.
const pinMode = 0o600

// Pin notes that an object was pinned by a kuid.
func (b *BPFFS) Pin(name string, fd FD, kuid uint32) {
	if b.Pins == nil {
		b.Pins = map[string]Pinned{}
	}
	b.Pins[name] = Pinned{fd, Inode{UID: kuid, GID: kuid, Mode: pinMode}}
}

// ObjGet is BPF_OBJ_GET of a name in the root of a bpffs.
type ObjGet struct {
	In   FD
	Name string
}

var objGetRules = []rule[*ObjGet]{
	bpfHook(constant[*ObjGet](uapi.BPF_OBJ_GET)),
	{id: "search", text: "the permission bits of the directory do not let the caller search it", fn: "inode_permission", errno: eACCES,
		holds: func(c *call[*ObjGet]) bool { return !c.req.In.BPFFS.Root.permits(c.Caller, mayExec) }},
	{id: "no-name", text: "there is no such name", fn: "bpf_obj_do_get", errno: eNOENT,
		holds: func(c *call[*ObjGet]) bool { return !slices.Contains(c.req.In.BPFFS.Names, c.req.Name) }},
	{id: "file", text: "the permission bits of the pinned file do not let the caller read and write it", fn: "bpf_obj_do_get", errno: eACCES,
		holds: func(c *call[*ObjGet]) bool {
			p, ok := c.req.In.BPFFS.Pins[c.req.Name]
			return ok && !p.Inode.permits(c.Caller, mayRead|mayWrite)
		}},
}

func (r *ObjGet) decide(w *World, trace *[]Line) Verdict {
	if r.In.Kind != BPFFSRoot {
		return Verdict{Rule: "the rules follow names in the root of a bpffs alone", ID: "get_pinned/not-modelled"}
	}
	return run(w, "get_pinned", r, nil, objGetRules, trace)
}

package oracle

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

const (
	eNOMEM = uapi.Errno(unix.ENOMEM)
	eMFILE = uapi.Errno(unix.EMFILE)
)

// noFDRule stands last: the object is there when its descriptor is asked for.
func noFDRule[R any](fn string, noFD func(R) bool) rule[R] {
	return rule[R]{id: "no-fd", text: "the process may open no more descriptors", fn: fn, errno: eMFILE,
		holds: func(c *call[R]) bool { return noFD(c.req) }}
}

// noMemory is what a map's area meets in a memory cgroup. An array's is
// allocated with __GFP_RETRY_MAYFAIL, so the charge fails and kills nobody.
var noMemory = rule[*MapCreate]{id: "no-memory", text: "the caller's memory cgroup has no room for the map", fn: "bpf_map_area_alloc", errno: eNOMEM,
	holds: func(c *call[*MapCreate]) bool { return c.Memory != 0 && c.req.exceeds(c.Memory) }}

// LimitRules are the rules about what bounds a process, and about the run of a
// program that asks for it: few cases meet them.
func LimitRules() []string {
	return []string{"map_create/lsm-bpf-run", "map_create/no-memory", "map_create/no-fd", "prog_load/no-fd", "btf_load/no-fd"}
}

// wide is how much larger or smaller than its bound a map must be for the
// answer to be certain: the process itself is charged as well.
const wide = 4

func (r *MapCreate) area() uint64 {
	if r.Attr == nil || r.Type != uapi.BPF_MAP_TYPE_ARRAY {
		return 0
	}
	return uint64(r.Attr.Value) * uint64(r.Attr.Max)
}

func (r *MapCreate) exceeds(max uint64) bool { return r.area() >= wide*max }
func (r *MapCreate) fitsIn(max uint64) bool  { return r.area() <= max/wide }

// fromKernel reports whether a request comes from the kernel itself.
func fromKernel(r any) bool {
	m, ok := r.(*MapCreate)
	return ok && m.FromKernel
}

// runHook is the hook bpf for the run of the program that asks.
var runHook = func() rule[*MapCreate] {
	r := hookRule(HookBPF, "the LSM hook bpf refuses BPF_PROG_TEST_RUN, and the program that asks does not run", "security_bpf",
		func(*call[*MapCreate]) hookArgs { return hookArgs{cmd: uapi.BPF_PROG_TEST_RUN} })
	hook := r.holds
	r.id, r.holds = "lsm-bpf-run", func(c *call[*MapCreate]) bool { return c.req.FromKernel && hook(c) }
	return r
}()

package uapi

import "slices"

// HelperSet says which check of the kernel guards a helper.
type HelperSet uint8

// The sets: three of bpf_base_func_proto, and that of bpf_sk_base_func_proto.
const (
	HelperFree    HelperSet = iota + 1 // every program has it
	HelperBPF                          // needs CAP_BPF
	HelperPerfmon                      // needs CAP_BPF and CAP_PERFMON
	HelperSock                         // casts a socket; needs CAP_PERFMON
)

// HelperSince is the set of a helper from a release on.
type HelperSince struct {
	Since Release
	Set   HelperSet
}

// HelperArg is what an argument of a helper takes.
type HelperArg uint8

// The kinds. A small program can make all but ArgOther.
const (
	ArgOther    HelperArg = iota
	ArgContext            // the program's context
	ArgAnything           // any number
	ArgMemory             // a pointer to memory; an ArgSize follows
	ArgSize
)

// Helper is a function of the kernel that programs call by number.
type Helper struct {
	ID          uint32
	Name        string
	Sets        []HelperSince // oldest first
	Args        []HelperArg
	ReadsKernel bool // LOCKDOWN_BPF_READ_KERNEL closes it
	Sleeps      bool // only sleepable programs may call it
	Config      string
}

// HelperNamed finds a helper of the sets, nil if there is none.
func HelperNamed(name string) *Helper {
	return helperWhere(func(h Helper) bool { return h.Name == name })
}

// HelperOf finds a helper of the sets by its number.
func HelperOf(id uint32) *Helper { return helperWhere(func(h Helper) bool { return h.ID == id }) }

func helperWhere(f func(h Helper) bool) *Helper {
	if i := slices.IndexFunc(Helpers, f); i >= 0 {
		return &Helpers[i]
	}
	return nil
}

// Set is the set that the helper is in on a release, 0 for none.
func (h *Helper) Set(r Release) HelperSet {
	var out HelperSet
	for _, s := range h.Sets {
		if !r.Less(s.Since) {
			out = s.Set
		}
	}
	return out
}

// Callable reports whether a small program can give the helper all that it takes.
func (h *Helper) Callable() bool { return !slices.Contains(h.Args, ArgOther) }

// HelperEnum is the enumeration of all helpers, as the kernel's BTF names it.
const (
	HelperEnum   = "bpf_func_id"
	HelperPrefix = "BPF_FUNC_"
)

package oracle

import (
	"slices"

	"tokentest/cases/uapi"
)

// The masks with which path_permission asks: include/linux/fs.h.
const (
	mayAccess    = 0x10               // MAY_ACCESS
	mayReadWrite = mayRead | mayWrite // ACC_MODE(O_RDWR)
)

// The file modes of a map's descriptor: FMODE_READ, FMODE_WRITE.
const (
	fmodeRead  = 1
	fmodeWrite = 2
)

// fmode is OPEN_FMODE of a map's flags.
func fmode(flags uint32) uint32 {
	switch DirectionOf(flags) {
	case ReadOnly:
		return fmodeRead
	case WriteOnly:
		return fmodeWrite
	}
	return fmodeRead | fmodeWrite
}

// LSM is a BPF-LSM program on a hook. It returns Errno if its conditions hold,
// else 0. A nil condition always holds.
type LSM struct {
	Hook   uapi.Hook
	Errno  uapi.Errno
	Cmd    *uapi.Cmd
	Cap    *uapi.Cap
	Given  *bool // the hook gets a token
	Kernel *bool // the kernel makes the call, not a process
	Mask   *uint32
	Name   *string // of the object that is freed
	// The masks of the token that the hook gets.
	Cmds, Maps, Progs, Attachs *uint64
	// Ran is true if the conditions held at least once.
	Ran bool
}

// hookArgs are the arguments of a hook.
type hookArgs struct {
	cmd    uapi.Cmd
	cap    uapi.Cap
	tok    *Token
	kernel bool // the kernel makes the call, not a process
	mask   uint32
}

func (l *LSM) matches(a hookArgs) bool {
	mask := func(want *uint64, of func(m *Masks) uint64) bool {
		return want == nil || a.tok != nil && of(&a.tok.Allowed) == *want
	}
	return (l.Cmd == nil || *l.Cmd == a.cmd) && (l.Cap == nil || *l.Cap == a.cap) &&
		(l.Given == nil || *l.Given == (a.tok != nil)) && (l.Kernel == nil || *l.Kernel == a.kernel) &&
		(l.Mask == nil || *l.Mask == a.mask) &&
		mask(l.Cmds, func(m *Masks) uint64 { return m.Cmds }) &&
		mask(l.Maps, func(m *Masks) uint64 { return m.Maps }) &&
		mask(l.Progs, func(m *Masks) uint64 { return m.Progs }) &&
		mask(l.Attachs, func(m *Masks) uint64 { return m.Attachs })
}

// hook calls the programs on a hook and returns its result. The program that
// was attached last runs first, and the first that refuses ends the hook:
// bpf_trampoline_get_progs and invoke_bpf_mod_ret.
func (c *call[R]) hook(h uapi.Hook, a hookArgs) uapi.Errno {
	for _, l := range slices.Backward(c.LSM) {
		if l.Hook != h || !l.matches(a) {
			continue
		}
		l.Ran = l.Ran || !c.decided // after the decision only an explanation gets here
		if l.Errno != 0 {
			return l.Errno
		}
	}
	return 0
}

// lsmRule is a hook whose errno becomes the call's.
func lsmRule[R any](id, fn, text string, h uapi.Hook, args func(c *call[R]) hookArgs) rule[R] {
	return rule[R]{id: id, fn: fn, text: text,
		holds: func(c *call[R]) bool {
			c.refused = c.hook(h, args(c))
			return c.refused != 0
		},
		answer: func(c *call[R]) uapi.Errno { return c.refused }}
}

// fromKernel reports whether the kernel itself makes a request.
func fromKernel(r any) bool {
	switch r := r.(type) {
	case *MapCreate:
		return r.FromKernel
	case *Call:
		return r.FromKernel
	}
	return false
}

// LSMAttach is root's load and attachment of a BPF-LSM program.
type LSMAttach struct{ Program LSM }

var lsmRules = []rule[*LSMAttach]{
	// 6.15 gave the hooks of bpf(2) the argument kernel.
	{id: "no-kernel-argument", fn: "btf_ctx_access", errno: eACCES, until: linux(6, 15),
		text:  "the program reads the argument kernel, which the hook does not have before 6.15",
		holds: func(c *call[*LSMAttach]) bool { return c.req.Program.Kernel != nil }},
}

func (r *LSMAttach) decide(w *World, trace *[]Line) Verdict {
	return run(w, "lsm", r, nil, lsmRules, trace)
}

// Matches reports whether a program on a hook that frees objects is about an object with a name, or a token.
func (l *LSM) Matches(name string, tok *Token) bool {
	return (l.Name == nil || *l.Name == name) && l.matches(hookArgs{tok: tok})
}

// LSMRan asks whether the conditions of a BPF-LSM program held at least once.
type LSMRan struct {
	Program *LSM
	Freed   *int // how many objects that it is about were freed, for the hooks that run then
	Times   int  // how many there must be, 0: at least one
}

// uncounted are hooks that calls ask which no rule follows.
var uncounted = []uapi.Hook{uapi.HookCapable, uapi.HookInodePermission, uapi.HookPathMknod, uapi.HookInodeInit}

var lsmRanRules = []rule[*LSMRan]{
	{id: "not-modelled", blind: true, text: "the oracle does not cover which calls ask for a capability",
		holds: func(c *call[*LSMRan]) bool {
			return c.req.Program != nil && slices.Contains(uncounted, c.req.Program.Hook)
		}},
	{id: "times-not-modelled", blind: true, text: "the oracle does not count what runs in a call",
		holds: func(c *call[*LSMRan]) bool { return c.req.Times != 0 && c.req.Freed == nil && c.req.Program != nil }},
	{id: "never", fn: "the BPF-LSM program", errno: eNODATA,
		text: "the program's conditions never held; of a hook that frees, not for as many objects",
		holds: func(c *call[*LSMRan]) bool {
			n := c.req.Freed
			if n == nil {
				return c.req.Program == nil || !c.req.Program.Ran
			}
			return *n == 0 || c.req.Times != 0 && *n != c.req.Times
		}},
}

func (r *LSMRan) decide(w *World, trace *[]Line) Verdict {
	return run(w, "lsm_ran", r, nil, lsmRanRules, trace)
}

// withoutLSM is the world without the hook bpf, which already ran for the call.
func (w *World) withoutLSM() *World {
	out := *w
	out.LSM = slices.DeleteFunc(slices.Clone(w.LSM), func(l *LSM) bool { return l.Hook == uapi.HookBPF })
	return &out
}

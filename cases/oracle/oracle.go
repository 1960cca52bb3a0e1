// Package oracle says what a kernel must answer to a bpf(2) call: an exact
// errno, by ordered rules that follow the order of the kernel's own checks.
// It is pure: a described world in, a verdict out.
package oracle

import (
	"tokentest/cases/uapi"
)

// Kernel is what the rules need to know of the kernel that decides.
type Kernel struct {
	Release uapi.Release
	// Patch is the third number of a stable release: a fix may have come to a
	// series after its release.
	Patch int
	// Token says that the kernel knows BPF_TOKEN_CREATE (6.9).
	Token bool
	// The kernel's __MAX_BPF_CMD, __MAX_BPF_MAP_TYPE, __MAX_BPF_PROG_TYPE and
	// __MAX_BPF_ATTACH_TYPE: a value at or above them is covered by no mask.
	MaxCmd, MaxMap, MaxProg, MaxAttach uint32
	// MitigationsOff is cpu_mitigations_off(): the machine was told to trust its CPU.
	MitigationsOff bool
	// Omit names a rule that is left out, to show that somebody notices.
	Omit string
	// Held, if set, is told each rule that a call came to and that held there:
	// without any other rule all would be decided alike.
	Held func(rule string)
}

// KernelAt describes a mainline kernel of a release, with everything that the
// rules ask for compiled in.
func KernelAt(r uapi.Release) *Kernel {
	return &Kernel{
		Release:   r,
		Token:     !r.Less(uapi.Release{Major: 6, Minor: 9}),
		MaxCmd:    uapi.Cmds.Max(r),
		MaxMap:    uapi.MapTypes.Max(r),
		MaxProg:   uapi.ProgTypes.Max(r),
		MaxAttach: uapi.AttachTypes.Max(r),
	}
}

// Userns is a user namespace. Parent is nil for the initial one. Owner is the
// kuid, as the initial namespace numbers it, that created it.
type Userns struct {
	Parent *Userns
	Owner  uint32
}

// Initial is init_user_ns.
var Initial = &Userns{}

func (n *Userns) level() int {
	if n.Parent == nil {
		return 0
	}
	return n.Parent.level() + 1
}

// Cred is the calling thread's credentials at the time of the call: its user
// namespace, its effective kuid and its effective capabilities.
type Cred struct {
	Userns *Userns
	Euid   uint32
	Caps   uapi.CapSet
}

// capable mirrors cap_capable_helper of security/commoncap.c: the thread's own
// namespace counts its capabilities; in a descendant, the owner has them all.
func (c Cred) capable(target *Userns, want uapi.Cap) bool {
	for ns := target; ; ns = ns.Parent {
		if ns == c.Userns {
			return c.Caps.Has(want)
		}
		if ns.level() <= c.Userns.level() {
			return false
		}
		if ns.Parent == c.Userns && ns.Owner == c.Euid {
			return true
		}
	}
}

// Masks are the four 64-bit delegation masks of a bpffs superblock or a token.
type Masks struct{ Cmds, Maps, Progs, Attachs uint64 }

// BPFFS is one bpffs superblock: the namespace of the fsopen(2) caller owns it.
type BPFFS struct {
	Userns   *Userns
	Delegate Masks
	Root     Inode
	Names    []string // what lies in the root
	Pins     map[string]Pinned
}

// Token is struct bpf_token: the masks as they were at creation, and the
// namespace in which capabilities are looked up.
type Token struct {
	Userns  *Userns
	Allowed Masks
}

// FDKind says what a descriptor refers to.
type FDKind int

// What a descriptor can be. The zero value is no open descriptor.
const (
	Closed    FDKind = iota
	Path             // opened with O_PATH
	BPFFSRoot        // the root directory of a bpffs
	Dir              // a directory that is no bpffs root
	TokenFD
	Object // a map, a program, a BTF or another open file
	ContextFD
	UsernsFD
)

// FD is a descriptor as the caller has it.
type FD struct {
	Kind    FDKind
	BPFFS   *BPFFS       // of a BPFFSRoot, or what another file lies on
	Token   *Token       // of a TokenFD, or that a program remembers
	Mount   *Mount       // that the file was opened on; of a Path from fsmount the mount itself
	Context *Context     // of a ContextFD
	Userns  *Userns      // of a UsernsFD
	Pinned  bool         // an Object that BPF_OBJ_PIN takes
	Map     uapi.MapType // of an Object that is a map
	Wide    bool         // a map whose keys are longer than 8 bytes
	BTF     bool         // an Object that is BTF, with one type
	Lock    bool         // BTF that has a struct with a lock, too
	Loaded  *Symbol      // of an Object that is a program: whose it is
	Spills  bool         // a program that puts a pointer on the stack
	Stays   bool         // without FD_CLOEXEC
}

// World is everything that decides beside the request itself.
type World struct {
	Kernel *Kernel
	Caller Cred
	// UnprivDisabled is the sysctl kernel.unprivileged_bpf_disabled: 0, 1 or 2.
	UnprivDisabled int
	// LSM are the BPF-LSM programs that look at the caller, in the order in
	// which they were attached. A decision notes which of them ran.
	LSM []*LSM
	// Memory is the memory.max of the caller's cgroup, 0 for none.
	Memory uint64
}

// Verdict is what the kernel must answer. When Known is false the oracle does
// not know this kernel or request and Rule says why.
type Verdict struct {
	Known bool
	Errno uapi.Errno
	Rule  string // what decided, as a phrase
	Func  string // the kernel function that decides it
	ID    string // the rule's stable name, COMMAND/RULE
}

// Line is one rule in an explanation, in the kernel's order.
type Line struct {
	ID, Rule, Func string
	Errno          uapi.Errno
	Holds, Decides bool
	Drops          bool // the rule drops the token instead of refusing
}

// Request is a call whose answer the oracle knows.
type Request interface {
	decide(w *World, trace *[]Line) Verdict
}

// Decide returns the answer that the kernel must give.
func Decide(w *World, r Request) Verdict { return r.decide(w, nil) }

// Explain returns the verdict with every rule in order.
func Explain(w *World, r Request) (Verdict, []Line) {
	var trace []Line
	v := r.decide(w, &trace)
	return v, trace
}

// call is a request under decision: the token is what is left of it after
// the kernel's checks dropped it or not.
type call[R any] struct {
	*World
	req     R
	tok     *Token
	decided bool       // a rule has decided; what follows is for an explanation alone
	refused uapi.Errno // what the last LSM hook answered
}

// tokenCapable mirrors bpf_token_capable of kernel/bpf/token.c.
func (c *call[R]) tokenCapable(want uapi.Cap) bool {
	ns := Initial
	if c.tok != nil {
		ns = c.tok.Userns
	}
	if !c.Caller.capable(ns, want) && (want == uapi.CAP_SYS_ADMIN || !c.Caller.capable(ns, uapi.CAP_SYS_ADMIN)) {
		return false
	}
	return c.tok == nil || c.hook(HookTokenCapable, hookArgs{cap: want, tok: c.tok}) == 0
}

// rule is one check of the kernel. The first that holds decides, unless it
// only drops the token. since and until bound the releases that have it.
type rule[R any] struct {
	id, text, fn string
	errno        uapi.Errno
	drop         bool
	since, until uapi.Release
	fix          *fix // that brought it, also to releases before
	holds        func(c *call[R]) bool
	answer       func(c *call[R]) uapi.Errno // in place of errno, where it is not constant
}

func (r *rule[R]) in(k *Kernel) bool {
	return !k.Release.Less(r.since) && (r.fix == nil || r.fix.in(k)) && (r.until == uapi.Release{} || k.Release.Less(r.until))
}

// run walks the rules in order. A trace gets every rule of the kernel's
// release, those behind the deciding one as well.
func run[R any](w *World, cmd string, req R, tok *Token, rules []rule[R], trace *[]Line) Verdict {
	c := &call[R]{World: w, req: req, tok: tok}
	verdict := Verdict{Known: true, Rule: "nothing refuses it", Func: cmd, ID: cmd + "/allowed"}
	for i := range rules {
		r := &rules[i]
		if !r.in(w.Kernel) || w.Kernel.Omit != "" && w.Kernel.Omit == cmd+"/"+r.id {
			continue
		}
		holds, errno := r.holds(c), r.errno
		if r.answer != nil {
			errno = r.answer(c)
		}
		decides := holds && !c.decided && !r.drop
		if trace != nil {
			*trace = append(*trace, Line{cmd + "/" + r.id, r.text, r.fn, errno, holds, decides, r.drop})
		}
		if holds && !c.decided && w.Kernel.Held != nil {
			w.Kernel.Held(cmd + "/" + r.id)
		}
		if holds && !c.decided && r.drop {
			c.tok = nil
		}
		if decides {
			c.decided = true
			verdict = Verdict{Known: true, Errno: errno, Rule: r.text, Func: r.fn, ID: cmd + "/" + r.id}
			if trace == nil {
				break
			}
		}
	}
	return verdict
}

// Rules lists the stable names of every rule of a decision.
func Rules() []string {
	var out []string
	add := func(cmd string, ids []string) {
		for _, id := range ids {
			out = append(out, cmd+"/"+id)
		}
	}
	add("token_create", ids(tokenCreateRules))
	add("map_create", ids(mapCreateRules))
	add("prog_load", ids(progLoadRules))
	add("btf_load", ids(btfLoadRules))
	add("lsm", ids(lsmRules))
	add("lsm_ran", ids(lsmRanRules))
	add("kallsyms", ids(symbolRules))
	addMount(add)
	return append(out, commandRules()...)
}

func ids[R any](rules []rule[R]) []string {
	var out []string
	for i := range rules {
		out = append(out, rules[i].id)
	}
	return out
}

// bit reports whether mask holds bit n; the kernel refuses n at or above its
// enumeration's end first.
func bit(mask uint64, n, end uint32) bool { return n < end && n < 64 && mask&(1<<n) != 0 }

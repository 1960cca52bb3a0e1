package oracle

import (
	"slices"

	"cmp"

	"tokentest/cases/uapi"
)

// rule is one check of the kernel. A list of rules is in the kernel's order,
// and the first one that holds decides the call. A rule with drop only makes
// the kernel continue without the token. A rule with blind stands for what the
// oracle does not cover: the answer is not known, unless a check before it decides.
type rule[R any] struct {
	id    string // stable name inside the command: records store it
	fn    string // the kernel function that makes the check
	errno uapi.Errno
	text  string
	drop  bool
	blind bool         // the oracle does not cover the request from here on
	since uapi.Release // the first mainline release that has the check, if not all have it
	until uapi.Release // the first mainline release that does not have it any more
	fix   *fix         // the fix that added the check, if stable series have it too
	// opens says that the command has a log from this check on; replaces that the check is made also where one before
	// it refused the call, and that its errno counts then.
	opens, replaces bool
	// when reports whether the kernel's settings let the rule hold; nil if all
	// do. An explanation leaves out a rule that cannot hold.
	when  func(s *Settings) bool
	holds func(c *call[R]) bool
	// answer gives the errno if it is not always the same. It is called after holds.
	answer func(c *call[R]) uapi.Errno
}

// from returns the rule for kernels of this release and later ones.
func (r rule[R]) from(major, minor int) rule[R] {
	r.since = linux(major, minor)
	return r
}

// before returns the rule for kernels before this release.
func (r rule[R]) before(major, minor int) rule[R] {
	r.until = linux(major, minor)
	return r
}

// as returns the rule under another name, for a list that has it twice.
func (r rule[R]) as(id string) rule[R] {
	r.id = id
	return r
}

// fromRelease and beforeRelease are the same for a list, which another place of a longer one has, too.
func fromRelease[R any](major, minor int, list []rule[R]) []rule[R] {
	out := slices.Clone(list)
	for i := range out {
		out[i] = out[i].from(major, minor)
	}
	return out
}

func beforeRelease[R any](major, minor int, suffix string, list []rule[R]) []rule[R] {
	out := slices.Clone(list)
	for i := range out {
		out[i] = out[i].as(out[i].id+suffix).before(major, minor)
	}
	return out
}

// in reports whether a kernel has the rule.
func (r *rule[R]) in(k *Kernel) bool {
	return k.has(r.since) && (r.when == nil || r.when(&k.Settings)) && (r.fix == nil || r.fix.in(k)) &&
		(r.until == uapi.Release{} || k.Release.Less(r.until))
}

// fix is a change that stable series backported, so that a kernel's release
// alone does not say whether it has the change. Nothing else on the running
// kernel shows it either.
type fix struct {
	since  uapi.Release         // in mainline
	stable map[uapi.Release]int // the first patch level that has it, by older series
}

func (f *fix) in(k *Kernel) bool {
	if k.has(f.since) {
		return true
	}
	patch, taken := f.stable[k.Release]
	return taken && k.Patch >= patch
}

// call is the state of a request while its rules are evaluated.
type call[R any] struct {
	*World
	req     R
	tok     *Token     // the token, or nil once a rule dropped it
	decided bool       // a rule has decided; the rest is for an explanation
	by      string     // the id of the rule that has decided
	logs    bool       // the command had a log when it was decided
	refused uapi.Errno // the answer of the last LSM hook
}

// tokenCapable mirrors bpf_token_capable of kernel/bpf/token.c: the check is
// made in the token's user namespace, or without a token in the initial one.
// CAP_SYS_ADMIN replaces any other capability.
func (c *call[R]) tokenCapable(want uapi.Cap) bool {
	ns := Initial
	if c.tok != nil {
		ns = c.tok.Userns
	}
	if !c.Caller.capable(ns, want) && (want == uapi.CAP_SYS_ADMIN || !c.Caller.capable(ns, uapi.CAP_SYS_ADMIN)) {
		return false
	}
	return c.tok == nil || !c.deniesToken(want) && c.hook(uapi.HookTokenCapable, hookArgs{cap: want, tok: c.tok}) == 0
}

// initialCapable mirrors capable(): the initial user namespace, no token.
func (c *call[R]) initialCapable(want uapi.Cap) bool { return c.Caller.capable(Initial, want) }

// netCapable mirrors bpf_net_capable of include/linux/bpf.h.
func (c *call[R]) netCapable() bool {
	return c.initialCapable(uapi.CAP_NET_ADMIN) || c.initialCapable(uapi.CAP_SYS_ADMIN)
}

// mayMount mirrors may_mount of fs/namespace.c.
func (c *call[R]) mayMount() bool {
	return c.Caller.capable(cmp.Or(c.MountNS, c.Caller.Userns), uapi.CAP_SYS_ADMIN)
}

// allowedBy names the kernel's function that makes an allowed call, where it is not called as the command is.
func (v Verdict) allowedBy(fn string) Verdict {
	if v.Errno == 0 {
		v.Func = fn
	}
	return v
}

// run evaluates the rules in order and returns the verdict. If trace is set, it
// gets every rule that the kernel has, also those after the one that decides.
func run[R any](w *World, cmd string, req R, tok *Token, rules []rule[R], trace *[]Line) Verdict {
	c := &call[R]{World: w, req: req, tok: tok}
	verdict := Verdict{Known: true, Rule: "no check refuses the call", Func: cmd, ID: cmd + "/allowed"}
	for i := range rules {
		r := &rules[i]
		if c.decided && trace == nil && !r.replaces || !r.in(w.Kernel) {
			continue
		}
		c.logs = c.logs || r.opens && !c.decided
		if w.Kernel.Omit != "" && w.Kernel.Omit == cmd+"/"+r.id {
			continue
		}
		holds, errno := r.holds(c), r.errno
		if r.answer != nil {
			errno = r.answer(c)
		}
		decides := holds && !r.drop && (!c.decided || r.replaces && verdict.Known)
		if trace != nil && (!r.blind || decides) {
			if decides && c.decided { // the one before it counts no more
				for j := range *trace {
					(*trace)[j].Decides = false
				}
			}
			*trace = append(*trace, Line{cmd + "/" + r.id, r.text, r.fn, errno, holds, decides, r.drop})
		}
		if holds && !r.blind && (!c.decided || decides) && w.Kernel.Held != nil {
			w.Kernel.Held(cmd + "/" + r.id)
		}
		if holds && !c.decided && r.drop {
			c.tok = nil
		}
		if decides {
			c.decided, c.by = true, r.id
			verdict = Verdict{Known: !r.blind, Errno: errno, Rule: r.text, Func: r.fn, ID: cmd + "/" + r.id}
		}
	}
	return verdict
}

// beforeTokens returns an unknown verdict for a kernel without tokens. Its
// checks are in another order, which the rules do not cover.
func beforeTokens(w *World, cmd string) (Verdict, bool) {
	if w.Kernel.Token {
		return Verdict{}, true
	}
	return Verdict{
		Rule: "the oracle has rules for " + cmd + " only for kernels with tokens",
		ID:   cmd + "/before-tokens",
	}, false
}

// Package oracle says how a kernel must answer a system call: with success, or
// with an exact errno. It covers the bpf(2) commands, and the calls on bpffs,
// descriptors and processes that a BPF token depends on.
//
// Each call has one list of rules, in the order in which the kernel makes its
// checks, and each rule names the kernel function that makes the check. The
// first rule that holds decides. The package is pure: the Verdict depends only on
// the World and the Request, and nothing is read from the host.
//
// It does not simulate the kernel: it keeps no state between two calls. Package
// cases plays whole programs and passes the state that each call finds. Where
// the rules do not cover a request or a kernel, the Verdict is not Known, and
// the oracle does not guess.
//
// Start with tokenCreateRules in tokencreate.go, the shortest list of a command
// that reads bpffs; then mapcreate.go and progload.go. rule.go has the engine
// that walks a list, world.go what the rules look at, and SEMANTICS.md the same
// facts as prose, by kernel function.
package oracle

import "tokentest/cases/uapi"

// Request is one system call with its arguments, as the rules see them.
type Request interface {
	decide(w *World, trace *[]Line) Verdict
}

// Unknown says why the oracle has no answer.
type Unknown string

// The reasons. Drift: the kernel is newer than the oracle, and has an enumerator
// that the oracle does not know. NotModelled: the oracle does not cover the
// request, on any kernel.
const (
	Drift       Unknown = "drift"
	NotModelled Unknown = "not modelled"
)

// Verdict is the answer that the kernel must give. If Known is false, the
// oracle does not cover this kernel or this request, and Rule says why.
type Verdict struct {
	Known bool
	Drift bool // not Known, because the kernel is newer than the oracle
	Errno uapi.Errno
	Rule  string // the text of the rule that decided
	Func  string // the kernel function that makes the decision
	ID    string // the rule's stable name, COMMAND/RULE; it is stored in records
}

// Unknown says why the oracle has no answer; "" if it has one.
func (v *Verdict) Unknown() Unknown {
	switch {
	case v.Known:
		return ""
	case v.Drift:
		return Drift
	}
	return NotModelled
}

// drift is the verdict on an enumerator that the oracle does not know.
func drift(rule, cmd string) Verdict { return Verdict{Drift: true, Rule: rule, ID: cmd + "/drift"} }

// Line is one rule in an explanation.
type Line struct {
	ID, Rule, Func string
	Errno          uapi.Errno
	Holds, Decides bool
	Drops          bool // the rule makes the kernel ignore the token; it refuses nothing
}

// Decide returns the answer that the kernel must give.
func Decide(w *World, r Request) Verdict { return r.decide(w, nil) }

// Explain returns the same verdict, and every rule of the call in order.
func Explain(w *World, r Request) (Verdict, []Line) {
	var trace []Line
	v := r.decide(w, &trace)
	return v, trace
}

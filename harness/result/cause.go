package result

import (
	"cmp"

	"tokentest/cases"
	"tokentest/harness/vm"
)

// CauseKind is the kind of a Cause.
type CauseKind string

// The kinds of causes. If a kind names a step, the step is in the case's Steps.
const (
	ByStep        CauseKind = "step"         // a step of the case has a wrong result
	ByControlStep CauseKind = "control step" // a step that is a control has a wrong result
	BySetup       CauseKind = "set-up"       // a step of the set-up has a wrong result
	ByControl     CauseKind = "control"      // a control case does not hold; see Cause.Of
	ByGuest       CauseKind = "guest"        // the guest could not do its part
	ByMachine     CauseKind = "machine"      // the machine died under the case or its set-up
	Unanswered    CauseKind = "unanswered"   // no machine answered for the case
	Unconfirmed   CauseKind = "unconfirmed"  // it failed on a restored machine, and not on one that booted
	NotTried      CauseKind = "not tried"    // the run was interrupted before the case
	Unmet         CauseKind = "need"         // the kernel lacks what the case needs
	Refuted       CauseKind = "refuted need" // the kernel lacks what it should have
	NotJudged     CauseKind = "not judged"   // neither the oracle nor a pin knows the result
	OnDenyList    CauseKind = "denied"       // a list excludes the case
	OnExpectList  CauseKind = "expected"     // the case fails as a list says
	UnexpectedOK  CauseKind = "unexpected pass"
	KnownDefect   CauseKind = "known defect"   // the kernel shows its known defect
	UnknownDefect CauseKind = "unknown defect" // it does not, or shows another one
	ByProgram     CauseKind = "program"        // a test program reports it
	ByExit        CauseKind = "exit"           // a test program failed or was killed
)

// Further values of Cause.Of: what is wrong with a control.
const (
	WrongAnswer CauseKind = "answer"    // it passed, but was allowed instead of refused, or the reverse
	NoResult    CauseKind = "no result" // it did not run
)

// Cause is why a case does not simply pass. Code uses these members; Reason and Text are
// only for people.
type Cause struct {
	Kind CauseKind `json:"kind"`
	// Control names the control case that does not hold. If a control breaks another
	// control, it names the first one at fault, and the other members are about that one.
	Control string `json:"control,omitempty"`
	// Of is what is wrong with the control.
	Of CauseKind `json:"of,omitempty"`
	// Step is the number of the step at fault, from 1, in the case or in the set-up.
	Step int `json:"step,omitempty"`
	// Rule is the stable name of the rule that decides the step.
	Rule string `json:"rule,omitempty"`
	// Need is what the kernel lacks.
	Need Need `json:"need,omitzero"`
	// Fate is how the machine ended.
	Fate vm.Fate `json:"fate,omitempty"`
	// Entry is the FILE:LINE of a list's or a known defect's entry.
	Entry string `json:"entry,omitempty"`
	// Text is the cause in words, if the result's Reason says more than that. See
	// CaseResult.Why.
	Text string `json:"text,omitempty"`
}

// Need is what a case needs and a kernel lacks.
type Need struct {
	Kind cases.NeedKind `json:"kind"`
	// Name is the option, the enumerator, the LSM, the type or the release.
	Name string `json:"name,omitempty"`
}

func needOf(n cases.Need) Need {
	if n.Kind == cases.NeedRelease || n.Kind == cases.NeedBefore {
		return Need{n.Kind, n.Since.String()}
	}
	return Need{n.Kind, n.Name}
}

// Why returns the cause in words, without the status and the control's name.
func (r *CaseResult) Why() string { return cmp.Or(r.Cause.Text, r.Reason) }

// Decisive returns the step at fault; nil if no step of the case is.
func (r *CaseResult) Decisive() *StepResult {
	if n := r.Cause.Step; r.Cause.Control == "" && n > 0 && n <= len(r.Steps) && r.Steps[n-1].Wrong {
		return &r.Steps[n-1]
	}
	return nil
}

// Group returns the part of the cause that cases with the same mistake have in common, as a
// key to group them by. Text counts only if there is nothing else: the words of a test
// program, of the guest, or of an older record.
func (r *CaseResult) Group() Cause {
	c := r.Cause
	c.Text = ""
	if c.Kind == ByControl { // group all controls, and the control itself
		c.Kind, c.Of, c.Control = c.Of, "", ""
	}
	switch {
	case c.Rule != "":
		c.Step = 0
	case c.Need == Need{} && c.Fate == "" && c.Entry == "" && c.Step == 0 && c.Kind != NoResult && c.Kind != NotTried:
		c.Text = r.Why()
	}
	return c
}

// end gives the result a status and the reason for it.
func (r *CaseResult) end(s Status, c Cause, reason string) {
	r.Status, r.Cause, r.Reason = s, c, reason
}

// NewResult returns the result of a case without observations. boot is the index of its
// machine; -1 is none.
func NewResult(id string, s Status, c Cause, reason string, boot int) CaseResult {
	return CaseResult{ID: id, Status: s, Cause: c, Reason: reason, Boot: boot}
}

// Blame is the case under which a machine died: it had started and not ended.
type Blame struct {
	Case string `json:"case"`
	// Setup says that the machine died under the set-up of the case's world.
	Setup bool `json:"setup,omitempty"`
}

// Under records what the machine died under.
func (b *Boot) Under(blame Blame) { b.Blamed, b.Blame = blame, blame.String() }

// String returns the blame in words; "" is no case.
func (b Blame) String() string {
	if b.Setup {
		return "the set-up of " + b.Case
	}
	return b.Case
}

package result

import (
	"cmp"

	"tokentest/cases"
	"tokentest/harness/vm"
)

// CauseKind is the kind of a Cause.
type CauseKind string

// The kinds of causes. Of those with a step, the step is in the case's Steps.
const (
	ByStep        CauseKind = "step"         // a step of the case has a wrong result
	ByControlStep CauseKind = "control step" // a step that is a control has
	BySetup       CauseKind = "set-up"       // a step of the set-up has
	ByControl     CauseKind = "control"      // a control case does not hold, see Cause.Of
	ByGuest       CauseKind = "guest"        // the guest did not do what it was asked
	ByMachine     CauseKind = "machine"      // the machine ended while the case, or its set-up, ran
	Unanswered    CauseKind = "unanswered"   // no machine answered for the case
	Unconfirmed   CauseKind = "unconfirmed"  // it failed on a restored machine, and not on one that booted
	NotTried      CauseKind = "not tried"    // the run was interrupted before
	Unmet         CauseKind = "need"         // the kernel lacks what the case needs
	Refuted       CauseKind = "refuted need" // the kernel lacks what it should have
	NotJudged     CauseKind = "not judged"   // neither the oracle nor a pin knows the result
	OnDenyList    CauseKind = "denied"       // a list excludes the case
	OnExpectList  CauseKind = "expected"     // it fails as a list says
	UnexpectedOK  CauseKind = "unexpected pass"
	KnownDefect   CauseKind = "known defect"   // the kernel has the defect that it is known to have
	UnknownDefect CauseKind = "unknown defect" // it does not, or has another one
	ByProgram     CauseKind = "program"        // a test program says so
	ByExit        CauseKind = "exit"           // a test program did not end well
)

// What is wrong with a control that ran, or did not: the Of of a cause.
const (
	WrongAnswer CauseKind = "answer"    // it passed, and was allowed or refused where it must not be
	NoResult    CauseKind = "no result" // it did not run
)

// Cause is why a case does not simply pass. All logic uses these members.
// Reason and Text are for people; no code reads them.
type Cause struct {
	Kind CauseKind `json:"kind"`
	// Control names the control case that does not hold. Where a control breaks
	// a control, it is the first one that is at fault, and the other members are
	// about that one.
	Control string `json:"control,omitempty"`
	// Of is what is wrong with the control.
	Of CauseKind `json:"of,omitempty"`
	// Step numbers the step at fault, from 1 on. Of a set-up it is the set-up's.
	Step int `json:"step,omitempty"`
	// Rule is the stable name of the rule that decides the step.
	Rule string `json:"rule,omitempty"`
	// Need is what the kernel lacks.
	Need Need `json:"need,omitzero"`
	// Fate is how the machine ended.
	Fate vm.Fate `json:"fate,omitempty"`
	// Entry is the FILE:LINE of a list's or a known defect's entry.
	Entry string `json:"entry,omitempty"`
	// Text says the cause in words, where the result's Reason says more than
	// that. See CaseResult.Why.
	Text string `json:"text,omitempty"`
}

// Need is what a kernel lacks of what a case needs.
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

// Why says the cause in words, without what the status or the control's name
// says already.
func (r *CaseResult) Why() string { return cmp.Or(r.Cause.Text, r.Reason) }

// Decisive returns the step that is at fault, nil where none of the case is.
func (r *CaseResult) Decisive() *StepResult {
	if n := r.Cause.Step; r.Cause.Control == "" && n > 0 && n <= len(r.Steps) && r.Steps[n-1].Wrong {
		return &r.Steps[n-1]
	}
	return nil
}

// Group returns what the causes of cases have in common that one mistake
// explains. The words count only where there is nothing else: the words of a
// test program, of the guest, or of an older record.
func (r *CaseResult) Group() Cause {
	c := r.Cause
	c.Text = ""
	if c.Kind == ByControl { // whichever control it is, and the control itself
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

// end gives the result a status that is not pass, and says why.
func (r *CaseResult) end(s Status, c Cause, reason string) {
	r.Status, r.Cause, r.Reason = s, c, reason
}

// NewResult is the result of a case that showed nothing: no machine had it, or
// the one with the index boot.
func NewResult(id string, s Status, c Cause, reason string, boot int) CaseResult {
	return CaseResult{ID: id, Status: s, Cause: c, Reason: reason, Boot: boot}
}

// Blame is the case under which a machine died: it had started and not ended.
type Blame struct {
	Case string `json:"case"`
	// Setup says that it was the set-up of the case's world.
	Setup bool `json:"setup,omitempty"`
}

// Under notes what the machine died under.
func (b *Boot) Under(blame Blame) { b.Blamed, b.Blame = blame, blame.String() }

// String says it in words; "" is no case.
func (b Blame) String() string {
	if b.Setup {
		return "the set-up of " + b.Case
	}
	return b.Case
}

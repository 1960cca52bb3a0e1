package result

import (
	"strings"
)

// Records of an older tokentest have only in words what is data now: the cause of a result,
// the case under which a machine died, the accelerator. This file derives the data when such
// a record is read. No other code parses the program's own texts. The texts of those versions
// do not change any more.

// complete adds the data that an old run's head has only in words.
func (r *Run) complete() {
	for _, k := range r.Kernels {
		if k.AccelName == "" {
			k.AccelName, _, _ = strings.Cut(k.Accel, ":")
		}
		for i := range k.Boots {
			b := &k.Boots[i]
			if b.Blamed == (Blame{}) {
				b.Blamed.Case, b.Blamed.Setup = strings.CutPrefix(b.Blame, "the set-up of ")
			}
		}
	}
}

// complete adds the cause if the record has none.
func (r *CaseResult) complete() {
	if r.Cause.Kind != "" || r.Reason == "" {
		return
	}
	reason := r.Reason
	if rest, ok := strings.CutPrefix(reason, "flaky, "); ok {
		_, reason, _ = strings.Cut(rest, ": ")
	}
	switch r.Status {
	case Pass:
		text, _ := strings.CutPrefix(reason, "known defect: ")
		r.Cause = Cause{Kind: KnownDefect, Text: text}
	case Fail, XFail:
		r.Cause = r.oldFailure(reason)
	case Skip:
		r.Cause = r.oldSkip(reason)
	case Interrupted:
		r.Cause = Cause{Kind: NotTried}
		if name, why, ok := between(reason, "its control ", " was not tried: "); ok {
			r.Cause = Cause{Kind: ByControl, Control: name, Of: NotTried, Text: why}
		}
	case Broken:
		r.Cause = r.oldBreak(reason)
	}
}

// oldFailure is the cause of a case that failed.
func (r *CaseResult) oldFailure(reason string) Cause {
	c := r.wrongStep(ByStep)
	switch {
	case r.Status == XFail:
		c.Kind = OnExpectList
	case strings.HasPrefix(reason, "unexpected pass: "):
		c = Cause{Kind: UnexpectedOK}
	case strings.HasPrefix(reason, "the known defect of "):
		c.Kind = UnknownDefect
	case c.Step == 0: // it did not run
		c.Kind = Refuted
	}
	return c
}

// oldSkip is the cause of a case that was skipped. Only the text says what it needs.
func (r *CaseResult) oldSkip(reason string) Cause {
	name, _, ofControl := between(reason, "its control ", " is denied: ")
	switch {
	case ofControl:
		return Cause{Kind: OnDenyList, Control: name}
	case strings.HasPrefix(reason, "denied: "):
		return Cause{Kind: OnDenyList}
	case len(r.Steps) > 0:
		for i := range r.Steps {
			if s := &r.Steps[i]; s.Want == nil && !s.Wrong {
				return s.cause(NotJudged, i)
			}
		}
		return Cause{Kind: NotJudged}
	}
	return Cause{Kind: Unmet}
}

// oldBreak is the cause of a case that is broken.
func (r *CaseResult) oldBreak(reason string) Cause {
	if c, ok := oldControl(reason); ok {
		return c
	}
	switch {
	case strings.HasPrefix(reason, `control "`):
		return r.wrongStep(ByControlStep)
	case strings.HasPrefix(reason, "set-up step "):
		return r.wrongStep(BySetup)
	case strings.HasPrefix(reason, "the machine ") && !strings.HasPrefix(reason, "the machine is "):
		return Cause{Kind: ByMachine}
	case strings.HasPrefix(reason, "the machine is "), strings.HasPrefix(reason, "given up: "),
		reason == "the guest did not answer for it":
		return Cause{Kind: Unanswered}
	}
	return Cause{Kind: ByGuest}
}

// oldControl follows "control X is broken: control Y is fail: why" to the control at fault,
// and to what is wrong with it.
func oldControl(reason string) (c Cause, ok bool) {
	for {
		name, rest, is := between(reason, "control ", " is ")
		status, why, colon := strings.Cut(rest, ": ")
		if !is || !colon || strings.ContainsAny(name, ` "`) || strings.Contains(status, " ") {
			break
		}
		reason, c, ok = why, Cause{Kind: ByControl, Control: name, Of: oldOf(Status(status)), Text: why}, true
	}
	for middle, of := range map[string]CauseKind{" must be ": WrongAnswer, " did not run": NoResult} {
		step := 0
		if of == WrongAnswer {
			step = 1 // such a control has one
		}
		if name, _, found := between(reason, "control ", middle); found && !strings.ContainsAny(name, ` "`) {
			return Cause{Kind: ByControl, Control: name, Of: of, Step: step, Text: reason}, true
		}
	}
	return c, ok
}

// oldOf is what is wrong with a control that has a status.
func oldOf(s Status) CauseKind {
	if s == Fail {
		return ByStep
	}
	return ByGuest // or its machine: only the text says which
}

// between returns what is between two texts, the first at the beginning, and
// what follows the second.
func between(text, first, second string) (middle, after string, ok bool) {
	rest, begins := strings.CutPrefix(text, first)
	middle, after, ok = strings.Cut(rest, second)
	return middle, after, begins && ok
}

// wrongStep is the cause of the first wrong step with the case's fault; without a step if
// there is none.
func (r *CaseResult) wrongStep(kind CauseKind) Cause {
	out := Cause{Kind: kind}
	for i := range r.Steps {
		s := &r.Steps[i]
		if s.Wrong && s.Fault == r.Fault {
			return s.cause(kind, i)
		}
		if s.Wrong && out.Step == 0 {
			out = s.cause(kind, i)
		}
	}
	return out
}

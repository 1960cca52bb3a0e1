package bisect

import (
	"fmt"
	"maps"
	"slices"

	"tokentest/harness/report"
	"tokentest/harness/result"
)

// Decision is what a kernel answers to a case. The zero value is no decision.
type Decision struct {
	// Skipped says that the kernel lacks something that the case needs.
	Skipped bool
	// Steps is the answer to each step; nil if the case is skipped.
	Steps result.Decision
}

// None reports whether there is no decision.
func (d Decision) None() bool { return !d.Skipped && d.Steps == nil }

// Equal reports whether two decisions are the same.
func (d Decision) Equal(o Decision) bool {
	return d.Skipped == o.Skipped && slices.Equal(d.Steps, o.Steps)
}

// words is the decision as a list of words.
func (d Decision) words() result.Decision {
	if d.Skipped {
		return result.Decision{"skip"}
	}
	return d.Steps
}

// String is the decision in words: "skip", or the answers with commas between.
func (d Decision) String() string { return d.words().String() }

// Decisions are what a kernel answers to cases, by the name of the case.
type Decisions map[string]Decision

// Of reads the decisions of a kernel. A case that did not run says nothing and is left out.
// A case whose control failed did run: one kernel is compared with the other here, and the
// control can be what broke.
func Of(k *result.KernelRun) Decisions {
	out := Decisions{}
	for c := range k.All() {
		switch {
		case c.Status == result.Skip:
			out[c.ID] = Decision{Skipped: true}
		case len(c.Steps) > 0:
			out[c.ID] = Decision{Steps: c.Decision()}
		}
	}
	return out
}

// only leaves the decisions of some cases.
func (d Decisions) only(ids []string) Decisions {
	out := Decisions{}
	for _, id := range ids {
		if is, ok := d[id]; ok {
			out[id] = is
		}
	}
	return out
}

// Failing returns the cases to which a kernel did not answer as expected.
func Failing(k *result.KernelRun) []string {
	var out []string
	for c := range k.All() {
		wrong := slices.ContainsFunc(c.Steps, func(s result.StepResult) bool { return s.Wrong })
		if wrong && c.Status != result.Skip {
			out = append(out, c.ID)
		}
	}
	return out
}

// Predicate separates good kernels from bad ones by their decisions.
type Predicate struct {
	// Good holds the cases to look at, with the decision of a good kernel. If there is none
	// (the zero Decision), a good kernel passes the case, or skips it.
	Good Decisions
	// All says that a kernel is bad if every case is; else one is enough.
	All bool
}

// Judge says whether a kernel is good or bad, and why. Nothing counts but the cases of the
// predicate: no other case, and not the health of the kernel.
func (p *Predicate) Judge(k *result.KernelRun) (Outcome, string) {
	got, failing := Of(k), map[string]bool{}
	for _, id := range Failing(k) {
		failing[id] = true
	}
	var differ, silent, skipped []string
	for _, id := range slices.Sorted(maps.Keys(p.Good)) {
		want, is := p.Good[id], got[id]
		switch {
		case is.None():
			silent = append(silent, id)
		case want.None() && is.Skipped: // if the kernel should have what it lacks, the case fails
			skipped = append(skipped, id)
		case want.None() && failing[id], !want.None() && !is.Equal(want):
			differ = append(differ, id)
		}
	}
	same := len(p.Good) - len(differ) - len(silent) - len(skipped)
	if same+len(differ) == 0 {
		silent = append(silent, skipped...)
	}
	switch {
	case len(differ) > 0 && (!p.All || same+len(silent) == 0):
		return Bad, p.words(differ, got)
	case p.All && same > 0, len(silent) == 0:
		return Good, fmt.Sprintf("%d of %d cases decide as the good end", same, len(p.Good)-len(skipped))
	}
	return Skip, fmt.Sprintf("no verdict on %s%s", silent[0], others(len(silent)))
}

func (p *Predicate) words(differ []string, got Decisions) string {
	id := differ[0]
	if want := p.Good[id]; !want.None() {
		d := result.Differing([]result.Decision{got[id].words(), want.words()})
		return fmt.Sprintf("%s decides %s, not %s%s", id, d[0], d[1], others(len(differ)))
	}
	if len(got[id].Steps) > 1 {
		return fmt.Sprintf("%s fails%s", id, others(len(differ)))
	}
	return fmt.Sprintf("%s fails (it decides %s)%s", id, got[id], others(len(differ)))
}

func others(n int) string {
	if n > 1 {
		return " and " + report.Count(n-1, "other")
	}
	return ""
}

// Changes lists the cases that two kernels decide differently.
func Changes(before, after Decisions) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if was, ran := before[id]; ran && !was.Equal(after[id]) {
			out = append(out, id)
		}
	}
	return out
}

// Answers leaves out cases that one of two kernels skips, if there are others: an answer that
// changed says more than a case that is new.
func Answers(good, bad Decisions) Decisions {
	out := Decisions{}
	for id, was := range good {
		if !was.Skipped && !bad[id].Skipped {
			out[id] = was
		}
	}
	if len(out) == 0 {
		return good
	}
	return out
}

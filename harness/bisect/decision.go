package bisect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/harness/result"
)

// Decisions are what a kernel answers to cases, by name: an errno for each
// step, "skip" for a case that it cannot be asked.
type Decisions map[string]string

// Skipped is the decision of a case that a kernel lacks what it takes for.
const Skipped = "skip"

// Of reads the decisions of a kernel. A case that was not asked says nothing
// and is left out. One whose control failed was asked: what is compared here
// is one kernel with the other, and a control can be what broke.
func Of(k *result.KernelRun) Decisions {
	out := Decisions{}
	for c := range k.All() {
		switch {
		case c.Status == result.Skip:
			out[c.ID] = Skipped
		case len(c.Steps) > 0:
			out[c.ID] = c.Decision()
		}
	}
	return out
}

// Failing returns the cases that a kernel did not answer as expected.
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

// Predicate tells good kernels from bad ones by what they decide.
type Predicate struct {
	// Good holds the cases that are looked at, with what a good kernel
	// decides. Without a decision ("") a good kernel passes the case, unless
	// it cannot be asked.
	Good Decisions
	// All says that a kernel is bad when every case is; else one is enough.
	All bool
}

// Judge says what a kernel is, and why. What is not looked at does not count:
// neither another case nor the health of the kernel.
func (p *Predicate) Judge(k *result.KernelRun) (Outcome, string) {
	got, failing := Of(k), map[string]bool{}
	for _, id := range Failing(k) {
		failing[id] = true
	}
	var differ, silent, unasked []string
	for _, id := range slices.Sorted(maps.Keys(p.Good)) {
		want, is := p.Good[id], got[id]
		switch {
		case is == "":
			silent = append(silent, id)
		case want == "" && is == Skipped: // a release that should have what it lacks fails the case
			unasked = append(unasked, id)
		case want == "" && failing[id], want != "" && is != want:
			differ = append(differ, id)
		}
	}
	same := len(p.Good) - len(differ) - len(silent) - len(unasked)
	if same+len(differ) == 0 {
		silent = append(silent, unasked...)
	}
	switch {
	case len(differ) > 0 && (!p.All || same+len(silent) == 0):
		return Bad, p.words(differ, got)
	case p.All && same > 0, len(silent) == 0:
		return Good, fmt.Sprintf("%d of %d cases decide as the good end", same, len(p.Good)-len(unasked))
	}
	return Skip, fmt.Sprintf("no verdict on %s%s", silent[0], others(len(silent)))
}

func (p *Predicate) words(differ []string, got Decisions) string {
	id := differ[0]
	if want := p.Good[id]; want != "" {
		d := result.Differing([]string{got[id], want})
		return fmt.Sprintf("%s decides %s, not %s%s", id, d[0], d[1], others(len(differ)))
	}
	if strings.Contains(got[id], ",") {
		return fmt.Sprintf("%s fails%s", id, others(len(differ)))
	}
	return fmt.Sprintf("%s fails (it decides %s)%s", id, got[id], others(len(differ)))
}

func others(n int) string {
	if n > 1 {
		return fmt.Sprintf(" and %d others", n-1)
	}
	return ""
}

// Changes lists the cases that two kernels decide differently.
func Changes(before, after Decisions) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if was, asked := before[id]; asked && was != after[id] {
			out = append(out, id)
		}
	}
	return out
}

// Answers leaves out cases that only one of two kernels can be asked, as long
// as there are others: a case that is new is less news than an answer that
// changed.
func Answers(good, bad Decisions) Decisions {
	out := Decisions{}
	for id, was := range good {
		if was != Skipped && bad[id] != Skipped {
			out[id] = was
		}
	}
	if len(out) == 0 {
		return good
	}
	return out
}

package result

import (
	"iter"

	"tokentest/cases"
	"tokentest/cases/step"
)

// Omission judges what a kernel showed once more for each rule of the oracle,
// with that rule left out. A rule that no call of a case came to, or that did
// not hold there, changes nothing: each case is judged only without those that
// held in it or in its set-up.
type Omission struct {
	facts   *step.Facts
	setups  map[*cases.World]*WorldResult
	cases   []omitted
	without map[string][]int // for each rule the cases that it matters to
}

type omitted struct {
	*cases.Case
	was *CaseResult
}

// NewOmission judges a kernel's cases that passed, and notes which rules
// matter to them. Cases that the corpus no longer has in the same form are left out.
func NewOmission(k *KernelRun, corpus *cases.Corpus) *Omission {
	o := &Omission{facts: k.Facts, setups: k.setups(worldsOf(corpus)), without: map[string][]int{}}
	var held map[string]bool
	j := NewJudge(k.Facts, "")
	j.play.Held = func(rule string) { held[rule] = true }
	inSetup := map[*cases.World]map[string]bool{}
	for r := range k.Those(Pass) {
		c := corpus.Case(r.ID)
		if c == nil || o.setups[c.World] == nil {
			continue
		}
		if j.worlds[c.World] == nil {
			held = map[string]bool{}
			j.Setup(c.World, o.setups[c.World].Seen)
			inSetup[c.World] = held
		}
		held = map[string]bool{}
		again := *r
		if !j.again(&again, makeSteps(c)) {
			continue
		}
		o.note(inSetup[c.World], nil)
		o.note(held, inSetup[c.World])
		o.cases = append(o.cases, omitted{c, &again})
	}
	return o
}

// note says that rules matter to the case that comes next, but for those that
// were noted.
func (o *Omission) note(rules, but map[string]bool) {
	for rule := range rules {
		if !but[rule] {
			o.without[rule] = append(o.without[rule], len(o.cases))
		}
	}
}

// Without yields the cases that the rule matters to, as they were judged and
// as they are judged without it.
func (o *Omission) Without(rule string) iter.Seq2[*CaseResult, *CaseResult] {
	return func(yield func(was, now *CaseResult) bool) {
		j := NewJudge(o.facts, rule)
		for _, i := range o.without[rule] {
			c := &o.cases[i]
			if j.worlds[c.World] == nil {
				j.Setup(c.World, o.setups[c.World].Seen)
			}
			now := *c.was
			j.again(&now, makeSteps(c.Case))
			if !yield(c.was, &now) {
				return
			}
		}
	}
}

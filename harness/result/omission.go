package result

import (
	"iter"

	"tokentest/cases"
	"tokentest/cases/step"
)

// Omission judges a kernel's observations again with one rule of the oracle left out at a
// time. A rule that did not hold in a case or its set-up changes nothing, so that each case
// is only judged without the rules that did.
type Omission struct {
	facts   *step.Facts
	setups  map[*cases.World]*WorldResult
	cases   []omitted
	without map[string][]int // for each rule: the indexes of the cases in which it held
}

type omitted struct {
	*cases.Case
	was *CaseResult
}

// NewOmission judges a kernel's passed cases again, and finds the rules that hold in each. It
// leaves out cases that the corpus no longer has in the same form.
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

// note records the rules, except those in but, for the next case.
func (o *Omission) note(rules, but map[string]bool) {
	for rule := range rules {
		if !but[rule] {
			o.without[rule] = append(o.without[rule], len(o.cases))
		}
	}
}

// Without yields the cases in which the rule held, as judged with the rule and without it.
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

package lab

import (
	"tokentest/cases"
	"tokentest/harness/result"
)

// results are the results of cases, in the plan's order.
type results struct {
	*result.Results
	place map[*cases.Group][]int32 // by Case.Index: the case's place plus 1; 0 is none
	done  int                      // cases that have a result
}

func newResults(all []*cases.Case) results {
	ids, place := make([]string, len(all)), map[*cases.Group][]int32{}
	for i, c := range all {
		if place[c.Group] == nil {
			place[c.Group] = make([]int32, len(c.Group.Cases))
		}
		place[c.Group][c.Index], ids[i] = int32(i+1), c.ID
	}
	return results{result.NewResults(ids), place, 0}
}

// at returns the place of a case, -1 if it is none of these.
func (r *results) at(c *cases.Case) int {
	if p := r.place[c.Group]; p != nil {
		return int(p[c.Index]) - 1
	}
	return -1
}

func (r *results) has(c *cases.Case) bool {
	i := r.at(c)
	return i >= 0 && r.Has(i)
}

// of returns a copy of the result of a case, or nil.
func (r *results) of(c *cases.Case) *result.CaseResult {
	if i := r.at(c); i >= 0 {
		return r.At(i)
	}
	return nil
}

// peek returns the result of a case without its name, or nil. It must not be changed.
func (r *results) peek(c *cases.Case) *result.CaseResult {
	if i := r.at(c); i >= 0 {
		return r.Peek(i)
	}
	return nil
}

// forgetOf removes the results that a machine showed.
func (r *results) forgetOf(boot int) {
	for i := range r.Len() {
		if c := r.Peek(i); c != nil && c.Boot == boot {
			r.drop(i)
		}
	}
}

// forget removes the result of a case.
func (r *results) forget(c *cases.Case) { r.drop(r.at(c)) }

func (r *results) drop(i int) {
	if r.Has(i) {
		r.done--
		r.Drop(i)
	}
}

func (r *results) set(c *cases.Case, to result.CaseResult) {
	i := r.at(c)
	if !r.Has(i) {
		r.done++
	}
	r.Set(i, to)
}

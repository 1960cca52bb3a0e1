package lab

import (
	"tokentest/cases"
	"tokentest/harness/result"
)

// results are the results of cases, in the plan's order.
type results struct {
	list  []result.CaseResult      // the Status is "" while there is no result
	place map[*cases.Group][]int32 // by Case.Index: the index in list plus 1; 0 is none
	done  int                      // cases that have a result
}

func newResults(all []*cases.Case) results {
	r := results{make([]result.CaseResult, len(all)), map[*cases.Group][]int32{}, 0}
	for i, c := range all {
		if r.place[c.Group] == nil {
			r.place[c.Group] = make([]int32, len(c.Group.Cases))
		}
		r.place[c.Group][c.Index] = int32(i + 1)
	}
	return r
}

func (r *results) slot(c *cases.Case) *result.CaseResult {
	if p := r.place[c.Group]; p != nil && p[c.Index] > 0 {
		return &r.list[p[c.Index]-1]
	}
	return nil
}

// of returns the result of a case, or nil.
func (r *results) of(c *cases.Case) *result.CaseResult {
	if s := r.slot(c); s != nil && s.Status != "" {
		return s
	}
	return nil
}

// forgetAt removes a result by its place in the list.
func (r *results) forgetAt(i int) {
	if r.list[i].Status != "" {
		r.done--
		r.list[i] = result.CaseResult{}
	}
}

// forget removes the result of a case.
func (r *results) forget(c *cases.Case) {
	if s := r.slot(c); s.Status != "" {
		r.done--
		*s = result.CaseResult{}
	}
}

func (r *results) set(c *cases.Case, to result.CaseResult) {
	s := r.slot(c)
	if s.Status == "" {
		r.done++
	}
	*s = to
}

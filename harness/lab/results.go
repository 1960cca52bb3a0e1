package lab

import (
	"tokentest/cases"
	"tokentest/harness/result"
)

// results are what became of a plan's cases, in its order.
type results struct {
	list  []result.CaseResult      // without a status as long as there is none
	place map[*cases.Group][]int32 // by the case's index: where in list, from 1 on
	done  int
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

// forget drops the result of a case, so that it has none.
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

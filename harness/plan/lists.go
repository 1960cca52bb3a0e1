package plan

import (
	"context"
	"maps"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Unmatched is an entry of a list that covers no case.
type Unmatched struct {
	*result.ListEntry
	Near string // " (near: NAME)", or ""
}

// Match marks the entries of lists that cover no case that exists, whether or not the plan
// has it, and returns them: if a case was renamed, its entry covers nothing.
func (p *Plan) Match(ctx context.Context, list []result.ListEntry) ([]Unmatched, error) {
	var out []Unmatched
	var known corpora
	for i := range list {
		e := &list[i]
		if slices.ContainsFunc(p.Cases, func(c *cases.Case) bool { return cases.Match(e.Pattern, c.ID) }) {
			continue
		}
		ok, near, err := known.covers(ctx, p, e.Pattern)
		if err != nil {
			return nil, err
		}
		if !ok {
			e.Unmatched = true
			out = append(out, Unmatched{e, near})
		}
	}
	return out, nil
}

// corpora is all cases that exist. It reads them at the first use.
type corpora struct {
	all    *cases.Corpus
	sweeps bool // all has the sweeps
}

// covers reports whether a pattern covers a built-in case or one of the plan's files.
func (c *corpora) covers(ctx context.Context, p *Plan, pattern string) (ok bool, near string, err error) {
	if c.all == nil {
		if c.all, err = cases.Load(ctx); err != nil {
			return false, "", err
		}
		for _, name := range slices.Sorted(maps.Values(p.Files)) {
			if _, err := c.all.AddFile(ctx, name); err != nil {
				return false, "", usage.Of(err)
			}
		}
	}
	ok, near = c.all.Covers(pattern)
	if ok || c.sweeps || !strings.Contains(pattern, "*") && !cases.IsSweep(pattern) {
		return ok, near, nil
	}
	c.sweeps = true
	if err := c.all.AddSweeps(ctx); err != nil {
		return false, "", err
	}
	ok, near = c.all.Covers(pattern)
	return ok, near, nil
}

// Restrict leaves the cases that a list allows in the plan, and the controls of those cases.
func (p *Plan) Restrict(list []result.ListEntry) error {
	allowed := func(c *cases.Case) bool {
		return slices.ContainsFunc(list, func(e result.ListEntry) bool {
			return e.Kind == result.AllowList && cases.Match(e.Pattern, c.ID)
		})
	}
	var chosen []*cases.Case
	for _, c := range p.Cases {
		if allowed(c) {
			chosen = append(chosen, c)
		}
	}
	if p.Cases = WithGuards(p.Cases, chosen); len(p.Cases) == 0 {
		return usage.Advisef("--allowlist: its entries leave none of the cases; tokentest list cases shows the names")
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// lists are the files that say which cases run, and which are known to fail.
type lists struct {
	deny, allow, expect []string
	strict              bool
}

func (l *lists) register(fl *pflag.FlagSet) {
	fl.StringArrayVar(&l.deny, "denylist", nil, "do not run the cases that `FILE` lists, each with a reason; may be repeated")
	fl.StringArrayVar(&l.allow, "allowlist", nil, "run only the cases that `FILE` lists; may be repeated")
	fl.StringArrayVar(&l.expect, "expect", nil, "the cases that `FILE` lists are known to fail, each with its errno; may be repeated")
	fl.BoolVar(&l.strict, "strict-lists", false, "an entry of these lists that matches no case is an error, not a warning")
}

// apply reads the lists and leaves in the plan what is allowed.
func (l *lists) apply(ctx context.Context, a *app, p *plan.Plan) ([]result.ListEntry, error) {
	var out []result.ListEntry
	for _, of := range []struct {
		kind  result.ListKind
		flag  string
		names []string
	}{{result.DenyList, "--denylist", l.deny}, {result.AllowList, "--allowlist", l.allow}, {result.ExpectList, "--expect", l.expect}} {
		for _, name := range of.names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, usage.Errorf("%s: %w", of.flag, err)
			}
			list, err := result.ParseList(of.kind, name, string(text), time.Now())
			if err != nil {
				return nil, usage.Errorf("%s %w", of.flag, err)
			}
			out = append(out, list...)
		}
	}
	if err := l.match(ctx, a, p, out); err != nil {
		return nil, err
	}
	if len(l.allow) > 0 {
		return out, l.restrict(p, out)
	}
	return out, nil
}

// match marks the entries that cover no case that there is, whether or not this
// run has it: a case that was renamed turns its entry into nothing.
func (l *lists) match(ctx context.Context, a *app, p *plan.Plan, list []result.ListEntry) error {
	var wrong *multierror.Error
	var known corpora
	for i := range list {
		e := &list[i]
		if slices.ContainsFunc(p.Cases, func(c *cases.Case) bool { return cases.Match(e.Pattern, c.ID) }) {
			continue
		}
		ok, near, err := known.cover(ctx, p, e.Pattern)
		switch {
		case err != nil:
			return err
		case ok:
		case l.strict:
			wrong = multierror.Append(wrong, usage.Errorf("%s %s: %q matches no case%s", e.Kind.Flag(), e.Where, e.Pattern, near))
		default:
			e.Unmatched = true
			fmt.Fprintf(a.stderr, "warning: %s %s: %q matches no case%s; --strict-lists makes that an error\n", e.Kind.Flag(),
				e.Where, e.Pattern, near)
		}
	}
	if err := wrong.ErrorOrNil(); err != nil {
		return usage.Of(err)
	}
	return nil
}

// corpora are all cases that there are, read as far as they are asked for.
type corpora struct {
	all    *cases.Corpus
	sweeps bool // are in it
}

// cover reports whether a pattern covers a built-in case or one of the plan's files.
func (c *corpora) cover(ctx context.Context, p *plan.Plan, pattern string) (ok bool, near string, err error) {
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

// restrict leaves the allowed cases in the plan, with the controls that guard them.
func (l *lists) restrict(p *plan.Plan, list []result.ListEntry) error {
	keep := map[*cases.Case]bool{}
	var need func(c *cases.Case)
	need = func(c *cases.Case) {
		if keep[c] {
			return
		}
		keep[c] = true
		for _, g := range c.Guards() {
			need(g)
		}
	}
	for _, c := range p.Cases {
		if slices.ContainsFunc(list, func(e result.ListEntry) bool { return e.Kind == result.AllowList && cases.Match(e.Pattern, c.ID) }) {
			need(c)
		}
	}
	p.Cases = slices.DeleteFunc(slices.Clone(p.Cases), func(c *cases.Case) bool { return !keep[c] })
	if len(p.Cases) == 0 {
		return usage.Advisef("--allowlist: its entries leave none of the cases; tokentest list cases shows the names")
	}
	return nil
}

package main

import (
	"os"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// lists are the files that say which cases run, and which are known to fail.
type lists struct{ deny, allow, expect []string }

func (l *lists) register(fl *pflag.FlagSet) {
	fl.StringArrayVar(&l.deny, "denylist", nil, "do not run the cases that `FILE` lists, each with a reason; may be repeated")
	fl.StringArrayVar(&l.allow, "allowlist", nil, "run only the cases that `FILE` lists; may be repeated")
	fl.StringArrayVar(&l.expect, "expect", nil, "the cases that `FILE` lists are known to fail, each with its errno; may be repeated")
}

// apply reads the lists and leaves in the plan what is allowed.
func (l *lists) apply(p *plan.Plan) ([]result.ListEntry, error) {
	var out []result.ListEntry
	for _, of := range []struct {
		kind  result.ListKind
		flag  string
		names []string
	}{{result.DenyList, "--denylist", l.deny}, {result.AllowList, "--allowlist", l.allow}, {result.ExpectList, "--expect", l.expect}} {
		for _, name := range of.names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, usage("%s: %w", of.flag, err)
			}
			list, err := result.ParseList(of.kind, name, string(text), time.Now())
			if err != nil {
				return nil, usage("%s %w", of.flag, err)
			}
			out = append(out, list...)
		}
	}
	if len(l.allow) > 0 {
		return out, l.restrict(p, out)
	}
	return out, nil
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
		return advised("--allowlist: its entries leave none of the cases; tokentest list cases shows the names")
	}
	return nil
}

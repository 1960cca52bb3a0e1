package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/pflag"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// lists are the files that select the cases to run and name the known failures.
type lists struct {
	deny, allow, expect []string
	strict              bool
}

func (l *lists) register(fl *pflag.FlagSet) {
	fl.StringArrayVar(&l.deny, "denylist", nil,
		"do not run the cases that `FILE` lists, each with a reason; may be repeated")
	fl.StringArrayVar(&l.allow, "allowlist", nil, "run only the cases that `FILE` lists; may be repeated")
	fl.StringArrayVar(&l.expect, "expect", nil,
		"the cases that `FILE` lists are known to fail, each with its errno; may be repeated")
	fl.BoolVar(&l.strict, "strict-lists", false, "an entry of these lists that matches no case is an error, not a warning")
}

// apply reads the lists and removes the cases from the plan that they exclude.
func (l *lists) apply(ctx context.Context, a *app, p *plan.Plan) ([]result.ListEntry, error) {
	var out []result.ListEntry
	for _, of := range []struct {
		kind  result.ListKind
		flag  string
		names []string
	}{{result.DenyList, "--denylist", l.deny}, {result.AllowList, "--allowlist", l.allow},
		{result.ExpectList, "--expect", l.expect}} {
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
		return out, p.Restrict(out)
	}
	return out, nil
}

// match finds the entries that cover no case. Each is an error or a warning.
func (l *lists) match(ctx context.Context, a *app, p *plan.Plan, list []result.ListEntry) error {
	unmatched, err := p.Match(ctx, list)
	if err != nil {
		return err
	}
	var wrong *multierror.Error
	for _, e := range unmatched {
		text := fmt.Sprintf("%s %s: %q matches no case%s", e.Kind.Flag(), e.Where, e.Pattern, e.Near)
		if l.strict {
			wrong = multierror.Append(wrong, usage.Errorf("%s", text))
		} else {
			fmt.Fprintf(a.stderr, "warning: %s; --strict-lists makes that an error\n", text)
		}
	}
	return wrong.ErrorOrNil()
}

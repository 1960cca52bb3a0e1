package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

// hidden are the rules whose absence no kernel can show, with the reason.
var hidden = map[string]string{
	"btf_load/unprivileged-disabled": "the rule behind it refuses the same",
	"mount/set-unprivileged":         "the rule behind it refuses the same",
	"token_create/no-fd":             "the kernels that decide by it have a known defect there (known_emfile), and die",
}

func (a *app) rulesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rules RUN...",
		Short: "show that each rule of the oracle is held against a kernel",
		Long: `Judge stored runs once more for each rule of the oracle, with that rule left
out. A kernel that decides by the rule must then disagree somewhere. Exit code 1
says that some rule was not noticed: no case of the runs depends on it.`,
		Example: "  tokentest rules results/runs/RUN",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var list []*result.Run
			l := &result.Loader{Worlds: true}
			for _, arg := range args {
				r, err := runs.Load(l, arg)
				if err == nil {
					err = runs.Complete(r, a.note)
				}
				if err != nil {
					return err
				}
				list = append(list, r)
			}
			corpus, err := cases.Load(c.Context())
			if err != nil {
				return err
			}
			return a.rules(c.Context(), list, corpus)
		},
	}
}

func (a *app) rules(ctx context.Context, list []*result.Run, corpus *cases.Corpus) error {
	seen := map[string]*notice{}
	for _, r := range list {
		for _, k := range r.Kernels {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			disagree(k, corpus, seen)
		}
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	all := oracle.Rules()
	for _, rule := range all {
		switch n := seen[rule]; {
		case n != nil:
			fmt.Fprintf(w, "%s\t%d\t%s\n", rule, n.cases, n.example)
		case hidden[rule] != "":
			fmt.Fprintf(w, "%s\t-\t%s\n", rule, hidden[rule])
		default:
			a.code = result.ExitDiffers
			fmt.Fprintf(w, "%s\tNOT NOTICED\t\n", rule)
		}
	}
	fmt.Fprintf(w, "%d of %d rules noticed\n", len(seen), len(all))
	return w.Flush()
}

// notice is the cases that noticed that a rule was left out.
type notice struct {
	cases   int
	example string
}

// disagree counts for each rule the cases that passed and would not without it.
func disagree(k *result.KernelRun, corpus *cases.Corpus, seen map[string]*notice) {
	if k.Facts == nil {
		return
	}
	o := result.NewOmission(k, corpus)
	for _, rule := range oracle.Rules() {
		for was, now := range o.Without(rule) {
			if now.Status == result.Pass && !forgot(was, now) {
				continue
			}
			if seen[rule] == nil {
				seen[rule] = &notice{example: now.ID + " on " + k.Ref + ": " + now.Reason}
			}
			seen[rule].cases++
		}
	}
}

// forgot reports whether the oracle knew the answer of a step and, without
// the rule, does not: a pin alone then makes the case pass.
func forgot(before, after *result.CaseResult) bool {
	for i := range after.Steps {
		if after.Steps[i].Unknown != "" && before.Steps[i].Unknown == "" {
			return true
		}
	}
	return false
}

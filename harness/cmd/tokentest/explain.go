package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/explain"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

type explainFlags struct {
	release, facts string
	arch           string
	diff           bool
	btf            btfFlag
}

func (a *app) explainCmd() *cobra.Command {
	f := &explainFlags{}
	c := &cobra.Command{
		Use:   "explain CASE | explain --diff RELEASE RELEASE [CASE...]",
		Short: "show the world of a case, the rules in the kernel's order, and the pins",
		Long: `Show what the oracle expects of a case: the world, the rules in the kernel's order
with the deciding one marked, and the pins. --facts takes what a kernel of a stored
run reported instead of the description of a release, --btf takes a file,
and a kernel that is on this host is read from its image. An expectation that
contradicts the rules is marked, and the exit code is then 2. --diff counts the
decisions that change between two releases, by the rule that decides on each.`,
		Example: `  tokentest explain map_create/any/owner/CAP_BPF/with/devmap --kernel 6.12
  tokentest explain token_create --facts results/runs/RUN
  tokentest explain --diff 6.12 7.3 prog_load
  tokentest explain --diff 7.3/amd64 7.3/s390x`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case f.diff && f.facts != "":
				return usage.Errorf("--diff compares releases, --facts takes a run: use one of them")
			case f.btf.path != "" && (f.diff || f.facts != ""):
				return usage.Errorf("--btf is of one kernel that does not run: use it without --diff and --facts")
			case f.diff && len(args) < 2:
				return usage.Errorf("--diff: needs two releases")
			case f.diff:
				return a.explainDiff(c.Context(), args)
			case len(args) != 1:
				return usage.Errorf("usage: %s", c.UseLine())
			}
			f.btf.kernel = c.Flags().Changed("kernel")
			if f.arch != "" {
				f.release += "/" + f.arch
			}
			return a.explainCase(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVarP(&f.release, "kernel", "k", defaultRelease,
		"walk the rules of the kernel `RELEASE`, or of the one that a reference names; with --facts, a kernel of the run")
	c.Flags().StringVar(&f.facts, "facts", "", "take the facts of the kernels of a stored `RUN`")
	f.btf.register(c.Flags())
	c.Flags().StringVar(&f.arch, "arch", "", "walk the rules of a kernel on `ARCH`")
	c.Flags().BoolVar(&f.diff, "diff", false, "count the decisions that change between two releases")
	return c
}

func (a *app) explainCase(ctx context.Context, pattern string, f *explainFlags) error {
	var list []*step.Facts
	if f.facts == "" {
		one, err := explain.Describe(ctx, f.btf.source(a, f.release), a.note)
		if err != nil {
			return err
		}
		list = append(list, one)
	} else {
		kernel := ""
		if f.btf.kernel {
			kernel = f.release
		}
		var err error
		if list, err = runs.Facts(f.facts, kernel); err != nil {
			return err
		}
	}
	p, err := a.expand(ctx, oneKernel(f.release, []string{pattern}))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.stdout)
	w := &explain.Explainer{Writer: out}
	err = w.Cases(ctx, named(p.Cases, pattern), list, f.facts != "")
	if w.Contradicted {
		a.code = result.ExitUsage
	}
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return err
}

// named leaves out the controls that a pattern does not name.
func named(list []*cases.Case, pattern string) []*cases.Case {
	if len(list) == 1 || plan.IsFile(pattern) {
		return list
	}
	return slices.DeleteFunc(list, func(c *cases.Case) bool { return !cases.Match(pattern, c.ID) })
}

func (a *app) explainDiff(ctx context.Context, args []string) error {
	var facts [2]*step.Facts
	for i := range facts {
		var err error
		if facts[i], err = explain.FactsAt(args[i]); err != nil {
			return err
		}
	}
	p, err := a.expand(ctx, plan.Request{Kernels: []string{defaultKernel}, Args: args[2:], Full: len(args) == 2})
	if err != nil {
		return err
	}
	a.long(fmt.Sprintf("comparing %s and %s", args[0], args[1]), len(p.Cases))
	return explain.Diff(ctx, a.stdout, facts, p.Cases, a.step)
}

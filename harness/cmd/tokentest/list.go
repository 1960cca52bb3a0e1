package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/explain"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

func (a *app) listCmd() *cobra.Command {
	k := a.kernelListCmd()
	k.Use = "kernels"
	parity := &cobra.Command{
		Use:     "parity",
		Short:   "map the assertions of the kernel's selftests to cases, as Markdown",
		Example: "  tokentest list parity",
		Args:    args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return a.listParity(c.Context()) },
	}
	return group(&cobra.Command{Use: "list", Short: "list cases, kernels or options"}, k, parity, a.listCasesCmd(),
		a.listOptionsCmd())
}

func (a *app) listCasesCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	c := &cobra.Command{
		Use:   "cases [CASE|FILE...]",
		Short: "list the groups of cases, or the names of cases",
		Long: `List the groups of cases, or the names of the cases that are named. With --kernel or
--btf it also lists what that kernel would skip, and why, without booting it.`,
		Example: "  tokentest list cases\n  tokentest list cases 'map_create/any/*/hash' -k deb:6.12",
		RunE: func(c *cobra.Command, args []string) error {
			btf.kernel = c.Flags().Changed("kernel")
			var err error
			if f.kernels, err = btf.name(f.kernels); err != nil {
				return err
			}
			return a.listCases(c.Context(), args, f, btf)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", nil,
		"list what the kernel `REF`, which must be on this host, would skip")
	btf.register(c.Flags())
	return c
}

func (a *app) listParity(ctx context.Context) error {
	c, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	text, err := cases.Parity(c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

func (a *app) listCases(ctx context.Context, args []string, f *runFlags, btf *btfFlag) error {
	var known *explain.Forecast
	switch len(f.kernels) {
	case 0:
	case 1:
		var err error
		if known, err = explain.Foresee(ctx, btf.source(a, f.kernels[0])); err != nil {
			return err
		}
		if known.Away {
			return usage.Errorf("--kernel %s: %s", f.kernels[0], known.Why)
		}
	default:
		return usage.Errorf("list cases: takes one kernel, got %d", len(f.kernels))
	}
	if len(args) == 0 {
		return a.listGroups(ctx, known)
	}
	p, err := expand(ctx, oneKernel(defaultKernel, args))
	if err != nil {
		return err
	}
	for _, c := range p.Cases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Fprintln(a.stdout, c.ID+known.Mark(c))
	}
	if known != nil && known.Facts == nil {
		a.note("what %s lacks is not known: %s", f.kernels[0], known.Why)
	}
	return nil
}

func (a *app) listGroups(ctx context.Context, known *explain.Forecast) error {
	corpus, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var all []*cases.Case
	for _, g := range corpus.Groups {
		fmt.Fprintf(w, "%s\t%d\t%s%s%s\n", g.Name, len(g.Cases), g.About, suiteNote(g), known.Cannot(g.Cases))
		all = append(all, g.Cases...)
	}
	sweeps, err := cases.Sweeps(ctx)
	if err != nil {
		return err
	}
	for _, f := range sweeps {
		fmt.Fprintf(w, "%s\tmany\t%s (with --full)\n", f.Name, f.About)
	}
	if err := w.Flush(); err != nil || known == nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	known.Write(a.stdout, all)
	return nil
}

// suiteNote returns how many cases of a group run without --full, or "" if all do.
func suiteNote(g *cases.Group) string {
	n := 0
	for _, c := range g.Cases {
		if !c.Full {
			n++
		}
	}
	switch n {
	case len(g.Cases):
		return ""
	case 0:
		return " (with --full)"
	}
	return fmt.Sprintf(" (%d without --full)", n)
}

// planFormats are the formats of plan.
var planFormats = []string{"text", "github"}

func (a *app) planCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	format, shards := "text", 1
	c := &cobra.Command{
		Use:   "plan [CASE|FILE...]",
		Short: "show what would run, without QEMU or root",
		Long: `Show what would run, and in which boots. For a kernel on this host, its BTF and its
configuration also show what would be skipped and why, and what the kernel has that
tokentest does not know.`,
		Example: "  tokentest plan --kernel deb:6.12 --kernel deb:7.3 map_create\n  tokentest plan --btf " +
			"/sys/kernel/btf/vmlinux\n  tokentest plan --format github --shards 2",
		RunE: func(c *cobra.Command, args []string) error {
			args, err := f.readFile(c.Flags(), args)
			if err != nil {
				return err
			}
			btf.kernel = c.Flags().Changed("kernel")
			if f.kernels, err = btf.name(f.kernels); err != nil {
				return err
			}
			p, err := expand(c.Context(), f.request(args))
			if err == nil {
				p, err = f.cut(p)
			}
			if err != nil {
				return err
			}
			switch {
			case format == "github":
				return f.githubMatrix(a.stdout, p, shards)
			case format != "text":
				return usage.Errorf("--format %q: must be text or github", format)
			}
			return a.showPlan(c.Context(), p, f, btf)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", []string{defaultKernel}, "boot the kernel `REF`; may be repeated")
	c.Flags().BoolVar(&f.full, "full", false, "every case, not only the default suite")
	c.Flags().IntVar(&f.batch, "batch", 0, "send `N` cases at a time (default 256)")
	c.Flags().StringVarP(&format, "format", "f", format, "text, or github: the JSON of a strategy.matrix")
	c.Flags().IntVar(&shards, "shards", shards, "with --format github: split each kernel in at most `N` jobs")
	f.registerPlan(c.Flags())
	btf.register(c.Flags())
	return c
}

func (a *app) showPlan(ctx context.Context, p *plan.Plan, f *runFlags, btf *btfFlag) error {
	t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if len(p.Kernels) == 0 {
		fmt.Fprintf(t, "part %s: %s\n", p.Shard, result.NothingToDo)
	}
	for i, k := range p.Kernels {
		together, alone := plan.Alone(p.Of(k))
		chosen := plan.ByWorld(together)
		worlds, groups := map[*cases.World]bool{}, map[*cases.Group]int{}
		var order []*cases.Group
		for _, c := range chosen {
			worlds[c.World] = true
			if groups[c.Group] == 0 {
				order = append(order, c.Group)
			}
			groups[c.Group]++
		}
		fmt.Fprintf(t, "boot %d\t%s\t%d cases, %d worlds, %d batches\n", i, k, len(chosen), len(worlds),
			len(plan.Batches(chosen, p.Batch)))
		for _, g := range order {
			fmt.Fprintf(t, "\t%s\t%d\n", g.Name, groups[g])
		}
		for _, c := range alone {
			fmt.Fprintf(t, "alone\t%s\t%s\n", k, c.ID)
		}
		known := &explain.Forecast{Why: "it is built before it boots"}
		if _, variant := f.variants[k]; !variant {
			var err error
			if known, err = explain.Foresee(ctx, btf.source(a, k)); err != nil {
				return err
			}
		}
		known.Write(t, p.Of(k))
		if known.DecidesNothing(p, p.Of(k)) {
			fmt.Fprintf(t, "  nothing would be decided: without --allow-empty a run exits with %d\n", result.ExitNoVerdict)
		}
	}
	return t.Flush()
}

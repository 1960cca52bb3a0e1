package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
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
	return group(&cobra.Command{Use: "list", Short: "list cases, kernels or options"}, k, parity, a.listCasesCmd(), a.listOptionsCmd())
}

func (a *app) listCasesCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	c := &cobra.Command{
		Use:   "cases [CASE|FILE...]",
		Short: "list the groups of cases, or the names of those that are named",
		Long: `List the groups of cases, or the names of those that are named. With --kernel, or
--btf, also what that kernel could not play, and why, without booting it.`,
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
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", nil, "say what the kernel `REF`, which is at hand, could not play")
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
	var known *foreseen
	switch len(f.kernels) {
	case 0:
	case 1:
		var err error
		if known, err = a.foresee(ctx, f.kernels[0], btf); err != nil {
			return err
		}
		if known.away {
			return usage.Errorf("--kernel %s: %s", f.kernels[0], known.why)
		}
	default:
		return usage.Errorf("list cases: want one kernel, got %d", len(f.kernels))
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
		fmt.Fprintln(a.stdout, c.ID+known.mark(c))
	}
	if known != nil && known.facts == nil {
		a.note("what %s lacks is not known: %s", f.kernels[0], known.why)
	}
	return nil
}

func (a *app) listGroups(ctx context.Context, known *foreseen) error {
	corpus, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	var all []*cases.Case
	for _, g := range corpus.Groups {
		fmt.Fprintf(w, "%s\t%d\t%s%s%s\n", g.Name, len(g.Cases), g.About, suiteNote(g), known.cannot(g.Cases))
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
	known.write(a.stdout, all)
	return nil
}

// suiteNote says what of a group runs without --full, where that is not all.
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

func (a *app) planCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	format, shards := "text", 1
	c := &cobra.Command{
		Use:   "plan [CASE|FILE...]",
		Short: "show what would run, without QEMU or root",
		Long: `Show what would run, and in which boots. For a kernel that is at hand its BTF, which
is in the image, and its configuration tell what would be skipped and why, and what
it has that tokentest does not know.`,
		Example: "  tokentest plan --kernel deb:6.12 --kernel deb:7.3 map_create\n  tokentest plan --btf /sys/kernel/btf/vmlinux\n  tokentest plan --format github --shards 2",
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
			case shards < 1:
				return usage.Errorf("--shards %d: want at least 1", shards)
			case format == "github":
				return f.githubMatrix(a.stdout, p, shards)
			case format != "text":
				return usage.Errorf("--format %q: want text or github", format)
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
		fmt.Fprintf(t, "boot %d\t%s\t%d cases, %d worlds, %d batches\n", i, k, len(chosen), len(worlds), len(plan.Batches(chosen, p.Batch)))
		for _, g := range order {
			fmt.Fprintf(t, "\t%s\t%d\n", g.Name, groups[g])
		}
		for _, c := range alone {
			fmt.Fprintf(t, "alone\t%s\t%s\n", k, c.ID)
		}
		known := &foreseen{why: "it is built before it boots"}
		if _, variant := f.variants[k]; !variant {
			var err error
			if known, err = a.foresee(ctx, k, btf); err != nil {
				return err
			}
		}
		known.write(t, p.Of(k))
		if known.decidesNothing(p, p.Of(k)) {
			fmt.Fprintf(t, "  nothing would be decided: without --allow-empty a run exits with %d\n", result.ExitNoVerdict)
		}
	}
	return t.Flush()
}

// explainer writes what the oracle says.
type explainer struct {
	io.Writer
	contradicted bool // some expectation is not what the rules say
}

// explain plays a case as the oracle sees it. The error is the context's cause
// if ctx ends first.
func (w *explainer) explain(ctx context.Context, c *cases.Case, f *step.Facts) error {
	fmt.Fprintf(w, "%s on %s\n%s\n\n", c.ID, f.Release, c.Group.About)
	switch unmet, refuted := c.Unmet(f); {
	case refuted != "":
		fmt.Fprintf(w, "fails: %s\n", refuted)
		return nil
	case unmet != nil:
		fmt.Fprintf(w, "skipped: %s\n", unmet)
		return nil
	}
	for _, actor := range c.World.Program.Actors {
		fmt.Fprintf(w, "actor %s\n", describe(actor, c.World.Program.Actors))
	}
	play := &cases.Player{Facts: f, Explain: true}
	expected, err := play.Setup(c.World)
	if err == nil {
		err = w.steps(ctx, c.World.Info, expected, false)
	}
	if err == nil {
		if expected, err = play.Play(c); err == nil {
			err = w.steps(ctx, c.Info(), expected, true)
		}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w)
	return err
}

// steps writes what each step must show. The error is the context's cause if ctx ends
// first.
func (w *explainer) steps(ctx context.Context, info []cases.StepInfo, expected []sim.Expect, rules bool) error {
	for i := range expected {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.step(&info[i], &expected[i], rules)
	}
	return nil
}

func describe(a step.Actor, all []step.Actor) string {
	where := "in the initial namespaces"
	switch {
	case a.Kind == step.Joins:
		where = "in the namespaces of " + all[a.Parent].Name
	case a.Kind == step.Userns && a.Parent >= 0:
		where = "in a user namespace below that of " + all[a.Parent].Name
	case a.Kind == step.Userns:
		where = "in a user namespace of its own"
	}
	return fmt.Sprintf("%s: %s, kuid %d, capabilities %s", a.Name, where, a.UID, a.Caps)
}

func (w *explainer) step(info *cases.StepInfo, e *sim.Expect, rules bool) {
	fmt.Fprintf(w, "\n%s\n  => %s: %s (%s)\n", info.Text, answer(e), e.Verdict.Rule, e.Verdict.Func)
	if info.Pin != nil {
		fmt.Fprintf(w, "  pinned %s by %s %s\n", info.Pin.Errno, info.Pin.Where, info.Pin.Note)
		if e.Verdict.Known && e.Verdict.Errno != info.Pin.Errno {
			w.contradicted = true
			fmt.Fprintf(w, "  ! the expectation %s contradicts the rules, which say %s\n", info.Pin.Errno, e.Verdict.Errno)
		}
	}
	if !rules {
		return
	}
	for _, l := range e.Trace {
		mark, outcome := " ", l.Errno.String()
		switch {
		case l.Decides:
			mark = "*"
		case l.Holds:
			mark = "+"
		}
		if l.Drops {
			outcome = "drop"
		}
		fmt.Fprintf(w, "  %s %-7s %-40s %s\n", mark, outcome, l.Func, l.Rule)
	}
}

func answer(e *sim.Expect) string {
	if !e.Verdict.Known {
		return "unknown (" + string(e.Verdict.Unknown()) + ")"
	}
	return e.Verdict.Errno.String()
}

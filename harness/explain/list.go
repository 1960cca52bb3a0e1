package explain

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"tokentest/cases"
	"tokentest/harness/count"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// WriteGroups lists the groups of cases. known is what a kernel would skip of them, or nil.
func WriteGroups(ctx context.Context, out io.Writer, known *Forecast) error {
	corpus, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
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
	fmt.Fprintln(out)
	known.Write(out, all)
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

// WritePlan lists what a plan would boot, with what is known of each kernel and what lists deny there. source
// names the kernel of a reference of the plan. wrong are the kernels that cannot be had, as far as that is
// known without the network: *kernel.UsageError.
func WritePlan(ctx context.Context, w io.Writer, p *plan.Plan, lists []result.ListEntry,
	source func(ref string) Source,
) (wrong []error, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(p.Kernels) == 0 {
		fmt.Fprintf(t, "part %s: %s\n", p.Shard, result.NothingToDo)
	}
	for i, k := range p.Kernels {
		known, err := Foresee(ctx, source(k))
		if err != nil {
			return nil, err
		}
		left, denied := deny(lists, k, known, p.Of(k))
		writeBoot(t, p, i, k, left)
		for _, s := range denied {
			fmt.Fprintf(t, "  skip %d: %s\n", len(s.cases), s.reason)
		}
		if known.Wrong != nil {
			wrong = append(wrong, known.Wrong)
		}
		known.Write(t, left)
		if known.DecidesNothing(p, left) {
			fmt.Fprintf(t, "  nothing would be decided: without --allow-empty a run exits with %d\n", result.ExitNoVerdict)
		}
	}
	return wrong, t.Flush()
}

// deny splits the cases of a kernel in those that run and those that a deny list excludes, by reason.
func deny(lists []result.ListEntry, ref string, known *Forecast, list []*cases.Case) (
	left []*cases.Case, denied []*skipped,
) {
	k := &result.KernelRun{Ref: ref}
	if known.Facts != nil {
		k.Release = known.Facts.Release
	}
	for _, c := range list {
		r := result.Denied(lists, k, c)
		if r == nil {
			left = append(left, c)
			continue
		}
		i := slices.IndexFunc(denied, func(s *skipped) bool { return s.reason == r.Reason })
		if i < 0 {
			i, denied = len(denied), append(denied, &skipped{reason: r.Reason})
		}
		denied[i].cases = append(denied[i].cases, c)
	}
	return left, denied
}

// batches is a number of batches.
func batches(n int) string {
	if n == 1 {
		return "1 batch"
	}
	return fmt.Sprintf("%d batches", n)
}

// writeBoot lists the cases of one kernel by group, and those that run alone.
func writeBoot(w io.Writer, p *plan.Plan, i int, k string, list []*cases.Case) {
	together, alone := plan.Alone(list)
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
	fmt.Fprintf(w, "boot %d\t%s\t%s, %s, %s\n", i, k, count.Of(len(chosen), "case"),
		count.Of(len(worlds), "world"), batches(len(plan.Batches(chosen, p.Batch))))
	for _, g := range order {
		fmt.Fprintf(w, "\t%s\t%d\n", g.Name, groups[g])
	}
	for _, c := range alone {
		fmt.Fprintf(w, "alone\t%s\t%s\n", k, c.ID)
	}
}

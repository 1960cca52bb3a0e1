package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"tokentest/harness/count"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
)

// figure is one thing that is timed in every round.
type figure struct {
	name    string
	budget  float64 // of the ratio to the bare boot; 0 is none
	measure func(ctx context.Context, round int, what string) (time.Duration, error)

	times []time.Duration // of the rounds that count
	first time.Duration   // of the first round, which also fills the caches
	why   error           // why the last round is missing
}

// oneCase is the case that is timed alone: a scenario of a few steps.
const oneCase = "nested_userns"

// ratio times the figures alternately, so that a change of the host's speed affects all of
// them. The first round, which may fetch the kernel and builds the images, counts only if
// there is no other.
func (b *bench) ratio(ctx context.Context, p *plan.Plan) error {
	one, err := plan.Load(ctx, plan.Request{Kernels: []string{b.Kernel}, Args: []string{oneCase}})
	if err != nil {
		return err
	}
	l, err := b.lab()
	if err != nil {
		return err
	}
	ways, err := l.Ways(ctx, b.Kernel)
	if err != nil {
		return err
	}
	figures := b.figures(p, one, ways)
	if b.Peers {
		figures = append(figures, b.peerFigures()...)
	}
	outer := ctx
	ctx, cancel := b.limited(ctx, ratioLimit)
	defer cancel()
	for i := 0; i <= b.Rounds; i++ {
		for _, f := range figures {
			which := fmt.Sprintf("round %d of %d", i, b.Rounds)
			if i == 0 {
				which = "first round"
			}
			took, err := f.measure(ctx, i, which+": "+f.name)
			switch why := unmeasured(ctx, err); {
			case err == nil && i == 0:
				f.first = took
			case err == nil:
				f.times = append(f.times, took)
			case why == nil:
				if outer.Err() != nil {
					b.writeRatio(figures)
				}
				return err
			default:
				f.why = why
				b.Log("%s: %s does not count: %v", b.Kernel, which+": "+f.name, why)
			}
			if errors.Is(context.Cause(ctx), errTimeUp) {
				for _, f := range figures {
					f.why = errTimeUp
				}
				b.writeRatio(figures)
				return nil
			}
		}
	}
	b.writeRatio(figures)
	return nil
}

// figures are the timed runs. The others are compared with the first.
func (b *bench) figures(p, one *plan.Plan, ways []lab.Way) []*figure {
	bare := func(entry lab.Entry) func(context.Context, int, string) (time.Duration, error) {
		return func(ctx context.Context, round int, what string) (time.Duration, error) {
			took, err := b.bare(ctx, entry, what)
			if err != nil && round > 0 && ctx.Err() == nil { // it did boot before
				err = &unmeasuredError{err.Error()}
			}
			return took, err
		}
	}
	suite := count.Of(len(p.Cases), "case")
	var list []*figure
	for _, w := range ways {
		list = append(list, &figure{name: "a bare boot " + w.Name, measure: bare(w.Entry)})
	}
	list = append(list, []*figure{
		{name: suite + ", a kernel never run before", budget: 1.2, measure: func(
			ctx context.Context, round int, what string) (time.Duration, error) {
			if err := os.RemoveAll(b.snapshots(round)); err != nil {
				return 0, err
			}
			return b.run(ctx, p, round, what)
		}},
		{name: suite + ", the same kernel again", budget: 0.6, measure: func(
			ctx context.Context, round int, what string) (time.Duration, error) {
			return b.run(ctx, p, round, what)
		}},
		{name: oneCase + ", the same kernel again", budget: 0.2, measure: func(
			ctx context.Context, round int, what string) (time.Duration, error) {
			return b.run(ctx, one, round, what)
		}},
	}...)
	if b.Full || len(b.Args) > 0 { // the budgets are those of the default suite
		for _, f := range list {
			f.budget = 0
		}
	}
	return list
}

// snapshots is the directory of the snapshots of a round.
func (b *bench) snapshots(round int) string {
	return filepath.Join(b.dir, fmt.Sprintf("snapshots%d", round))
}

// run times a run of the plan on the bench's kernel. It starts from the round's snapshot if
// there is one.
func (b *bench) run(ctx context.Context, p *plan.Plan, round int, what string) (time.Duration, error) {
	l, err := b.lab()
	if err != nil {
		return 0, err
	}
	l.Snapshot, l.SnapshotDir = lab.AutoRestore, b.snapshots(round)
	defer b.saying(l, what)()
	start := time.Now()
	r, err := l.Run(ctx, p, nil)
	took := time.Since(start)
	if err == nil {
		err = complete(ctx, r)
	}
	if err != nil {
		return 0, fmt.Errorf("time %s: %w", b.Kernel, err)
	}
	b.aside = append(b.aside, took-r.Kernels[0].Took)
	return took, nil
}

func (b *bench) bare(ctx context.Context, entry lab.Entry, what string) (time.Duration, error) {
	l, err := b.lab()
	if err != nil {
		return 0, err
	}
	l.Entry = entry
	defer b.saying(l, what)()
	took, err := l.Bare(ctx, b.Kernel)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return took, err
}

// writeRatio prints a line for each figure: median, spread and ratio to the bare boot.
func (b *bench) writeRatio(figures []*figure) {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	base := figures[0].median()
	for _, f := range figures {
		times := f.sorted()
		if len(times) == 0 {
			b.missed++
			fmt.Fprintf(w, "%s: %s\tnot measured: %v\n", b.Kernel, f.name, f.why)
			continue
		}
		fmt.Fprintf(w, "%s: %s\t%.2fs\t%.2f to %.2f\t", b.Kernel, f.name, f.median().Seconds(),
			times[0].Seconds(), times[len(times)-1].Seconds())
		if base > 0 {
			fmt.Fprintf(w, "%.2f", f.median().Seconds()/base.Seconds())
		}
		switch {
		case f.budget > 0 && base > 0 && f.median().Seconds()/base.Seconds() > f.budget:
			fmt.Fprintf(w, " (over the budget of %.2f)", f.budget)
		case f.budget > 0:
			fmt.Fprintf(w, " (budget %.2f)", f.budget)
		}
		switch n := len(f.times); {
		case n == 0:
			fmt.Fprintf(w, " (only the first round, which also fills caches: %v)", f.why)
		case n < b.Rounds:
			fmt.Fprintf(w, " (%d of %d rounds: %v)", n, b.Rounds, f.why)
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	if len(b.aside) > 0 {
		fmt.Fprintf(b.out, "%s: time of a run in which no machine runs: %.2fs\n", b.Kernel, median(b.aside).Seconds())
	}
}

// sorted are the times that count.
func (f *figure) sorted() []time.Duration {
	times := slices.Clone(f.times)
	if len(times) == 0 && f.first > 0 {
		times = append(times, f.first)
	}
	slices.Sort(times)
	return times
}

// median is 0 for a figure that was not measured.
func (f *figure) median() time.Duration {
	times := f.sorted()
	if len(times) == 0 {
		return 0
	}
	return median(times)
}

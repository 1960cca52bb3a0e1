package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

func (a *app) benchCmd() *cobra.Command {
	f := &runFlags{}
	rounds, calls := 3, false
	c := &cobra.Command{
		Use:   "bench [CASE|FILE...]",
		Short: "time a run against a bare boot of the same kernel, side by side",
		Long: `Boot a bare image (an init that powers off at once) and run the cases, by
turns, and print the ratio of the medians with its parts.

Without a CASE then run about 1,000 and 10,000 of all cells of matrices and all of
them, each in one boot, and one of each kind of call again and again in another: print
what one decision more costs, beside what its call alone takes in a tight loop, and
this program's peak memory. Scenarios are left out: some make a call a hundred
thousand times.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.bench(c.Context(), args, f, rounds, calls || len(args) == 0)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", []string{defaultKernel}, "boot the kernel `REF`; may be repeated")
	c.Flags().BoolVar(&f.full, "full", false, "time every case against the bare boot, not only the default suite")
	c.Flags().StringVar(&f.accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	c.Flags().BoolVar(&calls, "calls", false, "print what one decision more costs of the named cases, too")
	c.Flags().IntVar(&rounds, "rounds", rounds, "boot each `N` times; 0 leaves the bare boot out")
	return c
}

func (a *app) bench(ctx context.Context, args []string, f *runFlags, rounds int, calls bool) error {
	if err := (&lab.Lab{}).Check(); err != nil {
		return err
	}
	a.keep(ctx)
	kernels := f.kernels
	for _, k := range kernels {
		f.kernels = []string{k}
		if err := a.benchKernel(ctx, args, f, rounds, calls); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) benchKernel(ctx context.Context, args []string, f *runFlags, rounds int, calls bool) error {
	dir, err := os.MkdirTemp("", "tokentest-bench-")
	if err != nil {
		return fmt.Errorf("make a directory for the runs: %w", err)
	}
	defer os.RemoveAll(dir)
	if rounds > 0 {
		p, err := expand(ctx, args, f)
		if err == nil {
			err = a.benchRatio(ctx, p, f.accel, dir, rounds)
		}
		if err != nil {
			return err
		}
	}
	if !calls {
		return nil
	}
	full := *f
	full.full = true
	p, err := expand(ctx, args, &full)
	if err != nil {
		return err
	}
	return a.benchMarginal(ctx, p, f.accel, dir, max(1, rounds))
}

// benchRatio times the cases against a bare boot.
func (a *app) benchRatio(ctx context.Context, p *plan.Plan, accel, dir string, rounds int) error {
	var bare, run, boot, decide, down []time.Duration
	cases := 0
	for i := range rounds + 1 {
		l := &lab.Lab{Dir: fmt.Sprintf("%s/bare%d", dir, i), CacheDir: a.cacheDir, Accel: accel, Log: a.noteOnce}
		b, err := l.Bare(ctx, p.Kernels[0])
		if err != nil {
			return err
		}
		l.Dir = fmt.Sprintf("%s/run%d", dir, i)
		if err := os.MkdirAll(l.Dir, 0o755); err != nil {
			return fmt.Errorf("make a directory for the runs: %w", err)
		}
		start := time.Now()
		r, err := l.Run(ctx, p, nil)
		if err != nil {
			return err
		}
		took := time.Since(start)
		if r.ExitCode() != result.ExitOK {
			return fmt.Errorf("time %s: the run ended with exit code %d", p.Kernels[0], r.ExitCode())
		}
		if i == 0 {
			continue // fills the caches
		}
		m := r.Kernels[0].Boots[0]
		cases = m.Cases
		bare, run, boot = append(bare, b), append(run, took), append(boot, m.Boot)
		decide, down = append(decide, m.Decide), append(down, m.Total-m.Boot-m.Decide)
	}
	ratio := median(run).Seconds() / median(bare).Seconds()
	fmt.Fprintf(a.stdout, "%s: run %.2fs / bare boot %.2fs = %.2f (budget 2.00); boot %.2fs, decide %.2fs (%d cases, %.0f us each), shutdown %.2fs\n",
		p.Kernels[0], median(run).Seconds(), median(bare).Seconds(), ratio, median(boot).Seconds(), median(decide).Seconds(),
		cases, float64(median(decide).Microseconds())/float64(max(cases, 1)), median(down).Seconds())
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

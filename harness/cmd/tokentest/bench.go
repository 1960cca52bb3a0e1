package main

import (
	"context"

	"github.com/spf13/cobra"

	"tokentest/harness/bench"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

func (a *app) benchCmd() *cobra.Command {
	o, kernels := bench.Options{}, []string{defaultKernel}
	c := &cobra.Command{
		Use:   "bench [CASE|FILE...]",
		Short: "time a run against a bare boot of the same kernel",
		Long: `Time by turns a bare boot (an init that powers off at once), from the image and, if
that is a bzImage which QEMU can also enter directly, so; the cases on a kernel that
never ran before, the cases on the same kernel again, and one case. Print medians,
spreads and ratios to the bare boot of the image. A ratio over its budget is marked; it does not change the exit code.

With --peers also time how long "exec", virtme-ng and vimto take to run "uname -r". They
share the host's files with the machine, so they need a kernel with 9p or virtiofs.

With --marginal also run about 1,000 and 10,000 of all cells of matrices (or of the
named ones) and all of them, each in one boot, and each kind of call in a tight loop
in another. Print what one more decision costs, what its call alone costs, and this
program's peak memory. Scenarios are left out: some make a call a hundred thousand
times.

Measuring stops when the time is up. Each figure comes from the rounds that were
complete by then. Exit code 3 says that some figure could not be measured.`,
		Example: "  tokentest bench --rounds 1 token_create\n" +
			"  tokentest bench --marginal --rounds 1 --limit 5m token_create",
		RunE: func(c *cobra.Command, args []string) error {
			o.Args = args
			if err := checkBench(&o); err != nil {
				return err
			}
			return a.bench(c.Context(), kernels, o)
		},
	}
	fl := c.Flags()
	fl.StringArrayVarP(&kernels, "kernel", "k", kernels, "boot the kernel `REF`; may be repeated")
	fl.BoolVar(&o.Full, "full", false, "time every case against the bare boot, not only the default suite")
	fl.StringVar(&o.Lab.Accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	fl.BoolVar(&o.Marginal, "marginal", false, "print what one more decision costs, too, which takes minutes")
	fl.BoolVar(&o.Peers, "peers", false, "also time virtme-ng and vimto, if they are installed, on the same image")
	fl.IntVar(&o.Rounds, "rounds", 3, "boot each `N` times; 0 leaves the bare boot out")
	fl.DurationVar(&o.Limit, "limit", 0,
		"stop measuring each kernel after `TIME` (default 3m, and 12m more with --marginal)")
	return c
}

func checkBench(o *bench.Options) error {
	switch {
	case o.Rounds < 0:
		return usage.Errorf("--rounds %d: must not be negative", o.Rounds)
	case o.Rounds == 0 && o.Peers:
		return usage.Errorf("--rounds 0 with --peers: peers are compared with the bare boot")
	case o.Rounds == 0 && !o.Marginal:
		return usage.Errorf("--rounds 0 without --marginal: nothing to measure")
	}
	return checkAccel(o.Lab.Accel)
}

func (a *app) bench(ctx context.Context, kernels []string, o bench.Options) error {
	if err := (&lab.Lab{Agent: a.agent, Log: a.note}).Check(); err != nil {
		return err
	}
	a.keep(ctx)
	o.Lab.CacheDir, o.Lab.Agent, o.Log = a.cacheDir, a.agent, a.note
	for _, k := range kernels {
		o.Kernel = k
		missed, err := bench.Run(ctx, a.stdout, o)
		if err != nil {
			return err
		}
		if missed > 0 {
			a.code = result.ExitNoVerdict
		}
	}
	return nil
}

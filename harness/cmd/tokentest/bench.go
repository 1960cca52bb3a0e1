package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
)

// benchFlags say what is timed, and for how long.
type benchFlags struct {
	runFlags
	rounds   int
	marginal bool
	limit    time.Duration
}

func (a *app) benchCmd() *cobra.Command {
	f := &benchFlags{}
	c := &cobra.Command{
		Use:   "bench [CASE|FILE...]",
		Short: "time a run against a bare boot of the same kernel",
		Long: `Boot a bare image (an init that powers off at once) and run the cases, alternately,
and print the ratio of the medians with its parts.

With --marginal also run about 1,000 and 10,000 of all cells of matrices (or of the
named ones) and all of them, each in one boot, and each kind of call in a tight loop
in another. Print what one more decision costs, what its call alone costs, and this
program's peak memory. Scenarios are left out: some make a call a hundred thousand
times.

Measuring stops when the time is up. Each figure comes from the rounds that were
complete by then. Exit code 3 says that some figure could not be measured.`,
		Example: "  tokentest bench --rounds 1 token_create\n  tokentest bench --marginal --rounds 1 --limit 5m token_create",
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.checkBench(); err != nil {
				return err
			}
			return a.bench(c.Context(), args, f)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", []string{defaultKernel}, "boot the kernel `REF`; may be repeated")
	c.Flags().BoolVar(&f.full, "full", false, "time every case against the bare boot, not only the default suite")
	c.Flags().StringVar(&f.accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	c.Flags().BoolVar(&f.marginal, "marginal", false, "print what one more decision costs, too, which takes minutes")
	c.Flags().IntVar(&f.rounds, "rounds", 3, "boot each `N` times; 0 leaves the bare boot out")
	c.Flags().DurationVar(&f.limit, "limit", 0, "stop measuring each kernel after `TIME` (default 3m, and 12m more with --marginal)")
	return c
}

func (f *benchFlags) checkBench() error {
	switch {
	case f.rounds < 0:
		return usage.Errorf("--rounds %d: must not be negative", f.rounds)
	case f.rounds == 0 && !f.marginal:
		return usage.Errorf("--rounds 0 without --marginal: nothing to measure")
	case f.limit < 0:
		return usage.Errorf("--limit %s: must be positive", f.limit)
	}
	return f.check()
}

// How long measuring may take by default.
const (
	ratioLimit    = 3 * time.Minute
	marginalLimit = 12 * time.Minute
)

// bench measures one kernel.
type bench struct {
	*app
	*benchFlags
	kernel string
	dir    string // of the runs
	runs   int    // so far
	missed int    // figures that could not be measured
}

func (a *app) bench(ctx context.Context, args []string, f *benchFlags) error {
	if err := (&lab.Lab{}).Check(); err != nil {
		return err
	}
	a.keep(ctx)
	for _, k := range f.kernels {
		b := &bench{app: a, benchFlags: f, kernel: k}
		if err := b.measure(ctx, args); err != nil {
			return err
		}
		if b.missed > 0 {
			a.code = result.ExitNoVerdict
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, args []string) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "tokentest-bench-"); err != nil {
		return fmt.Errorf("make a directory for the runs: %w", err)
	}
	defer os.RemoveAll(b.dir)
	if b.rounds > 0 {
		p, err := b.plan(ctx, args, b.full)
		if err == nil {
			err = b.ratio(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	if !b.marginal {
		return nil
	}
	p, err := b.plan(ctx, args, true)
	if err != nil {
		return err
	}
	return b.marginalCosts(ctx, p)
}

func (b *bench) plan(ctx context.Context, args []string, full bool) (*plan.Plan, error) {
	return expand(ctx, plan.Request{Kernels: []string{b.kernel}, Args: args, Full: full})
}

// errTimeUp is why a measurement ends that takes too long.
var errTimeUp = errors.New("the time was up")

// limited ends measurements when their time is up.
func (b *bench) limited(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	if b.limit > 0 {
		usual = b.limit
	}
	return context.WithTimeoutCause(ctx, usual, errTimeUp)
}

// unmeasured says why a measurement that failed is left out, and the others go
// on; nil means that its error ends the bench.
func unmeasured(ctx context.Context, err error) error {
	var host *unmeasuredError
	switch {
	case errors.Is(context.Cause(ctx), errTimeUp):
		return errTimeUp
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &host):
		return host
	}
	return nil
}

// unmeasuredError is a machine that showed nothing, which may be the fault of a
// busy host.
type unmeasuredError struct{ why string }

func (e *unmeasuredError) Error() string { return e.why }

// sayEvery is how often a measurement says how far it is.
const sayEvery = 10 * time.Second

// saying says what is measured, and then how far it is until it is over.
func (b *bench) saying(l *lab.Lab, what string) (over func()) {
	var mu sync.Mutex
	var at lab.Progress
	l.Progress = func(p lab.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Wrong == nil {
			at = p
		}
	}
	b.note("%s: %s", b.kernel, what)
	start, done := time.Now(), make(chan struct{})
	go func() {
		for t := time.NewTicker(sayEvery); ; {
			select {
			case <-done:
				t.Stop()
				return
			case <-t.C:
				mu.Lock()
				stage := at.Stage
				if at.Total > 0 {
					stage += fmt.Sprintf(", %d of %d cases", at.Done, at.Total)
				}
				mu.Unlock()
				b.note("%s: %s: %s (%s)", b.kernel, what, time.Since(start).Round(time.Second), stage)
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

// lab makes a lab with a directory of its own. Only the first says which
// kernel it is.
func (b *bench) lab() (*lab.Lab, error) {
	l := &lab.Lab{Dir: filepath.Join(b.dir, fmt.Sprint(b.runs)), CacheDir: b.cacheDir, Accel: b.accel}
	if b.runs == 0 {
		l.Log = b.app.note
	}
	b.runs++
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for the runs: %w", err)
	}
	return l, nil
}

// round is a bare boot and a run.
type round struct {
	bare, run time.Duration
	boot      result.Boot // of the run
}

func (r *round) down() time.Duration { return r.boot.Total - r.boot.Boot - r.boot.Decide }

// ratio times the cases against a bare boot. A first round, which may fetch the
// kernel and builds the images, counts only where there is no other.
func (b *bench) ratio(ctx context.Context, p *plan.Plan) error {
	var first, rounds []round
	bare, err := b.bare(ctx, "a bare boot to fill the caches")
	if err != nil {
		return err
	}
	ctx, cancel := b.limited(ctx, ratioLimit)
	defer cancel()
	var why error
	for i := 0; i <= b.rounds && why != errTimeUp; i++ {
		r, err := b.round(ctx, p, i, bare)
		switch {
		case err == nil && i == 0:
			first = append(first, r)
			continue
		case err == nil:
			rounds = append(rounds, r)
			continue
		}
		if why = unmeasured(ctx, err); why == nil {
			if ctx.Err() != nil && len(first) > 0 {
				b.writeRatio(first, rounds, signals.ErrInterrupted)
			}
			return err
		}
		b.note("%s: the round does not count: %v", b.kernel, why)
	}
	b.writeRatio(first, rounds, why)
	return nil
}

func (b *bench) round(ctx context.Context, p *plan.Plan, i int, bare time.Duration) (r round, err error) {
	which := fmt.Sprintf("round %d of %d", i, b.rounds)
	if i == 0 {
		which = "first round"
	} else if bare, err = b.bare(ctx, which+": a bare boot"); err != nil && ctx.Err() == nil {
		return r, &unmeasuredError{err.Error()}
	} else if err != nil {
		return r, err
	}
	l, err := b.lab()
	if err != nil {
		return r, err
	}
	defer b.saying(l, fmt.Sprintf("%s: %d cases", which, len(p.Cases)))()
	start := time.Now()
	run, err := l.Run(ctx, p, nil)
	if err != nil {
		return r, err
	}
	r = round{bare: bare, run: time.Since(start)}
	if err := complete(ctx, run); err != nil {
		return r, fmt.Errorf("time %s: %w", b.kernel, err)
	}
	r.boot = run.Kernels[0].Boots[0]
	return r, nil
}

func (b *bench) bare(ctx context.Context, what string) (time.Duration, error) {
	l, err := b.lab()
	if err != nil {
		return 0, err
	}
	defer b.saying(l, what)()
	took, err := l.Bare(ctx, b.kernel)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return took, err
}

// complete says why a run is none to time: it was not one boot in which all was
// as expected.
func complete(ctx context.Context, r *result.Run) error {
	k := r.Kernels[0]
	switch code := r.ExitCode(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case code == result.ExitDiffers:
		return fmt.Errorf("the run ended with exit code %d", code)
	case k.Error != "":
		return &unmeasuredError{k.Error}
	case code == result.ExitOK && len(k.Boots) == 1:
		return nil
	}
	why := fmt.Sprintf("the run ended with exit code %d after %s", r.ExitCode(), report.Count(len(k.Boots), "boot"))
	for _, boot := range k.Boots {
		if boot.Reason != "" {
			why += fmt.Sprintf("; %s: %s", boot.Fate, boot.Reason)
			break
		}
	}
	return &unmeasuredError{why}
}

func (b *bench) writeRatio(first, rounds []round, why error) {
	of := fmt.Sprintf(" (%d of %d rounds: %v)", len(rounds), b.rounds, why)
	switch {
	case len(rounds) == b.rounds:
		of = ""
	case len(rounds) == 0 && len(first) == 0:
		b.missed++
		fmt.Fprintf(b.stdout, "%s: run / bare boot: not measured: %v\n", b.kernel, why)
		return
	case len(rounds) == 0:
		rounds, of = first, fmt.Sprintf(" (only the first round, which also fills caches: %v)", why)
	}
	mid := func(get func(*round) time.Duration) float64 {
		var all []time.Duration
		for i := range rounds {
			all = append(all, get(&rounds[i]))
		}
		return median(all).Seconds()
	}
	run, bare := mid(func(r *round) time.Duration { return r.run }), mid(func(r *round) time.Duration { return r.bare })
	decide, cases := mid(func(r *round) time.Duration { return r.boot.Decide }), rounds[0].boot.Cases
	fmt.Fprintf(b.stdout, "%s: run %.2fs / bare boot %.2fs = %.2f (budget 2.00); boot %.2fs, decide %.2fs (%d cases, %.0f us each), shutdown %.2fs%s\n",
		b.kernel, run, bare, run/bare, mid(func(r *round) time.Duration { return r.boot.Boot }), decide,
		cases, decide*1e6/float64(max(cases, 1)), mid((*round).down), of)
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

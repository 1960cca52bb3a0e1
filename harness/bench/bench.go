// Package bench times a run against a bare boot of the same kernel, and what one more
// decision costs against what its call costs alone.
//
// It is not a profiler, and it judges no case: a run that is not as expected is not timed.
//
// Start with Run; marginal.go has the costs of one more decision.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/report"
	"tokentest/harness/result"
)

// Options say what to measure.
type Options struct {
	Kernel string   // a reference
	Args   []string // cases, patterns and case files; none means the default suite
	Full   bool     // with no Args: time every case against the bare boot
	// Rounds is how often each run and each bare boot is timed. With 0 only the marginal
	// costs are measured.
	Rounds   int
	Marginal bool // also measure what one more decision costs
	// Limit is how long each of the two measurements may take; 0 means 3 minutes, and 12 for
	// the marginal costs.
	Limit time.Duration
	// Lab holds the settings of the machines. Dir is set for each run.
	Lab lab.Lab
	// Log gets lines that say what is measured. It must not be nil.
	Log func(format string, args ...any)
}

// How long measuring may take by default.
const (
	ratioLimit    = 3 * time.Minute
	marginalLimit = 12 * time.Minute
)

// bench measures one kernel.
type bench struct {
	*Options
	out    io.Writer
	dir    string // of the runs
	runs   int    // so far
	missed int    // figures that could not be measured
}

// Run measures a kernel, and writes the figures to w, one a line. missed is the number of
// figures that could not be measured. If ctx ends it writes the figures that it has.
func Run(ctx context.Context, w io.Writer, o Options) (missed int, err error) {
	b := &bench{Options: &o, out: w}
	err = b.measure(ctx)
	return b.missed, err
}

func (b *bench) measure(ctx context.Context) error {
	var err error
	if b.dir, err = os.MkdirTemp("", "tokentest-bench-"); err != nil {
		return fmt.Errorf("make a directory for the runs: %w", err)
	}
	defer os.RemoveAll(b.dir)
	if b.Rounds > 0 {
		p, err := b.plan(ctx, b.Full)
		if err == nil {
			err = b.ratio(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	if !b.Marginal {
		return nil
	}
	p, err := b.plan(ctx, true)
	if err != nil {
		return err
	}
	return b.marginalCosts(ctx, p)
}

func (b *bench) plan(ctx context.Context, full bool) (*plan.Plan, error) {
	p, err := plan.Load(ctx, plan.Request{Kernels: []string{b.Kernel}, Args: b.Args, Full: full})
	if err == nil {
		debug.SetMemoryLimit(p.Memory())
	}
	return p, err
}

// errTimeUp is why a measurement ends that takes too long.
var errTimeUp = errors.New("the time was up")

// limited ends measurements when their time is up.
func (b *bench) limited(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	if b.Limit > 0 {
		usual = b.Limit
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

// saying logs what is measured, and how far it is until over is called.
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
	b.Log("%s: %s", b.Kernel, what)
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
				b.Log("%s: %s: %s (%s)", b.Kernel, what, time.Since(start).Round(time.Second), stage)
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

// lab makes a lab with a directory of its own. Only the first says which
// kernel it is.
func (b *bench) lab() (*lab.Lab, error) {
	l := b.Lab
	l.Dir = filepath.Join(b.dir, fmt.Sprint(b.runs))
	if b.runs == 0 {
		l.Log = b.Log
	}
	b.runs++
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for the runs: %w", err)
	}
	return &l, nil
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
	for i := 0; i <= b.Rounds && why != errTimeUp; i++ {
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
				b.writeRatio(first, rounds, context.Cause(ctx))
			}
			return err
		}
		b.Log("%s: the round does not count: %v", b.Kernel, why)
	}
	b.writeRatio(first, rounds, why)
	return nil
}

func (b *bench) round(ctx context.Context, p *plan.Plan, i int, bare time.Duration) (r round, err error) {
	which := fmt.Sprintf("round %d of %d", i, b.Rounds)
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
		return r, fmt.Errorf("time %s: %w", b.Kernel, err)
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
	took, err := l.Bare(ctx, b.Kernel)
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return took, err
}

// complete returns an error for a run that cannot be timed: it was not one boot in which all
// was as expected.
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
	of := fmt.Sprintf(" (%d of %d rounds: %v)", len(rounds), b.Rounds, why)
	switch {
	case len(rounds) == b.Rounds:
		of = ""
	case len(rounds) == 0 && len(first) == 0:
		b.missed++
		fmt.Fprintf(b.out, "%s: run / bare boot: not measured: %v\n", b.Kernel, why)
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
	fmt.Fprintf(b.out, "%s: run %.2fs / bare boot %.2fs = %.2f (budget 2.00); boot %.2fs, decide %.2fs (%d cases, "+
		"%.0f us each), shutdown %.2fs%s\n",
		b.Kernel, run, bare, run/bare, mid(func(r *round) time.Duration { return r.boot.Boot }), decide,
		cases, decide*1e6/float64(max(cases, 1)), mid((*round).down), of)
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// Package bench times a run against a bare boot of the same kernel, and what one more
// decision costs against what its call costs alone.
//
// It is not a profiler, and it judges no case: a run with an unexpected result is not timed.
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
	"tokentest/harness/vm"
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
	Peers    bool // with Rounds: also time other programs that boot this kernel
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
	dir    string          // of the runs
	runs   int             // so far
	missed int             // figures that could not be measured
	asked  answer          // of exec, with Peers
	aside  []time.Duration // for each run, the time in which no machine ran
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

// errTimeUp ends a measurement that takes longer than Limit.
var errTimeUp = errors.New("the time was up")

// limited ends measurements when their time is up.
func (b *bench) limited(ctx context.Context, usual time.Duration) (context.Context, context.CancelFunc) {
	if b.Limit > 0 {
		usual = b.Limit
	}
	return context.WithTimeoutCause(ctx, usual, errTimeUp)
}

// unmeasured returns the reason to leave out a measurement that failed and to continue with
// the others. nil means that its error ends the bench.
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

// unmeasuredError means that a machine gave no result; a busy host can be the cause.
type unmeasuredError struct{ why string }

func (e *unmeasuredError) Error() string { return e.why }

// sayEvery is the interval at which a measurement logs its progress.
const sayEvery = 10 * time.Second

// saying logs the current measurement and its progress until over is called.
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

// lab makes a lab with a directory of its own. Only the first lab logs which kernel it
// uses.
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

// complete returns an error for a run that is not timed: a machine died, or a result is not the expected one.
func complete(ctx context.Context, r *result.Run) error {
	k := r.Kernels[0]
	switch code := r.ExitCode(); {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case code == result.ExitDiffers:
		return fmt.Errorf("the run ended with exit code %d", code)
	case k.Error != "":
		return &unmeasuredError{k.Error}
	case r.Undecided(k) != "":
		return &unmeasuredError{r.Undecided(k)}
	case code == result.ExitOK && !slices.ContainsFunc(k.Boots, func(b result.Boot) bool { return b.Fate != vm.Clean }):
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

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// Package client runs a plan on a farm: it makes the parts, offers them, and makes one run of the answers. The run has
// the same records, directory and progress as one of package lab.
//
// It starts no machine. With local:N it starts a server and workers on this host, for tests and demonstrations. Start
// with Run.
package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/signals"
)

// Options are where and how a run is done.
type Options struct {
	On Target
	// Texts are the texts of the user's case files, by their names.
	Texts map[string]string
	// Worlds is how many worlds the plan's seed generates.
	Worlds int
	// PartTime is about how long a part runs, without its boot; 0 means DefaultPartTime.
	PartTime time.Duration
	// Inner says that the run is a step of a command: it ends with ctx, and nothing is left to the farm.
	Inner bool
}

// DefaultPartTime is how long a part runs: so long that its boot costs little, so short that a lost worker does.
const DefaultPartTime = time.Minute

// ErrDetached is the cause of a context that leaves a run to the farm.
var ErrDetached = errors.New("detached")

// errCanceled is the cause of a context that takes a run out of the farm.
var errCanceled = errors.New("canceled")

const (
	look       = time.Second      // for answers
	lookLost   = 10 * time.Second // for parts that are neither queued nor answered
	second     = 3 * time.Second  // to press Ctrl-C again
	tellLonely = 20 * time.Second // that no worker takes the parts
)

// run is one use of a farm.
type run struct {
	*lab.Lab
	plan   *plan.Plan
	o      Options
	queue  *farm.Queue
	state  *state
	record *result.Run
	board  *board
	local  *local // of --on local:N
	done   bool   // the run is complete

	have     map[int]*result.Run  // the parts that have records
	givenUp  map[int]*farm.Answer // the parts that have none, and get none
	flaky    map[int]bool         // reported
	fetched  []string             // the digests of the archives of have
	events   uint64               // the next one to read
	silent   bool                 // the farm does not answer, which was said
	attached time.Time
	lonely   bool // said that no worker takes the parts
}

// Run runs the plan on the farm that o names; args is the command line, for the record. The lab says what a run on this
// host would be. When ctx ends the farm goes on, and the returned run is incomplete, unless the cause is
// lab.ErrFailFast. The errors are those of Lab.Run.
func Run(ctx context.Context, l *lab.Lab, p *plan.Plan, args []string, o Options) (*result.Run, error) {
	r := &run{Lab: l, plan: p, o: o, record: l.Record(p, args), have: map[int]*result.Run{},
		givenUp: map[int]*farm.Answer{}, flaky: map[int]bool{}, attached: time.Now()}
	ctx, leave := r.signals(ctx)
	defer leave()
	if err := r.readState(); err != nil {
		return r.record, err
	}
	stop, err := r.connect(ctx)
	if err != nil {
		return r.record, err
	}
	defer stop()
	if r.state == nil {
		done := r.builders()
		err := r.submit(ctx)
		done(ctx)
		if err != nil {
			return r.record, err
		}
	}
	r.board = newBoard(l, p, r.state)
	quiet, err := r.queue.Listen(r.state.Job, r.board.take)
	if err != nil {
		return r.record, err
	}
	defer quiet()
	failed := r.await(ctx)
	return r.record, errors.Join(failed, r.finish(ctx))
}

// builders makes the farm build the kernels of the run, until done is called. A farm of this host builds nothing that
// this process cannot build as well.
func (r *run) builders() (done func(ctx context.Context)) {
	if r.Elsewhere != nil || r.o.On.Local > 0 || !slices.ContainsFunc(r.plan.Kernels, r.built) {
		return func(context.Context) {}
	}
	f := &Farm{queue: r.queue, log: r.log, blobs: map[string]string{}, job: newFarmJob("kernels of a run")}
	var err error
	if f.build, err = farm.Build(); err == nil {
		f.dir, err = os.MkdirTemp("", "tokentest-farm-*")
	}
	if err != nil {
		r.log("build here: %v", err)
		return func(context.Context) {}
	}
	l := *r.Lab
	l.Elsewhere = f.Build
	r.Lab = &l
	return func(ctx context.Context) {
		after, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer stop()
		f.end(after, ctx.Err() != nil)
		os.RemoveAll(f.dir)
	}
}

// built reports whether a kernel is built from source.
func (r *run) built(ref string) bool {
	if v, ok := r.Variants[ref]; ok {
		ref = v.Ref
	}
	return kernel.IsBuilt(ref)
}

// signals makes a context that Ctrl-C ends: once leaves the run to the farm, twice takes it out of there. A farm of
// this host ends with the command.
func (r *run) signals(ctx context.Context) (context.Context, func()) {
	if r.o.On.Local > 0 || r.o.Inner {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	pressed := make(chan struct{}, 2)
	leave := signals.Of(ctx).Take(func(s os.Signal) bool {
		if s != os.Interrupt {
			return false
		}
		select {
		case pressed <- struct{}{}:
			return true
		default:
			return false
		}
	})
	go func() {
		select {
		case <-pressed:
		case <-ctx.Done():
			return
		}
		r.log("the run goes on in the farm; press Ctrl-C again within %s to cancel it", second)
		select {
		case <-pressed:
			end(errCanceled)
		case <-time.After(second):
			end(ErrDetached)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		leave()
		end(nil)
	}
}

func (r *run) log(format string, args ...any) {
	if r.Log != nil {
		r.Log(format, args...)
	}
}

// await takes the answers until each part has one, or ctx ends.
func (r *run) await(ctx context.Context) error {
	lost := time.NewTicker(lookLost)
	defer lost.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	if err := r.offerMissing(ctx); err != nil {
		r.away(ctx, err)
	}
	for {
		err := r.answers(ctx)
		if err == nil && len(r.have)+len(r.givenUp) == len(r.state.Parts) {
			return nil
		}
		r.away(ctx, err)
		if err := r.workersLeft(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-lost.C:
			r.away(ctx, errors.Join(r.repair(ctx), r.offerMissing(ctx)))
			if err := r.lonesome(ctx); err != nil {
				return err
			}
		case <-tick.C:
		}
	}
}

// away says once that the farm does not answer.
func (r *run) away(ctx context.Context, err error) {
	switch {
	case err == nil:
		if r.silent {
			r.log("the farm answers again")
		}
		r.silent = false
	case ctx.Err() == nil && !r.silent:
		r.silent = true
		r.log("the farm does not answer, and is asked again: %v", err)
	}
}

// workersLeft returns an error if all workers of a farm on this host have ended.
func (r *run) workersLeft() error {
	if r.local == nil || r.local.running() > 0 {
		return nil
	}
	return fmt.Errorf("all workers of this host's farm ended: %s/worker*.log say why; tokentest run --resume %s goes on",
		r.local.dir, r.Dir)
}

// lonesome says once that no worker takes the parts, and why. On a farm of this host that is an error: no other comes.
func (r *run) lonesome(ctx context.Context) error {
	if r.lonely || len(r.have) > 0 || r.board.heard() || time.Since(r.attached) < tellLonely {
		return nil
	}
	workers, err := r.queue.Workers(ctx, look)
	if err != nil {
		return nil
	}
	build, other := r.state.Parts[0].Class.Build, 0
	for _, w := range workers {
		if w.Take(r.state.Parts[0].Class) {
			return nil
		}
		if w.Build != build {
			other++
		}
	}
	r.lonely = true
	if r.local != nil {
		return fmt.Errorf("no worker of this host's farm can take the parts: they need %s", r.state.Parts[0].Class)
	}
	switch {
	case len(workers) == 0:
		r.log("no worker is there: start one with tokentest worker URL")
	case other > 0:
		r.log("no worker can take the parts: %d of %d are of another build of tokentest", other, len(workers))
	default:
		r.log("none of %d workers can take the parts: they need %s", len(workers), r.state.Parts[0].Class)
	}
	return nil
}

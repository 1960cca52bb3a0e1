package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// stopped says why the run is incomplete: the cause of the context, if parts are missing.
func stopped(ctx context.Context) (why result.Stop, canceled bool) {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, lab.ErrFailFast):
		return result.StopFailFast, true
	case errors.Is(cause, errCanceled):
		return result.StopSignal, true
	}
	return result.StopDetached, false
}

// finish makes one run of the parts, and stores it. What has no answer is interrupted.
func (r *run) finish(ctx context.Context) error {
	complete := len(r.have)+len(r.givenUp) == len(r.state.Parts)
	why, canceled := stopped(ctx)
	if r.o.Inner && why == result.StopDetached {
		why, canceled = result.StopSignal, true
	}
	if r.o.On.Local > 0 && why == result.StopDetached {
		why = result.StopSignal
	}
	after, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer stop()
	var err error
	switch {
	case complete:
		r.queue.SetJob(after, r.job(farm.Ended)) // only farm status shows it
	case canceled:
		err = r.queue.Cancel(after, r.job(farm.Canceled))
	}
	parts := r.parts(after)
	if err := errors.Join(err, r.merge(parts, why)); err != nil {
		return err
	}
	r.record.End = time.Now().UTC()
	if r.record.Interrupted = !complete; !complete {
		r.record.Stopped, r.record.Resume = why, []string{r.Dir}
	}
	if canceled {
		r.record.Resume = nil
	}
	if err := r.store(complete); err != nil {
		return err
	}
	if complete || canceled {
		r.done = true
		r.release(ctx)
		return r.clean()
	}
	return nil
}

// release gives the farm the room back that the archives of the run take. What it does not reach expires.
func (r *run) release(ctx context.Context) {
	if r.local != nil {
		return // it ends now
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
	defer stop()
	for _, digest := range r.fetched {
		if r.queue.Drop(ctx, digest) != nil {
			return
		}
	}
}

// releaseWithin is how long a run that is complete may take for that.
const releaseWithin = time.Minute

// farewell is how long the farm may take to hear that a run ends.
const farewell = 8 * time.Second

// parts are the records of the parts in their order, and behind them those of second answers that differ.
func (r *run) parts(ctx context.Context) []*result.Run {
	var out []*result.Run
	for _, n := range slices.Sorted(maps.Keys(r.have)) {
		out = append(out, r.have[n])
	}
	more, err := r.differing(ctx)
	if err != nil {
		r.log("look for second answers: %v", err)
	}
	return append(out, more...)
}

// merge makes the record of the whole run.
func (r *run) merge(parts []*result.Run, why result.Stop) error {
	took := map[string]time.Duration{}
	for _, p := range parts {
		took[p.Kernels[0].Ref] += p.Kernels[0].Took
	}
	onceEach(parts)
	of := map[string]*result.KernelRun{}
	if len(parts) > 0 {
		whole, err := result.Merge(parts)
		if err != nil {
			return err
		}
		for _, k := range whole.Kernels {
			of[k.Ref] = k
		}
		r.record.Tool, r.record.QEMU = whole.Tool, whole.QEMU
		r.place(whole)
	}
	r.record.Kernels = nil
	for i, ref := range r.plan.Kernels {
		k := cmp.Or(of[ref], r.state.Kernels[i])
		if k.Error == "" {
			lab.Arrange(k, r.ordered(i), r.missing(i, why))
			k.Took = took[ref]
		}
		r.record.Kernels = append(r.record.Kernels, k)
	}
	return nil
}

// place makes the names of the boots' directories relative to that of the run.
func (r *run) place(whole *result.Run) {
	for _, k := range whole.Kernels {
		for i := range k.Boots {
			b := &k.Boots[i]
			if rel, err := filepath.Rel(r.Dir, filepath.Join(whole.Dir, b.Dir)); err == nil {
				b.Dir = rel
			}
		}
	}
}

// store writes the record. The directories of a complete run's boots then are where a run on this host has them.
func (r *run) store(complete bool) error {
	if complete {
		if err := r.move(); err != nil {
			return fmt.Errorf("move the parts to their places: %w", err)
		}
	}
	create := result.Create
	if r.Resume {
		create = result.Recreate
	}
	s, err := create(r.Dir)
	if err != nil {
		return err
	}
	for i, k := range r.record.Kernels {
		if err := s.Append(i, k); err != nil {
			return errors.Join(err, s.Abandon())
		}
	}
	return s.Close(r.record)
}

// move moves the boots of each part to the directory of its kernel; of a kernel with several parts, each has a
// directory there.
func (r *run) move() error {
	several := map[int]int{}
	for _, of := range r.state.Of {
		several[of]++
	}
	for n := range r.have {
		index := r.state.Of[n]
		to := fmt.Sprintf("kernel%d", index)
		if several[index] > 1 {
			to = filepath.Join(to, fmt.Sprintf("part%d", n))
		}
		if err := r.moveOne(index, filepath.Join(partsDir, fmt.Sprint(n), "kernel0"), to); err != nil {
			return err
		}
		again := filepath.Join(partsDir, fmt.Sprintf("%d-again", n), "kernel0")
		if err := r.moveOne(index, again, filepath.Join(to, "again")); err != nil {
			return err
		}
	}
	return nil
}

// moveOne moves a directory below that of the run, if it is there, and names the boots in it anew.
func (r *run) moveOne(index int, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(r.Dir, to)), 0o755); err != nil {
		return err
	}
	err := os.Rename(filepath.Join(r.Dir, from), filepath.Join(r.Dir, to))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range r.record.Kernels[index].Boots {
		b := &r.record.Kernels[index].Boots[i]
		if rest, ok := strings.CutPrefix(b.Dir, from+"/"); ok {
			b.Dir = filepath.Join(to, rest)
		}
	}
	return nil
}

// clean removes what only an incomplete run needs.
func (r *run) clean() error {
	return errors.Join(os.RemoveAll(filepath.Join(r.Dir, partsDir)), os.Remove(filepath.Join(r.Dir, stateFile)))
}

// world is a set-up of a kernel.
type world struct {
	group string
	index int
}

// onceEach leaves out the set-ups that an earlier part of the kernel has: in one run of all cases there is one.
func onceEach(parts []*result.Run) {
	seen := map[string]map[world]bool{}
	for _, p := range parts {
		for _, k := range p.Kernels {
			if seen[k.Ref] == nil {
				seen[k.Ref] = map[world]bool{}
			}
			before := maps.Clone(seen[k.Ref])
			k.Worlds = slices.DeleteFunc(k.Worlds, func(w result.WorldResult) bool {
				seen[k.Ref][world{w.Group, w.Index}] = true
				return before[world{w.Group, w.Index}]
			})
		}
	}
}

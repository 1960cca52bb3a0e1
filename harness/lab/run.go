package lab

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tokentest/harness/arch"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// runner is one use of a Lab.
type runner struct {
	lab       *Lab
	times     map[string]float64 // what earlier runs took, when this one began
	memory    *memory            // of the machines together; nil means that Jobs alone limits them
	deadlines deadlines
}

// deadlines are how long a guest may take under KVM.
type deadlines struct {
	batch time.Duration // for the answer to a batch of cases, or for a further part of a long step
	hello time.Duration // for the hello of an agent that runs a program
	alive time.Duration // between two records of such an agent
}

var usualDeadlines = deadlines{batch: 10 * time.Second, hello: 5 * time.Minute, alive: 15 * wire.AliveEvery}

func (l *Lab) runner() *runner { return &runner{lab: l, deadlines: usualDeadlines} }

// Run runs the plan; args is the command line, for the record. When ctx ends, Run stops
// the machines and keeps the records so far. An error is the host's fault: a store that
// cannot be written, or ErrStale. What goes wrong with a kernel is in the returned run.
func (l *Lab) Run(ctx context.Context, p *plan.Plan, args []string) (*result.Run, error) {
	return l.runner().run(ctx, p, args)
}

func (r *runner) run(ctx context.Context, p *plan.Plan, args []string) (*result.Run, error) {
	l := r.lab
	run := l.newRun(p, args)
	if err := checkPrograms(p); err != nil {
		return run, err
	}
	qemu := make(chan string, 1) // QEMU prints its version slowly; it has the whole run for that
	of := arch.Default
	if len(p.Kernels) > 0 {
		of = l.archOf(p.Kernels[0])
	}
	go func() { qemu <- vm.QEMUVersion(ctx, cmp.Or(l.QEMU, of.QEMU.Program)) }()
	create := result.Create
	if l.Resume {
		create = result.Recreate
	}
	store, err := create(l.Dir)
	if err != nil {
		return run, err
	}
	err = r.kernels(ctx, p, run, store)
	if run.QEMU = <-qemu; err != nil {
		err = errors.Join(err, store.Abandon())
	} else {
		if run.End = time.Now().UTC(); run.Interrupted {
			run.Resume = []string{l.Dir}
		}
		err = store.Close(run)
	}
	if err != nil && !errors.Is(err, ErrStale) {
		keepFailure(l.Dir, err)
	}
	return run, err
}

// kernels runs the plan's kernels, several at a time, the longest first, so that none
// runs alone at the end. The results are in the plan's order.
func (r *runner) kernels(ctx context.Context, p *plan.Plan, run *result.Run, store *result.Store) error {
	l := r.lab
	run.Kernels = make([]*result.KernelRun, len(p.Kernels))
	times := l.readTimes()
	r.times = maps.Clone(times)
	var mu sync.Mutex // protects run, times and the store
	var group errgroup.Group
	if l.Jobs == 0 {
		r.memory = newMemory(availableMiB())
	}
	group.SetLimit(cmp.Or(l.Jobs, runtime.GOMAXPROCS(0)))
	for _, i := range l.longestFirst(p, times) {
		group.Go(func() error {
			if ctx.Err() != nil && !l.Resume {
				ref := p.Kernels[i]
				run.Kernels[i] = &result.KernelRun{Ref: ref, Planned: len(p.Of(ref)), Error: stopOf(ctx).Kernel()}
				return nil
			}
			k := r.kernel(ctx, p.Kernels[i], p, i)
			mu.Lock()
			defer mu.Unlock()
			run.Kernels[i], run.Tool = k.KernelRun, cmp.Or(k.tool, run.Tool)
			run.Interrupted = run.Interrupted || k.incomplete
			if k.Error == "" && ctx.Err() == nil {
				times[l.timeKey(p, i)] = k.took.Seconds()
				maps.Copy(times, k.learned)
			}
			return cmp.Or(k.stale, store.Append(i, k.KernelRun))
		})
	}
	err := group.Wait()
	if ctx.Err() != nil {
		run.Interrupted, run.Stopped = true, stopOf(ctx)
	}
	l.writeTimes(times)
	return err
}

// ErrFailFast is the cause of a context that ends a run at its first failure.
var ErrFailFast = errors.New("--failfast")

// stopOf says why a context ended a run.
func stopOf(ctx context.Context) result.Stop {
	if errors.Is(context.Cause(ctx), ErrFailFast) {
		return result.StopFailFast
	}
	return result.StopSignal
}

// kernelOutcome is the outcome of one kernel.
type kernelOutcome struct {
	*result.KernelRun
	took       time.Duration // the time of its machines
	tool       string        // the build id of the image
	learned    map[string]float64
	stale      error // why the run cannot be resumed
	incomplete bool  // the kernel could not be resumed; this is what the run had of it
}

// kernel runs the plan's cases on one kernel. Whatever goes wrong is in the outcome.
func (r *runner) kernel(ctx context.Context, ref string, p *plan.Plan, index int) *kernelOutcome {
	l := r.lab
	out := &result.KernelRun{Ref: ref, Append: l.Append, Planned: len(p.Of(ref))}
	l.progress(Progress{Kernel: ref, Stage: "resolve", Total: len(p.Of(ref))})
	own := &result.Run{}
	t, err := r.prepare(ctx, ref, out, own)
	if err != nil {
		if kept := l.kept(ctx, ref, p, index, err); kept != nil {
			return kept
		}
		untried(ctx, out, err)
		return &kernelOutcome{KernelRun: out, tool: own.Tool}
	}
	t.dir = filepath.Join(l.Dir, kernelDir(index))
	if t.lanes = r.lanesFor(p, t); l.Resume {
		t.lanes = t.lanesBefore(t.lanes)
	}
	release, err := r.admit(ctx, t)
	if err != nil {
		if kept := l.kept(ctx, ref, p, index, err); kept != nil {
			return kept
		}
		out.Error = stopOf(ctx).Kernel()
		return &kernelOutcome{KernelRun: out, tool: own.Tool}
	}
	defer release()
	t.pace = r.paceOf(t, p)
	start := time.Now()
	t.keepKernel()
	t.readImageFacts()
	t.repeat(ctx, plan.ByWorld(p.Of(ref)), p.Batch)
	t.compareImageFacts()
	took := time.Since(start)
	end := &kernelOutcome{KernelRun: out, took: took, tool: own.Tool, stale: t.stale}
	if !l.Resume { // else it is not what the machines took
		out.Took, end.learned = took, t.learned(took)
	}
	return end
}

// prepare is Lab.prepare with the runner's deadlines.
func (r *runner) prepare(ctx context.Context, ref string, out *result.KernelRun, run *result.Run) (*trial, error) {
	t, err := r.lab.prepare(ctx, ref, out, run)
	if err != nil {
		return nil, err
	}
	t.deadlines = r.deadlines
	return t, nil
}

// admit waits until the host has memory for a machine of the kernel, unless the user set
// Jobs. The caller calls release when its machines are gone.
func (r *runner) admit(ctx context.Context, t *trial) (release func(), err error) {
	if r.memory == nil {
		return func() {}, nil
	}
	need := t.lanes * (t.memMiB + qemuMiB)
	return r.memory.take(ctx, need-qemuMiB, func() {
		r.lab.log("%s is waiting for memory (needs %d MiB); --jobs N runs N machines at a time whatever they need",
			t.out.Ref, need)
	})
}

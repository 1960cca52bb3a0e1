package cover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"tokentest/cases"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// part is how many cases of TraceParts share a machine: a machine takes about as long to start as a hundred of them.
const part = 1000

// TraceParts runs cases a thousand at a time, in the order of plan.ByWorld, on jobs machines at a time; 0 means one for
// each processor. It returns which thousand executes which of the instructions insns, by their addresses, and knows
// nothing of others. QEMU logs only what it translates, so this takes little longer than a run, but all cases of a
// thousand count. Cases that need a machine of their own are left out. The cache keeps traces as for TraceCases.
func (c *Code) TraceParts(ctx context.Context, o Options, insns []uint64, jobs int) (*Traces, error) {
	l := o.Machines()
	l.Log = nil // it would say for each machine what the kernel is
	saved, err := l.Saved(ctx, o.Kernel)
	if err != nil {
		return nil, fmt.Errorf("find the saved machine of %s: %w", o.Kernel, err)
	}
	p, err := plan.Load(ctx, o.Request())
	if err != nil {
		return nil, err
	}
	path, err := o.tracesPath(c, p, saved.Digest, insns)
	if err != nil {
		return nil, err
	}
	if t := recall[Traces](path); t != nil {
		t.Index(&Code{})
		return t, nil
	}
	together, _ := plan.Alone(p.Cases)
	parts := slices.Collect(slices.Chunk(plan.ByWorld(together), part))
	o.Log("%s: looking at what %d cases execute, %d at a time", o.Kernel, len(together), part)
	t, err := traceParts(parts, insns, jobs, func(list []*cases.Case) (Executed, error) {
		return c.executed(ctx, l, p.Just(guarded(list)))
	})
	if err != nil {
		return nil, err
	}
	if err := keep(path, t); err != nil {
		o.Log("cache the traces of %s: %v", o.Kernel, err)
	}
	return t, nil
}

// guarded adds the controls of cases that lack them, and theirs, without which no case counts.
func guarded(list []*cases.Case) []*cases.Case {
	all := slices.Clip(list)
	has := map[*cases.Case]bool{}
	for _, c := range list {
		has[c] = true
	}
	for i := 0; i < len(all); i++ {
		for _, g := range all[i].Guards() {
			if !has[g] {
				has[g] = true
				all = append(all, g)
			}
		}
	}
	return all
}

// traceParts calls run with each part.
func traceParts(
	parts [][]*cases.Case, insns []uint64, jobs int, run func([]*cases.Case) (Executed, error),
) (*Traces, error) {
	t := &Traces{Spans: make([]Span, len(parts))}
	for _, at := range insns {
		t.Blocks = append(t.Blocks, Block{Insns: []uint64{at}})
	}
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	var mu sync.Mutex
	var failed *multierror.Error
	var wait sync.WaitGroup
	next := make(chan int)
	for range jobs {
		wait.Go(func() {
			for n := range next {
				start := time.Now()
				x, err := run(parts[n])
				mu.Lock()
				failed = multierror.Append(failed, err)
				t.took(time.Since(start))
				for _, c := range parts[n] {
					t.Spans[n].Cases = append(t.Spans[n].Cases, c.ID)
				}
				for i, at := range insns {
					if x.Has(at) {
						t.Blocks[i].Spans = append(t.Blocks[i].Spans, int32(n))
					}
				}
				mu.Unlock()
			}
		})
	}
	for n := range parts {
		mu.Lock()
		stop := failed.ErrorOrNil() != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- n
	}
	close(next)
	wait.Wait()
	if err := failed.ErrorOrNil(); err != nil {
		return nil, err
	}
	for i := range t.Blocks {
		slices.Sort(t.Blocks[i].Spans)
	}
	t.Index(&Code{})
	return t, nil
}

// took keeps the longest time.
func (t *Traces) took(d time.Duration) { t.Took = max(t.Took, d) }

// executed runs a plan in a directory of its own, and returns what it executes of the code.
func (c *Code) executed(ctx context.Context, l lab.Lab, p *plan.Plan) (Executed, error) {
	dir, err := os.MkdirTemp(l.Dir, "part-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a part of the cases: %w", err)
	}
	defer os.RemoveAll(dir)
	l.Dir, l.Trace, l.Jobs = dir, c.Ranges(), 1
	run, err := l.Run(ctx, p, nil)
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case run.Kernels[0].Error != "":
		return nil, errors.New(run.Kernels[0].Error)
	case run.Undecided(run.Kernels[0]) != "":
		return nil, nil
	case run.ExitCode() != result.ExitOK:
		return nil, notClean(run)
	}
	x := Executed{}
	if err := x.boots(dir, run.Kernels[0]); err != nil {
		return nil, err
	}
	return x, c.Check(x)
}

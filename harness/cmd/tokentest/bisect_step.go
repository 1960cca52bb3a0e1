package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tokentest/harness/bisect"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/signals"
	"tokentest/harness/vm"
)

// try tests a candidate: it builds or fetches it, and runs it unless the same
// image was run before.
func (b *bisection) try(ctx context.Context, id string) (bisect.Test, error) {
	t, k, err := b.ask(ctx, id)
	for runs := 1; err == nil && k != nil; runs++ {
		t.Outcome, t.Why = b.pred.Judge(k)
		t.Runs = runs
		if t.Outcome == bisect.Bad {
			t.Bads = 1
		}
		if t.Outcome != bisect.Good || runs >= b.q.Repeat {
			break
		}
		var again bisect.Test
		if again, k, err = b.ask(ctx, id); k == nil && err == nil {
			t.Outcome, t.Why, t.Unbooted = again.Outcome, again.Why, again.Unbooted
		}
	}
	b.done = append(b.done, t)
	b.done[len(b.done)-1].ID = id
	return t, err
}

// ask runs a candidate once. There is no run when the candidate says nothing,
// or is the same as one before.
func (b *bisection) ask(ctx context.Context, id string) (bisect.Test, *result.KernelRun, error) {
	ref, k, err := b.field.kernel(ctx, id)
	if why := unfit(err); why != "" {
		return bisect.Test{Outcome: bisect.Skip, Why: why}, nil, nil
	}
	if err != nil {
		return bisect.Test{}, nil, err
	}
	t := bisect.Test{Digest: k.Digest, Release: k.Release}
	for _, before := range b.done {
		if before.Digest == k.Digest && before.ID != id && before.Outcome != bisect.Skip && b.q.Repeat == 1 {
			t.Outcome, t.SameAs = before.Outcome, before.ID
			t.Why = "the same image as " + b.field.name(ctx, before.ID)
			return t, nil, nil
		}
	}
	out, dir, err := b.boot(ctx, id, ref)
	if err != nil {
		return t, nil, err
	}
	t.Run = dir
	if why, unbooted := speechless(out); why != "" {
		t.Outcome, t.Why, t.Unbooted = bisect.Skip, why, unbooted
		return t, nil, nil
	}
	return t, out, nil
}

// unfit says why a source makes no kernel, "" when that is the host's fault.
func unfit(err error) string {
	var build *kernel.BuildError
	var config *kernel.ConfigError
	var none *kernel.NoKernelError
	switch {
	case errors.As(err, &build):
		return "it does not compile: " + build.Lines[0]
	case errors.As(err, &config):
		return "it cannot be configured: " + config.Lost[0]
	case errors.As(err, &none):
		return "it is no kernel: " + none.Why
	}
	return ""
}

// speechless says why a kernel that was run says nothing as a whole, and
// whether it does not boot.
func speechless(k *result.KernelRun) (why string, unbooted bool) {
	if k.Unbuilt {
		return k.Error, false
	}
	for _, boot := range k.Boots {
		if boot.Fate == vm.Unbooted {
			return "it does not boot: " + boot.Reason, true
		}
	}
	return "", false
}

// boot runs the cases on a kernel. Its error is the host's.
func (b *bisection) boot(ctx context.Context, id, ref string) (*result.KernelRun, string, error) {
	old, err := filepath.Glob(filepath.Join(b.dir, "run[0-9]*"))
	if err != nil {
		return nil, "", err
	}
	name := fmt.Sprintf("run%d", len(old))
	dir, err := runs.MakeDir(filepath.Join(b.dir, name))
	if err != nil {
		return nil, "", err
	}
	p, err := expand(ctx, plan.Request{Kernels: []string{ref}, Args: b.q.Patterns, Full: b.q.Full})
	if err != nil {
		return nil, "", err
	}
	cache, err := b.makeCache()
	if err != nil {
		return nil, "", err
	}
	l := &lab.Lab{Dir: dir, CacheDir: cache, QEMU: b.f.run.qemu, Accel: b.f.run.accel, Deadline: b.f.run.deadline,
		Offline: b.f.run.offline, Log: b.noteOnce}
	r, err := l.Run(ctx, p, append([]string{"tokentest"}, os.Args[1:]...))
	if err != nil {
		return nil, "", err
	}
	if ctx.Err() != nil || r.Interrupted {
		return nil, "", signals.ErrInterrupted
	}
	k := r.Kernels[0]
	for _, boot := range k.Boots {
		if boot.Fate == vm.Infra && boot.Host == nil {
			return nil, "", fmt.Errorf("boot %s: %s", b.field.name(ctx, id), boot.Reason)
		}
	}
	if k.Error != "" && !k.Unbuilt {
		return nil, "", fmt.Errorf("boot %s: %s", b.field.name(ctx, id), k.Error)
	}
	return k, name, nil
}

// stored reads the run of a test.
func (b *bisection) stored(t bisect.Test) (*result.KernelRun, error) {
	r, err := runs.Load(&result.Loader{}, filepath.Join(b.dir, t.Run))
	if err == nil {
		err = runs.Complete(r, b.note)
	}
	if err != nil {
		return nil, err
	}
	if len(r.Kernels) != 1 {
		return nil, fmt.Errorf("%s holds %d kernels, want 1", strings.TrimSuffix(r.Dir, "/"), len(r.Kernels))
	}
	return r.Kernels[0], nil
}

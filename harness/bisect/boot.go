package bisect

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/vm"
)

// try tests a candidate: it builds or fetches it, and runs it unless the same image was run
// before.
func (d *driver) try(ctx context.Context, id string) (Test, error) {
	t, k, err := d.ask(ctx, id)
	for n := 1; err == nil && k != nil; n++ {
		t.Outcome, t.Why = d.pred.Judge(k)
		t.Runs = n
		if t.Outcome == Bad {
			t.Bads = 1
		}
		if t.Outcome != Good || n >= d.q.Repeat {
			break
		}
		var again Test
		if again, k, err = d.ask(ctx, id); k == nil && err == nil {
			t.Outcome, t.Why, t.Unbooted = again.Outcome, again.Why, again.Unbooted
		}
	}
	d.done = append(d.done, t)
	d.done[len(d.done)-1].ID = id
	return t, err
}

// ask runs a candidate once. It returns no run if the candidate says nothing, or has the same
// image as one before.
func (d *driver) ask(ctx context.Context, id string) (Test, *result.KernelRun, error) {
	ref, k, err := d.field.kernel(ctx, id)
	if why := unfit(err); why != "" {
		return Test{Outcome: Skip, Why: why}, nil, nil
	}
	if err != nil {
		return Test{}, nil, err
	}
	t := Test{Digest: k.Digest, Release: k.Release}
	for _, before := range d.done {
		if before.Digest == k.Digest && before.ID != id && before.Outcome != Skip && d.q.Repeat == 1 {
			t.Outcome, t.SameAs = before.Outcome, before.ID
			t.Why = "the same image as " + d.field.name(ctx, before.ID)
			return t, nil, nil
		}
	}
	out, dir, err := d.boot(ctx, id, ref)
	if err != nil {
		return t, nil, err
	}
	t.Run = dir
	if why, unbooted := speechless(out); why != "" {
		t.Outcome, t.Why, t.Unbooted = Skip, why, unbooted
		return t, nil, nil
	}
	return t, out, nil
}

// unfit says why a source makes no kernel, "" if that is the host's fault.
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

// speechless says why a kernel that ran says nothing at all, and whether it does not boot.
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

// boot runs the cases on a kernel, and returns the run and the name of its directory. Its
// error is the host's.
func (d *driver) boot(ctx context.Context, id, ref string) (*result.KernelRun, string, error) {
	old, err := filepath.Glob(filepath.Join(d.dir, "run[0-9]*"))
	if err != nil {
		return nil, "", err
	}
	name := fmt.Sprintf("run%d", len(old))
	dir, err := runs.MakeDir(filepath.Join(d.dir, name))
	if err != nil {
		return nil, "", err
	}
	p, err := d.expand(ctx, ref)
	if err != nil {
		return nil, "", err
	}
	l := d.Lab
	l.Dir = dir
	run := l.Run
	if d.Elsewhere != nil {
		run = func(ctx context.Context, p *plan.Plan, args []string) (*result.Run, error) {
			return d.Elsewhere.Run(ctx, &l, p, args)
		}
	}
	r, err := run(ctx, p, d.Args)
	if err != nil {
		return nil, "", err
	}
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	k := r.Kernels[0]
	if why := hostFault(k); why != "" {
		return nil, "", fmt.Errorf("boot %s: %s", d.field.name(ctx, id), why)
	}
	return k, name, nil
}

// hostFault says why the host is at fault that a kernel has no verdict, "" if it is not.
func hostFault(k *result.KernelRun) string {
	for _, boot := range k.Boots {
		if boot.Fate == vm.Infra && boot.Host == nil {
			return boot.Reason
		}
	}
	if k.Unbuilt {
		return ""
	}
	return k.Error
}

// severalError is a run of several kernels where one is needed.
type severalError struct {
	dir     string
	kernels int
}

func (e *severalError) Error() string {
	return fmt.Sprintf("%s has %d kernels; it must have 1", e.dir, e.kernels)
}

// load reads a complete run of one kernel.
func (d *driver) load(dir string) (*result.KernelRun, error) {
	r, err := runs.Load(&result.Loader{}, dir)
	if err == nil {
		err = runs.Complete(r, d.Log)
	}
	if err != nil {
		return nil, err
	}
	if len(r.Kernels) != 1 {
		return nil, &severalError{strings.TrimSuffix(r.Dir, "/"), len(r.Kernels)}
	}
	return r.Kernels[0], nil
}

// stored reads the run of a test.
func (d *driver) stored(t Test) (*result.KernelRun, error) {
	return d.load(filepath.Join(d.dir, t.Run))
}

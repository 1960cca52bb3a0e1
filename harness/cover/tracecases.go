package cover

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
)

// TraceCases runs the cases one at a time and returns the kernel's code, and which case executes
// what of it. The cache keeps traces of a run in which every case is as expected.
func TraceCases(ctx context.Context, o Options) (*Code, *Traces, error) {
	code, l, err := Open(ctx, &o)
	if err != nil {
		return nil, nil, err
	}
	saved, err := l.Saved(ctx, o.Kernel)
	if err != nil {
		return nil, nil, fmt.Errorf("find the saved machine of %s: %w", o.Kernel, err)
	}
	request := o.Request()
	request.Batch = 1
	p, err := plan.Load(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	path, err := o.tracesPath(code, p, saved.Digest, nil)
	if err != nil {
		return nil, nil, err
	}
	if t := recall[Traces](path); t != nil {
		t.Index(code)
		return code, t, nil
	}
	t, _, err := code.Follow(ctx, &l, p)
	if err != nil {
		return nil, nil, err
	}
	if err := keep(path, t); err != nil {
		o.Log("cache the traces of %s: %v", o.Kernel, err)
	}
	return code, t, nil
}

// ErrNotClean means that the unchanged kernel is not as expected, so its traces say nothing.
var ErrNotClean = errors.New("not every case is as expected on the unchanged kernel")

// notClean names the first case of a run that is not as expected, or else the machine.
func notClean(run *result.Run) error {
	k := run.Kernels[0]
	for r := range k.All() {
		if r.Status != result.Pass && r.Status != result.Skip {
			return fmt.Errorf("%w: %s: %s: %s; see tokentest run", ErrNotClean, r.ID, r.Status, r.Reason)
		}
	}
	for _, b := range k.Boots {
		if b.Fate != vm.Clean {
			return fmt.Errorf("%w: the machine is %s: %s; see tokentest run", ErrNotClean, b.Fate, b.Reason)
		}
	}
	return fmt.Errorf("%w: see tokentest run", ErrNotClean)
}

// Open reads the code of the kernel for Follow, and returns the settings of the machines.
func Open(ctx context.Context, o *Options) (*Code, lab.Lab, error) {
	l := o.Machines()
	k, err := l.Resolve(ctx, o.Kernel)
	if err != nil {
		return nil, l, err
	}
	code, err := o.code(ctx, k)
	return code, l, err
}

// Follow runs the cases of a plan, whose Batch must be 1, and traces them. The error is ErrNotClean, with the run,
// if not every case is as expected.
func (c *Code) Follow(ctx context.Context, l *lab.Lab, p *plan.Plan) (*Traces, *result.Run, error) {
	start := time.Now()
	ranges, mark, err := c.traced()
	if err != nil {
		return nil, nil, err
	}
	var followers []*follower
	l.Trace, l.Follow = ranges, func() lab.Follower {
		followers = append(followers, newFollower(mark))
		return followers[len(followers)-1]
	}
	run, err := l.Run(ctx, p, nil)
	switch {
	case err != nil:
		return nil, nil, err
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case run.Kernels[0].Error != "":
		return nil, nil, errors.New(run.Kernels[0].Error)
	case run.ExitCode() != result.ExitOK:
		return nil, run, notClean(run)
	}
	t := &Traces{Took: time.Since(start)}
	for _, f := range followers {
		if err := t.add(f); err != nil {
			return nil, run, err
		}
	}
	t.Index(c)
	return t, run, t.check(c, p.Cases, run.Kernels[0])
}

// CasesDigest names the cases and their steps.
func CasesDigest(p *plan.Plan) string {
	sum := sha256.New()
	for _, c := range p.Cases {
		fmt.Fprintln(sum, c.ID)
		for _, s := range slices.Concat(c.World.Info, c.Info()) {
			fmt.Fprintln(sum, s.Text)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8])
}

// tracesFormat changes when Traces do.
const tracesFormat = 3

// tracesPath is where the cache keeps the traces of the cases on a machine that begins from the snapshot with
// this digest; insns are the instructions of TraceParts.
func (o *Options) tracesPath(code *Code, p *plan.Plan, snapshot string, insns []uint64) (string, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintln(sum, tracesFormat, snapshot, code.BuildID, CasesDigest(p))
	for _, u := range code.Units {
		fmt.Fprintln(sum, u.Name)
	}
	for _, at := range insns {
		fmt.Fprintf(sum, "%#x\n", at)
	}
	return filepath.Join(dir, "traces", fmt.Sprintf("%x.gob.zst", sum.Sum(nil)[:16])), nil
}

// ChangesOf reads the lines that a patch changes in a kernel, which has the patch if its reference names it, as
// src:6.12+FILE does.
func ChangesOf(kernel, file string) ([]Change, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage.Errorf("read the patch: %w", err)
	}
	return ReadPatch(file, string(text), strings.Contains(kernel, "+"+file))
}

// RunPatch says what the cases execute of a patch.
func RunPatch(ctx context.Context, o Options, file string) (*PatchReport, error) {
	list, err := ChangesOf(o.Kernel, file)
	if err != nil {
		return nil, err
	}
	return look(ctx, o, file, list)
}

// Applied says what the cases execute of a patch that the kernel has. text is a diff or a mail, name is what the report
// calls it.
func Applied(ctx context.Context, o Options, name, text string) (*PatchReport, error) {
	list, err := ReadPatch(name, text, true)
	if err != nil {
		return nil, err
	}
	o.Units = slices.Clone(o.Units)
	for _, c := range list {
		if path.Ext(c.File) == ".c" && !slices.Contains(o.Units, c.File) {
			o.Units = append(o.Units, c.File)
		}
	}
	return look(ctx, o, name, list)
}

func look(ctx context.Context, o Options, name string, list []Change) (*PatchReport, error) {
	code, traces, err := TraceCases(ctx, o)
	if err != nil {
		return nil, err
	}
	return code.Patch(name, list, traces), nil
}

// Narrow leaves on each kernel the cases of the plan that execute what a patch changes, with their controls.
func Narrow(ctx context.Context, p *plan.Plan, o Options, file string) error {
	only := map[string][]string{}
	for _, o.Kernel = range p.Kernels {
		r, err := RunPatch(ctx, o, file)
		if err != nil {
			return err
		}
		if o.Log("%s: %s", o.Kernel, r); len(r.Affected) == 0 {
			return usage.Errorf("no case executes on %s what %s changes", o.Kernel, file)
		}
		only[o.Kernel] = r.Affected
	}
	return p.Narrow(only)
}

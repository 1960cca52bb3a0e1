package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/images"
	"tokentest/kconfig"
)

// kernelFile in a kernel's directory describes the kernel, so that its boots can be read
// without it.
const kernelFile = "kernel.json"

// kernelRecord is the content of a kernelFile.
type kernelRecord struct {
	Kernel *result.KernelRun
	Tool   string         // the build id of the agent's image
	Lanes  int            `json:",omitempty"` // into which the cases are dealt out
	Config kconfig.Config `json:",omitempty"` // if the boots' directories have no copy of it
}

// keepKernel stores the kernelFile. Without it a killed run can be resumed, but not read.
func (t *trial) keepKernel() {
	d := kernelRecord{Kernel: t.out, Tool: t.image.BuildID, Lanes: t.lanes}
	if t.kernel.ConfigPath == "" {
		d.Config = t.kernel.Config
	}
	path := filepath.Join(t.dir, kernelFile)
	text, err := json.Marshal(d)
	if err == nil {
		err = os.MkdirAll(t.dir, 0o755)
	}
	if err == nil {
		err = renameio.WriteFile(path, text, 0o644)
	}
	if err != nil {
		t.lab.log("%s: store "+kernelFile+": %v", t.out.Ref, err)
	}
}

// Recall reads the unfinished run in l.Dir from what its machines sent. It starts no
// machine and writes nothing. p must be the plan of the run; if the cases have changed
// since, the error is ErrStale.
func (l *Lab) Recall(ctx context.Context, b *Invocation, p *plan.Plan) (*result.Run, error) {
	l.Resume = true
	run := l.newRun(p, append([]string{cmp.Or(b.Program, "tokentest")}, b.Args...))
	run.Start, run.Interrupted, run.Resume = b.Start, true, []string{l.Dir}
	run.Stopped, run.StopError = l.unended(b)
	if run.Stopped == result.StopRunning {
		run.Resume = nil
	}
	for i, ref := range p.Kernels {
		k, tool, err := l.recallKernel(ctx, ref, p, i, run.Stopped)
		if err != nil {
			return nil, err
		}
		if run.Kernels = append(run.Kernels, k); tool != "" {
			run.Tool = tool
		}
	}
	return run, nil
}

// unended says why a run has no run.json, and what went wrong if it could not be stored.
func (l *Lab) unended(b *Invocation) (result.Stop, string) {
	switch {
	case result.Running(l.Dir):
		return result.StopRunning, ""
	case b.Failed != "":
		return result.StopStore, b.Failed
	}
	return result.StopKilled, ""
}

// kept returns what a resumed run had of a kernel that cannot be prepared again, for the
// reason why; nil if it had nothing.
func (l *Lab) kept(ctx context.Context, ref string, p *plan.Plan, index int, why error) *kernelOutcome {
	if !l.Resume {
		return nil
	}
	k, tool, err := l.recallKernel(context.WithoutCancel(ctx), ref, p, index, stopOf(ctx))
	if errors.Is(err, ErrStale) {
		return &kernelOutcome{KernelRun: k, stale: err}
	}
	if err != nil || k.Error != "" {
		return nil
	}
	if ctx.Err() == nil {
		l.log("%s cannot be resumed: %v", ref, why)
	}
	return &kernelOutcome{KernelRun: k, tool: tool, incomplete: true}
}

func (l *Lab) recallKernel(
	ctx context.Context, ref string, p *plan.Plan, index int, stop result.Stop,
) (k *result.KernelRun, tool string, err error) {
	t := &trial{lab: l, dir: filepath.Join(l.Dir, kernelDir(index)), replaysOnly: true, stopped: stop}
	text, err := os.ReadFile(filepath.Join(t.dir, kernelFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &result.KernelRun{Ref: ref, Planned: len(p.Of(ref)), Error: stop.Kernel()}, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read the description of the kernel: %w", err)
	}
	var d kernelRecord
	if err := json.Unmarshal(text, &d); err != nil || d.Kernel == nil {
		return nil, "", fmt.Errorf("read %s: the file is damaged: %w", filepath.Join(t.dir, kernelFile), err)
	}
	t.out = d.Kernel
	t.lanes = d.Lanes
	t.image = &images.Image{Digest: t.out.Image, BuildID: d.Tool}
	t.kernel = &kernel.Kernel{
		Ref: ref, Release: t.out.Release, Digest: t.out.Digest, Source: t.out.Source, Config: d.Config,
	}
	if err := t.recallConfig(); err != nil {
		return nil, "", err
	}
	t.allow = l.allowOn(t.kernel)
	t.repeat(ctx, plan.ByWorld(p.Of(ref)), p.Batch)
	return t.out, d.Tool, errors.Join(t.stale, ctx.Err())
}

// lanesBefore returns how many lanes the run that is resumed has; now if it had not begun.
func (t *trial) lanesBefore(now int) int {
	var d kernelRecord
	text, err := os.ReadFile(filepath.Join(t.dir, kernelFile))
	if err != nil || json.Unmarshal(text, &d) != nil {
		return now
	}
	return max(1, d.Lanes)
}

// recallConfig reads the configuration that the first boot's directory holds.
func (t *trial) recallConfig() error {
	f, err := os.Open(filepath.Join(t.dir, "boot0", "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel's configuration: %w", err)
	}
	defer f.Close()
	if t.kernel.Config, err = kconfig.Parse(f); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

func kernelDir(index int) string { return fmt.Sprintf("kernel%d", index) }

package lab

import (
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

// kernelFile is what a kernel's directory says of it, so that what its machines
// said can be read without the kernel.
const kernelFile = "kernel.json"

// described is what is in a kernelFile.
type described struct {
	Kernel *result.KernelRun
	Tool   string         // the build id of the agent's image
	Config kconfig.Config `json:",omitempty"` // that is no file of a boot's directory
}

// keepKernel stores what the kernel is. Without it a run that is killed can be
// resumed, but not read.
func (t *trial) keepKernel() {
	d := described{Kernel: t.out, Tool: t.image.BuildID}
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
		t.lab.log("%s: store what the kernel is: %v", t.out.Ref, err)
	}
}

// Recall reads the run in l.Dir, which did not end, from what its machines
// said: it starts none, and writes nothing. The plan must be that of the run;
// where the cases are no longer the same the error is ErrStale.
func (l *Lab) Recall(ctx context.Context, b *Begun, p *plan.Plan) (*result.Run, error) {
	l.Resume = true
	run := l.newRun(p, append([]string{"tokentest"}, b.Args...))
	run.Start, run.Interrupted, run.Resume = b.Start, true, []string{l.Dir}
	for i, ref := range p.Kernels {
		k, tool, err := l.recallKernel(ctx, ref, p, i)
		if err != nil {
			return nil, err
		}
		if run.Kernels = append(run.Kernels, k); tool != "" {
			run.Tool = tool
		}
	}
	return run, nil
}

// kept is what a run that is resumed had of a kernel that cannot be had again;
// nil where it had nothing.
func (l *Lab) kept(ctx context.Context, ref string, p *plan.Plan, index int, why error) *outcome {
	if !l.Resume {
		return nil
	}
	k, tool, err := l.recallKernel(context.WithoutCancel(ctx), ref, p, index)
	if errors.Is(err, ErrStale) {
		return &outcome{KernelRun: k, stale: err}
	}
	if err != nil || k.Error != "" {
		return nil
	}
	if ctx.Err() == nil {
		l.log("%s cannot be resumed: %v", ref, why)
	}
	return &outcome{KernelRun: k, tool: tool, short: true}
}

func (l *Lab) recallKernel(
	ctx context.Context, ref string, p *plan.Plan, index int,
) (k *result.KernelRun, tool string, err error) {
	t := &trial{lab: l, dir: filepath.Join(l.Dir, kernelDir(index)), recalls: true}
	text, err := os.ReadFile(filepath.Join(t.dir, kernelFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &result.KernelRun{Ref: ref, Planned: len(p.Of(ref)), Error: interrupted}, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read what the kernel is: %w", err)
	}
	var d described
	if err := json.Unmarshal(text, &d); err != nil || d.Kernel == nil {
		return nil, "", fmt.Errorf("read %s: it is damaged: %w", filepath.Join(t.dir, kernelFile), err)
	}
	t.out = d.Kernel
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

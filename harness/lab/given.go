package lab

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"tokentest/cases"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/images"
)

// Given is a kernel and the image of its guest, ready to boot.
type Given struct {
	Kernel *kernel.Kernel
	Image  *images.Image
}

// MiB is the memory that a machine of the kernel takes on the host.
func (g Given) MiB() int {
	memMiB, _ := demands(g.Kernel.Config)
	return memMiB + qemuMiB
}

// FreeMiB is the memory that this host has for machines.
func FreeMiB() int { return availableMiB() }

// ThisHost describes this host for records.
func ThisHost() *result.Host { return host() }

// Ready finds the kernel and builds its image, for a machine on another host. If that fails, the error is in the
// returned record, as in that of a run.
func (l *Lab) Ready(ctx context.Context, ref string, p *plan.Plan) (Given, *result.KernelRun) {
	out := &result.KernelRun{Ref: ref, Append: l.Append, Planned: len(p.Of(ref))}
	l.progress(Progress{Kernel: ref, Stage: "resolve", Total: len(p.Of(ref))})
	g, err := l.ready(ctx, ref, out)
	if err != nil {
		untried(ctx, out, err)
	}
	return g, out
}

// ready finds the kernel and builds its image. The part of the image that all kernels share is built while the kernel
// is fetched. If ready fails, out has what was known by then.
func (l *Lab) ready(ctx context.Context, ref string, out *result.KernelRun) (Given, error) {
	g, given := l.Given[ref]
	var a *agent
	if !given {
		a = l.startAgent(ctx, l.archOf(ref))
		defer func() { a.stop() }()
		var err error
		if g.Kernel, err = l.Resolve(ctx, ref); err != nil {
			return g, err
		}
	}
	if g.Kernel.Arch == nil { // it was described elsewhere
		g.Kernel.Arch = kernel.ArchOf(g.Kernel.Image)
	}
	if err := describe(out, g.Kernel); err != nil {
		return g, err
	}
	if err := fit(g.Kernel, l.AllowEmpty); err != nil {
		return g, err
	}
	l.progress(Progress{Kernel: ref, Stage: "image"})
	if !given {
		if a.of != g.Kernel.Arch { // the reference did not say it
			a.stop()
			a = l.startAgent(ctx, g.Kernel.Arch)
		}
		var err error
		if g.Image, err = l.buildImage(ctx, a, g.Kernel); err != nil {
			return g, err
		}
	}
	out.Image = g.Image.Digest
	return g, l.checkQEMU(g.Kernel.Arch)
}

// untried records why a kernel could not be tried.
func untried(ctx context.Context, out *result.KernelRun, err error) {
	out.Error = err.Error()
	var mistake *kernel.UsageError
	var unfit *unfitError
	switch {
	case ctx.Err() != nil:
		out.Error = stopOf(ctx).Kernel()
	case errors.As(err, &mistake):
		out.Cause = err
	case kernel.Unbuildable(err), errors.As(err, &unfit):
		out.Unbuilt = true
	}
}

// Record returns the record of a run with all its inputs, and no kernel.
func (l *Lab) Record(p *plan.Plan, args []string) *result.Run { return l.newRun(p, args) }

// Arrange puts the merged results of a kernel's parts into the order in which one run of all its cases has them. A case
// without a result gets that of missing.
func Arrange(k *result.KernelRun, all []*cases.Case, missing func(id string) result.CaseResult) {
	k.Unpack()
	place := map[string]int{}
	for i, c := range all {
		place[c.ID] = i
	}
	for _, r := range k.Cases {
		delete(place, r.ID)
	}
	for _, c := range all {
		if _, lacks := place[c.ID]; lacks {
			k.Cases = append(k.Cases, missing(c.ID))
		}
	}
	for i, c := range all {
		place[c.ID] = i
	}
	slices.SortStableFunc(k.Cases, func(a, b result.CaseResult) int { return cmp.Compare(place[a.ID], place[b.ID]) })
	orderWorlds(k, all)
	k.Planned, k.Absent = len(all), 0
}

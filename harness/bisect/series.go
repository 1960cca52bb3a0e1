package bisect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"tokentest/harness/cover"
	"tokentest/harness/kernel"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// Series builds and runs a base and the kernel after each patch on it, in order. The
// Question's Good is the base and its Bad is the base with +PATCHES; Options.Resume must be
// "". Exit code 1 in the report says that some patch does not build, boot or pass; 3 that the
// base does not.
func Series(ctx context.Context, o Options) (*Report, error) {
	d := &driver{Options: &o, q: o.Question}
	defer d.close()
	if err := d.prepare(ctx); err != nil {
		return nil, seriesError(err)
	}
	c, ok := d.field.(*commitField)
	if !ok || len(c.bad.Patches) == 0 {
		return nil, usage.Errorf("%s is no series of patches on git:DIR#REV, src:VERSION or tree:DIR", d.q.Bad)
	}
	patches, err := d.walk(ctx, append([]string{c.bad.Base}, c.bad.Patches...))
	if err != nil {
		return nil, d.interrupted(ctx, err)
	}
	r := &Report{Text: table(patches), Dir: d.dir, Code: seriesCode(patches)}
	return r, r.store()
}

// seriesError adds advice to the error of a patch: a series has one base, not two ends.
func seriesError(err error) error {
	var patch *kernel.PatchError
	if errors.As(err, &patch) {
		return fmt.Errorf("%w: the series needs another --base, or is damaged", err)
	}
	return err
}

// patched is what a kernel showed after one patch.
type patched struct {
	name, outcome, why string
	code               int // an exit code
	changed            []string
	before, after      Decisions
	rules              map[string]string  // of the cases that failed
	covers             *cover.PatchReport // nil if it is not known
}

// walk tests commits in their order. Each is compared with the last one before it that has
// decisions.
func (d *driver) walk(ctx context.Context, commits []string) ([]patched, error) {
	var out []patched
	var before Decisions
	d.Log("the series builds and boots %s, the base and one for each patch; the first build takes the longest",
		report.Count(len(commits), "kernel"))
	if d.Elsewhere != nil && d.Elsewhere.Builders(ctx) > 1 {
		d.ahead(ctx, commits)
	}
	for i, id := range commits {
		p := patched{name: d.field.name(ctx, id)}
		if i == 0 {
			p.name = "base " + p.name
		}
		t, k, err := d.askOnce(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := d.log.Add(t); err != nil {
			return nil, err
		}
		p.judge(&t, k, d.q.Patterns)
		if k != nil {
			p.before, p.after = before, Of(k)
			p.changed = Changes(before, p.after)
			before = p.after
		}
		d.Log("%s: %s %s", p.outcome, p.name, p.why)
		if i > 0 && p.code == result.ExitOK && t.SameAs == "" {
			if p.covers, err = d.covers(ctx, id, k.Ref, p.name); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// covers says what the cases execute of a patch on the kernel that has it. It is nil, which is noted, for a patch
// without C code, and for a kernel for which that cannot be measured. The error is the end of ctx.
func (d *driver) covers(ctx context.Context, id, ref, name string) (*cover.PatchReport, error) {
	text, err := d.field.(*commitField).Git(ctx, "format-patch", "-1", "--stdout", id)
	o := cover.Options{Kernel: ref, Args: d.q.Patterns, Full: d.q.Full, Units: cover.Chosen, Lab: d.Lab, Log: d.Log}
	if err == nil {
		o.Lab.Dir, err = os.MkdirTemp(d.dir, "cover")
	}
	var r *cover.PatchReport
	if err == nil {
		d.Log("%s: which of its lines the cases execute", name)
		r, err = cover.Applied(ctx, o, name, text)
		err = errors.Join(err, os.RemoveAll(o.Lab.Dir))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		d.Log("%s: which of its lines the cases execute is not known: %v", name, err)
		return nil, nil
	}
	return r, nil
}

// askOnce runs a commit, or takes what the same image showed before.
func (d *driver) askOnce(ctx context.Context, id string) (Test, *result.KernelRun, error) {
	t, k, err := d.ask(ctx, id)
	t.ID = id
	for _, old := range d.done {
		if err == nil && k == nil && t.SameAs == old.ID && old.Run != "" {
			t.Run = old.Run
			k, err = d.stored(old)
		}
	}
	if t.Outcome == "" {
		t.Outcome = Good // so that the same image is found again; judge has the verdict
	}
	d.done = append(d.done, t)
	return t, k, err
}

// outcomes are the words for exit codes.
var outcomes = map[int]string{
	result.ExitOK: "pass", result.ExitDiffers: "fail", result.ExitUsage: "wrong expectation",
	result.ExitNoVerdict: "no verdict",
}

func (p *patched) judge(t *Test, k *result.KernelRun, asked []string) {
	if k == nil {
		p.outcome, p.why, p.code = "no kernel", t.Why, result.ExitDiffers
		if t.Unbooted {
			p.outcome = "unbooted"
		}
		return
	}
	run := &result.Run{Selection: asked, Kernels: []*result.KernelRun{k}}
	p.rules = rulesOf(k)
	n := k.Counts()
	p.code = run.ExitCode()
	p.outcome = outcomes[p.code]
	p.why = fmt.Sprintf("%d pass, %d fail, %d broken, %d skip", n[result.Pass], n[result.Fail], n[result.Broken],
		n[result.Skip])
	for _, boot := range k.Boots {
		if len(boot.Findings) > 0 {
			p.why += "; " + boot.Findings[0].Title
			break
		}
	}
	if t.SameAs != "" {
		p.why += "; the same image as before"
	}
}

// table shows the outcome patch by patch.
func table(patches []patched) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "outcome\tchanged\tpatch\tresult\n")
	for _, p := range patches {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", p.outcome, len(p.changed), p.name, p.why)
	}
	w.Flush()
	for _, p := range patches {
		if len(p.changed) > 0 {
			fmt.Fprintf(&text, "\n%s\n", p.name)
			showChanges(&text, p.changed, p.before, p.after, p.rules)
		}
	}
	for _, p := range patches {
		if p.covers != nil {
			text.WriteString("\n")
			p.covers.Missed(&text)
		}
	}
	if seriesCode(patches) == result.ExitOK {
		fmt.Fprintf(&text, "\nEvery patch builds, boots and passes: the series is bisectable.\n")
	}
	return text.String()
}

// seriesCode blames the series only if the base is good.
func seriesCode(patches []patched) int {
	if patches[0].code != result.ExitOK {
		return result.ExitNoVerdict
	}
	var codes []int
	for _, p := range patches {
		codes = append(codes, p.code)
	}
	return result.WorstCode(codes...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/harness/bisect"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

type seriesFlags struct {
	bisectFlags
	base string
}

func (a *app) seriesCmd() *cobra.Command {
	f := &seriesFlags{}
	f.q.When, f.q.Repeat = "any", 1
	c := &cobra.Command{
		Use:   "series PATCHES [CASE|FILE...]",
		Short: "build and test after each patch of a series",
		Long: `Apply a series (a mailbox as b4 writes it, or a directory of format-patch files)
on a base, and build and test the base and every patch of it, as robots do: the
series must be bisectable. The table shows what came out of each, and which
decisions each patch changed. Patches are applied in a work tree of its own.

Exit code 0 says that every patch builds, boots and passes; 1 that some does
not; 3 that the host, or the base, is at fault.`,
		Example: "  tokentest series x.mbox --base git:~/linux#v6.12\n  tokentest series patches/ --base src:6.12 token_create map_create",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			f.q.Patterns = args[1:]
			return a.series(c.Context(), f, args[0])
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.base, "base", "", "apply it on `REF`: git:DIR#REV, src:VERSION or tree:DIR")
	fl.BoolVar(&f.q.Full, "full", false, "run every case, not only the default suite")
	fl.StringVarP(&f.run.out, "out", "o", "", "keep everything in `DIR`, which must not exist")
	fl.StringVar(&f.run.accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	fl.StringVar(&f.run.qemu, "qemu", "", "run `PROGRAM` as QEMU (default qemu-system-x86_64)")
	fl.DurationVar(&f.run.deadline, "deadline", 0, "end a machine after `TIME`")
	fl.BoolVar(&f.run.offline, "offline", false, "do not use the network")
	f.build.register(fl)
	return c
}

func (a *app) series(ctx context.Context, f *seriesFlags, patches string) error {
	if f.base == "" {
		return usage.Errorf("no base: name what the series applies to with --base REF")
	}
	if scheme, _, _ := strings.Cut(f.base, ":"); scheme != "git" && scheme != "src" && scheme != "tree" {
		return usage.Errorf("--base %s: want git:DIR#REV, src:VERSION or tree:DIR, to apply %s on", f.base, patches)
	}
	if err := f.run.check(); err != nil {
		return err
	}
	f.q.Good, f.q.Bad = f.base, f.base+"+"+patches
	b := &bisection{app: a, f: &f.bisectFlags, q: &f.q}
	if err := b.open(); err != nil {
		return err
	}
	if err := b.prepare(ctx); err != nil {
		return seriesError(err)
	}
	defer b.log.Close()
	c, ok := b.field.(*commitField)
	if !ok || len(c.bad.Patches) == 0 {
		return usage.Errorf("--base %s: want git:DIR#REV, src:VERSION or tree:DIR, to apply %s on", f.base, patches)
	}
	steps, err := b.walk(ctx, append([]string{c.bad.Base}, c.bad.Patches...))
	if err != nil {
		return b.interrupted(err)
	}
	return b.table(steps)
}

// seriesError leaves out words about two ends: here there is one base.
func seriesError(err error) error {
	var patch *kernel.PatchError
	if errors.As(err, &patch) {
		return fmt.Errorf("%w: the series needs another --base, or is damaged", err)
	}
	return err
}

// patchStep is what came out after one patch.
type patchStep struct {
	name, outcome, why string
	code               int
	changed            []string
	before, after      bisect.Decisions
}

// walk tests commits in their order. Each is compared with the one before that
// said something.
func (b *bisection) walk(ctx context.Context, commits []string) ([]patchStep, error) {
	var out []patchStep
	var before bisect.Decisions
	for i, id := range commits {
		s := patchStep{name: b.field.name(ctx, id)}
		if i == 0 {
			s.name = "base " + s.name
		}
		t, k, err := b.askOnce(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := b.log.Add(t); err != nil {
			return nil, err
		}
		s.judge(&t, k, b.q.Patterns)
		if k != nil {
			s.before, s.after = before, bisect.Of(k)
			s.changed = bisect.Changes(before, s.after)
			before = s.after
		}
		b.note("%s: %s %s", s.outcome, s.name, s.why)
		out = append(out, s)
	}
	return out, nil
}

// askOnce runs a commit, or takes what the same image showed before.
func (b *bisection) askOnce(ctx context.Context, id string) (bisect.Test, *result.KernelRun, error) {
	t, k, err := b.ask(ctx, id)
	t.ID = id
	for _, old := range b.done {
		if err == nil && k == nil && t.SameAs == old.ID && old.Run != "" {
			t.Run = old.Run
			k, err = b.stored(old)
		}
	}
	if t.Outcome == "" {
		t.Outcome = bisect.Good // so that the same image is known again; the table judges
	}
	b.done = append(b.done, t)
	return t, k, err
}

func (s *patchStep) judge(t *bisect.Test, k *result.KernelRun, asked []string) {
	if k == nil {
		s.outcome, s.why, s.code = "no kernel", t.Why, result.ExitDiffers
		if t.Unbooted {
			s.outcome = "unbooted"
		}
		return
	}
	run := &result.Run{Selection: asked, Kernels: []*result.KernelRun{k}}
	n := k.Counts()
	s.code = run.ExitCode()
	s.outcome = map[int]string{result.ExitOK: "pass", result.ExitDiffers: "fail", result.ExitUsage: "wrong expectation",
		result.ExitNoVerdict: "no verdict"}[s.code]
	s.why = fmt.Sprintf("%d pass, %d fail, %d broken, %d skip", n[result.Pass], n[result.Fail], n[result.Broken], n[result.Skip])
	for _, boot := range k.Boots {
		if len(boot.Findings) > 0 {
			s.why += "; " + boot.Findings[0].Title
			break
		}
	}
	if t.SameAs != "" {
		s.why += "; the same image as before"
	}
}

// table shows patch by patch what came out.
func (b *bisection) table(steps []patchStep) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "outcome\tchanged\tpatch\t\n")
	for _, s := range steps {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", s.outcome, len(s.changed), s.name, s.why)
	}
	w.Flush()
	for _, s := range steps {
		if len(s.changed) > 0 {
			fmt.Fprintf(&text, "\n%s\n", s.name)
			showChanges(&text, s.changed, s.before, s.after)
		}
	}
	b.code = seriesCode(steps)
	if b.code == result.ExitOK {
		fmt.Fprintf(&text, "\nEvery patch builds, boots and passes: the series is bisectable.\n")
	}
	if err := os.WriteFile(filepath.Join(b.dir, bisectReport), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	_, err := io.WriteString(b.stdout, text.String())
	b.note("everything is in %s", b.dir)
	return err
}

// seriesCode blames the series only when the base is good.
func seriesCode(steps []patchStep) int {
	if steps[0].code != result.ExitOK {
		return result.ExitNoVerdict
	}
	codes := []int{}
	for _, s := range steps {
		codes = append(codes, s.code)
	}
	return result.WorstCode(codes...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

// readingLimit is what a command that reads stored runs lets its memory grow
// to before it collects more eagerly: a run of eleven kernels holds over a
// million decisions.
const readingLimit = 220 << 20

func (a *app) reportCmd() *cobra.Command {
	var format string
	var again, empty bool
	c := &cobra.Command{
		Use:   "report RUN...",
		Short: "render a stored run, or the parts of one that was split with --shard",
		Long: `Render a stored run from its record alone, without a boot. Of a run that was
killed it reads what its machines said; what is missing makes it no verdict.

--rejudge judges what the kernels showed again, with the cases and the oracle of
this tokentest, and says on standard error what changed; the report and the exit
code are of the new judgement, and the record stays as it is.`,
		Example: `  tokentest report results/runs/RUN --format ktap
  tokentest report results/runs/RUN --format html > report.html
  tokentest report results/runs/RUN --rejudge
  tokentest report part1 part2 --format junit`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			format, err := a.format(format)
			if err != nil {
				return err
			}
			r, err := a.loadParts(c.Context(), &result.Loader{Worlds: again}, args)
			if err != nil {
				return err
			}
			if again {
				if r, err = a.rejudge(c.Context(), r); err != nil {
					return err
				}
			}
			r.AllowEmpty = r.AllowEmpty || empty
			a.code = r.ExitCode()
			if err := a.write(format, r); err != nil {
				return err
			}
			a.wayOn(format, r)
			return nil
		},
	}
	emptyFlag(c.Flags(), &empty)
	c.Flags().StringVarP(&format, "format", "f", "", formatHelp())
	c.Flags().BoolVar(&again, "rejudge", false, "judge the run again with this tokentest, and say what changed")
	return c
}

// loadRun reads a stored run; that there is none is the user's mistake.
func loadRun(l *result.Loader, dir string) (*result.Run, error) {
	debug.SetMemoryLimit(readingLimit)
	r, err := l.Load(dir)
	return r, noRun(dir, err)
}

// headOf reads a stored run without its cases.
func headOf(dir string) (*result.Run, error) {
	r, err := result.LoadHead(dir)
	return r, noRun(dir, err)
}

func noRun(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usage.Advisef("no run is kept in %s: %w%s", dir, err, newest())
	}
	return err
}

// newest names the newest run that is kept.
func newest() string {
	base, err := runsBase()
	if err != nil {
		return ""
	}
	names, err := result.Runs(base)
	if err != nil || len(names) == 0 {
		return "; tokentest run makes one"
	}
	return "; the newest is in " + names[len(names)-1]
}

// rejudge judges a run again and says on standard error what changed.
func (a *app) rejudge(ctx context.Context, r *result.Run) (*result.Run, error) {
	corpus, err := corpusOf(ctx, r)
	if err != nil {
		return nil, err
	}
	for _, k := range r.Kernels {
		if err := restoreConfig(r, k); err != nil {
			return nil, err
		}
	}
	now, kept := r.Again(corpus)
	c := result.Compare(&result.Side{Name: "the verdicts of " + r.Dir, Runs: []*result.Run{r}}, &result.Side{Name: "those of this tokentest", Runs: []*result.Run{now}})
	if !a.quiet {
		if err := report.WriteComparison("pretty", c, a.stderr, report.Options{}); err != nil {
			return nil, fmt.Errorf("print what changed: %w", err)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(kept)) {
		a.note("%d cases stay as they were judged: %s", kept[why], why)
	}
	return now, nil
}

// corpusOf reads the cases that a run can hold: the built-in ones, and the
// user's own from where they were.
func corpusOf(ctx context.Context, r *result.Run) (*cases.Corpus, error) {
	corpus, err := cases.Load(ctx)
	if err == nil && slices.ContainsFunc(r.Groups, func(g cases.Outline) bool { return cases.IsSweep(g.Name) }) {
		err = corpus.AddSweeps(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if _, err := os.Stat(r.Files[name]); errors.Is(err, fs.ErrNotExist) {
			continue // its cases are then gone, and said to be
		}
		if _, err := corpus.AddFile(ctx, r.Files[name]); err != nil {
			return nil, usage.Of(err)
		}
	}
	return corpus, nil
}

// restoreConfig reads a kernel's configuration from the directory of a boot:
// run.json does not repeat it.
func restoreConfig(r *result.Run, k *result.KernelRun) error {
	if k.Facts == nil || k.Facts.Config != nil || len(k.Boots) == 0 {
		return nil
	}
	f, err := os.Open(filepath.Join(r.Dir, k.Boots[0].Dir, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel's configuration: %w", err)
	}
	defer f.Close()
	if k.Facts.Config, err = kconfig.Parse(f); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

// loadParts reads the parts of a run and puts them together. Of one that has
// not ended it reads what there is.
func (a *app) loadParts(ctx context.Context, l *result.Loader, dirs []string) (*result.Run, error) {
	var parts []*result.Run
	for _, dir := range dirs {
		r, err := loadRun(l, dir)
		var unended *result.UnendedError
		if errors.As(err, &unended) {
			r, err = a.recalled(ctx, dir)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, r)
	}
	a.vouch(parts...)
	if len(parts) == 1 {
		return parts[0], nil
	}
	r, err := result.Merge(parts)
	if err != nil {
		return nil, usage.Of(err)
	}
	return r, nil
}

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

type compareFlags struct {
	format, baseline, write string
	baseKernel, newKernel   string
	fatal                   []string
	allowEmpty              bool
}

func (a *app) compareCmd() *cobra.Command {
	f := &compareFlags{}
	c := &cobra.Command{
		Use:   "compare [BASE] [NEW] | compare --baseline FILE [NEW]",
		Short: "show what changed from one run to another",
		Long: `Compare two runs case by case: a new failure, still failing, fixed, a changed
decision (also if the oracle agrees with both), a new or vanished case, flaky, or no
verdict any more. Exit code 1 says that there is a new failure, a case or a splat; 3
that something that had a verdict has none, or that one side decided nothing (unless
--allow-empty is given); otherwise it is 0.

BASE and NEW are directories of runs, directories that hold the parts of a run that
was split, baselines, or several of these with commas between: cases that several
results of one side disagree on are flaky. Without NEW it is the newest run (latest),
and without BASE the run before it with the same kernels and cases. Kernels are
matched by their reference; one kernel that is left on either side is compared with
the other one.

A baseline is one file with every decision of a run, for CI to keep.`,
		Example: `  tokentest compare results/runs/MONDAY results/runs/TUESDAY
  tokentest compare --write-baseline mine.jsonl.gz results/runs/RUN
  tokentest compare --baseline mine.jsonl.gz results/runs/RUN --format github --fail-on flaky
  tokentest compare results/runs/RUN --base-kernel deb:6.12 --new-kernel deb:7.3`,
		RunE: func(c *cobra.Command, args []string) error { return a.compare(c, args, f) },
	}
	fl := c.Flags()
	fl.StringVarP(&f.format, "format", "f", "pretty", "print `FORMAT`: "+strings.Join(report.CompareFormats(), ", "))
	fl.StringVar(&f.baseline, "baseline", "", "compare with the baseline `FILE`")
	fl.StringVar(&f.write, "write-baseline", "", "write the run's baseline to `FILE`, and compare nothing")
	fl.StringVar(&f.baseKernel, "base-kernel", "", "of the base only the kernel `REF`")
	fl.StringVar(&f.newKernel, "new-kernel", "", "of the new run only the kernel `REF`")
	fatalFlag(c, &f.fatal)
	emptyFlag(fl, &f.allowEmpty)
	c.MarkFlagsMutuallyExclusive("baseline", "write-baseline")
	return c
}

// sides returns the two sides to compare, from the arguments and --baseline.
func (f *compareFlags) sides(c *cobra.Command, args []string) (base, new string, err error) {
	new = runs.Latest
	if n := len(args); n > 0 {
		new = args[n-1]
	}
	switch {
	case len(args) == 2 && f.baseline == "":
		return args[0], new, nil
	case len(args) > 1:
		return "", "", usage.Errorf("usage: %s", c.UseLine())
	case f.baseline != "":
		return f.baseline, new, nil
	case f.baseKernel != "" && f.newKernel != "":
		return new, new, nil
	case len(args) == 1:
		return args[0], runs.Latest, nil
	}
	if new, err = runs.Find(runs.Latest); err == nil {
		base, err = runs.Before(new)
	}
	return base, new, err
}

func (a *app) compare(c *cobra.Command, args []string, f *compareFlags) error {
	env := os.Getenv(formatVariable)
	if !c.Flags().Changed("format") && slices.Contains(report.CompareFormats(), env) {
		f.format = env
	}
	if !slices.Contains(report.CompareFormats(), f.format) {
		return usage.Errorf("--format %q: must be one of %s", f.format, strings.Join(report.CompareFormats(), ", "))
	}
	if f.write != "" {
		if len(args) > 1 {
			return usage.Errorf("--write-baseline %s: needs exactly one run", f.write)
		}
		return runs.WriteBaseline(f.write, append(args, runs.Latest)[0], a.note)
	}
	from, to, err := f.sides(c, args)
	if err != nil {
		return err
	}
	fatal, err := classes(f.fatal)
	if err != nil {
		return err
	}
	l := &result.Loader{} // one loader for both, because most of their records are equal
	base, err := runs.Side(l, from, f.baseKernel)
	if err != nil {
		return err
	}
	new, err := runs.Side(l, to, f.newKernel)
	if err != nil {
		return err
	}
	both := slices.Concat(base.Runs, new.Runs)
	runs.NoteUnverified(a.note, both...)
	runs.NoteDamaged(a.note, both...)
	for _, r := range both {
		r.Called = self
		r.AllowEmpty = r.AllowEmpty || f.allowEmpty
	}
	out := result.Compare(base, new)
	out.Fatal = fatal
	return a.writeComparison(out, f.format)
}

// fatalFlag registers --fail-on: the classes that count as failures in addition to new failures.
func fatalFlag(c *cobra.Command, to *[]string) {
	c.Flags().StringSliceVar(to, "fail-on", nil, "exit with 1 also for these `CLASSES`, such as changed-decision,vanished")
}

// classes reads the classes that --fail-on names.
func classes(names []string) ([]result.Class, error) {
	out, err := result.ParseClasses(names)
	if err != nil {
		return nil, usage.Errorf("--fail-on %w", err)
	}
	return out, nil
}

// writeComparison prints a comparison, and makes its verdict the exit code.
func (a *app) writeComparison(c *result.Comparison, format string) error {
	a.code = c.ExitCode()
	return report.WriteComparison(format, c, a.stdout, a.look())
}

// look is the width and the colors of a report on standard output, and its origin.
func (a *app) look() report.Options {
	width, tty := terminal(a.stdout)
	_, plain := os.LookupEnv("NO_COLOR")
	return report.Options{Color: tty && !plain, Width: width, Origin: os.Getenv(originVariable)}
}

// readBaseline reads the baseline before anything boots, so that a wrong name costs no time.
func (a *app) readBaseline(f *runFlags) (*result.Side, error) {
	if f.baseline == "" && len(f.fatal) > 0 {
		return nil, usage.Errorf("--fail-on is about what has changed: name what from with --baseline FILE")
	}
	if _, err := classes(f.fatal); err != nil || f.baseline == "" {
		return nil, err
	}
	s, err := runs.Side(&result.Loader{}, f.baseline, "")
	if err != nil {
		return nil, err
	}
	for _, r := range s.Runs {
		err = errors.Join(err, runs.Complete(r, a.note))
	}
	return s, err
}

// asks returns a function that reports whether a run should have a case that it does not
// have.
func (f *runFlags) asks(r *result.Run) func(id string) bool {
	if f.part.Shard != "" || len(f.lists.Allow) > 0 {
		return func(string) bool { return false }
	}
	return r.Asked()
}

// compareBaseline compares a run that has just ended with a baseline. It ignores other kernels
// of the baseline. It prints to standard error, because the report is on standard output.
func (a *app) compareBaseline(base *result.Side, r *result.Run, f *runFlags) error {
	c := result.Compare(base.Of(r), &result.Side{Name: r.Dir, Runs: []*result.Run{r}})
	var err error
	if c.Fatal, err = classes(f.fatal); err != nil {
		return err
	}
	c.Asked(f.asks(r))
	a.code = c.ExitCode()
	if err := report.WriteComparison("pretty", c, a.stderr, report.Options{}); err != nil {
		return fmt.Errorf("print the comparison: %w", err)
	}
	return nil
}

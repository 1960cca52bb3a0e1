package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

func (a *app) reportCmd() *cobra.Command {
	var format, out string
	var again, empty bool
	c := &cobra.Command{
		Use:   "report [RUN...]",
		Short: "render a stored run, or the parts of one that was split with --shard",
		Long: `Render a stored run from its records, without a boot. RUN is the directory of a run,
the name of one where runs are stored, or latest, which is what it is without RUN. For
a run that was killed it reads what its machines sent; if something is missing there
is no verdict.

--rejudge judges the stored answers again, with the cases and the oracle of this
tokentest, and prints on standard error what changed. The report and the exit code
are of the new judgement; the records stay as they are.`,
		Example: `  tokentest report
  tokentest report results/runs/RUN --format ktap
  tokentest report results/runs/RUN --format html > report.html
  tokentest report results/runs/RUN --rejudge
  tokentest report part1 part2 --out whole`,
		RunE: func(c *cobra.Command, args []string) error {
			format, err := a.format(format)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = []string{runs.Latest}
			}
			r, err := a.loadParts(c.Context(), &result.Loader{Worlds: again || out != ""}, args)
			if err != nil {
				return err
			}
			if again {
				if r, err = a.rejudge(c.Context(), r); err != nil {
					return err
				}
			}
			r.AllowEmpty = r.AllowEmpty || empty
			if out != "" {
				if err := runs.Keep(r, out); err != nil {
					return err
				}
			}
			a.code = r.ExitCode()
			if err := a.write(format, r); err != nil {
				return err
			}
			a.noteResume(format, r)
			return nil
		},
	}
	emptyFlag(c.Flags(), &empty)
	c.Flags().StringVarP(&format, "format", "f", "", formatHelp())
	c.Flags().StringVarP(&out, "out", "o", "", "keep the merged run in `DIR`, which must not exist")
	c.Flags().StringVar(&a.tree, "tree", "", "whose get_maintainer.pl names a mail's receivers: the kernel's `DIR`")
	c.Flags().BoolVar(&again, "rejudge", false, "judge the run again with this tokentest, and say what changed")
	return c
}

// rejudge judges a run again and prints the changes to standard error.
func (a *app) rejudge(ctx context.Context, r *result.Run) (*result.Run, error) {
	now, kept, err := runs.Rejudge(ctx, r)
	if err != nil {
		return nil, err
	}
	c := result.Compare(&result.Side{Name: "the verdicts of " + r.Dir, Runs: []*result.Run{r}},
		&result.Side{Name: "those of this tokentest", Runs: []*result.Run{now}})
	if !a.quiet {
		if err := report.WriteComparison("pretty", c, a.stderr, report.Options{}); err != nil {
			return nil, fmt.Errorf("print what changed: %w", err)
		}
	}
	if why := r.Damaged(); why != "" && now.Damaged() == "" {
		a.note("%s: %s; the new judgement is without that", r.Dir, why)
	}
	for _, why := range slices.Sorted(maps.Keys(kept)) {
		a.note("as they were judged stay %s: %s", report.Count(kept[why], "case"), why)
	}
	return now, nil
}

// loadParts reads the parts of a run and merges them. Of one that has
// not ended it reads what there is.
func (a *app) loadParts(ctx context.Context, l *result.Loader, dirs []string) (*result.Run, error) {
	var parts []*result.Run
	defer a.step("")
	for i, dir := range dirs {
		a.step(fmt.Sprintf("reading %s, %d of %s", dir, i+1, report.Count(len(dirs), "run")))
		r, err := runs.Load(l, dir)
		var unended *result.UnendedError
		if errors.As(err, &unended) {
			r, err = a.recallRun(ctx, unended.Dir)
		}
		if err != nil {
			return nil, err
		}
		parts = append(parts, r)
	}
	runs.NoteUnverified(a.note, parts...)
	if len(parts) == 1 {
		return parts[0], nil
	}
	n := 0
	for _, p := range parts {
		n += p.Len()
	}
	a.long(fmt.Sprintf("merging %d runs", len(parts)), n)
	r, err := result.Merge(parts)
	if err != nil {
		return nil, usage.Of(err)
	}
	return r, nil
}

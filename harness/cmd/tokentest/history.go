package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

type historyFlags struct {
	dir, kernel string
	changes     bool
}

func (a *app) historyCmd() *cobra.Command {
	f := &historyFlags{}
	c := &cobra.Command{
		Use:   "history CASE",
		Short: "show the results of a case in all stored runs",
		Long: `Show the result of a case in every stored run, the oldest first: the kernel, the
status, the answer and the rule. A * marks a line that differs from the kernel's line
before it. For a pattern that covers several cases it shows how many have each status.`,
		Example: `  tokentest history map_create/any/owner/CAP_BPF/with/devmap
  tokentest history token_create --kernel deb:6.12 --changes`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return a.history(args[0], f) },
	}
	c.Flags().StringVar(&f.dir, "runs", "", "look at the runs in `DIR` (default where runs are stored)")
	c.Flags().StringVarP(&f.kernel, "kernel", "k", "", "only the kernel `REF`")
	c.Flags().BoolVar(&f.changes, "changes", false, "only the lines that differ from the one before")
	return c
}

func (a *app) history(pattern string, f *historyFlags) error {
	runs.LimitMemory()
	dir := f.dir
	if dir == "" {
		var err error
		if dir, err = runs.Base(); err != nil {
			return err
		}
	}
	names, err := result.Runs(dir)
	if err != nil {
		return err
	}
	unended, err := result.Unended(dir)
	if err != nil {
		return err
	}
	for _, name := range unended {
		a.note("%v", &result.UnendedError{Dir: name})
	}
	if len(names) == 0 {
		return usage.Advisef("no run is stored in %s: name another directory with --runs, or tokentest run makes one", dir)
	}
	var list []*result.Run
	l := &result.Loader{Keep: func(id string) bool { return cases.Match(pattern, id) }}
	for _, name := range names {
		r, err := l.Load(name)
		if err != nil {
			a.note("%s is left out: %v", name, err)
			a.code = result.ExitNoVerdict
			continue
		}
		for _, gap := range r.Gaps() {
			a.note("%s: %s", name, gap)
			a.code = result.ExitNoVerdict
		}
		list = append(list, r)
	}
	runs.NoteUnverified(a.note, list...)
	slices.SortStableFunc(list, func(a, b *result.Run) int { return a.Start.Compare(b.Start) })
	lines, err := a.pastLines(list, f)
	if err == nil && lines == 0 {
		return usage.Advisef("no run in %s has the case %q; tokentest list cases shows the names", dir, pattern)
	}
	return err
}

// pastLines prints a line for each kernel of each run that has the cases, and
// returns how many there are.
func (a *app) pastLines(list []*result.Run, f *historyFlags) (lines int, err error) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	last := map[string]string{}
	for _, r := range list {
		for _, k := range r.Kernels {
			line := report.Summary(k)
			if line == "" || f.kernel != "" && f.kernel != k.Ref {
				continue
			}
			lines++
			before, known := last[k.Ref]
			last[k.Ref] = line
			if known && before == line && f.changes {
				continue
			}
			fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\n", filepath.Base(r.Dir), mark(known && before != line), k.Ref, k.Release, line)
		}
	}
	return lines, w.Flush()
}

func mark(differs bool) string {
	if differs {
		return "*"
	}
	return " "
}

package runs

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"tokentest/cases"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// History shows cases in all runs of a directory.
type History struct {
	Dir     string
	Kernel  string // a reference; "" means all
	Changes bool   // leave out lines that are as the one before
	Note    Note
	// Incomplete says that records of some run are missing or cannot be read. Write sets it.
	Incomplete bool
}

// Write writes a line for each kernel of each run that has the cases of a pattern, the oldest
// first. For the pattern Latest it does so for each case that was not as expected in the newest
// run. It is a *usage.Error if no run has the cases.
func (h *History) Write(ctx context.Context, w io.Writer, pattern string) error {
	LimitMemory()
	if pattern != Latest {
		return h.write(ctx, w, pattern)
	}
	r, err := Load(&result.Loader{}, Latest)
	if err != nil {
		return err
	}
	failed := Unexpected(r)
	if len(failed) == 0 {
		h.Note("all cases of %s were as expected", r.Dir)
	}
	for i, id := range failed {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, id)
		if err := h.write(ctx, w, id); err != nil {
			return err
		}
	}
	return nil
}

func (h *History) write(ctx context.Context, w io.Writer, pattern string) error {
	list, err := h.load(ctx, pattern)
	if err != nil {
		return err
	}
	lines, err := h.lines(w, list)
	if err == nil && lines == 0 {
		return usage.Advisef("no run in %s has the case %q; tokentest list cases shows the names", h.Dir, pattern)
	}
	return err
}

// load reads the cases that a pattern covers from all runs.
func (h *History) load(ctx context.Context, pattern string) ([]*result.Run, error) {
	names, err := result.Runs(h.Dir)
	if err != nil {
		return nil, err
	}
	unended, err := result.Unended(h.Dir)
	if err != nil {
		return nil, err
	}
	for _, name := range unended {
		h.Note("%v", &result.UnendedError{Dir: name})
	}
	if len(names) == 0 {
		return nil, usage.Advisef("no run is stored in %s: name another directory with --runs, or tokentest run makes one",
			h.Dir)
	}
	var list []*result.Run
	l := &result.Loader{Keep: func(id string) bool { return cases.Match(pattern, id) }}
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		r, err := l.Load(name)
		if err != nil {
			h.Note("%s is left out: %v", name, err)
			h.Incomplete = true
			continue
		}
		for _, gap := range r.Gaps() {
			h.Note("%s: %s", name, gap)
			h.Incomplete = true
		}
		list = append(list, r)
	}
	NoteUnverified(h.Note, list...)
	slices.SortStableFunc(list, func(a, b *result.Run) int { return a.Start.Compare(b.Start) })
	return list, nil
}

// lines writes a line for each kernel of each run that has the cases, and returns how many there are.
func (h *History) lines(w io.Writer, list []*result.Run) (n int, err error) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := map[string]string{}
	for _, r := range list {
		for _, k := range r.Kernels {
			line := report.Summary(k)
			if line == "" || h.Kernel != "" && h.Kernel != k.Ref {
				continue
			}
			n++
			before, known := last[k.Name()]
			if lies := r.Lies(); lies != "" {
				line += " (not real: " + lies + ")"
			} else {
				last[k.Name()] = line
			}
			if known && before == line && h.Changes {
				continue
			}
			mark := " "
			if known && before != line {
				mark = "*"
			}
			fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\n", filepath.Base(r.Dir), mark, k.Name(), k.Release, line)
		}
	}
	return n, t.Flush()
}

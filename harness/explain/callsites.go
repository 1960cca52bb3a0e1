package explain

import (
	"context"
	"fmt"
	"io"
	"os"

	"tokentest/cases"
	"tokentest/harness/usage"
)

// Decisions writes the table of decision points; with a kernel tree, the calls of the tree that have none.
func Decisions(ctx context.Context, w io.Writer, tree string) error {
	if tree != "" {
		return callSites(w, tree)
	}
	c, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	covered, err := cases.CoverDecisions(ctx, c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(w, covered.Markdown())
	return err
}

// callSites writes the calls of a kernel tree that no decision point stands for. It is an error if there are any.
func callSites(w io.Writer, tree string) error {
	points, err := cases.Decisions()
	if err != nil {
		return err
	}
	sites, err := cases.ScanCallSites(os.DirFS(tree))
	if err != nil {
		return usage.Errorf("--source %s: %w", tree, err)
	}
	left := cases.WithoutRow(sites, points)
	for _, s := range left {
		if _, err := fmt.Fprintf(w, "%s:%d: %s: %s\n", s.File, s.Line, s.Func, s.Call); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%d of %d calls are not in cases/decisions.txt: add a line for each", len(left), len(sites))
	}
	_, err = fmt.Fprintf(w, "each of %d calls is in cases/decisions.txt\n", len(sites))
	return err
}

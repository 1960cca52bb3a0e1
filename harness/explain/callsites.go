package explain

import (
	"fmt"
	"io"
	"os"

	"tokentest/cases"
	"tokentest/harness/usage"
)

// CallSites writes the calls of a kernel tree that no decision point stands for. It is an error if there are any.
func CallSites(w io.Writer, tree string) error {
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

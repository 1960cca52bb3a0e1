package main

import (
	"errors"
	"io/fs"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tokentest/harness/result"
)

// readingLimit is what a command that reads stored runs lets its memory grow
// to before it collects more eagerly: a run of eleven kernels holds over a
// million decisions.
const readingLimit = 220 << 20

func (a *app) reportCmd() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:     "report RUN",
		Short:   "render a stored run",
		Example: "  tokentest report results/runs/20261123-184500.000 --format ktap",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			format, err := a.format(format)
			if err != nil {
				return err
			}
			r, err := loadRun(args[0])
			if err != nil {
				return err
			}
			a.code = r.ExitCode()
			return a.write(format, r)
		},
	}
	c.Flags().StringVarP(&format, "format", "f", "", formatHelp())
	return c
}

// loadRun reads a stored run; that there is none is the user's mistake.
func loadRun(dir string) (*result.Run, error) {
	debug.SetMemoryLimit(readingLimit)
	r, err := result.Load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage("no run is kept in %s: %w", dir, err)
	}
	return r, err
}

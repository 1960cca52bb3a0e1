package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tokentest/harness/lab"
	"tokentest/harness/result"
)

// begin makes the run's directory and notes there what lets the run go on; a
// run that goes on has both.
func (a *app) begin(l *lab.Lab, f *runFlags, line []string) error {
	if a.resume != "" {
		l.Dir, l.Resume = a.resume, true
		return nil
	}
	var err error
	if l.Dir, err = runDir(f.out); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	return lab.Begin(l.Dir, lab.Begun{Args: line, Dir: here})
}

// commandLine is what the command was given, or the run was that goes on.
func (a *app) commandLine() []string {
	if a.begun != nil {
		return a.begun
	}
	return os.Args[1:]
}

// goOn goes on with a run that was ended half-way, by the command line that it
// was begun with.
func (a *app) goOn(c *cobra.Command, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the run: %w", err)
	}
	if r, err := (&result.Loader{}).Load(dir); err == nil && !r.Interrupted {
		a.note("the run in %s is complete", dir)
		format, err := a.format("")
		if err != nil {
			return err
		}
		a.code = r.ExitCode()
		return a.write(format, r)
	}
	b, err := lab.Resume(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage("--resume %s: no run was begun there", dir)
	case errors.Is(err, lab.ErrRunning):
		return usage("--resume %s: %w", dir, err)
	case err != nil:
		return err
	}
	if err := os.Chdir(b.Dir); err != nil {
		return fmt.Errorf("go back to where the run was begun: %w", err)
	}
	a.resume, a.begun = dir, b.Args
	root := a.root()
	root.SetArgs(b.Args)
	return root.ExecuteContext(c.Context())
}

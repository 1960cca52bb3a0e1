package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/cli"
	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/shell"
	"tokentest/harness/usage"
)

// begin makes the run's directory and stores there what --resume needs. A resumed run already
// has both.
func (a *app) begin(l *lab.Lab, f *runFlags, line []string) error {
	if a.resume != "" {
		l.Dir, l.Resume = a.resume, true
		return nil
	}
	var err error
	if l.Dir, err = runs.Make(f.out); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	return lab.Begin(l.Dir, lab.Invocation{Program: self, Args: line, Dir: here, Start: time.Now().UTC()})
}

// commandLine is the command line of this command, or that of the run which it resumes.
func (a *app) commandLine() []string {
	if a.begun != nil {
		return a.begun
	}
	return os.Args[1:]
}

// outputFlags are the flags that concern what a run prints, and what its exit code
// says: a resumed run takes their new values. All other flags keep their values.
var outputFlags = []string{"format", "baseline", "fail-on", "console", "quiet", "allow-empty", bisectName}

// resumeRun resumes a run that was interrupted or killed, by the command line that
// it was started with.
func (a *app) resumeRun(c *cobra.Command, f *runFlags, args []string) error {
	if err := a.onlyOutput(c, args); err != nil {
		return err
	}
	return a.resumeFrom(c, f)
}

// startAgain is --again: it resumes the run in --out if an earlier attempt began it there.
func (a *app) startAgain(c *cobra.Command, f *runFlags) (resumed bool, err error) {
	if f.out == "" {
		return false, usage.Errorf("--again: name with --out the directory in which an earlier attempt stored the run")
	}
	if f.resume, err = filepath.Abs(f.out); err == nil {
		resumed, err = lab.Again(f.resume, farm.RedactAll(a.commandLine()))
	}
	if !resumed {
		f.resume = ""
		return false, err
	}
	return true, a.resumeFrom(c, f)
}

func (a *app) resumeFrom(c *cobra.Command, f *runFlags) error {
	dir, err := runs.Find(f.resume)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return fmt.Errorf("find the run: %w", err)
	}
	switch r, err := (&result.Loader{}).Load(dir); {
	case err == nil && len(r.Gaps()) > 0:
		for _, gap := range r.Gaps() {
			a.note("%s", gap)
		}
		a.note("the records are rebuilt from the machines' stored output")
	case err == nil && !r.Interrupted:
		return a.complete(c.Context(), f, r)
	}
	b, err := lab.Resume(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usage.Errorf("--resume %s: there is no run", f.resume)
	case errors.Is(err, lab.ErrRunning):
		return usage.Errorf("--resume %s: %w", f.resume, err)
	case err != nil:
		return err
	}
	a.resume = dir
	return a.again(c.Context(), b)
}

// again executes the command line that a run was started with.
func (a *app) again(ctx context.Context, b *lab.Invocation) error {
	if err := os.Chdir(b.Dir); err != nil {
		return fmt.Errorf("go back to where the run was started: %w", err)
	}
	a.begun = b.Args
	root := a.root()
	root.SetArgs(b.Args)
	return root.ExecuteContext(ctx)
}

// complete reports a run that is already complete.
func (a *app) complete(ctx context.Context, f *runFlags, r *result.Run) error {
	a.note("the run in %s is complete", r.Dir)
	format, err := a.format(f.format)
	if err != nil {
		return err
	}
	base, err := a.readBaseline(f)
	if err != nil {
		return err
	}
	r.AllowEmpty = r.AllowEmpty || f.allowEmpty
	if err := a.conclude(ctx, format, r, nil); err != nil || base == nil {
		return err
	}
	return a.compareBaseline(base, r, f)
}

// onlyOutput refuses flags that a resumed run cannot change, and stores the others.
func (a *app) onlyOutput(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage.Errorf("--resume takes the cases of the run: leave out %s, or start a new run", shell.Join(args...))
	}
	var refused []string
	var err error
	a.overrides, refused, err = cli.Changed(c.Flags(), outputFlags, []string{"resume"}, []string{"baseline"})
	if len(refused) > 0 {
		return usage.Errorf("--resume takes the flags that the run was started with: leave out %s, or start a new run",
			strings.Join(refused, " "))
	}
	return err
}

// noteResume says, as the last line, how to complete a run that is not complete. Pretty ends
// with that itself.
func (a *app) noteResume(format string, r *result.Run) {
	if format == "pretty" {
		return
	}
	for _, dir := range r.Resume {
		a.note("to continue: tokentest run --resume %s", shell.Quote(dir))
	}
}

// recallRun reads a run that has not ended from the stored output of its machines.
func (a *app) recallRun(ctx context.Context, dir string) (*result.Run, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the run: %w", err)
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	b, err := lab.ReadInvocation(abs)
	if err != nil {
		return nil, err
	}
	var r *result.Run
	reader := &app{stdin: a.stdin, stdout: a.stdout, stderr: a.stderr, quiet: a.quiet, resume: abs}
	reader.recall = func(l *lab.Lab, p *plan.Plan) error {
		r, err = l.Recall(ctx, b, p)
		return err
	}
	err = errors.Join(reader.again(ctx, b), os.Chdir(here))
	if err == nil && r == nil {
		err = errors.New("its command line is not that of a run")
	}
	if err != nil {
		return nil, fmt.Errorf("read the run in %s, which has not ended: %w", dir, err)
	}
	if r.Dir = dir; len(r.Resume) > 0 {
		r.Resume = []string{dir} // as the user named it
	}
	return r, nil
}

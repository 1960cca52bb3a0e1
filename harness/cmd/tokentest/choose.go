package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// chooseFailed reads the run of --failed, and returns the cases that the plan must be made of. A run
// of which everything was as expected leaves f.again nil. An argument that is the directory of a run
// is the one that --failed is about.
func (f *runFlags) chooseFailed(ctx context.Context, a *app, args []string, kernels bool) ([]string, error) {
	for i, arg := range args {
		dir, err := runs.Find(arg)
		if err != nil {
			return nil, err
		}
		if _, err := runs.Head(dir); f.failed == runs.Latest && err == nil {
			f.failed, args = dir, slices.Delete(slices.Clone(args), i, i+1)
			break
		}
	}
	r, err := a.loadParts(ctx, &result.Loader{}, []string{f.failed})
	if err != nil {
		return nil, err
	}
	f.failed = r.Dir
	if f.again = runs.FindFailed(r); f.again == nil {
		return args, nil
	}
	if !kernels {
		f.kernels = f.again.Kernels
	}
	if len(args) == 0 {
		args, f.full = f.again.Args, f.full || f.again.Full
	}
	return args, nil
}

// readStdin returns the case file on the standard input if - is one of the arguments. A resumed run
// has a copy of it.
func (a *app) readStdin(args []string) (string, error) {
	if !slices.Contains(args, plan.Stdin) {
		return "", nil
	}
	var text []byte
	var err error
	if a.resume != "" {
		text, err = os.ReadFile(filepath.Join(a.resume, plan.StdinFile))
	} else {
		text, err = io.ReadAll(a.stdin)
	}
	if err == nil && len(text) == 0 {
		err = usage.Errorf("the standard input is empty: it must be a case file")
	}
	if err != nil {
		return "", fmt.Errorf("read the case file -: %w", err)
	}
	return string(text), nil
}

// keepStdin stores the case file of the standard input in the run's directory, where the plan then
// has it.
func keepStdin(dir string, p *plan.Plan, text string) error {
	if text == "" {
		return nil
	}
	path := filepath.Join(dir, plan.StdinFile)
	for group, name := range p.Files {
		if name == plan.Stdin {
			p.Files[group] = path
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("keep the case file of the standard input: %w", err)
	}
	return nil
}

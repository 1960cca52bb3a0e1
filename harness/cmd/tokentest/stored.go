package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// recalled reads a run that has not ended, from what its machines said.
func (a *app) recalled(ctx context.Context, dir string) (*result.Run, error) {
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
	r.Dir, r.Resume = dir, []string{dir}
	return r, nil
}

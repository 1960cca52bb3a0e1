package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/shell"
)

const unverified = "an older tokentest stored the records without checksums; missing ones cannot be noticed"

// vouch says once that runs of an older tokentest cannot be verified.
func (a *app) vouch(runs ...*result.Run) {
	n, first := 0, ""
	for _, r := range runs {
		if r.Unverified {
			if n++; n == 1 {
				first = cmp.Or(r.Dir, "the baseline")
			}
		}
	}
	switch {
	case n == 0:
	case n == 1:
		a.note("%s: %s", first, unverified)
	default:
		a.note("%s: %s", report.Count(n, "run"), unverified)
	}
}

// whole refuses a run of which records are missing or damaged: what is made
// from it would be taken for the whole.
func (a *app) whole(r *result.Run) error {
	a.vouch(r)
	gaps := r.Gaps()
	if len(gaps) == 0 {
		return nil
	}
	for _, gap := range gaps[:len(gaps)-1] {
		a.note("%s", gap)
	}
	err := errors.New(gaps[len(gaps)-1])
	if len(r.Resume) > 0 {
		return fmt.Errorf("%w; tokentest run --resume %s makes the records again", err, shell.Quote(r.Resume[0]))
	}
	return err
}

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
	b, err := lab.ReadBegun(abs)
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

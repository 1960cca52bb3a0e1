package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// cut returns the part of the plan that this shard runs. It can be empty.
func (f *runFlags) cut(p *plan.Plan) (*plan.Plan, error) {
	if f.shard == "" {
		return p, nil
	}
	s, err := plan.ParseShard(f.shard, os.Getenv)
	if err != nil {
		return nil, usage.Errorf("--shard %w", err)
	}
	of, err := f.costs()
	if err != nil {
		return nil, err
	}
	return p.Cut(s, of), nil
}

// costs returns what kernels cost: as measured in a stored run, or the default.
func (f *runFlags) costs() (func(kernel string) plan.Cost, error) {
	if f.durations == "" {
		return func(string) plan.Cost { return plan.DefaultCost }, nil
	}
	r, err := runs.Load(&result.Loader{Worlds: true}, f.durations)
	if err != nil {
		return nil, err
	}
	if gaps := r.Gaps(); len(gaps) > 0 {
		return nil, fmt.Errorf("--durations %s: %s", f.durations, gaps[0])
	}
	of, err := plan.CostsIn(r)
	if err != nil {
		return nil, fmt.Errorf("--durations %s: %w", f.durations, err)
	}
	return of, nil
}

// githubMatrix prints a job for each kernel and each part of it that is not empty.
func (f *runFlags) githubMatrix(w io.Writer, p *plan.Plan, shards int) error {
	of, err := f.costs()
	if err != nil {
		return err
	}
	var matrix struct {
		Include []plan.Job `json:"include"`
	}
	if matrix.Include, err = p.Jobs(shards, of); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(matrix)
}

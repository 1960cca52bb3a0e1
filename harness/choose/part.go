package choose

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

// Part is the part of a plan that this process runs, one of several jobs in CI.
type Part struct {
	Shard     string // I/N, auto or auto/N; "" is the whole plan
	Durations string // a stored run, by whose times the parts are cut; "" cuts by the default costs
}

// Check refuses --durations of the command line, whose flags are given, where nothing is cut.
func (s *Part) Check(given map[string]bool) error {
	if given["durations"] && s.Shard == "" && !given["shards"] {
		return usage.Errorf("--durations %s: it cuts the parts of --shard, which is not given: add --shard I/N", s.Durations)
	}
	return nil
}

// Cut returns the part of the plan. It can be empty. log hears that so many parts mostly boot.
func (s *Part) Cut(p *plan.Plan, log func(format string, args ...any)) (*plan.Plan, error) {
	if s.Shard == "" {
		return p, nil
	}
	shard, err := plan.ParseShard(s.Shard, os.Getenv)
	if err != nil {
		return nil, usage.Errorf("--shard %w", err)
	}
	of, err := s.costs()
	if err != nil {
		return nil, err
	}
	part := p.Cut(shard, of)
	if why := part.Waste(); why != "" && log != nil {
		log("--shard %s: %s", s.Shard, why)
	}
	return part, nil
}

// costs returns what kernels cost: as measured in a stored run, or the default.
func (s *Part) costs() (func(kernel string) plan.Cost, error) {
	if s.Durations == "" {
		return plan.CostOf, nil
	}
	r, err := runs.Load(&result.Loader{Worlds: true}, s.Durations)
	if err != nil {
		return nil, err
	}
	if gaps := r.Gaps(); len(gaps) > 0 {
		return nil, fmt.Errorf("--durations %s: %s", s.Durations, gaps[0])
	}
	of, err := plan.CostsIn(r)
	if err != nil {
		return nil, fmt.Errorf("--durations %s: %w", s.Durations, err)
	}
	return of, nil
}

// WriteMatrix writes the strategy.matrix of a workflow on GitHub as JSON: a job for each kernel and each part of it
// that is not empty, at most shards for a kernel.
func (s *Part) WriteMatrix(w io.Writer, p *plan.Plan, shards int) error {
	of, err := s.costs()
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

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// cut leaves the part of a plan that this shard does. It can be nothing.
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

// costs is what kernels cost: what they took in a stored run, or what is usual.
func (f *runFlags) costs() (func(kernel string) plan.Cost, error) {
	if f.durations == "" {
		return func(string) plan.Cost { return plan.DefaultCost }, nil
	}
	r, err := loadRun(&result.Loader{Worlds: true}, f.durations)
	if err != nil {
		return nil, err
	}
	if gaps := r.Gaps(); len(gaps) > 0 {
		return nil, fmt.Errorf("--durations %s: %s", f.durations, gaps[0])
	}
	took, sum := map[string]plan.Cost{}, plan.Cost{}
	for _, k := range r.Kernels {
		if c, ok := measured(k); ok {
			took[k.Ref] = c
			sum.Boot, sum.World, sum.Case = sum.Boot+c.Boot, sum.World+c.World, sum.Case+c.Case
		}
	}
	n := int64(len(took))
	if n == 0 {
		return nil, usage.Errorf("--durations %s: no kernel of it came to its end", f.durations)
	}
	return func(kernel string) plan.Cost { // what it does not have is as the others are
		return cmp.Or(took[kernel], plan.Cost{Boot: sum.Boot / n, World: sum.World / n, Case: sum.Case / n})
	}, nil
}

// measured is what a kernel cost in a run. How much of it was for worlds is
// not known: the usual costs are scaled.
func measured(k *result.KernelRun) (plan.Cost, bool) {
	if k.Error != "" || len(k.Boots) == 0 || k.Len() == 0 {
		return plan.Cost{}, false
	}
	b := k.Boots[0]
	usual := plan.DefaultCost.Of(len(k.Worlds), k.Len())
	scale := func(cost int64) int64 { // without an overflow, and without fractions
		return max(1, cost/int64(time.Microsecond)*int64(k.Decide/time.Microsecond)/(usual/int64(time.Millisecond)))
	}
	return plan.Cost{Boot: int64(b.Total - b.Decide), World: scale(plan.DefaultCost.World), Case: scale(plan.DefaultCost.Case)}, b.Total > 0
}

// mostJobs is how many jobs GitHub makes of a matrix.
const mostJobs = 256

// githubMatrix prints a job for each kernel and part of it that has something
// to do.
func (f *runFlags) githubMatrix(w io.Writer, p *plan.Plan, shards int) error {
	type job struct {
		Kernel string `json:"kernel"`
		Shard  string `json:"shard"`
		Name   string `json:"name"`
	}
	var out struct {
		Include []job `json:"include"`
	}
	of, err := f.costs()
	if err != nil {
		return err
	}
	for _, k := range p.Kernels {
		n := p.Only(k).Parts(shards, of)
		for i := 1; i <= n; i++ {
			s := plan.Shard{I: i, N: n}
			j := job{Kernel: k, Shard: s.String(), Name: k}
			if n > 1 {
				j.Name += " " + s.String()
			}
			out.Include = append(out.Include, j)
		}
	}
	if len(out.Include) > mostJobs {
		return usage.Errorf("%d jobs: GitHub makes at most %d of a matrix; take fewer kernels, or fewer --shards", len(out.Include), mostJobs)
	}
	return json.NewEncoder(w).Encode(out)
}

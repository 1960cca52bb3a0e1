package plan

import (
	"cmp"

	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// CostsIn returns what kernels cost in a stored run, which must have its worlds. A kernel
// that the run does not have costs as much as the others on average, at the pace of its architecture.
func CostsIn(r *result.Run) (func(kernel string) Cost, error) {
	took, sum := map[string]Cost{}, Cost{}
	for _, k := range r.Kernels {
		if c, ok := costIn(k); ok {
			took[k.Ref] = c
			c = c.plain(arch.Or(arch.Find(k.Arch)).Pace)
			sum.Boot, sum.World, sum.Case = sum.Boot+c.Boot, sum.World+c.World, sum.Case+c.Case
		}
	}
	n := int64(len(took))
	if n == 0 {
		return nil, usage.Errorf("no kernel of it ran to the end")
	}
	usual := Cost{Boot: sum.Boot / n, World: sum.World / n, Case: sum.Case / n}
	return func(ref string) Cost { return cmp.Or(took[ref], usual.on(kernel.ArchOf(ref).Pace)) }, nil
}

// costIn is what a kernel cost in a run. How much of that was for worlds is not known, so the
// default costs are scaled.
func costIn(k *result.KernelRun) (Cost, bool) {
	if k.Error != "" || len(k.Boots) == 0 || k.Len() == 0 {
		return Cost{}, false
	}
	b := k.Boots[0]
	usual := defaultCost.Of(len(k.Worlds), k.Len())
	scale := func(cost int64) int64 { // in microseconds, so that nothing overflows
		return max(1, cost/1e3*k.Decide.Microseconds()/(usual/1e6))
	}
	return Cost{Boot: int64(b.Total - b.Decide), World: scale(defaultCost.World), Case: scale(defaultCost.Case)},
		b.Total > 0
}

// Job is one job of a CI system: a part of one kernel.
type Job struct {
	Kernel string `json:"kernel"`
	Shard  string `json:"shard"` // as ParseShard reads it
	Name   string `json:"name"`
}

// mostJobs is the number of jobs to which GitHub limits a matrix.
const mostJobs = 256

// Jobs returns a job for each kernel, or for each part of a kernel that is not empty, with at
// most the given number of parts. More jobs than GitHub accepts are an error.
func (p *Plan) Jobs(shards int, of func(kernel string) Cost) ([]Job, error) {
	var out []Job
	for _, k := range p.Kernels {
		n := p.Only(k).Parts(shards, of)
		for i := 1; i <= n; i++ {
			s := Shard{I: i, N: n}
			j := Job{Kernel: k, Shard: s.String(), Name: k}
			if n > 1 {
				j.Name += " " + s.String()
			}
			out = append(out, j)
		}
	}
	if len(out) > mostJobs {
		return nil, usage.Errorf("%d jobs: GitHub makes at most %d of a matrix; use fewer kernels, or fewer --shards",
			len(out), mostJobs)
	}
	return out, nil
}

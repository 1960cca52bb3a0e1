package result

import (
	"fmt"
	"slices"
)

// Part is one part of a split plan.
type Part struct {
	I    int    `json:"part"` // from 1
	N    int    `json:"of"`
	Plan string `json:"plan"` // the digest of the whole plan
}

// String returns the part in the form of --shard.
func (p *Part) String() string { return fmt.Sprintf("%d/%d", p.I, p.N) }

// Idle reports whether the run is a part of a plan that has no cases, so that nothing can
// be wrong.
func (r *Run) Idle() bool { return r.Part != nil && len(r.Kernels) == 0 && !r.Interrupted }

// NothingToDo says why a part is idle.
const NothingToDo = "nothing to do: the other parts hold the whole plan, and one more would not end it sooner"

// missing names the missing parts of each split plan.
func missing(runs []*Run) []string {
	have := map[Part]bool{}
	var first []*Run // of each plan
	for _, r := range runs {
		if r.Part == nil {
			continue
		}
		have[*r.Part] = true
		known := func(f *Run) bool { return f.Part.Plan == r.Part.Plan && f.Part.N == r.Part.N }
		if !slices.ContainsFunc(first, known) {
			first = append(first, r)
		}
	}
	var out []string
	for _, r := range first {
		p := *r.Part
		for p.I = 1; p.I <= p.N; p.I++ {
			if !have[p] {
				out = append(out, fmt.Sprintf("%s, of the plan that %s is part %s of", &p, r.Dir, r.Part))
			}
		}
	}
	return out
}

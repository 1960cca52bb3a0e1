package lab

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/plan"
	"tokentest/harness/result"
)

// The cases of one kernel are dealt out over lanes, by world. Each lane has machines of its
// own, which run beside those of the others. The results do not tell how many lanes there
// were, except for times and for the numbers of machines.

// Costs of what a machine does, in units of one cell. They only decide which lane gets a
// world; they come from the times of the default suite on 6.12.
const (
	worldCost    = 5
	scenarioCost = 40 // a case of several steps
	// leastLane is what a lane must have to be worth a machine.
	leastLane = 750
)

// lanesFor returns how many lanes a kernel of the plan may have: as many as its share of the
// processors and the memory.
func (r *runner) lanesFor(p *plan.Plan, t *trial) int {
	l := r.lab
	if l.Isolate != Together || l.Snapshot == AlwaysRestore || l.Repeat > 1 || l.UntilFail || l.Debug != nil ||
		l.Console != nil || l.Faults.Tap != nil || l.Stopwatch != nil {
		return 1
	}
	n := cmp.Or(l.Jobs, runtime.GOMAXPROCS(0)) / len(p.Kernels)
	if r.memory != nil {
		n = min(n, int(r.memory.all)/(t.memMiB+qemuMiB)/len(p.Kernels))
	}
	return max(1, n)
}

// cost is what the cases of a world cost.
func cost(list []*cases.Case) int {
	sum := worldCost
	for _, c := range list {
		if c.Len() > 1 {
			sum += scenarioCost
		} else {
			sum++
		}
	}
	return sum
}

// deal splits cases into at most n lanes of about the same cost. A world stays whole, and
// the cases of a lane keep their order. The same cases are always dealt out in the same way.
func deal(all []*cases.Case, n int) [][]*cases.Case {
	var worlds []*cases.World
	of := map[*cases.World][]*cases.Case{}
	for _, c := range all {
		if of[c.World] == nil {
			worlds = append(worlds, c.World)
		}
		of[c.World] = append(of[c.World], c)
	}
	costs, sum := map[*cases.World]int{}, 0
	for _, w := range worlds {
		costs[w] = cost(of[w])
		sum += costs[w]
	}
	if n = min(n, sum/leastLane); n <= 1 {
		return [][]*cases.Case{all}
	}
	slices.SortStableFunc(worlds, func(a, b *cases.World) int { return cmp.Compare(costs[b], costs[a]) })
	lane, loads := map[*cases.World]int{}, make([]int, n)
	for _, w := range worlds {
		least := slices.Index(loads, slices.Min(loads))
		lane[w] = least
		loads[least] += costs[w]
	}
	out := make([][]*cases.Case, n)
	for _, c := range all {
		out[lane[c.World]] = append(out[lane[c.World]], c)
	}
	return slices.DeleteFunc(out, func(list []*cases.Case) bool { return len(list) == 0 })
}

// sideBySide runs all cases in lanes, as they are dealt out, and takes in what they showed.
func (t *trial) sideBySide(ctx context.Context, all []*cases.Case, lists [][]*cases.Case, batch int) {
	reports := &laneReports{to: t.lab, total: t.total, at: make([]Progress, len(lists))}
	subs := make([]*trial, len(lists))
	var group sync.WaitGroup
	for i, list := range lists {
		sub := t.lane(i, list, reports)
		subs[i] = sub
		group.Go(func() { sub.runLane(ctx, list, batch) })
	}
	group.Wait()
	for i, sub := range subs {
		t.takeIn(sub, lists[i])
	}
	orderWorlds(t.out, all)
}

// lane is the trial of a part of the cases. The first lane has the directory of the trial.
func (t *trial) lane(i int, list []*cases.Case, reports *laneReports) *trial {
	l := *t.lab
	l.Progress = func(p Progress) { reports.progress(i, p) }
	sub := *t
	sub.lab, sub.laneIndex, sub.lanes = &l, i, 1
	sub.out = &result.KernelRun{Ref: t.out.Ref}
	sub.results, sub.total, sub.failed, sub.remarks = newResults(list), len(list), 0, nil
	sub.judge, sub.symbols, sub.verifying = nil, nil, nil
	sub.imageFacts = make(chan *step.Facts)
	if i > 0 {
		sub.dir = filepath.Join(t.dir, fmt.Sprintf("lane%d", i))
	}
	return &sub
}

// takeIn adds what a lane showed to the trial.
func (t *trial) takeIn(sub *trial, list []*cases.Case) {
	before := len(t.out.Boots)
	for _, c := range list {
		if r := sub.results.of(c); r != nil {
			if r.Boot >= 0 {
				r.Boot += before
			}
			t.results.set(c, *r)
		}
	}
	t.failed += sub.failed
	t.out.Boots = append(t.out.Boots, sub.out.Boots...)
	t.out.Worlds = append(t.out.Worlds, sub.out.Worlds...)
	t.out.Decide += sub.out.Decide
	if t.out.Facts == nil {
		t.out.Facts, t.out.Release, t.out.Drift = sub.out.Facts, cmp.Or(sub.out.Release, t.out.Release), sub.out.Drift
	}
	for _, remark := range sub.remarks {
		t.remark(remark)
	}
	if sub.judge != nil {
		t.rules = merged(t.rules, sub.judge.Rules())
	}
	t.exhausted, t.stale = t.exhausted || sub.exhausted, cmp.Or(t.stale, sub.stale)
}

func merged(a, b map[string]result.RuleText) map[string]result.RuleText {
	if a == nil {
		a = map[string]result.RuleText{}
	}
	maps.Copy(a, b)
	return a
}

// orderWorlds puts the set-ups into the order that they have on one machine.
func orderWorlds(k *result.KernelRun, all []*cases.Case) {
	type key struct {
		group string
		index int
	}
	place := map[key]int{}
	together, alone := plan.Alone(all)
	for _, c := range slices.Concat(controlsFirst(together), alone) {
		at := key{c.World.Group.Name, c.World.Index}
		if _, known := place[at]; !known {
			place[at] = len(place)
		}
	}
	slices.SortStableFunc(k.Worlds, func(a, b result.WorldResult) int {
		return cmp.Compare(place[key{a.Group, a.Index}], place[key{b.Group, b.Index}])
	})
}

// laneReports makes one report of those of the lanes.
type laneReports struct {
	mu    sync.Mutex
	to    *Lab
	total int
	at    []Progress
}

func (r *laneReports) progress(i int, p Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Wrong != nil {
		r.to.progress(p)
		return
	}
	r.at[i] = p
	p.Done, p.Failed, p.Total = 0, 0, r.total
	for _, q := range r.at {
		p.Done, p.Failed = p.Done+q.Done, p.Failed+q.Failed
	}
	r.to.progress(p)
}

package result

import (
	"runtime"
	"slices"
	"sync"

	"tokentest/cases"
	"tokentest/cases/step"
)

// Why a case was not judged again.
const (
	KeptGone    = "the cases no longer have it"
	KeptChanged = "its steps or its world are others now"
	KeptSilent  = "it showed nothing"
)

// Again judges the stored observations again, with today's oracle and corpus, and applies
// the controls again. It returns the new run, and how many cases it left as they were, by
// the reason. The Loader must have read the Worlds.
//
// It takes some cases of a group at a time, for all kernels: it makes their steps once, and
// never holds those of a million cases.
func (r *Run) Again(corpus *cases.Corpus) (*Run, map[string]int) {
	out := *r
	out.Kernels, out.Flags = nil, withoutRule(r.Flags)
	of, kept := finder{corpus: corpus, by: map[*pool][]*cases.Case{}}, map[string]int{}
	same, worlds := r.sameCases(corpus), worldsOf(corpus)
	var all []*rejudging
	for _, k := range r.Kernels {
		j := k.rejudging()
		out.Kernels = append(out.Kernels, &j.KernelRun)
		if k.Facts != nil {
			j.judge, j.setups = NewJudge(k.Facts, ""), k.setups(worlds)
			j.find(&of)
			all = append(all, j)
		}
	}
	for _, g := range corpus.Groups {
		rejudgeGroup(g, all, same)
	}
	for _, j := range all {
		j.expect(r.Lists)
		j.Rules = j.judge.Rules()
		for why, n := range j.kept {
			kept[why] += n
		}
	}
	return &out, kept
}

// atATime is how many cases have their steps at the same time; tests lower it.
var atATime = 2048

func rejudgeGroup(g *cases.Group, all []*rejudging, same func(*cases.Case) bool) {
	for first := 0; first < len(g.Cases); first += atATime {
		made := make([]*madeCase, min(atATime, len(g.Cases)-first))
		for _, j := range all {
			j.makeSteps(g, first, made, same)
		}
		each(all, func(j *rejudging) { j.judgeSome(made) })
		for _, j := range all {
			j.store()
		}
	}
	for _, j := range all {
		j.guards(g)
		clear(j.judge.worlds)
	}
}

// each calls do for each kernel, on all processors.
func each(all []*rejudging, do func(*rejudging)) {
	var wait sync.WaitGroup
	room := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, j := range all {
		room <- struct{}{}
		wait.Go(func() {
			do(j)
			<-room
		})
	}
	wait.Wait()
}

// rejudging is a kernel's run while it is judged again.
type rejudging struct {
	KernelRun
	was    *KernelRun
	judge  *Judge
	setups map[*cases.World]*WorldResult
	at     map[*cases.Group][]spot // the places of its cases, in the group's order
	kept   map[string]int
	packer *packer // for packed cases

	first  int    // the index of the first case that has its steps
	some   []spot // of at
	judged []CaseResult
}

// spot is the place of a case's result.
type spot struct {
	*cases.Case
	place           int
	silent, changed bool // why it is not judged again
}

func (k *KernelRun) rejudging() *rejudging {
	j := &rejudging{KernelRun: *k, was: k, kept: map[string]int{}, at: map[*cases.Group][]spot{}}
	j.Cases = slices.Clone(k.Cases)
	if k.packed != nil {
		again := *k.packed
		again.body = slices.Clone(again.body)
		j.packed = &again
		j.packer = newPacker(k.packed.pool)
	}
	return j
}

// finder finds the cases of results. The kernels of a run mostly have the same cases.
type finder struct {
	corpus *cases.Corpus
	by     map[*pool][]*cases.Case // by the number of the name
}

// at returns the case of a result by its place, or nil.
func (f *finder) at(k *KernelRun, place int) *cases.Case {
	if place < len(k.Cases) {
		return f.corpus.Case(k.Cases[place].ID)
	}
	s := k.packed.pool
	for n := len(f.by[s]); n < len(s.names); n++ {
		f.by[s] = append(f.by[s], f.corpus.Case(s.names[n]))
	}
	return f.by[s][k.packed.name[place-len(k.Cases)]]
}

// find finds the kernel's cases.
func (j *rejudging) find(of *finder) {
	for i := range j.was.Len() {
		if c := of.at(j.was, i); c != nil {
			j.at[c.Group] = append(j.at[c.Group], spot{Case: c, place: i})
		} else {
			j.kept[KeptGone]++
		}
	}
	for _, spots := range j.at {
		slices.SortStableFunc(spots, func(a, b spot) int { return int(a.Index) - int(b.Index) })
	}
}

// makeSteps makes the steps of those cases that the kernel ran.
func (j *rejudging) makeSteps(g *cases.Group, first int, made []*madeCase, same func(*cases.Case) bool) {
	at := func(n int) int {
		i, _ := slices.BinarySearchFunc(j.at[g], n, func(s spot, n int) int { return int(s.Index) - n })
		return i
	}
	j.first, j.some = first, j.at[g][at(first):at(first+len(made))]
	for _, s := range j.some {
		if m := &made[int(s.Index)-first]; *m == nil && j.was.namelessAt(s.place).canAgain() {
			*m = makeSteps(s.Case)
			(*m).same = same(s.Case)
		}
	}
}

// judgeSome judges the cases that have their steps.
func (j *rejudging) judgeSome(made []*madeCase) {
	j.judged = j.judged[:0]
	for i := range j.some {
		s := &j.some[i]
		r, m := j.was.caseAt(s.place), made[int(s.Index)-j.first]
		if w := j.setups[s.World]; w != nil && j.judge.worlds[s.World] == nil {
			j.judge.Setup(s.World, w.Seen)
		}
		switch {
		case !r.canAgain():
			j.kept[KeptSilent]++
			s.silent = true
		case !m.same || !j.judge.again(&r, m):
			j.kept[KeptChanged]++
			s.changed = true
		}
		j.judged = append(j.judged, r)
	}
}

// store replaces the results.
func (j *rejudging) store() {
	for n := range j.judged {
		j.set(j.some[n].place, &j.judged[n])
	}
	j.judged = j.judged[:0]
}

func (j *rejudging) set(place int, r *CaseResult) {
	if listed := len(j.Cases); place < listed {
		j.Cases[place] = *r
	} else {
		body := &j.packed.body[place-listed]
		*body = j.packer.bodyOf(r, *body)
	}
}

// guards applies the group's controls to its cases.
func (j *rejudging) guards(g *cases.Group) {
	places := make([]*spot, len(g.Cases))
	var list []*cases.Case
	for i := range j.at[g] {
		if s := &j.at[g][i]; !s.changed {
			list, places[s.Index] = append(list, s.Case), s
		}
	}
	of := func(c *cases.Case) *CaseResult {
		if s := places[c.Index]; s != nil {
			return j.namelessAt(s.place)
		}
		return nil
	}
	Guards(j.Facts, list, of, func(c *cases.Case, now CaseResult) {
		if s := places[c.Index]; !s.silent { // otherwise it has a reason already
			now.ID = c.ID
			j.set(s.place, &now)
		}
	})
}

// expect applies the list of expected failures.
func (j *rejudging) expect(list []ListEntry) {
	if !expects(list) {
		return
	}
	for i := range j.Len() {
		if e := Expected(list, &j.KernelRun, j.idAt(i)); e != nil {
			now := j.caseAt(i)
			now.expect(e)
			j.set(i, &now)
		}
	}
}

// madeCase is a case with its steps.
type madeCase struct {
	*cases.Case
	same bool // its steps are those of the stored run
	cell step.Cell
	info []cases.StepInfo
}

// again judges the stored observations of a case, and reports whether it could.
func (j *Judge) again(r *CaseResult, m *madeCase) bool {
	if len(r.Steps) != m.Len() || len(r.Steps) == 0 || j.worlds[m.World] == nil {
		return false
	}
	seen := make([]step.Observation, len(r.Steps))
	for i := range r.Steps {
		seen[i] = r.Steps[i].Got
	}
	was := *r
	*r = j.made(m, seen)
	r.Boot = was.Boot
	if r.Status == Pass && was.Status == Pass {
		r.Cause, r.Reason = was.Cause, was.Reason // a known defect's
	}
	return true
}

// makeSteps makes the steps of a case.
func makeSteps(c *cases.Case) *madeCase {
	cell, info := c.Steps()
	return &madeCase{c, true, cell, info}
}

// worldFinder finds the world of a record by its key, or by its index in old records that
// have no key; nil is none.
type worldFinder func(*WorldResult) *cases.World

func worldsOf(corpus *cases.Corpus) worldFinder {
	keys := map[*cases.Group]map[string]*cases.World{}
	return func(w *WorldResult) *cases.World {
		g := corpus.Group(w.Group)
		switch {
		case g == nil || w.Key == "" && w.Index >= len(g.Worlds):
			return nil
		case w.Key == "":
			return g.Worlds[w.Index]
		case keys[g] == nil:
			keys[g] = map[string]*cases.World{}
			for _, now := range g.Worlds {
				keys[g][now.Key()] = now
			}
		}
		return keys[g][w.Key]
	}
}

// setups finds the set-ups of a kernel's worlds.
func (k *KernelRun) setups(find worldFinder) map[*cases.World]*WorldResult {
	out := map[*cases.World]*WorldResult{}
	for i := range k.Worlds {
		if now := find(&k.Worlds[i]); now != nil {
			out[now] = &k.Worlds[i]
		}
	}
	return out
}

// canAgain reports whether the case ran and its observations are stored, also if a control
// made it broken.
func (r *CaseResult) canAgain() bool {
	switch r.Status {
	case Broken:
		return len(r.Steps) > 0 && (r.Cause.Kind == ByControl || r.Cause.Kind == ByControlStep)
	case Pass, Fail, XFail, Interrupted, Skip: // a skipped case has steps if none of them was judged
		return len(r.Steps) > 0
	}
	return false
}

// sameCases returns a function that reports whether a case is the same as in the run. If
// the record has no outlines, all are.
func (r *Run) sameCases(corpus *cases.Corpus) func(*cases.Case) bool {
	was := map[string]*cases.Outline{}
	for i := range r.Groups {
		was[r.Groups[i].Name] = &r.Groups[i]
	}
	now := map[*cases.Group]*cases.Outline{}
	equal := map[*cases.Group]bool{}
	return func(c *cases.Case) bool {
		old := was[c.Group.Name]
		if old == nil {
			return len(was) == 0
		}
		o := now[c.Group]
		if o == nil {
			outline := c.Group.Outline()
			o = &outline
			now[c.Group], equal[c.Group] = o, old.Equal(o)
		}
		return equal[c.Group] || old.SameCase(o, c.ID)
	}
}

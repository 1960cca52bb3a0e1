package result

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"tokentest/harness/vm"
)

// Class says what became of a case between two runs.
type Class string

// The classes, in the order in which they are told. A case that is broken now
// and was not has no verdict: it is neither a failure nor as it was.
const (
	NewFailure   Class = "new failure"
	NoVerdict    Class = "no verdict"
	Flaky        Class = "flaky"
	StillFailing Class = "still failing"
	Changed      Class = "changed decision"
	Fixed        Class = "fixed"
	NewCase      Class = "new"
	Vanished     Class = "vanished"
	Same         Class = "same"
)

// Classes lists every class but Same, in the order in which they are told.
func Classes() []Class {
	return []Class{NewFailure, NoVerdict, Flaky, StillFailing, Changed, Fixed, NewCase, Vanished}
}

// Side is one side of a comparison: a run, the parts of one that was split,
// several runs of the same, or a baseline.
type Side struct {
	Name string
	Runs []*Run
	// Kernel chooses one kernel by its reference; "" means all.
	Kernel string

	parted bool // it is a directory of runs: parts that are not there are missed
}

// Comparison is what changed from one side to another.
type Comparison struct {
	Base, New string
	// Unlike says what else differs, that a change could come from.
	Unlike []string
	// Gaps says what the records of either side lack of what was written.
	Gaps  []string
	Pairs []*Pair
	// Fatal are the classes that exit code 1 stands for as well.
	Fatal []Class
	runs  []*Run
}

// Pair is a kernel of one side and the kernel that it is compared with.
type Pair struct {
	Base, New *KernelRun // the first of each side; nil where a side has none
	Dir       string     // of the run that New is of
	Same      int        // cases of which there is nothing to say
	Changes   []Change
	// Findings are what the kernel's log holds now and did not before.
	Findings []Symptom
	// Untried says why there is no verdict on the kernel as a whole.
	Untried string
	// Alone says which side does not have the kernel.
	Alone string

	baseLacks, newLacks bool // records of cases that were planned
}

// Change is a case that is not as it was.
type Change struct {
	ID    string
	Class Class
	// Base and New are the case on each side, nil where it has none. Of
	// several results that vary it is the worst.
	Base, New *CaseResult
	// Seen counts the results of the side that varies, for a flaky case.
	Seen map[Status]int
	// Detail is what the class does not say, such as that the case is skipped now.
	Detail Detail
}

// Symptom is how a machine did not end well, or what its log holds.
type Symptom struct {
	Title string
	Blame string
	Boot  *Boot

	key symptomKey
}

// symptomKey is equal for symptoms that are the same in two runs: a report of
// the kernel with the same title, or the same death under the same case.
type symptomKey struct {
	title string
	fate  vm.Fate
	under Blame
}

// Compare says what changed from base to new.
func Compare(base, new *Side) *Comparison {
	c := &Comparison{Base: base.Name, New: new.Name}
	for _, p := range pairs(base, new) {
		c.Pairs = append(c.Pairs, p.compare())
	}
	c.Unlike = otherDifferences(base, new, c.Pairs)
	c.runs = append(base.chosen(), new.chosen()...)
	c.Gaps = base.gaps()
	for _, g := range new.gaps() {
		if !slices.Contains(c.Gaps, g) { // two kernels of one run
			c.Gaps = append(c.Gaps, g)
		}
	}
	return c
}

// gaps says what the side's runs lack, and which run it is.
func (s *Side) gaps() []string {
	var out []string
	if s.parted || len(s.Runs) > 1 {
		for _, part := range missing(s.Runs) {
			out = append(out, "missing is part "+part)
		}
	}
	for _, r := range s.chosen() {
		for _, k := range r.Kernels {
			if k.Absent > 0 {
				out = append(out, cmp.Or(r.Dir, s.Name)+": kernel "+k.Ref+": "+k.Lack())
			}
		}
		out = append(out, r.Damages()...)
	}
	return out
}

// Asked leaves out what vanished because the new side was not asked for it.
func (c *Comparison) Asked(of func(id string) bool) {
	for _, p := range c.Pairs {
		p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool { return c.Class == Vanished && c.New == nil && !of(c.ID) })
	}
}

// Of leaves those of a side's kernels that a run has as well: a baseline may
// hold more than were asked. Where there is none in common it stays as it is.
func (s *Side) Of(r *Run) *Side {
	out := &Side{Name: s.Name}
	for _, base := range s.Runs {
		small := *base
		small.Kernels = slices.DeleteFunc(slices.Clone(base.Kernels), func(b *KernelRun) bool {
			return !slices.ContainsFunc(r.Kernels, func(k *KernelRun) bool { return k.Ref == b.Ref })
		})
		if len(small.Kernels) > 0 {
			out.Runs = append(out.Runs, &small)
		}
	}
	if len(out.Runs) == 0 {
		return s
	}
	return out
}

// Runs returns the runs of both sides, with the kernels alone that are compared.
func (c *Comparison) Runs() []*Run { return c.runs }

// chosen is the side's runs without the kernels that were not asked for.
func (s *Side) chosen() []*Run {
	if s.Kernel == "" {
		return slices.Clone(s.Runs)
	}
	var out []*Run
	for _, r := range s.Runs {
		small := *r
		small.Kernels = nil
		for _, k := range r.Kernels {
			if k.Ref == s.Kernel {
				small.Kernels = append(small.Kernels, k)
			}
		}
		if len(small.Kernels) > 0 {
			out = append(out, &small)
		}
	}
	return out
}

// Counts says how many cases have each class, over all kernels.
func (c *Comparison) Counts() map[Class]int {
	n := map[Class]int{}
	for _, p := range c.Pairs {
		n[Same] += p.Same
		for i := range p.Changes {
			n[p.Changes[i].Class]++
		}
	}
	return n
}

// ExitCode is 1 for a new failure, be it a case or the kernel's health, and for
// what else is fatal; 3 when something has no verdict any more; and 0 otherwise.
func (c *Comparison) ExitCode() int {
	n := c.Counts()
	code := ExitOK
	if n[NoVerdict] > 0 || len(c.Gaps) > 0 || !slices.ContainsFunc(c.Pairs, func(p *Pair) bool { return p.Alone == "" }) {
		code = ExitNoVerdict // also when nothing could be compared
	}
	for _, p := range c.Pairs {
		if len(p.Findings) > 0 {
			return ExitDiffers
		}
		if p.Untried != "" {
			code = ExitNoVerdict
		}
	}
	if n[NewFailure] > 0 || slices.ContainsFunc(c.Fatal, func(class Class) bool { return n[class] > 0 }) {
		return ExitDiffers
	}
	return code
}

// pairing is the kernels of one reference on both sides: several where the
// side has several runs.
type pairing struct{ base, new []part }

// part is one kernel of one run.
type part struct {
	*KernelRun
	run *Run
}

// parts lists a side's kernels by reference, in their order.
func (s *Side) parts() (order []string, by map[string][]part) {
	by = map[string][]part{}
	for _, r := range s.Runs {
		for _, k := range r.Kernels {
			if s.Kernel != "" && s.Kernel != k.Ref {
				continue
			}
			if by[k.Ref] == nil {
				order = append(order, k.Ref)
			}
			by[k.Ref] = append(by[k.Ref], part{k, r})
		}
	}
	return order, by
}

// pairs puts the kernels of the same reference together. When each side has
// just one left over, these are compared with one another: two kernels.
func pairs(base, new *Side) []*pairing {
	bases, byBase := base.parts()
	news, byNew := new.parts()
	var out []*pairing
	var lone []string
	for _, ref := range news {
		if byBase[ref] == nil {
			lone = append(lone, ref)
			continue
		}
		out = append(out, &pairing{byBase[ref], byNew[ref]})
	}
	bases = slices.DeleteFunc(bases, func(ref string) bool { return byNew[ref] != nil })
	if len(lone) == 1 && len(bases) == 1 {
		return append(out, &pairing{byBase[bases[0]], byNew[lone[0]]})
	}
	for _, ref := range lone {
		out = append(out, &pairing{nil, byNew[ref]})
	}
	for _, ref := range bases {
		out = append(out, &pairing{byBase[ref], nil})
	}
	return out
}

// seen is what the runs of one side showed of a case.
type seen struct {
	worst  *CaseResult
	counts map[Status]int // nil for a single result
	varied bool
	met    bool // on the other side
}

func collect(parts []part) (map[string]*seen, []string) {
	most := 0
	for _, p := range parts {
		most = max(most, p.Len())
	}
	out, order := make(map[string]*seen, most), make([]string, 0, most)
	room := make([]seen, 0, most) // not one by one
	for _, p := range parts {
		for c := range p.All() {
			s := out[c.ID]
			if s == nil {
				if len(room) == cap(room) {
					room = make([]seen, 0, 1024)
				}
				room = append(room, seen{worst: c, counts: maps.Clone(c.Times), varied: c.varies()})
				out[c.ID] = &room[len(room)-1]
				order = append(order, c.ID)
				continue
			}
			s.add(c)
		}
	}
	return out, order
}

// add takes one more result of a case. That a case was not asked, or says
// nothing, does not make it vary.
func (s *seen) add(c *CaseResult) {
	if s.counts == nil {
		s.counts = map[Status]int{s.worst.Status: 1}
	}
	if c.Times == nil {
		s.counts[c.Status]++
	}
	for status, n := range c.Times {
		s.counts[status] += n
	}
	s.varied = s.varied || c.varies()
	if s.worst.answered() && c.answered() && (s.worst.Status != c.Status || !sameDecision(s.worst, c)) {
		s.varied = true
	}
	if severity(c) < severity(s.worst) {
		s.worst = c
	}
}

// severity orders statuses so that what answers outdoes what does not.
func severity(c *CaseResult) int {
	return slices.Index([]Status{Fail, XFail, Pass, Broken, Skip, Interrupted}, c.Status)
}

// varies says whether repetitions of the case answered differently.
func (r *CaseResult) varies() bool { return r.Times[Pass] > 0 && r.Times[Fail] > 0 }

// silent says that the case has no verdict.
func (r *CaseResult) silent() bool { return r.Status == Broken || r.Status == Interrupted }

// answered says that the case tells something about the kernel.
func (r *CaseResult) answered() bool {
	return r.Status == Pass || r.Status == Fail || r.Status == XFail
}

// sameDecision compares what a kernel answered, whatever was expected.
func sameDecision(a, b *CaseResult) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y StepResult) bool {
		return x.Got.Errno == y.Got.Errno && x.Got.Proof == y.Got.Proof &&
			(x.Measured || y.Measured || slices.Equal(x.Got.Values, y.Got.Values))
	})
}

func (p *pairing) compare() *Pair {
	out := &Pair{baseLacks: lacks(p.base), newLacks: lacks(p.new)}
	if len(p.base) > 0 {
		out.Base = p.base[0].KernelRun
	}
	if len(p.new) > 0 {
		out.New, out.Dir = p.new[0].KernelRun, p.new[0].run.Dir
	}
	out.Untried, out.Alone = untried(p), alone(p)
	out.Findings = newSymptoms(p)
	if out.New == nil {
		return out
	}
	if base, new, ok := p.packedSides(); ok {
		out.comparePacked(base, new)
		return out
	}
	was, before := collect(p.base)
	is, now := collect(p.new)
	for _, id := range now {
		b := was[id]
		if b != nil {
			b.met = true
		}
		out.add(id, b, is[id])
	}
	for _, id := range before {
		if s := was[id]; !s.met {
			out.vanished(id, s.worst)
		}
	}
	return out
}

// lacks says that a side does not have records of all that was planned.
func lacks(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.Absent > 0 })
}

// vanished takes a case that only the base has. Where records are missing it
// may have run all the same.
func (p *Pair) vanished(id string, base *CaseResult) {
	c := Change{ID: id, Class: Vanished, Base: base}
	if p.newLacks {
		c.Class, c.Detail = NoVerdict, NoRecord
	}
	p.Changes = append(p.Changes, c)
}

// add classes one case that the new side has.
func (p *Pair) add(id string, was, is *seen) {
	c := Change{ID: id, New: is.worst}
	if was != nil {
		c.Base = was.worst
	}
	switch {
	case was == nil && p.baseLacks:
		c.Class, c.Detail = NoVerdict, NoBaseRecord
	case is.varied:
		c.Class, c.Seen = Flaky, is.counts
	case was != nil && was.varied:
		c.Class, c.Seen, c.Detail = Flaky, was.counts, InBase
	default:
		c.Class, c.Detail = classOf(c.Base, c.New)
	}
	if c.Class == Same {
		p.Same++
		return
	}
	p.Changes = append(p.Changes, c)
}

// unanswered says why a case had no answer that has one now.
var unanswered = map[Status]Detail{Skip: WasSkipped, Broken: WasBroken, Interrupted: WasNotTried}

// classOf classes a case from one result of each side; base may be nil.
func classOf(base, new *CaseResult) (Class, Detail) {
	switch {
	case new.Status == XFail && base != nil && (base.Status == XFail || base.Status == Fail) && sameDecision(base, new):
		return Same, ""
	case base != nil && base.Status == XFail && new.Status == Pass:
		return Fixed, WasExpected
	case new.Status == Fail && base == nil:
		return NewFailure, NotInBase
	case new.Status == Fail && base.Status == Fail && !sameDecision(base, new):
		return StillFailing, OtherAnswer
	case new.Status == Fail && base.Status == Fail:
		return StillFailing, ""
	case new.Status == Fail:
		return NewFailure, unanswered[base.Status]
	case new.silent() && base != nil && base.silent():
		return Same, ""
	case new.silent():
		return NoVerdict, ""
	case base == nil:
		return NewCase, ""
	case new.Status == Skip && base.answered():
		return Vanished, IsSkipped
	case new.Status == Skip:
		return Same, ""
	case base.Status == Skip:
		return NewCase, WasSkipped
	case base.Status == Broken:
		return NewCase, unanswered[Broken]
	case base.Status == Interrupted:
		return NewCase, unanswered[Interrupted]
	case base.Status == Fail:
		return Fixed, ""
	case len(base.Steps) != len(new.Steps) && base.Status == Pass && new.Status == Pass:
		return NewCase, OtherSteps
	case !sameDecision(base, new):
		return Changed, ""
	}
	return Same, ""
}

// alone says that one side does not have a kernel: it was not asked for.
func alone(p *pairing) string {
	switch {
	case len(p.new) == 0:
		return "the new side does not have it"
	case len(p.base) == 0:
		return "the base does not have it"
	}
	return ""
}

// untried says why there is no verdict on a kernel as a whole.
func untried(p *pairing) string {
	for _, k := range p.new {
		switch {
		case k.Error != "":
			return "it could not be tried: " + k.Error
		case k.run.Interrupted:
			return "its run was interrupted"
		}
	}
	if why := undecided(p.new); why != "" {
		return why
	}
	if why := undecided(p.base); why != "" && len(p.new) > 0 {
		return "in the base " + why
	}
	return ""
}

// undecided says why none of the runs of a side decided anything on a kernel.
func undecided(parts []part) string {
	why := ""
	for _, k := range parts {
		if why = k.run.Undecided(k.KernelRun); why == "" {
			return ""
		}
	}
	return why
}

// newSymptoms lists what the machines of the new side show and those of the
// base do not, each once.
func newSymptoms(p *pairing) []Symptom {
	known := map[symptomKey]bool{}
	for _, k := range p.base {
		for s := range k.symptoms() {
			known[s.key] = true
		}
	}
	var out []Symptom
	for _, k := range p.new {
		for s := range k.symptoms() {
			if !known[s.key] {
				known[s.key] = true
				out = append(out, s)
			}
		}
	}
	return out
}

// symptoms lists what the kernel's machines showed that is the kernel's fault.
func (k *KernelRun) symptoms() iter.Seq[Symptom] {
	return func(yield func(Symptom) bool) {
		for i := range k.Boots {
			b := &k.Boots[i]
			if b.Known != "" {
				continue // it ended as it is known to
			}
			counted := false
			for j := range b.Findings {
				f := &b.Findings[j]
				if !f.Counts() {
					continue
				}
				counted = true
				if !yield(Symptom{f.Title, cmp.Or(f.Case, b.Blame), b, symptomKey{title: f.Title}}) {
					return
				}
			}
			if counted || b.Fate != vm.Panicked && b.Fate != vm.Hung {
				continue
			}
			title := string(b.Fate)
			if b.Blame != "" {
				title += " under " + b.Blame
			}
			if !yield(Symptom{title, b.Blame, b, symptomKey{fate: b.Fate, under: b.Blamed}}) {
				return
			}
		}
	}
}

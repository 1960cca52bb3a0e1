package result

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"tokentest/harness/count"
	"tokentest/harness/vm"
)

// Class is the change of a case between two runs.
type Class string

// The classes, in the order of reports. A case that is broken now and was not has no verdict:
// it is neither a failure nor the same.
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

// Classes lists every class but Same, in the order of reports.
func Classes() []Class {
	return []Class{NewFailure, NoVerdict, Flaky, StillFailing, Changed, Fixed, NewCase, Vanished}
}

// ClassNames are the classes as words of a command line.
func ClassNames() []string {
	var out []string
	for _, class := range Classes() {
		out = append(out, strings.ReplaceAll(string(class), " ", "-"))
	}
	return out
}

// ParseClasses reads classes as ClassNames has them.
func ParseClasses(names []string) ([]Class, error) {
	var out []Class
	for _, name := range names {
		class := Class(strings.ReplaceAll(name, "-", " "))
		if !slices.Contains(Classes(), class) {
			return nil, fmt.Errorf("%s: must be some of %s", name, strings.Join(ClassNames(), ","))
		}
		out = append(out, class)
	}
	return out, nil
}

// Side is one side of a comparison: a run, the parts of a split run, several runs of the same
// cases, or a baseline.
type Side struct {
	Name string
	Runs []*Run
	// Kernel chooses one kernel by its reference; "" means all.
	Kernel string

	parted bool // it is a directory of runs, whose missing parts are gaps
}

// Comparison is what changed from one side to another.
type Comparison struct {
	Base, New string // the names of the sides
	// Unlike says what else differs between the sides and may cause changes.
	Unlike []string
	// Gaps says which records either side lacks.
	Gaps  []string
	Pairs []*Pair
	// Fatal are further classes that give exit code 1. The caller sets it.
	Fatal []Class
	runs  []*Run
}

// Pair is a kernel of one side and the kernel that it is compared with.
type Pair struct {
	Base, New *KernelRun // the first of each side; nil if a side has none
	Of        *Run       // New's run
	Same      int        // cases that did not change
	Changes   []Change
	// Findings are in the kernel's log now and were not before.
	Findings []Symptom
	// Untried says why there is no verdict on the kernel as a whole.
	Untried string
	// Alone says which side does not have the kernel.
	Alone string

	baseLacks, newLacks bool // records of cases that were planned
}

// Change is a case that changed.
type Change struct {
	ID    string
	Class Class
	// Base and New are the case's result on each side, nil if there is none, and the
	// worst if there are several.
	Base, New *CaseResult
	// Seen counts the results of the side that varies, for a flaky case.
	Seen map[Status]int
	// Detail adds to the class, for example that the case is skipped now.
	Detail Detail
}

// Symptom is a finding in a machine's log, or a machine that panicked or hung.
type Symptom struct {
	Title string
	Blame string
	Boot  *Boot

	key symptomKey
}

// symptomKey is equal for symptoms that are the same in two runs: a finding with the same
// title, or the same fate under the same case.
type symptomKey struct {
	title string
	fate  vm.Fate
	under Blame
}

// Compare returns what changed from base to new.
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

// gaps says what records the side's runs lack.
func (s *Side) gaps() []string {
	var out []string
	if s.parted || len(s.Runs) > 1 {
		for _, part := range missing(s.Runs) {
			out = append(out, "missing part "+part)
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

// Asked removes the vanished cases for which of returns false, because the new side did not
// select them.
func (c *Comparison) Asked(of func(id string) bool) {
	for _, p := range c.Pairs {
		p.Changes = slices.DeleteFunc(p.Changes, func(c Change) bool {
			return c.Class == Vanished && c.New == nil && !of(c.ID)
		})
	}
}

// Of returns the side with only the kernels that the run has too: a baseline may hold more.
// If they have no kernel in common, it returns the side itself.
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

// Runs returns the runs of both sides, with only the kernels that are compared.
func (c *Comparison) Runs() []*Run { return c.runs }

// chosen is the side's runs with only the chosen kernel.
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

// Counts returns how many cases have each class, over all kernels.
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

// ExitCode returns 1 for a new failure of a case, a new finding and the Fatal classes; 3 if
// something has no verdict any more or nothing could be compared; and 0 otherwise.
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

// pairing is the kernels of one reference on both sides: several if a side has several runs.
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

// pairs pairs kernels of the same reference. If each side has exactly one other kernel, it
// pairs those two.
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

// seen is the results of a case on one side.
type seen struct {
	worst  *CaseResult
	counts map[Status]int // nil for a single result
	varied bool
	met    bool // the other side has the case
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

// add adds one more result of a case. A result without an answer does not make it vary.
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

// severity orders statuses, the worst first; those without an answer come last.
func severity(c *CaseResult) int {
	return slices.Index([]Status{Fail, XFail, Pass, Broken, Skip, Interrupted}, c.Status)
}

// varies reports whether repetitions of the case had different answers.
func (r *CaseResult) varies() bool { return r.Times[Pass] > 0 && r.Times[Fail] > 0 }

// silent reports whether the case has no verdict.
func (r *CaseResult) silent() bool { return r.Status == Broken || r.Status == Interrupted }

// answered reports whether the case says something about the kernel.
func (r *CaseResult) answered() bool {
	return r.Status == Pass || r.Status == Fail || r.Status == XFail
}

// sameDecision reports whether a kernel answered the same, whatever was expected.
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
		out.New, out.Of = p.new[0].KernelRun, p.new[0].run
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

// lacks reports whether a side lacks records of planned cases.
func lacks(parts []part) bool {
	return slices.ContainsFunc(parts, func(p part) bool { return p.Absent > 0 })
}

// vanished adds a case that only the base has. If the new side lacks records, it may have
// run there too.
func (p *Pair) vanished(id string, base *CaseResult) {
	c := Change{ID: id, Class: Vanished, Base: base}
	if p.newLacks {
		c.Class, c.Detail = NoVerdict, NoRecord
	}
	p.Changes = append(p.Changes, c)
}

// add classifies one case that the new side has; was is nil if the base lacks it.
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

// unanswered says why the base has no answer.
var unanswered = map[Status]Detail{Skip: WasSkipped, Broken: WasBroken, Interrupted: WasNotTried}

// classOf classifies a case by one result of each side; base may be nil.
func classOf(base, new *CaseResult) (Class, Detail) {
	switch {
	case new.Status == XFail && base != nil && (base.Status == XFail || base.Status == Fail) &&
		sameDecision(base, new):
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

// alone says which side does not have a kernel; "" is none.
func alone(p *pairing) string {
	switch {
	case len(p.new) == 0:
		return "the new side does not have it"
	case len(p.base) == 0:
		return "the base does not have it"
	}
	return ""
}

// untried says why the kernel as a whole has no verdict; "" is none.
func untried(p *pairing) string {
	for _, k := range p.new {
		switch {
		case k.Error != "":
			return "it could not be tried: " + k.Error
		case k.run.Interrupted:
			return k.run.Incomplete()
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

// undecided says why no run of a side decided anything on a kernel; "" if one did.
func undecided(parts []part) string {
	why := ""
	for _, k := range parts {
		if why = cmp.Or(k.run.Undecided(k.KernelRun), k.noVerdict()); why == "" {
			return ""
		}
	}
	return why
}

// noVerdict says that no case passed or failed although some could run; "" if one did or all are skipped.
func (k *KernelRun) noVerdict() string {
	n := k.Counts()
	none := n[Broken] + n[Interrupted]
	if none == 0 || n[Skip]+none < k.Len() {
		return ""
	}
	return fmt.Sprintf("nothing was decided: of %s %d are broken or were not tried, and the others are skipped",
		count.Of(k.Len(), "case"), none)
}

// newSymptoms lists the symptoms of the new side that the base does not have, each once.
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

// symptoms lists the symptoms of the kernel's machines that are the kernel's fault.
func (k *KernelRun) symptoms() iter.Seq[Symptom] {
	return func(yield func(Symptom) bool) {
		for i := range k.Boots {
			b := &k.Boots[i]
			if b.Known != "" {
				continue // a known defect
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

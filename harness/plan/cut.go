package plan

import (
	"crypto/sha256"
	"fmt"
	"sort"

	"tokentest/cases"
	"tokentest/harness/arch"
	"tokentest/harness/kernel"
)

// Cost is what a kernel costs a part of a plan, in nanoseconds: its boot, the
// set-up of each world, and each case.
type Cost struct{ Boot, World, Case int64 }

// defaultCost was measured with 2,700 and with 154,000 cases in an emulated guest of arch.Default. Only
// the ratios matter.
var defaultCost = Cost{Boot: 3_500_000_000, World: 21_000_000, Case: 545_000}

// CostOf returns what a kernel usually costs, which depends on its architecture.
func CostOf(ref string) Cost { return defaultCost.on(kernel.ArchOf(ref).Pace) }

// on is what a kernel with such a pace costs where one of arch.Default costs c.
func (c Cost) on(p arch.Pace) Cost {
	return Cost{Boot: c.Boot * p.Boot / 100, World: c.World * p.Decide / 100, Case: c.Case * p.Decide / 100}
}

// plain is what a kernel of arch.Default costs where one with such a pace costs c.
func (c Cost) plain(p arch.Pace) Cost {
	return Cost{Boot: c.Boot * 100 / p.Boot, World: c.World * 100 / p.Decide, Case: c.Case * 100 / p.Decide}
}

// Of returns the cost of so many worlds and cases, without the boot.
func (c Cost) Of(worlds, cells int) int64 { return c.World*int64(worlds) + c.Case*int64(cells) }

// splitGain bounds how kernels are split: only if that makes the longest part shorter by
// more than 1/splitGain. The report of a kernel in one part is easier to read.
const splitGain = 10

// Cut returns the part of the plan that a shard runs. It puts the cases of all kernels in one
// line and cuts the line so that the longest part is as short as possible. Each part pays for
// the boot of every kernel that it has cases of, so there can be fewer parts than the shard
// asks for; the last parts are then empty. A part also has the controls of its cases. The same
// plan and costs always give the same parts, and together the parts are the whole plan.
func (p *Plan) Cut(s Shard, of func(kernel string) Cost) *Plan {
	l := p.line(of)
	out := *p
	out.Kernels, out.parts = nil, map[string][]*cases.Case{}
	out.Shard, out.Digest = s, l.digest()
	parts := l.cut(s.N)
	out.waste = l.waste(parts, s.N)
	if s.I <= len(parts) {
		for _, c := range parts[s.I-1] {
			k := l.kernels[c.kernel]
			out.Kernels = append(out.Kernels, k.ref)
			out.parts[k.ref] = WithGuards(p.Of(k.ref), k.cases[c.from:c.to])
		}
	}
	return &out
}

// Slice is the cases of one kernel from one place to another, in the order of ByWorld.
type Slice struct{ From, To int }

// Slices cuts the cases of a kernel into parts that cost at most about most, but for the boot, which each pays.
func (p *Plan) Slices(kernel string, of Cost, most int64) []Slice {
	l := p.Only(kernel).line(func(string) Cost { return of })
	all := l.kernels[0]
	n := max(1, int((all.upTo[len(all.cases)]+most-1)/max(1, most)))
	var out []Slice
	for _, part := range l.fill(l.best(n, false), false) {
		out = append(out, Slice{part[0].from, part[0].to})
	}
	return out
}

// Only returns the plan with one of its kernels.
func (p *Plan) Only(kernel string) *Plan {
	out := *p
	out.Kernels = []string{kernel}
	return &out
}

// Just returns the plan with these cases on each kernel, and no others.
func (p *Plan) Just(list []*cases.Case) *Plan {
	out := *p
	out.Cases, out.parts = list, nil
	return &out
}

// Parts returns how many of n parts are not empty.
func (p *Plan) Parts(n int, of func(kernel string) Cost) int { return len(p.line(of).cut(n)) }

// line is the kernels of a plan, one after the other.
type line struct{ kernels []segment }

// segment is the part of a line for one kernel: its cases and their cumulative costs.
type segment struct {
	ref   string
	cost  Cost
	cases []*cases.Case
	upTo  []int64 // the cost of the cases before each, and at the end of all
}

// piece is a run of cases of one kernel.
type piece struct{ kernel, from, to int }

func (p *Plan) line(of func(kernel string) Cost) *line {
	l := &line{}
	for _, ref := range p.Kernels {
		s := segment{ref: ref, cost: of(ref), cases: ByWorld(p.Of(ref))}
		s.upTo = make([]int64, 1, len(s.cases)+1)
		for i, c := range s.cases {
			worlds := 0
			if i == 0 || c.World != s.cases[i-1].World {
				worlds = 1
			}
			s.upTo = append(s.upTo, s.upTo[i]+s.cost.Of(worlds, 1))
		}
		l.kernels = append(l.kernels, s)
	}
	return l
}

// digest identifies a plan and the costs that cut it. Parts with different digests do not
// belong together.
func (l *line) digest() string {
	h := sha256.New()
	for _, k := range l.kernels {
		fmt.Fprintf(h, "kernel %s %d %d\n", k.ref, k.cost, len(k.cases))
		for _, c := range k.cases {
			fmt.Fprintln(h, c.ID)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// tooMuch is how many times the work of the least parts all parts may take before Waste says so.
const tooMuch = 3

// Waste says that most of what the parts of a plan do is to boot, and what fewer parts would cost; "" if it is not so.
func (p *Plan) Waste() string { return p.waste }

func (l *line) waste(parts [][]piece, n int) string {
	least, all := int64(0), int64(0)
	for _, k := range l.kernels {
		least += k.cost.Boot + k.upTo[len(k.cases)]
	}
	longest := int64(0)
	for _, part := range parts {
		sum := l.of(part)
		all, longest = all+sum, max(longest, sum)
	}
	if least == 0 || all < tooMuch*least {
		return ""
	}
	fewer := len(parts)
	for fewer > 1 && l.wasteful(fewer, least) {
		fewer /= 2
	}
	return fmt.Sprintf("%d parts take about %d times the work of %d, because each boots its kernels; %d parts would end "+
		"%.1f times as late", n, all/least, len(l.kernels), fewer, float64(l.best(fewer, false))/float64(longest))
}

// wasteful reports whether so many parts take too much work.
func (l *line) wasteful(n int, least int64) bool {
	all := int64(0)
	for _, part := range l.cut(n) {
		all += l.of(part)
	}
	return all >= tooMuch*least
}

// of is what a part costs.
func (l *line) of(part []piece) int64 {
	sum := int64(0)
	for _, c := range part {
		k := l.kernels[c.kernel]
		sum += k.cost.Boot + k.upTo[c.to] - k.upTo[c.from]
	}
	return sum
}

// cut returns at most n parts, none of them empty.
func (l *line) cut(n int) [][]piece {
	whole, split := l.best(n, true), l.best(n, false)
	if whole-split <= split/splitGain {
		return l.fill(whole, true)
	}
	return l.fill(split, false)
}

// best returns the lowest cost limit for a part with which n parts hold the whole line.
func (l *line) best(n int, whole bool) int64 {
	low, high := int64(0), int64(0)
	for _, k := range l.kernels {
		high += k.cost.Boot + k.upTo[len(k.cases)]
	}
	for low < high {
		middle := low + (high-low)/2
		if parts := l.fill(middle, whole); parts != nil && len(parts) <= n {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return high
}

// fill splits the line into parts below a cost limit. It returns nil if a case, or a kernel
// that must not be split, costs more than the limit.
func (l *line) fill(most int64, whole bool) [][]piece {
	parts, room := [][]piece{}, int64(0)
	for i, k := range l.kernels {
		for at := 0; at < len(k.cases); {
			to := k.fit(at, room, whole)
			if to == at {
				parts, room = append(parts, nil), most
				if to = k.fit(at, room, whole); to == at {
					return nil
				}
			}
			last := len(parts) - 1
			parts[last] = append(parts[last], piece{i, at, to})
			room -= k.cost.Boot + k.upTo[to] - k.upTo[at]
			at = to
		}
	}
	return parts
}

// fit returns the end of the longest run of cases, from one on, whose cost is within the limit.
func (k *segment) fit(from int, room int64, whole bool) int {
	room -= k.cost.Boot
	to := from + sort.Search(len(k.cases)-from, func(i int) bool { return k.upTo[from+i+1]-k.upTo[from] > room })
	if whole && to < len(k.cases) {
		return from
	}
	return to
}

// WithGuards returns the chosen cases and the controls that guard them, in the order of
// all.
func WithGuards(all, chosen []*cases.Case) []*cases.Case {
	keep := map[*cases.Case]bool{}
	var add func(c *cases.Case)
	add = func(c *cases.Case) {
		if keep[c] {
			return
		}
		keep[c] = true
		for _, g := range c.Guards() {
			add(g)
		}
	}
	for _, c := range chosen {
		add(c)
	}
	var out []*cases.Case
	for _, c := range all {
		if keep[c] {
			out = append(out, c)
		}
	}
	return out
}

// Of returns the cases that run on a kernel.
func (p *Plan) Of(kernel string) []*cases.Case {
	if p.parts == nil {
		return p.Cases
	}
	return p.parts[kernel]
}

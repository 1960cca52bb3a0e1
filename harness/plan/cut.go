package plan

import (
	"crypto/sha256"
	"fmt"
	"sort"

	"tokentest/cases"
)

// Cost is what a kernel costs a part of a plan, in nanoseconds: its boot, the
// set-up of each world, and each case.
type Cost struct{ Boot, World, Case int64 }

// DefaultCost is what a kernel took of 2,700 and of 154,000 cases in an
// emulated guest. Only the ratios matter.
var DefaultCost = Cost{Boot: 3_500_000_000, World: 21_000_000, Case: 545_000}

// Of is what so much costs without the boot.
func (c Cost) Of(worlds, cells int) int64 { return c.World*int64(worlds) + c.Case*int64(cells) }

// splitGain is by how many hundredths the parts must end sooner before a kernel
// is booted by two of them: one that is whole is read more easily.
const splitGain = 10

// Cut leaves the part of the plan that a shard does. The kernels stand one
// behind the other, and the line is cut so that the part which takes longest
// takes as short as possible: a part pays for the boot of each kernel that it
// has cases of, so that there can be fewer parts than were asked for, and the
// last ones hold nothing. The controls of a case come along. The same plan and
// costs give the same parts everywhere, and together they are the whole.
func (p *Plan) Cut(s Shard, of func(kernel string) Cost) *Plan {
	l := p.line(of)
	out := *p
	out.Kernels, out.parts = nil, map[string][]*cases.Case{}
	out.Shard, out.Digest = s, l.digest()
	if parts := l.cut(s.N); s.I <= len(parts) {
		for _, c := range parts[s.I-1] {
			k := l.kernels[c.kernel]
			out.Kernels = append(out.Kernels, k.ref)
			out.parts[k.ref] = WithGuards(p.Of(k.ref), k.cases[c.from:c.to])
		}
	}
	return &out
}

// Only is the plan with one of its kernels.
func (p *Plan) Only(kernel string) *Plan {
	out := *p
	out.Kernels = []string{kernel}
	return &out
}

// Parts is how many of n parts have something to do.
func (p *Plan) Parts(n int, of func(kernel string) Cost) int { return len(p.line(of).cut(n)) }

// line is the kernels of a plan, one after the other.
type line struct{ kernels []segment }

// segment is a kernel of a line: its cases, and what they cost from the first
// one on.
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

// digest identifies a plan: parts of different ones, or of one that was cut by
// other costs, are no whole together.
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

// cut returns at most n parts, none of them empty.
func (l *line) cut(n int) [][]piece {
	whole, split := l.best(n, true), l.best(n, false)
	if whole-split <= split/splitGain {
		return l.fill(whole, true)
	}
	return l.fill(split, false)
}

// best is the least that n parts can hold each so that all is held.
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

// fill deals the line out to parts that hold no more than so much, or returns
// nil where a case, or a kernel that is to stay whole, does not go into one.
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

// fit is up to where the cases from one on go into what room there is.
func (k *segment) fit(from int, room int64, whole bool) int {
	room -= k.cost.Boot
	to := from + sort.Search(len(k.cases)-from, func(i int) bool { return k.upTo[from+i+1]-k.upTo[from] > room })
	if whole && to < len(k.cases) {
		return from
	}
	return to
}

// WithGuards returns the chosen of all cases and the controls that guard them, in the order
// of all.
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

// Package plan turns kernels and cases into an ordered list of what to boot and
// send, and splits it into shards.
//
// It is pure: the same input gives the same plan. It boots nothing and reads
// neither the clock nor the host.
//
// Start with Expand; shard.go splits a plan.
package plan

import (
	"errors"
	"slices"

	"tokentest/cases"
)

// Spec is what a user asked for.
type Spec struct {
	Kernels  []string          // references, in the order to run them
	Patterns []string          // of cases; none means the default suite
	Full     bool              // with no pattern: every case there is
	Batch    int               // cells of a matrix that travel together; 0 means DefaultBatch
	Files    map[string]string // the user's case files, by group, as they were named
	Args     []string          // what the user named, for the record
	Seed     uint64            // of worlds drawn at random, for the record
}

// DefaultBatch is how many cells travel in one record. When a machine dies
// under a batch, its cells run again one by one to find the culprit.
const DefaultBatch = 256

// Plan is every case on every kernel, in order.
type Plan struct {
	Kernels []string
	Cases   []*cases.Case
	Batch   int
	Files   map[string]string
	// Selection, Matching and Seed are for the record.
	Selection []string
	Matching  []string
	Seed      uint64

	// Shard is the number of this part, and Digest identifies the whole plan. Both are zero
	// if the plan is whole.
	Shard  Shard
	Digest string

	waste string                   // what so many parts cost; "" if it is not much
	parts map[string][]*cases.Case // of a shard, by kernel; nil means that each kernel runs Cases
}

// Expand selects the cases and checks the kernels.
func Expand(s Spec, c *cases.Corpus) (*Plan, error) {
	if len(s.Kernels) == 0 {
		return nil, errors.New("no kernel: name one with --kernel")
	}
	for i, k := range s.Kernels {
		if slices.Contains(s.Kernels[:i], k) {
			return nil, errors.New("the kernel " + k + " is named twice")
		}
	}
	chosen, err := c.Select(s.Patterns, s.Full)
	if err != nil {
		return nil, err
	}
	p := &Plan{Kernels: s.Kernels, Cases: chosen, Batch: s.Batch, Files: s.Files, Selection: s.Args, Seed: s.Seed}
	if p.Batch <= 0 {
		p.Batch = DefaultBatch
	}
	return p, nil
}

// Batch is the cells of one world that are sent in one record.
type Batch struct {
	World *cases.World
	First uint32 // the number of the first cell
	Cases []*cases.Case
}

// Batches numbers the cases from 0 and splits them by world, at most size
// together. A case of several steps is alone in its batch, because it changes the state of
// its world.
func Batches(chosen []*cases.Case, size int) []Batch {
	var out []Batch
	for first := 0; first < len(chosen); {
		n := first + 1
		for n < len(chosen) && n-first < size && chosen[n].World == chosen[first].World && chosen[n].Len() == 1 &&
			chosen[first].Len() == 1 {
			n++
		}
		out = append(out, Batch{World: chosen[first].World, First: uint32(first), Cases: chosen[first:n:n]})
		first = n
	}
	return out
}

// Alone separates the cases that each run on a machine of their own, because they provoke a
// known defect of the kernel.
func Alone(chosen []*cases.Case) (together, alone []*cases.Case) {
	for _, c := range chosen {
		if c.Alone() {
			alone = append(alone, c)
		} else {
			together = append(together, c)
		}
	}
	return together, alone
}

// ByWorld groups cases by world, in the order in which the worlds first appear, with two
// exceptions. Worlds that set the sysctl to 1 are last, because it cannot be changed
// afterwards. Before them are the worlds with BPF-LSM programs, because these slow down every
// later call on the machine.
func ByWorld(chosen []*cases.Case) []*cases.Case {
	var order []*cases.World
	in := map[*cases.World][]*cases.Case{}
	for _, c := range chosen {
		if in[c.World] == nil {
			order = append(order, c.World)
		}
		in[c.World] = append(in[c.World], c)
	}
	rank := map[*cases.World]int{}
	for _, w := range order {
		switch {
		case w.Locks():
			rank[w] = 2
		case w.Hooks():
			rank[w] = 1
		}
	}
	slices.SortStableFunc(order, func(a, b *cases.World) int { return rank[a] - rank[b] })
	out := make([]*cases.Case, 0, len(chosen))
	for _, w := range order {
		out = append(out, in[w]...)
	}
	return out
}

package client

import (
	"encoding/json"
	"sync"

	"tokentest/harness/farm"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
)

// board makes the progress of kernels from what workers tell of parts.
type board struct {
	mu      sync.Mutex
	to      *lab.Lab
	of      []int // the index of each part's kernel
	kernels []boardKernel
	parts   []farm.Live // the last of each part
	any     bool
}

// boardKernel is one kernel on the board.
type boardKernel struct {
	ref   string
	total int
	left  int // parts without an answer
}

func newBoard(l *lab.Lab, p *plan.Plan, s *state) *board {
	b := &board{to: l, of: s.Of, parts: make([]farm.Live, len(s.Parts))}
	for _, ref := range p.Kernels {
		b.kernels = append(b.kernels, boardKernel{ref: ref, total: len(p.Of(ref))})
	}
	for _, of := range s.Of {
		b.kernels[of].left++
	}
	for _, k := range b.kernels {
		if k.left > 0 {
			b.progress(lab.Progress{Kernel: k.ref, Stage: "image", Doing: "waiting for a worker", Total: k.total})
		}
	}
	return b
}

func (b *board) progress(p lab.Progress) {
	if b.to.Progress != nil {
		b.to.Progress(p)
	}
}

// heard reports whether a worker told something.
func (b *board) heard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.any
}

// take takes in what a worker tells.
func (b *board) take(text []byte) {
	var l farm.Live
	if json.Unmarshal(text, &l) != nil || l.N < 0 || l.N >= len(b.of) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.any = true
	k := &b.kernels[b.of[l.N]]
	if l.Wrong != nil {
		b.progress(lab.Progress{Kernel: k.ref, Wrong: l.Wrong})
		return
	}
	if k.left == 0 {
		return
	}
	b.parts[l.N] = l
	if l.Stage != "done" {
		b.progress(b.sum(b.of[l.N], l))
	}
}

// sum is the progress of a kernel whose last news is l.
func (b *board) sum(index int, l farm.Live) lab.Progress {
	k := &b.kernels[index]
	p := lab.Progress{Kernel: k.ref, Stage: l.Stage, Began: l.Began, Total: k.total}
	for n, of := range b.of {
		if of == index {
			p.Done, p.Failed = p.Done+b.parts[n].Done, p.Failed+b.parts[n].Failed
		}
	}
	p.Done = min(p.Done, k.total) // controls are in several parts
	return p
}

// answered takes in that a part has its answer.
func (b *board) answered(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &b.kernels[b.of[n]]
	if k.left--; k.left == 0 {
		b.progress(lab.Progress{Kernel: k.ref, Stage: "done", Done: k.total, Total: k.total})
	}
}

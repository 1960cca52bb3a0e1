package cover

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Traces say which cases execute which instructions.
type Traces struct {
	Spans  []Span
	Blocks []Block
	Took   time.Duration // of the run

	at      map[uint64][]int // the blocks that have the instruction at an address
	without []vm.Range       // the code of searches
}

// Span is what was executed between two of the guest's marks.
type Span struct {
	Setup bool     // the set-up of a world, else the cases themselves
	Cases []string // those that ran, or that need the set-up
}

// Block is a block of instructions that QEMU translated, and the spans that executed it.
type Block struct {
	Insns []uint64
	Spans []int32
}

// markFunc is executed once for each mark that the guest writes to /dev/kmsg (devkmsg_write of printk.c).
const markFunc = "devkmsg_write"

// searches are functions that look at each type of the kernel's BTF in turn (btf.c, inode.c). They are
// executed millions of times, so they are left out of traces: see Traces.Knows.
var searches = []string{"btf_type_by_id", "btf_find_by_name_kind", "btf_name_by_offset", "find_bpffs_btf_enums"}

// searching reports whether a function is one of searches, or a copy that the compiler made of one.
func searching(name string) bool {
	name, _, _ = strings.Cut(name, ".")
	return slices.Contains(searches, name)
}

// traced are the addresses of the code without searches, and of marks.
func (c *Code) traced() (ranges []vm.Range, mark uint64, err error) {
	for at, name := range c.names {
		if name == markFunc {
			mark = at
		}
	}
	if mark == 0 {
		return nil, 0, fmt.Errorf("the kernel has no function %s, which shows where a case begins", markFunc)
	}
	var all []vm.Range
	var without []vm.Range
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			if r := (vm.Range{From: f.From, To: f.To}); searching(f.Name) {
				without = append(without, r)
			} else {
				all = append(all, r)
			}
		}
	}
	all = append(all, vm.Range{From: mark, To: mark + 1})
	return join(all, without), mark, nil
}

// follower reads the log of one machine.
type follower struct {
	mark uint64
	part []byte // of a line

	blocks []Block
	known  map[uint64]int // the last translated block that begins at an address
	insns  []uint64       // of the block that is being translated
	inAsm  bool
	span   int32   // -1 before the first mark
	last   []int32 // by block, the span that executed it last, and 1
	err    error

	mu    sync.Mutex
	spans []Span // as the guest announced them
}

func newFollower(mark uint64) *follower {
	return &follower{mark: mark, known: map[uint64]int{}, span: -1}
}

// Mark implements lab.Follower.
func (f *follower) Mark(setup bool, of []*cases.Case) {
	s := Span{Setup: setup}
	for _, c := range of {
		s.Cases = append(s.Cases, c.ID)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spans = append(f.spans, s)
}

// Write takes a part of QEMU's log with -d in_asm,exec.
func (f *follower) Write(p []byte) (int, error) {
	n := len(p)
	for f.err == nil {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.part = append(f.part, p...)
			break
		}
		line := p[:i]
		if len(f.part) > 0 {
			f.part = append(f.part, line...)
			line = f.part
		}
		f.line(line)
		f.part, p = f.part[:0], p[i+1:]
	}
	return n, nil // QEMU must be able to write on after an error
}

// line takes a line: "IN: NAME" begins a block that is translated, "0xADDRESS: ..." is an instruction of
// it, "Trace CPU: POINTER [CS/ADDRESS/FLAGS/CFLAGS] NAME" is an executed block, "Stopped execution of TB chain
// before POINTER [ADDRESS] NAME" takes that back.
func (f *follower) line(l []byte) {
	switch {
	case bytes.HasPrefix(l, []byte("Trace ")):
		f.translated()
		_, rest, _ := bytes.Cut(l, []byte("/"))
		at, ok := address(rest)
		if !ok {
			f.err = fmt.Errorf("read QEMU's log of executed code: %q", l)
			return
		}
		f.executed(at)
	case bytes.HasPrefix(l, []byte("Stopped execution of TB chain")): // an interrupt came before the block that was logged
		_, rest, _ := bytes.Cut(l, []byte("["))
		if at, ok := address(rest); ok && at == f.mark {
			f.span--
		}
	case bytes.HasPrefix(l, []byte("IN:")):
		f.translated()
		f.inAsm = true
	case f.inAsm && bytes.HasPrefix(l, []byte("0x")):
		if at, ok := address(l[2:]); ok {
			f.insns = append(f.insns, at)
		}
	}
}

// address reads the 16 digits that a text begins with.
func address(text []byte) (uint64, bool) {
	var b [8]byte
	if len(text) < 16 {
		return 0, false
	}
	if _, err := hex.Decode(b[:], text[:16]); err != nil {
		return 0, false
	}
	var at uint64
	for _, c := range b {
		at = at<<8 | uint64(c)
	}
	return at, true
}

// translated ends the block that is being translated.
func (f *follower) translated() {
	f.inAsm = false
	if len(f.insns) == 0 {
		return
	}
	n, ok := f.known[f.insns[0]]
	if !ok || !slices.Equal(f.blocks[n].Insns, f.insns) {
		f.known[f.insns[0]] = len(f.blocks)
		f.blocks = append(f.blocks, Block{Insns: slices.Clone(f.insns)})
		f.last = append(f.last, 0)
	}
	f.insns = f.insns[:0]
}

func (f *follower) executed(at uint64) {
	if at == f.mark {
		f.span++
	}
	n, ok := f.known[at]
	if !ok {
		f.err = fmt.Errorf("%w: a block at %#x is executed that was not translated", ErrTrace, at)
		return
	}
	if f.span >= 0 && f.last[n] != f.span+1 {
		f.last[n] = f.span + 1
		f.blocks[n].Spans = append(f.blocks[n].Spans, f.span)
	}
}

// add adds what a machine executed, which has ended.
func (t *Traces) add(f *follower) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	if int(f.span)+1 != len(f.spans) {
		return fmt.Errorf("%w: %d marks, but the guest announced %d set-ups and parts", ErrTrace, f.span+1, len(f.spans))
	}
	base := int32(len(t.Spans))
	t.Spans = append(t.Spans, f.spans...)
	for _, b := range f.blocks {
		for i := range b.Spans {
			b.Spans[i] += base
		}
		t.Blocks = append(t.Blocks, b)
	}
	return nil
}

// Index fills in what is not stored.
func (t *Traces) Index(c *Code) {
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			if searching(f.Name) {
				t.without = append(t.without, vm.Range{From: f.From, To: f.To})
			}
		}
	}
	t.at = map[uint64][]int{}
	for n, b := range t.Blocks {
		for _, at := range b.Insns {
			t.at[at] = append(t.at[at], n)
		}
	}
}

// Of returns the spans that execute the instruction at an address, in their order.
func (t *Traces) Of(at uint64) []int32 {
	var out []int32
	for _, n := range t.at[at] {
		out = append(out, t.Blocks[n].Spans...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Knows reports whether an instruction is traced: those of searches are not.
func (t *Traces) Knows(at uint64) bool {
	return !slices.ContainsFunc(t.without, func(r vm.Range) bool { return r.From <= at && at < r.To })
}

// Executed are the addresses of all instructions that a case or a set-up executes.
func (t *Traces) Executed() Executed {
	x := Executed{}
	for _, b := range t.Blocks {
		if len(b.Spans) == 0 {
			continue
		}
		for _, at := range b.Insns {
			x[at] = struct{}{}
		}
	}
	return x
}

// own are the functions that only one command enters.
var own = map[step.Op]string{
	step.OpTokenCreate: "bpf_token_create", step.OpMapCreate: "map_create", step.OpProgLoad: "bpf_prog_load",
}

// check compares what the cells of matrices execute with their command: a cell that made an object has
// executed the function of its command, and none that of another one. An error means that the traces
// are shifted.
func (t *Traces) check(c *Code, ran []*cases.Case, k *result.KernelRun) error {
	reached := map[step.Op]map[string]bool{}
	for op, name := range own {
		if f := c.function(name); f != nil {
			reached[op] = t.cellsAt(f.From)
		}
	}
	results := map[string]*result.CaseResult{}
	for r := range k.All() {
		results[r.ID] = r
	}
	for _, cell := range ran {
		r := results[cell.ID]
		if cell.Scenario() || cell.Len() != 1 || r == nil || len(r.Steps) != 1 {
			continue
		}
		for op, cells := range reached {
			switch mine := cell.Cell()[0].Op; {
			case mine == op && r.Steps[0].Got.Errno == 0 && !cells[cell.ID]:
				return fmt.Errorf("%w: %s does not execute %s", ErrTrace, cell.ID, own[op])
			case mine != op && own[mine] != "" && cells[cell.ID]:
				return fmt.Errorf("%w: %s executes %s", ErrTrace, cell.ID, own[op])
			}
		}
	}
	return nil
}

// cellsAt are the cases whose own steps execute an instruction.
func (t *Traces) cellsAt(at uint64) map[string]bool {
	out := map[string]bool{}
	for _, n := range t.Of(at) {
		if s := &t.Spans[n]; !s.Setup {
			for _, id := range s.Cases {
				out[id] = true
			}
		}
	}
	return out
}

// function returns the function of a name, or nil.
func (c *Code) function(name string) *Func {
	for _, u := range c.Units {
		for i := range u.Funcs {
			if u.Funcs[i].Name == name {
				return &u.Funcs[i]
			}
		}
	}
	return nil
}

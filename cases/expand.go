package cases

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Group is the cases of one file.
type Group struct {
	Name, About, Path string
	Builtin           bool   // it is part of this program
	Question, Answer  string // what the group's cases say to a reviewer, or nothing
	Full              bool   // only the cases that suite.txt lists are in the default suite
	Worlds            []*World
	Cases             []*Case
	Marks             []Mark  // what its steps stand for upstream
	Known             []Known // the defects that its case provokes
	from              *source
	byID              map[string]*Case // of Cases, made when it is first asked for
}

// World is a set-up that cases share: what one program does before its cells.
type World struct {
	Group   *Group
	Index   int // within the group
	Program step.Program
	Info    []StepInfo // of Program.Setup
	Cases   []*Case
	Runs    []string // the programs of this host that its steps run
	locks   bool
	hooks   bool
	unlocks bool // sets kernel.unprivileged_bpf_disabled to anything but 1
	bounds  bool // puts a process into a memory cgroup
}

// StepInfo is what the host keeps of a step: where it stands and what a
// person wrote that it must answer.
type StepInfo struct {
	Line    int
	Text    string
	Out     string // the name of the descriptor that it makes
	Pin     *Pin
	Control bool
}

// Pin is an expectation that a person wrote by hand, with its source.
type Pin struct {
	Errno uapi.Errno
	Where string // PATH:LINE
	Note  string
}

// Case is one cell of a matrix, or a scenario. There can be a hundred thousand,
// so it holds the number of its combination, and its steps are made when they
// are asked for.
type Case struct {
	ID      string // GROUP/VALUE/..., or GROUP for a scenario
	Group   *Group
	World   *World
	Control string // "allow" or "refuse" for a control cell
	Index   int32  // within the group
	Full    bool   // not in the default suite

	number int32 // of its combination
	needs  *[]Need
	guards *[]*Case
}

// Needs is what the kernel must have for the case to be asked. The slice is
// shared.
func (c *Case) Needs() []Need { return *c.needs }

// Guards are the controls without which the case says nothing. The slice is
// shared.
func (c *Case) Guards() []*Case {
	if c.guards == nil {
		return nil
	}
	return *c.guards
}

// Scenario reports whether the case is a scenario: the only case of its group, not a
// cell of a matrix.
func (c *Case) Scenario() bool { return c.ID == c.Group.Name }

// Len is the number of the case's own steps.
func (c *Case) Len() int { return len(c.Group.from.main) }

// Cell makes the case's own steps, which run after its world's set-up.
func (c *Case) Cell() step.Cell {
	cell, _ := c.Steps()
	return cell
}

// Info is what is kept of each of the case's own steps.
func (c *Case) Info() []StepInfo {
	_, info := c.Steps()
	return info
}

// Steps makes the case's own steps, with what is kept of each.
func (c *Case) Steps() (step.Cell, []StepInfo) {
	src := c.Group.from
	cell, info, _ := src.build(src.f.combo(int(c.number))) // Expand made the same, and there was no error
	return cell, info
}

// combo is one value of each axis, by its place.
type combo []int

// combo returns the combination of a number; the last axis changes fastest.
func (f *File) combo(number int) combo {
	out := make(combo, len(f.axes))
	for i := len(f.axes) - 1; i >= 0; i-- {
		n := len(f.axes[i].values)
		out[i], number = number%n, number/n
	}
	return out
}

// number is the opposite of combo.
func (f *File) number(c combo) int {
	n := 0
	for i := range f.axes {
		n = n*len(f.axes[i].values) + c[i]
	}
	return n
}

func (f *File) value(c combo, axis int) *axisValue { return &f.axes[axis].values[c[axis]] }

// maxCombinations bounds what the axes of one file make before except lines.
const maxCombinations = 1 << 24

func (f *File) combinations() (int, error) {
	n := 1
	for _, a := range f.axes {
		if n *= len(a.values); n > maxCombinations {
			return 0, fmt.Errorf("%s:1: the axes make more than %d combinations", f.Path, maxCombinations)
		}
	}
	return n, nil
}

// Expand makes a file's cases: one for each combination of its axes' values. The
// error is the context's cause if ctx ends first.
func (f *File) Expand(ctx context.Context) (*Group, error) {
	src, err := newSource(f)
	if err != nil {
		return nil, err
	}
	total, err := f.combinations()
	if err != nil {
		return nil, err
	}
	e := expander{source: src, g: &Group{Name: f.Name, About: f.About, Path: f.Path, Full: f.Full, Known: f.known,
		Marks: f.marks, from: src,
		Question: strings.Join(f.question, " "), Answer: strings.Join(f.answer, " ")},
		worlds: map[string]*World{}, byAxes: map[int]*World{}, needed: map[string]*[]Need{}}
	for n := range total {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c := f.combo(n)
		if slices.ContainsFunc(f.excepts, func(x filter) bool { return x.matches(c) }) {
			continue
		}
		if err := e.addCase(n, c); err != nil {
			return nil, err
		}
	}
	if len(e.g.Cases) == 0 {
		return nil, fmt.Errorf("%s:1: the except lines leave no case", f.Path)
	}
	return e.g, e.guards(ctx)
}

// expander makes the cases of a source.
type expander struct {
	*source
	g      *Group
	ids    idMaker
	block  []Case
	worlds map[string]*World // by the text of their set-up
	byAxes map[int]*World    // by the values that their set-up depends on
	needed map[string]*[]Need
}

func (e *expander) addCase(n int, c combo) error {
	k := e.newCase()
	*k = Case{ID: e.id(c), Group: e.g, Full: e.f.Full, Index: int32(len(e.g.Cases)), number: int32(n)}
	var err error
	if k.World, err = e.world(c); err != nil {
		return err
	}
	cell, info, err := e.build(c) // a mistake must be found now
	if err != nil {
		return err
	}
	if err := e.checkLifetimes(k.World, cell, info); err != nil {
		return err
	}
	k.World.Runs = runs(runs(k.World.Runs, k.World.Program.Setup), cell)
	k.World.Program.Dirs = dirs(dirs(k.World.Program.Dirs, k.World.Program.Setup), cell)
	k.World.hooks = k.World.hooks || attaches(cell)
	k.World.unlocks = k.World.unlocks || unlocks(cell, info)
	k.World.bounds = k.World.bounds || bounds(cell)
	k.needs = e.needs(c, cell, k.World)
	for i := range e.f.controls {
		if x := &e.f.controls[i]; x.matches(c) {
			k.Control = map[bool]string{true: "allow", false: "refuse"}[x.allow]
		}
	}
	k.World.locks = k.World.locks || locks(cell)
	k.World.Cases = append(k.World.Cases, k)
	e.g.Cases = append(e.g.Cases, k)
	return nil
}

const caseBlock = 512

// newCase takes cases from blocks: they live and die together.
func (e *expander) newCase() *Case {
	if len(e.block) == 0 {
		e.block = make([]Case, min(caseBlock, max(1, len(e.g.Cases))))
	}
	k := &e.block[0]
	e.block = e.block[1:]
	return k
}

func (e *expander) id(c combo) string {
	e.ids.parts = append(e.ids.parts[:0], e.f.Name)
	for i := range c {
		e.ids.parts = append(e.ids.parts, "/", e.f.value(c, i).name)
	}
	return e.ids.join()
}

// idMaker joins strings to such that share memory.
type idMaker struct {
	parts []string
	block *strings.Builder
}

const idBlock = 16 << 10

func (m *idMaker) join() string {
	size := 0
	for _, p := range m.parts {
		size += len(p)
	}
	if m.block == nil || m.block.Cap()-m.block.Len() < size {
		room := idBlock
		if m.block == nil {
			room = size // many files have one case
		}
		m.block = &strings.Builder{}
		m.block.Grow(max(room, size))
	}
	start := m.block.Len()
	for _, p := range m.parts {
		m.block.WriteString(p)
	}
	return m.block.String()[start:]
}

// needs returns what a combination's case needs. Cases with the same needs
// share them.
func (e *expander) needs(c combo, cell step.Cell, w *World) *[]Need {
	var own []Need
	var key strings.Builder
	for i := range c {
		if v := e.f.value(c, i); len(v.needs) > 0 {
			fmt.Fprintf(&key, "%d %s/", i, v.name)
		}
	}
	if e.f.do != nil && len(e.f.do.words) == 1 { // the axis holds whole steps, each with needs of its own
		own = StepNeeds(&cell[0])
		fmt.Fprint(&key, own)
	}
	own = append(own, apartNeeds(e.actors)...) // the same for all cases of the file
	if w.hooks {
		own = append(own, lsmNeeds...)
		key.WriteString("lsm")
	}
	if w.unlocks {
		own = append(own, unlockedNeeds...)
		key.WriteString("unlocks")
	}
	if w.bounds {
		own = append(own, memoryNeeds...)
		key.WriteString("bounds")
	}
	for i := range e.f.someNeeds {
		if s := &e.f.someNeeds[i]; s.matches(c) {
			own = append(own, s.need)
			fmt.Fprintf(&key, "some %d/", i)
		}
	}
	if e.needed[key.String()] == nil {
		all := slices.Clone(e.f.needs)
		for i := range c {
			all = append(all, e.f.value(c, i).needs...)
		}
		all = append(all, Missing(all, own)...)
		e.needed[key.String()] = &all
	}
	return e.needed[key.String()]
}

// world returns the world of a combination; equal set-ups share one.
func (e *expander) world(c combo) (*World, error) {
	key := 0
	for _, axis := range e.setupAxes {
		key = key*len(e.f.axes[axis].values) + c[axis]
	}
	if w := e.byAxes[key]; w != nil {
		return w, nil
	}
	w := &World{Group: e.g, Index: len(e.g.Worlds), Program: step.Program{Actors: e.actors}}
	var err error
	if w.Program.Setup, w.Info, err = e.buildSetup(c); err != nil {
		return nil, err
	}
	w.locks, w.hooks = locks(w.Program.Setup), attaches(w.Program.Setup)
	w.unlocks, w.bounds = unlocks(w.Program.Setup, w.Info), bounds(w.Program.Setup)
	var text strings.Builder
	for i := range w.Info {
		text.WriteString(w.Info[i].Text + "\n")
	}
	if old := e.worlds[text.String()]; old != nil {
		w = old
	} else {
		e.g.Worlds = append(e.g.Worlds, w)
	}
	e.worlds[text.String()], e.byAxes[key] = w, w
	return w, nil
}

// guards ties each cell of a matrix to its controls: those with the values
// that the control line names, and the cell's own for the other axes. Cells
// with the same controls share them.
func (e *expander) guards(ctx context.Context) error {
	if e.f.do == nil {
		return nil
	}
	shared := map[string]*[]*Case{}
	var key []byte
	var list []*Case
	for _, c := range e.g.Cases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		key, list = key[:0], list[:0]
		for i := range e.f.controls {
			g, err := e.guard(&e.f.controls[i], c)
			if err != nil {
				return err
			}
			if g != nil && g != c {
				list = append(list, g)
				key = fmt.Append(key, g.Index, " ")
			}
		}
		if shared[string(key)] == nil {
			own := slices.Clone(list)
			shared[string(key)] = &own
		}
		c.guards = shared[string(key)]
	}
	return nil
}

func (e *expander) guard(k *control, c *Case) (*Case, error) {
	want := e.f.combo(int(c.number))
	for _, t := range k.terms {
		if !t.not {
			want[t.axis] = t.one
		}
	}
	if !k.matches(want) {
		return nil, nil
	}
	i, found := slices.BinarySearchFunc(
		e.g.Cases,
		e.f.number(want),
		func(c *Case, n int) int { return int(c.number) - n },
	)
	if !found {
		return nil, fmt.Errorf(
			"%s:%d: the control %s is no case: an except line takes it away",
			e.f.Path,
			k.line,
			e.id(want),
		)
	}
	return e.g.Cases[i], nil
}

package cases

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// Group is the cases of one file.
type Group struct {
	Name, About, Path string
	Full              bool // not in the default suite
	Worlds            []*World
	Cases             []*Case
	byID              map[string]*Case // of Cases, made when it is first asked for
}

// World is a set-up that cases share: what one program does before its cells.
type World struct {
	Group   *Group
	Index   int // within the group
	Program program.Program
	Info    []StepInfo // of Program.Setup
	Cases   []*Case
}

// StepInfo is what the host keeps of a step: where it stands and what a
// person wrote that it must answer.
type StepInfo struct {
	Line    int
	Text    string
	Pin     *Pin
	Control bool
}

// Pin is an expectation that a person wrote by hand, with its source.
type Pin struct {
	Errno uapi.Errno
	Where string // PATH:LINE
	Note  string
}

// Case is one cell of a matrix, or a scenario.
type Case struct {
	ID      string // GROUP/VALUE/..., or GROUP for a scenario
	Group   *Group
	World   *World
	Cell    program.Cell
	Info    []StepInfo // of Cell
	Needs   []Need
	Control string  // "allow" or "refuse" for a control cell
	Guards  []*Case // the controls without which the case says nothing
}

// predefined are the actors that every file has without declaring them.
var predefined = []program.Actor{
	{Name: "root", Kind: program.Init, Parent: -1, UID: 0, Caps: uapi.AllCaps},
	{Name: "nobody", Kind: program.Init, Parent: -1, UID: 65534},
}

func isPredefined(name string) bool {
	return slices.ContainsFunc(predefined, func(a program.Actor) bool { return a.Name == name })
}

// Expand makes a file's cases: one for each combination of its axes' values.
func (f *File) Expand() (*Group, error) {
	e := expander{f: f, g: &Group{Name: f.Name, About: f.About, Path: f.Path, Full: f.Full}, worlds: map[string]*World{}, shared: map[string][]Need{}}
	for _, p := range f.pins {
		e.pins = append(e.pins, &Pin{p.errno, fmt.Sprintf("%s:%d", f.Path, p.line), p.note})
	}
	if err := e.actors(); err != nil {
		return nil, err
	}
	if err := e.product(0, nil); err != nil {
		return nil, err
	}
	if len(e.g.Cases) == 0 {
		return nil, fmt.Errorf("%s:1: the except lines leave no case", f.Path)
	}
	return e.g, e.guards()
}

type expander struct {
	f        *File
	g        *Group
	declared []program.Actor
	worlds   map[string]*World
	combos   [][]axisValue // of g.Cases
	byCombo  map[string]*Case
	shared   map[string][]Need
	pins     []*Pin // of f.pins
}

func (e *expander) at(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", e.f.Path, line, fmt.Errorf(format, args...))
}

// actors resolves the actor lines, then adds the predefined ones that a step names.
func (e *expander) actors() error {
	for _, l := range e.f.actors {
		a, err := e.oneActor(l)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", e.f.Path, l.line, err)
		}
		e.declared = append(e.declared, a)
	}
	for _, a := range predefined {
		if e.mentions(a.Name) {
			e.declared = append(e.declared, a)
		}
	}
	return nil
}

// mentions reports whether any step or axis value holds the word.
func (e *expander) mentions(name string) bool {
	for _, s := range e.f.steps {
		if slices.Contains(s.words, name) {
			return true
		}
	}
	if e.f.do != nil && slices.Contains(e.f.do.words, name) {
		return true
	}
	return slices.ContainsFunc(e.f.axes, func(a axis) bool {
		return slices.ContainsFunc(a.values, func(v axisValue) bool { return slices.Contains(strings.Fields(v.text), name) })
	})
}

const defaultUID = 1000 // the kuid of an actor that names none

func (e *expander) oneActor(l actorLine) (program.Actor, error) {
	a := program.Actor{Name: l.name, Parent: -1, UID: defaultUID, Caps: uapi.AllCaps}
	words := l.words
	switch words[0] {
	case "init":
		a.Kind, a.Caps = program.Init, 0
	case "userns":
		a.Kind = program.Userns
	case "joins":
		a.Kind = program.Joins
		if len(words) < 2 {
			return a, fmt.Errorf("want joins ACTOR")
		}
		words = append([]string{"joins", "in"}, words[1:]...)
	default:
		return a, fmt.Errorf("unknown kind of actor %q: want init, userns or joins", words[0])
	}
	words = words[1:]
	if len(words) > 1 && words[0] == "in" {
		a.Parent = e.actorIndex(words[1])
		if a.Parent < 0 {
			return a, fmt.Errorf("unknown actor %q: it must be declared above", words[1])
		}
		if e.declared[a.Parent].Kind == program.Init {
			return a, fmt.Errorf("actor %s is not in a user namespace of its own", words[1])
		}
		a.UID = e.declared[a.Parent].UID
		words = words[2:]
	}
	return a, actorOptions(&a, words)
}

func actorOptions(a *program.Actor, words []string) error {
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		var err error
		switch k {
		case "uid":
			var n uint64
			n, err = parseNum(v)
			a.UID = uint32(n)
			if a.Parent >= 0 {
				err = fmt.Errorf("an actor inside another's namespace has its uid")
			}
		case "caps":
			a.Caps, err = uapi.ParseCaps(v)
		default:
			err = fmt.Errorf("unknown option %q of an actor: want uid= or caps=", w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *expander) actorIndex(name string) int {
	return slices.IndexFunc(e.declared, func(a program.Actor) bool { return a.Name == name })
}

func (e *expander) product(i int, combo []axisValue) error {
	if i < len(e.f.axes) {
		for _, v := range e.f.axes[i].values {
			if err := e.product(i+1, append(combo, v)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, x := range e.f.excepts {
		if e.matches(x, combo) {
			return nil
		}
	}
	return e.addCase(slices.Clone(combo))
}

func (e *expander) matches(f filter, combo []axisValue) bool {
	for _, t := range f.terms {
		i := slices.IndexFunc(e.f.axes, func(a axis) bool { return a.name == t.axis })
		if slices.Contains(t.values, combo[i].name) == t.not {
			return false
		}
	}
	return true
}

func comboID(group string, combo []axisValue) string {
	parts := []string{group}
	for _, v := range combo {
		parts = append(parts, v.name)
	}
	return strings.Join(parts, "/")
}

func (e *expander) addCase(combo []axisValue) error {
	c := &Case{ID: comboID(e.f.Name, combo), Group: e.g, Needs: e.needs(combo)}
	setup, main := e.f.steps, []stepLine(nil)
	if e.f.do != nil {
		main = []stepLine{*e.f.do}
		main[0].open = true // pin lines pin it
	} else {
		setup, main = nil, setup
	}
	var err error
	if c.World, err = e.world(setup, combo); err != nil {
		return err
	}
	b := newStepBuilder(e, combo, setup)
	for _, s := range main {
		step, info, err := b.build(s)
		if err != nil {
			return err
		}
		c.Cell, c.Info = append(c.Cell, step), append(c.Info, info)
	}
	if e.f.do != nil {
		e.pin(c, combo)
		if len(e.f.do.words) == 1 { // the axis holds whole steps, each with needs of its own
			c.Needs = slices.Concat(c.Needs, missing(c.Needs, stepNeeds(&c.Cell[0])))
		}
	}
	c.World.Cases = append(c.World.Cases, c)
	e.g.Cases = append(e.g.Cases, c)
	e.combos = append(e.combos, combo)
	return nil
}

// needs returns what a combination's cases need. Cases with the same needs
// share them: there can be a hundred thousand.
func (e *expander) needs(combo []axisValue) []Need {
	var key strings.Builder
	for _, v := range combo {
		if len(v.needs) > 0 {
			key.WriteString(v.name + "/")
		}
	}
	if e.shared[key.String()] == nil {
		all := slices.Clone(e.f.needs)
		for _, v := range combo {
			all = append(all, v.needs...)
		}
		e.shared[key.String()] = all
	}
	return e.shared[key.String()]
}

// pin attaches the last pin line that covers a matrix cell, and marks controls.
func (e *expander) pin(c *Case, combo []axisValue) {
	c.Info[0].Pin = nil
	for i, p := range e.f.pins {
		if e.matches(p.filter, combo) {
			c.Info[0].Pin = e.pins[i]
		}
	}
	for _, k := range e.f.controls {
		if e.matches(k.filter, combo) {
			c.Control = map[bool]string{true: "allow", false: "refuse"}[k.allow]
		}
	}
}

// world returns the world of a set-up; equal set-ups share one.
func (e *expander) world(setup []stepLine, combo []axisValue) (*World, error) {
	b := newStepBuilder(e, combo, nil)
	w := &World{Group: e.g, Program: program.Program{Actors: e.declared}}
	var key strings.Builder
	for _, s := range setup {
		step, info, err := b.build(s)
		if err != nil {
			return nil, err
		}
		w.Program.Setup, w.Info = append(w.Program.Setup, step), append(w.Info, info)
		key.WriteString(info.Text + "\n")
	}
	if old := e.worlds[key.String()]; old != nil && e.f.do != nil {
		return old, nil
	}
	w.Index = len(e.g.Worlds)
	e.worlds[key.String()] = w
	e.g.Worlds = append(e.g.Worlds, w)
	return w, nil
}

// guards ties each cell of a matrix to its controls: those with the values
// that the control line names, and the cell's own for the other axes.
func (e *expander) guards() error {
	if e.f.do == nil {
		return nil
	}
	e.byCombo = map[string]*Case{}
	for _, c := range e.g.Cases {
		e.byCombo[c.ID] = c
	}
	for i, c := range e.g.Cases {
		for _, k := range e.f.controls {
			g, err := e.guard(k, e.combos[i])
			if err != nil {
				return err
			}
			if g != nil && g != c {
				c.Guards = append(c.Guards, g)
			}
		}
	}
	return nil
}

func (e *expander) guard(k control, combo []axisValue) (*Case, error) {
	want := slices.Clone(combo)
	for _, t := range k.terms {
		i := slices.IndexFunc(e.f.axes, func(a axis) bool { return a.name == t.axis })
		if !t.not {
			want[i] = axisValue{name: t.values[0]}
		}
	}
	if !e.matches(k.filter, want) {
		return nil, nil
	}
	g := e.byCombo[comboID(e.f.Name, want)]
	if g == nil {
		return nil, e.at(k.line, "the control %s is no case: an except line takes it away", comboID(e.f.Name, want))
	}
	return g, nil
}

// stepBuilder turns step lines into steps for one combination of axis values.
type stepBuilder struct {
	e       *expander
	combo   []axisValue
	handles map[string]program.Handle
}

func newStepBuilder(e *expander, combo []axisValue, before []stepLine) *stepBuilder {
	b := &stepBuilder{e, combo, map[string]program.Handle{closedName: program.ClosedFD}}
	for _, s := range before {
		b.handle(s.out)
	}
	return b
}

func (b *stepBuilder) handle(name string) program.Handle {
	if name == "" {
		return 0
	}
	if _, ok := b.handles[name]; !ok {
		b.handles[name] = program.Handle(len(b.handles))
	}
	return b.handles[name]
}

func (b *stepBuilder) build(s stepLine) (program.Step, StepInfo, error) {
	words, err := b.substitute(s.words)
	if err != nil {
		return program.Step{}, StepInfo{}, b.e.at(s.line, "%w", err)
	}
	text := strings.Join(words, " ")
	info := StepInfo{Line: s.line, Text: text, Control: s.control}
	step, err := b.parse(words)
	if err != nil {
		return step, info, b.e.at(s.line, "%w", err)
	}
	if s.out != "" {
		if !opNamed(words[1]).makes {
			return step, info, b.e.at(s.line, "%s makes nothing that could be called %s", words[1], s.out)
		}
		step.Out = b.handle(s.out)
		info.Text += " -> " + s.out
	}
	if s.open {
		return step, info, nil
	}
	info.Pin = &Pin{Where: fmt.Sprintf("%s:%d", b.e.f.Path, s.line), Note: s.note}
	if s.expect != nil {
		info.Pin.Errno = *s.expect
	}
	return step, info, nil
}

// substitute replaces $axis and $axis.VAR; a value may hold several words or none.
func (b *stepBuilder) substitute(words []string) ([]string, error) {
	var out []string
	for _, w := range words {
		for depth := 0; strings.Contains(w, "$"); depth++ {
			if depth > len(b.combo) {
				return nil, fmt.Errorf("%q never ends to hold a $", w)
			}
			var err error
			if w, err = b.replaceOne(w); err != nil {
				return nil, err
			}
		}
		out = append(out, strings.Fields(w)...)
	}
	return out, nil
}

func (b *stepBuilder) replaceOne(w string) (string, error) {
	before, after, _ := strings.Cut(w, "$")
	end := strings.IndexFunc(after, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	if end < 0 {
		end = len(after)
	}
	name, rest := after[:end], after[end:]
	i := slices.IndexFunc(b.e.f.axes, func(a axis) bool { return a.name == name })
	if i < 0 {
		return "", fmt.Errorf("unknown axis $%s", name)
	}
	v := b.combo[i]
	for _, k := range slices.Sorted(maps.Keys(v.vars)) {
		if tail, ok := strings.CutPrefix(rest, "."+k); ok {
			return before + v.vars[k] + tail, nil
		}
	}
	return before + v.text + rest, nil
}

// parse reads ACTOR OP KEY=VALUE...; a word without = fills the operation's
// positional arguments in order.
func (b *stepBuilder) parse(words []string) (program.Step, error) {
	var s program.Step
	if len(words) < 2 {
		return s, fmt.Errorf("unknown step %q: want ACTOR OP ...", strings.Join(words, " "))
	}
	actor := b.e.actorIndex(words[0])
	if actor < 0 {
		return s, fmt.Errorf("unknown actor %q: declare it with an actor line", words[0])
	}
	if err := checkOp(words); err != nil {
		return s, err // an axis value moved the words
	}
	op := opNamed(words[1])
	s.Actor, s.Op, s.Caps = uint32(actor), op.op, b.e.declared[actor].Caps
	positional := op.positional
	for _, w := range words[2:] {
		name, value, ok := strings.Cut(w, "=")
		var key *keySpec
		switch {
		case ok && name == "caps":
			var err error
			if s.Caps, err = uapi.ParseCaps(value); err != nil {
				return s, err
			}
			continue
		case ok:
			key = op.key(name)
		case len(positional) > 0:
			key, value, positional = op.keyOf(positional[0]), w, positional[1:]
		}
		if key == nil {
			return s, fmt.Errorf("unknown argument %q of %s: want %s", w, op.op, op.usage())
		}
		arg, err := b.arg(key, value)
		if err != nil {
			return s, err
		}
		s.Args = append(s.Args, arg)
	}
	if len(positional) > 0 {
		return s, fmt.Errorf("%s wants %s", op.op, op.usage())
	}
	return s, checkCall(&s)
}

func (o *opSpec) usage() string {
	var out []string
	for _, k := range o.keys {
		if slices.Contains(o.positional, k.key) {
			out = append(out, strings.ToUpper(k.name))
		} else {
			out = append(out, k.name+"=")
		}
	}
	return strings.Join(append(out, "caps="), " ")
}

func (b *stepBuilder) arg(k *keySpec, value string) (program.Arg, error) {
	a := program.Arg{Key: k.key}
	var err error
	switch k.kind {
	case kindString:
		a.Str = value
	case kindNum:
		a.Num, err = parseNum(value)
	case kindHandle:
		h, ok := b.handles[value]
		if !ok {
			return a, fmt.Errorf("unknown handle %q: no step above makes it with -> %s", value, value)
		}
		a.Num = uint64(h)
	case kindActor:
		i := b.e.actorIndex(value)
		if i < 0 {
			return a, fmt.Errorf("unknown actor %q", value)
		}
		a.Num = uint64(i)
	case kindFault:
		a.Num, err = program.ParseWord(program.AttrFaults, value)
	case kindBody:
		a.Num, err = program.ParseWord(program.Bodies, value)
	case kindOn:
		a.Num, err = program.ParseWord(program.Ons, value)
	case kindCmd:
		a.Num, err = cmdArg(value)
	default:
		a.Num, err = enumArg(k.kind, value)
	}
	return a, err
}

func enumArg(k argKind, value string) (uint64, error) {
	e := map[argKind]*uapi.Enum{kindMapType: &uapi.MapTypes, kindProgType: &uapi.ProgTypes, kindAttachType: &uapi.AttachTypes}[k]
	m, ok := e.Lookup(value)
	if !ok {
		var names []string
		for _, m := range e.Members {
			names = append(names, m.Name)
		}
		return 0, fmt.Errorf("unknown %s %q%s", e.Tag, value, suggest(value, names))
	}
	return uint64(m.Value), nil
}

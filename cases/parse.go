package cases

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// File is one parsed case file: a group of cases. With a "do" line it is a
// matrix, one case a combination of its axes' values; without, a scenario,
// one case of several steps.
type File struct {
	Path     string
	Name     string // the group's name: the file's base name
	About    string
	question []string // what a reviewer asks
	answer   []string // what holds where the file's cases pass
	Full     bool     // runs only when it is asked for, or with --full
	needs    []Need
	// someNeeds are those of cells.
	someNeeds []someNeed
	axes      []axis
	actors    []actorLine
	steps     []stepLine // what comes before "do", or all of a scenario
	do        *stepLine
	excepts   []filter
	controls  []control
	pins      []pinLine
	known     []Known
	marks     []Mark // of its steps
}

type axis struct {
	name   string
	values []axisValue
}

// axisValue is one value: its name in case names, the text that $axis stands
// for, and what $axis.NAME stands for.
type axisValue struct {
	name, text string
	vars       map[string]string
	needs      []Need
}

type actorLine struct {
	line  int
	name  string
	words []string
}

type stepLine struct {
	line    int
	words   []string
	out     string
	expect  *uapi.Errno
	open    bool // "=> ?": the oracle alone says, for it differs between kernels
	control bool
	note    string // the comment at the line's end: the pin's source
}

// filter selects cells by axis values; an axis that it does not name may have any.
type filter struct {
	line  int
	terms []term
}

// term holds the values of one axis, by their places on it.
type term struct {
	axis int
	not  bool
	in   []bool
	one  int // the first value that it names
}

type control struct {
	filter
	allow bool
}

type pinLine struct {
	filter
	errno uapi.Errno
	note  string
}

// Parse reads a case file. Each mistake is an error "PATH:LINE: message"; what
// needs all lines is looked at only when none is wrong by itself. The error is
// the context's cause if ctx ends first.
func Parse(ctx context.Context, path, name, text string) (*File, error) {
	f := &File{Path: path, Name: name}
	p := parser{f: f}
	var wrong mistakes
	for i, line := range strings.Split(text, "\n") {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := p.line(i+1, line); err != nil {
			wrong.add(path, i+1, err)
		}
	}
	if err := wrong.err(); err != nil {
		return nil, err
	}
	if len(p.marks) > 0 {
		return nil, fmt.Errorf("%s: no step follows parity %s", path, strings.Join(p.marks, " "))
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

type parser struct {
	f     *File
	open  *axis    // the axis whose indented values follow
	marks []string // of the next step
}

func (p *parser) line(n int, raw string) error {
	text, note := cutComment(raw)
	words := strings.Fields(text)
	if len(words) == 0 {
		return nil
	}
	if p.open != nil && (raw[0] == ' ' || raw[0] == '\t') {
		return p.open.add(axisValue{name: words[0], text: strings.Join(words[1:], " ")})
	}
	p.open = nil
	if k := keywordNamed(words[0]); k != nil {
		return k.parse(p, n, words[1:], note)
	}
	return p.step(n, words, note, false)
}

// cutComment splits a line at a # that begins it or follows white space.
func cutComment(line string) (text, comment string) {
	for i := range line {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i], strings.TrimSpace(line[i+1:])
		}
	}
	return line, ""
}

func (p *parser) axis(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("want axis NAME VALUE..., or axis NAME and a value on each indented line below")
	}
	if slices.ContainsFunc(p.f.axes, func(a axis) bool { return a.name == words[0] }) {
		return fmt.Errorf("axis %s is already defined", words[0])
	}
	a := axis{name: words[0]}
	if len(words) > 2 && words[1] == "each" {
		var err error
		if a.values, err = each(words[2], words[3:]); err != nil {
			return err
		}
	} else {
		for _, w := range words[1:] {
			if err := a.add(axisValue{name: w, text: w}); err != nil {
				return err
			}
		}
	}
	p.f.axes = append(p.f.axes, a)
	if len(words) == 1 {
		p.open = &p.f.axes[len(p.f.axes)-1]
	}
	return nil
}

// add refuses a name that is there already: two cases would have one name.
func (a *axis) add(v axisValue) error {
	if slices.ContainsFunc(a.values, func(w axisValue) bool { return w.name == v.name }) {
		return fmt.Errorf("axis %s has the value %s twice", a.name, v.name)
	}
	a.values = append(a.values, v)
	return nil
}

func (p *parser) actor(n int, words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("want actor NAME KIND ...: %s", strings.Join(actorKindNames(), ", "))
	}
	if keywordNamed(words[0]) != nil || step.OpNamed(words[0]) != 0 || IsPredefined(words[0]) {
		return fmt.Errorf("an actor cannot be called %s", words[0])
	}
	if slices.ContainsFunc(p.f.actors, func(a actorLine) bool { return a.name == words[0] }) {
		return fmt.Errorf("actor %s is already defined", words[0])
	}
	p.f.actors = append(p.f.actors, actorLine{n, words[0], words[1:]})
	return nil
}

func (p *parser) do(n int, words []string) error {
	if p.f.do != nil {
		return fmt.Errorf("a second do (the first is in line %d): a file has one", p.f.do.line)
	}
	s, err := newStep(n, words, "", false)
	if err != nil {
		return err
	}
	if s.expect != nil {
		return fmt.Errorf("a do line has no expectation: pin cells with pin")
	}
	p.f.do = s
	return nil
}

func (p *parser) step(n int, words []string, note string, isControl bool) error {
	if p.f.do != nil && !isControl {
		return fmt.Errorf("step %q after do: set-up steps stand before it", strings.Join(words, " "))
	}
	s, err := newStep(n, words, note, isControl)
	if err != nil {
		return err
	}
	p.marked(n)
	p.f.steps = append(p.f.steps, *s)
	return nil
}

// ClosedName is the handle that every file has without making it.
const ClosedName = "closed"

// newStep splits ACTOR OP ARG... [-> NAME] [=> ERRNO].
func newStep(n int, words []string, note string, isControl bool) (*stepLine, error) {
	s := &stepLine{line: n, note: note, control: isControl}
	for len(words) > 2 {
		tail := words[len(words)-1]
		switch words[len(words)-2] {
		case "->":
			if tail == ClosedName {
				return nil, fmt.Errorf("%s is the descriptor that is never open: call the result otherwise", tail)
			}
			s.out = tail
		case "=>":
			if tail == "?" {
				s.open = true
				break
			}
			e, err := uapi.ParseErrno(tail)
			if err != nil {
				return nil, err
			}
			s.expect = &e
		default:
			s.words = words
			return s, checkOp(words)
		}
		words = words[:len(words)-2]
	}
	s.words = words
	return s, checkOp(words)
}

func checkOp(words []string) error {
	if len(words) > 0 && strings.Contains(words[0], "$") && (len(words) == 1 || strings.ContainsAny(words[1], "$=")) {
		return nil // an axis value may hold the operation as well: it is looked up when that is known
	}
	if len(words) == 0 { // a do or a control with nothing after it
		return fmt.Errorf("no step in this line: want ACTOR OP ...")
	}
	if len(words) < 2 {
		return fmt.Errorf("unknown line %q: want ACTOR OP ..., or one of %s", strings.Join(words, " "), keywordNames())
	}
	if step.OpNamed(words[1]) == 0 {
		return fmt.Errorf("unknown operation %q%s: want one of %s",
			words[1], suggest(words[1], opNames()), strings.Join(opNames(), " "))
	}
	return nil
}

func opNames() []string {
	var names []string
	for o := step.Op(1); o < step.Ops; o++ {
		names = append(names, o.String())
	}
	return names
}

func (p *parser) except(n int, words []string) error {
	f, rest, err := p.filter(n, words)
	if err != nil {
		return err
	}
	if len(rest) > 0 || len(f.terms) == 0 {
		return fmt.Errorf("want except AXIS=VALUE... or AXIS!=VALUE...")
	}
	p.f.excepts = append(p.f.excepts, f)
	return nil
}

// control reads "control allow|refuse AXIS=VALUE..." of a matrix, or
// "control STEP" of a scenario.
func (p *parser) control(n int, words []string, note string) error {
	if len(words) == 0 || words[0] != "allow" && words[0] != "refuse" {
		return p.step(n, words, note, true)
	}
	f, rest, err := p.filter(n, words[1:])
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("unknown words %q: want control allow|refuse AXIS=VALUE...", strings.Join(rest, " "))
	}
	p.f.controls = append(p.f.controls, control{f, words[0] == "allow"})
	return nil
}

func (p *parser) pin(n int, words []string, note string) error {
	f, rest, err := p.filter(n, words)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return fmt.Errorf("want pin AXIS=VALUE... ERRNO  # source")
	}
	e, err := uapi.ParseErrno(rest[0])
	if err != nil {
		return err
	}
	if note == "" {
		return fmt.Errorf("a pin needs a source: add it after #")
	}
	p.f.pins = append(p.f.pins, pinLine{f, e, note})
	return nil
}

// filter reads leading AXIS=VALUE and AXIS!=VALUE words.
func (p *parser) filter(n int, words []string) (filter, []string, error) {
	f := filter{line: n}
	for i, w := range words {
		name, list, ok := strings.Cut(w, "=")
		if !ok {
			return f, words[i:], nil
		}
		t, err := p.f.term(strings.TrimSuffix(name, "!"), strings.Split(list, ","))
		if err != nil {
			return f, nil, err
		}
		t.not = strings.HasSuffix(name, "!")
		f.terms = append(f.terms, t)
	}
	return f, nil, nil
}

func (f *File) term(axis string, values []string) (term, error) {
	t := term{axis: f.axis(axis)}
	if t.axis < 0 {
		return t, fmt.Errorf("unknown axis %q", axis)
	}
	all := f.axes[t.axis].values
	t.in = make([]bool, len(all))
	for n, v := range values {
		i := slices.IndexFunc(all, func(a axisValue) bool { return a.name == v })
		if i < 0 {
			var names []string
			for _, a := range all {
				names = append(names, a.name)
			}
			return t, fmt.Errorf("axis %s has no value %q%s", axis, v, suggest(v, names))
		}
		t.in[i] = true
		if n == 0 {
			t.one = i
		}
	}
	return t, nil
}

// axis returns the place of an axis, or -1.
func (f *File) axis(name string) int {
	return slices.IndexFunc(f.axes, func(a axis) bool { return a.name == name })
}

// matches reports whether a combination is among the selected cells.
func (f *filter) matches(c combo) bool {
	for i := range f.terms {
		if t := &f.terms[i]; t.in[c[t.axis]] == t.not {
			return false
		}
	}
	return true
}

// check refuses a file that could pass for the wrong reason.
func (f *File) check() error {
	var allow, refuse bool
	for _, c := range f.controls {
		allow, refuse = allow || c.allow, refuse || !c.allow
	}
	for _, s := range f.steps {
		if s.control {
			ok := s.expect == nil || *s.expect == 0
			allow, refuse = allow || ok, refuse || !ok
		}
	}
	switch {
	case len(f.question) > 0 && f.do != nil:
		return fmt.Errorf("%s:1: a question belongs to a scenario: a matrix has many answers", f.Path)
	case len(f.question) > 0 && len(f.answer) == 0, len(f.question) == 0 && len(f.answer) > 0:
		return fmt.Errorf("%s:1: a question and its answer go together", f.Path)
	case len(f.steps) == 0 && f.do == nil:
		return fmt.Errorf("%s:1: no step and no do line: nothing would run", f.Path)
	case f.do != nil && len(f.marks) > 0:
		return fmt.Errorf("%s:1: parity marks steps of a scenario", f.Path)
	case f.do != nil && len(f.known) > 0:
		return fmt.Errorf("%s:1: a known defect has a machine to itself: want a scenario, without a do line", f.Path)
	case f.do == nil && len(f.axes) > 0:
		return fmt.Errorf("%s:1: axes without a do line", f.Path)
	case !allow || !refuse:
		return fmt.Errorf("%s:1: no controls: want one that must be allowed and one that must be refused (control ...)",
			f.Path)
	}
	for _, a := range f.axes {
		if len(a.values) == 0 {
			return fmt.Errorf("%s:1: axis %s has no values", f.Path, a.name)
		}
	}
	return nil
}

func parseNum(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("read number %q", s)
	}
	return n, nil
}

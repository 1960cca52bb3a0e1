package cases

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// source is a file from which the steps of its cases are made.
type source struct {
	f         *File
	actors    []step.Actor
	setup     []stepLine // of every case's world
	main      []stepLine // the case's own
	setupAxes []int      // on whose values the set-up depends
	pins      []*Pin     // of the file's pin lines
	// handles are the descriptors that the set-up makes.
	handles map[string]step.Handle
}

func newSource(f *File) (*source, error) {
	s := &source{f: f, main: f.steps, handles: map[string]step.Handle{ClosedName: step.ClosedFD}}
	if f.do != nil {
		s.setup, s.main = f.steps, []stepLine{*f.do}
		s.main[0].open = true // pin lines pin it
	}
	for _, p := range f.pins {
		s.pins = append(s.pins, &Pin{p.errno, fmt.Sprintf("%s:%d", f.Path, p.line), p.note})
	}
	for _, l := range s.setup {
		if _, ok := s.handles[l.out]; l.out != "" && !ok {
			s.handles[l.out] = step.Handle(len(s.handles))
		}
	}
	s.setupAxes = f.axesOf(s.setup)
	var err error
	s.actors, err = f.cast()
	return s, err
}

// axesOf returns the axes that steps name, themselves or through a value.
func (f *File) axesOf(steps []stepLine) []int {
	named := map[int]bool{}
	var look func(text string)
	look = func(text string) {
		for {
			_, after, found := strings.Cut(text, "$")
			if !found {
				return
			}
			text = after
			i := f.axis(axisName(after))
			if i < 0 || named[i] { // an unknown one is an error when the step is made
				continue
			}
			named[i] = true
			for _, v := range f.axes[i].values {
				look(v.text)
				for _, more := range v.vars {
					look(more)
				}
			}
		}
	}
	for _, s := range steps {
		for _, w := range s.words {
			look(w)
		}
	}
	return slices.Sorted(maps.Keys(named))
}

// build makes the steps of the case of a combination.
func (s *source) build(c combo) (step.Cell, []StepInfo, error) {
	handles := s.handles
	if s.f.do == nil || s.f.do.out != "" { // its own steps make descriptors
		handles = maps.Clone(handles)
	}
	cell, info, err := s.steps(s.main, c, handles)
	if err == nil && s.f.do != nil {
		info[0].Pin = s.pin(c)
	}
	return cell, info, err
}

func (s *source) buildSetup(c combo) ([]step.Step, []StepInfo, error) {
	return s.steps(s.setup, c, map[string]step.Handle{ClosedName: step.ClosedFD})
}

// pin returns the last pin line that covers a cell, or nil.
func (s *source) pin(c combo) *Pin {
	for i := len(s.pins) - 1; i >= 0; i-- {
		if s.f.pins[i].matches(c) {
			return s.pins[i]
		}
	}
	return nil
}

func (s *source) steps(lines []stepLine, c combo, handles map[string]step.Handle) ([]step.Step, []StepInfo, error) {
	b := stepBuilder{s, c, handles}
	steps, info := make([]step.Step, len(lines)), make([]StepInfo, len(lines))
	var wrong mistakes
	policy := slices.ContainsFunc(s.setup, func(l stepLine) bool { return l.words[1] == step.OpSELinux.String() })
	for i := range lines {
		var err error
		steps[i], info[i], err = b.build(&lines[i])
		policy = policy || steps[i].Op == step.OpSELinux
		if _, domain := steps[i].Num(step.KeyDomain); domain && !policy && err == nil {
			err = errors.New("selinux=: there is no domain before a step \"root selinux enforcing\"")
		}
		if err != nil {
			wrong.add(s.f.Path, lines[i].line, err)
			if out := lines[i].out; out != "" {
				b.handle(out) // what later steps do with it is not wrong
			}
		}
	}
	return steps, info, wrong.err()
}

// stepBuilder turns step lines into steps for one combination of axis values.
type stepBuilder struct {
	*source
	combo   combo
	handles map[string]step.Handle // that there are so far
}

func (b *stepBuilder) build(s *stepLine) (step.Step, StepInfo, error) {
	words, err := b.substitute(s.words)
	if err != nil {
		return step.Step{}, StepInfo{}, err
	}
	info := StepInfo{Line: s.line, Text: strings.Join(words, " "), Control: s.control}
	st, err := b.parse(words)
	if err != nil {
		return st, info, err
	}
	if s.out != "" {
		if !makes(&st) {
			return st, info, fmt.Errorf("%s does not produce a descriptor; remove \"-> %s\"", words[1], s.out)
		}
		st.Out, info.Out = b.handle(s.out), s.out
		info.Text += " -> " + s.out
	}
	if s.open {
		return st, info, nil
	}
	info.Pin = &Pin{Where: fmt.Sprintf("%s:%d", b.f.Path, s.line), Note: s.note}
	if s.expect != nil {
		info.Pin.Errno = *s.expect
	}
	return st, info, nil
}

// handle numbers what a step makes.
func (b *stepBuilder) handle(name string) step.Handle {
	if _, ok := b.handles[name]; !ok {
		b.handles[name] = step.Handle(len(b.handles))
	}
	return b.handles[name]
}

// substitute replaces $axis and $axis.VAR; a value may hold several words or none.
func (b *stepBuilder) substitute(words []string) ([]string, error) {
	out := make([]string, 0, len(words))
	for _, w := range words {
		if !strings.Contains(w, "$") {
			out = append(out, w)
			continue
		}
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

// axisName is the name that text begins with.
func axisName(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool {
		return !(r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	if end < 0 {
		end = len(text)
	}
	return text[:end]
}

func (b *stepBuilder) replaceOne(w string) (string, error) {
	before, after, _ := strings.Cut(w, "$")
	name := axisName(after)
	i := b.f.axis(name)
	if i < 0 {
		return "", fmt.Errorf("unknown axis $%s", name)
	}
	text, rest := b.f.value(b.combo, i).of(after[len(name):])
	return before + text + rest, nil
}

// of returns what $AXIS stands for where rest follows it, which may begin with
// a variable's name, and what then is left. The longest name counts.
func (v *axisValue) of(rest string) (text, left string) {
	if !strings.HasPrefix(rest, ".") || len(v.vars) == 0 {
		return v.text, rest
	}
	rest = rest[1:]
	long := ""
	for name := range v.vars {
		if len(name) > len(long) && strings.HasPrefix(rest, name) {
			long = name
		}
	}
	if long == "" {
		return v.text, "." + rest
	}
	return v.vars[long], rest[len(long):]
}

// parse reads ACTOR OP KEY=VALUE...; a word without = fills the operation's
// positional arguments in order.
func (b *stepBuilder) parse(words []string) (step.Step, error) {
	var s step.Step
	if len(words) < 2 {
		return s, fmt.Errorf("unknown step %q: want ACTOR OP ...", strings.Join(words, " "))
	}
	actor := actorIndex(b.actors, words[0])
	if actor < 0 {
		return s, fmt.Errorf("unknown actor %q: declare it with an actor line", words[0])
	}
	if err := checkOp(words); err != nil {
		return s, err // an axis value moved the words
	}
	s.Actor, s.Op, s.Caps = uint32(actor), step.OpNamed(words[1]), b.actors[actor].Caps
	row := s.Op.Row()
	positional := row.Used(step.Positional)
	for i, w := range words[2:] {
		if len(positional) > 0 && positional[0].Rest && !isArgument(row, w) {
			s.Args = append(s.Args, step.Arg{Key: positional[0].Key, Str: strings.Join(words[2+i:], " ")})
			positional = nil
			break
		}
		name, value, ok := strings.Cut(w, "=")
		var param *step.Param
		var at uint16
		var err error
		switch {
		case ok && name == "caps":
			if s.Caps, err = uapi.ParseCaps(value); err != nil {
				return s, err
			}
			continue
		case ok:
			if param, at, err = member(row, name); err != nil {
				return s, err
			}
		case len(positional) > 0:
			param, value, positional = positional[0], w, positional[1:]
		}
		if param == nil {
			return s, fmt.Errorf("unknown argument %q of %s: want %s", w, s.Op, usage(row))
		}
		arg, err := b.arg(param, value)
		if err != nil {
			return s, err
		}
		arg.At = at
		s.Args = append(s.Args, arg)
	}
	if len(positional) > 0 {
		return s, fmt.Errorf("%s needs %s", s.Op, usage(row))
	}
	return s, cmp.Or(checkStep(&s), checkUID(&b.actors[actor], &s), checkActor(b.actors, &s))
}

// isArgument reports whether a word before a command line is an argument of the step.
func isArgument(row *step.Operation, w string) bool {
	name, _, ok := strings.Cut(w, "=")
	return ok && (name == "caps" || row.Named(name) != nil)
}

// checkStep refuses a step that leaves out what its operation needs, and one whose
// arguments do not go together.
func checkStep(s *step.Step) error {
	if err := complete(s); err != nil {
		return err
	}
	switch s.Op {
	case step.OpCall:
		return errors.Join(checkCall(s), checkLimits(s), checkThen(s), checkCommon(s))
	case step.OpLSM:
		return checkLSM(s)
	case step.OpRaw:
		return checkRaw(s)
	case step.OpRun:
		return checkRun(s)
	}
	return errors.Join(checkLimits(s), checkFault(s), checkBody(s), checkThen(s), checkCommon(s))
}

// complete refuses a step that leaves out what its operation needs.
func complete(s *step.Step) error {
	given := func(k step.Key) bool {
		return slices.ContainsFunc(s.Args, func(a step.Arg) bool { return a.Key == k })
	}
	row := s.Op.Row()
	for _, p := range row.Used(step.Required) {
		if !given(p.Key) {
			return fmt.Errorf("%s needs %s=", s.Op, p.Name)
		}
	}
	either := row.Used(step.OneOf)
	var names []string
	n := 0
	for _, p := range either {
		names = append(names, p.Name+"=")
		if given(p.Key) {
			n++
		}
	}
	if len(either) > 0 && n != 1 {
		return fmt.Errorf("%s needs one of %s", s.Op, strings.Join(names, " "))
	}
	return nil
}

func usage(row *step.Operation) string {
	var out []string
	for i := range row.Params {
		if p := &row.Params[i]; p.Use == step.Positional {
			out = append(out, strings.ToUpper(p.Name))
		} else {
			out = append(out, p.Spelling())
		}
	}
	return strings.Join(append(out, "caps="), " ")
}

// arg reads the value of an argument.
func (b *stepBuilder) arg(p *step.Param, value string) (step.Arg, error) {
	a := step.Arg{Key: p.Key}
	var err error
	switch p.Kind {
	case step.KindText:
		a.Str = value
	case step.KindOption:
		a.Str, err = unescape(value)
	case step.KindPlace:
		a.Num, a.Str, err = placeArg(value)
	case step.KindBytes:
		a.Num, a.Str, err = bytesArg(value)
	case step.KindHandle:
		h, ok := b.handles[value]
		if !ok {
			return a, fmt.Errorf("unknown handle %q: no step above makes it with -> %s", value, value)
		}
		a.Num = uint64(h)
	case step.KindActor:
		i := actorIndex(b.actors, value)
		if i < 0 {
			return a, fmt.Errorf("unknown actor %q", value)
		}
		a.Num = uint64(i)
	default:
		a.Num, err = number(p.Kind, value)
	}
	return a, err
}

// numbers read the values that say the same in every file.
var numbers = [step.Kinds]func(value string) (uint64, error){
	step.KindNum:        parseNum,
	step.KindMapType:    enumArg(&uapi.MapTypes),
	step.KindProgType:   enumArg(&uapi.ProgTypes),
	step.KindAttachType: enumArg(&uapi.AttachTypes),
	step.KindAnyCmd:     enumArg(&uapi.Cmds),
	step.KindCmd:        cmdArg,
	step.KindErrno: func(value string) (uint64, error) {
		e, err := uapi.ParseErrno(value)
		return uint64(e), err
	},
	step.KindCaps: func(value string) (uint64, error) {
		caps, err := uapi.ParseCaps(value)
		return uint64(caps), err
	},
	step.KindCap:    capArg,
	step.KindHelper: helperArg,
}

func number(k step.Kind, value string) (uint64, error) {
	if k.Words() != nil {
		return k.Word(value)
	}
	return numbers[k](value)
}

// helperArg reads the name of a helper that a program can be asked about.
func helperArg(value string) (uint64, error) {
	if h := uapi.HelperNamed(value); h != nil {
		return uint64(h.ID), nil
	}
	var names []string
	for i := range uapi.Helpers {
		names = append(names, uapi.Helpers[i].Name)
	}
	return 0, fmt.Errorf("unknown helper %q%s", value, suggest(value, names))
}

func capArg(value string) (uint64, error) {
	for c := range uapi.Cap(64) {
		if c.String() == value {
			return uint64(c), nil
		}
	}
	return 0, fmt.Errorf("unknown capability %q: want CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN or CAP_SYS_ADMIN", value)
}

// unescape reads the octal escapes in which mountinfo writes white space.
func unescape(value string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(value, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		const digits = 3
		if len(after) < digits {
			return "", fmt.Errorf(`read %q: want three octal digits after \`, value)
		}
		n, err := strconv.ParseUint(after[:digits], 8, 8)
		if err != nil || n == 0 {
			return "", fmt.Errorf(`read %q: \%s is no octal number of a byte`, value, after[:digits])
		}
		b.WriteByte(byte(n))
		value = after[digits:]
	}
}

// enumArg reads an enumerator, by name or number.
func enumArg(e *uapi.Enum) func(value string) (uint64, error) {
	return func(value string) (uint64, error) {
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
}

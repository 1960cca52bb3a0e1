// Package repro writes a case as one C program that needs nothing but a compiler and root: what a
// maintainer of the kernel runs who does not have tokentest.
//
// It decides nothing: package cases has the steps, package sim says what each must answer, and the
// program makes the same calls as the guest agent does (harness/guest), one process an actor.
//
// Start with Write. frame.go has the C that programs share, ops.go a function for each operation, and
// attr.go the parts of union bpf_attr.
package repro

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-multierror"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/count"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
)

// RefusedError says that a case cannot be written as C.
type RefusedError struct {
	Case string
	Step string // as the case file has it; "" for the case as a whole
	Why  string
}

func (e *RefusedError) Error() string {
	if e.Step == "" {
		return fmt.Sprintf("write %s as C: %s", e.Case, e.Why)
	}
	return fmt.Sprintf("write %s as C: step %q: %s", e.Case, e.Step, e.Why)
}

// writer writes one case.
type writer struct {
	c        *cases.Case
	facts    *step.Facts
	cell     step.Cell // the case's own steps
	cellInfo []cases.StepInfo
	actors   []step.Actor
	acts     []bool              // those that are not left out
	unused   map[*step.Step]bool // steps of the set-up that make what the case does not need
	names    map[holding]string  // of the descriptors' variables
	held     map[holding]bool    // what the actors have by now
	fixed    []fixture           // what root makes before the steps
	uses     map[string]bool     // blocks
	last     map[*layout]int     // the last member that the program needs
	defines  []string            // constants that old headers lack
	data     []definition        // what steps have in common
	shapes   map[string]int      // how many requests begin with the same members
	common   map[string]int      // the same, counted before
	count    int                 // of the steps
	number   int                 // of the step that is being written
	only     int                 // the actor besides root

	processes
	writesSysctl bool
	sysctlFirst  bool       // the first step writes it
	kselftest    *kselftest // nil for a plain program

	st   *step.Step // the step that is being written
	info *cases.StepInfo
	want string // what it must answer, as C
}

// Write writes a case with what the rules say that each step answers on a kernel. The error is a
// *RefusedError for a case that cannot be written.
func Write(out io.Writer, c *cases.Case, facts *step.Facts) error {
	return WriteUntil(out, c, facts, 0)
}

// WriteUntil writes the first of a case's own steps, 0 all of them, without what they do not need: what a kernel
// answers to later steps says nothing about why an earlier one differs.
func WriteUntil(out io.Writer, c *cases.Case, facts *step.Facts, steps int) error {
	w, err := written(c, facts, steps, false)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, w.program())
	return err
}

// commonUses is how many requests begin with the same members if these are a macro.
const commonUses = 3

// written writes a case. The first time finds what its requests have in common.
func written(c *cases.Case, facts *step.Facts, steps int, selftest bool) (w *writer, err error) {
	common := map[string]int{}
	for range 2 {
		w = newWriter(c, facts, steps)
		if w.common = common; selftest {
			w.beSelftest()
		}
		if err := w.write(); err != nil {
			return nil, err
		}
		common = w.shapes
	}
	return w, nil
}

// write writes the steps.
func (w *writer) write() error {
	c := w.c
	if unmet, refuted := c.Unmet(w.facts); unmet != nil {
		return &RefusedError{Case: c.ID, Why: "Linux " + w.facts.Release + " cannot be asked: " + unmet.String() + refuted}
	}
	p := &cases.Player{Facts: w.facts}
	expected, err := p.Setup(c.World)
	if err != nil {
		return err
	}
	if err := w.checkActors(); err != nil {
		return err
	}
	w.chooseFrame()
	if err := w.writeSteps(c.World.Program.Setup, c.World.Info, expected); err != nil {
		return err
	}
	if expected, err = p.Play(c); err != nil {
		return err
	}
	return w.writeSteps(w.cell, w.cellInfo, expected)
}

func newWriter(c *cases.Case, facts *step.Facts, steps int) *writer {
	w := &writer{c: c, facts: facts, actors: c.World.Program.Actors,
		acts: make([]bool, len(c.World.Program.Actors)), names: map[holding]string{}, held: map[holding]bool{},
		uses: map[string]bool{}, last: map[*layout]int{}, unused: map[*step.Step]bool{},
		shapes: map[string]int{}}
	w.cell, w.cellInfo = c.Steps()
	w.findUnused(steps)
	w.findActors(c.World.Program.Setup, c.World.Info)
	w.findActors(w.cell, w.cellInfo)
	return w
}

// Kept are the steps of a case that its program has, by their places: those of the set-up of its world, and its own.
func Kept(c *cases.Case) (setup, cell []int) {
	w := newWriter(c, nil, 0)
	kept := func(steps []step.Step, info []cases.StepInfo) (out []int) {
		for i := range steps {
			if !w.leavesOut(&steps[i], &info[i]) {
				out = append(out, i)
			}
		}
		return out
	}
	return kept(c.World.Program.Setup, c.World.Info), kept(w.cell, w.cellInfo)
}

// Chosen is the cases that a user names.
type Chosen struct {
	Patterns []string
	Dir      string      // for a file of each case; "": there is only one case
	Release  string      // whose answers are expected
	Facts    *step.Facts // or those of this kernel
	Format   string      // c, or kselftest: tests of the kernel's own form
}

// Write writes those of the cases that the user named: a list of cases has their controls, too. The error lists the
// cases that cannot be written, as a *usage.Error; the others are written.
func (c Chosen) Write(out io.Writer, list []*cases.Case) error {
	list = slices.DeleteFunc(slices.Clone(list), func(k *cases.Case) bool {
		return !slices.ContainsFunc(c.Patterns, func(p string) bool { return plan.IsFile(p) || cases.Match(p, k.ID) })
	})
	if c.Facts == nil {
		r, err := uapi.ParseRelease(c.Release)
		if err != nil {
			return usage.Errorf("--kernel %s: not a release; use for example 6.12", c.Release)
		}
		c.Facts = cases.FactsAt(r)
	}
	if c.Format != "c" && c.Format != "kselftest" {
		return usage.Errorf("--format %s: not a format; use c or kselftest", c.Format)
	}
	if c.Dir != "" {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return fmt.Errorf("make the directory for the programs: %w", err)
		}
	}
	if c.Format == "kselftest" {
		return c.writeSelftests(out, list)
	}
	if c.Dir == "" && len(list) != 1 {
		return usage.Errorf("write %d cases as C: --out DIR takes a file of each", len(list))
	}
	if c.Dir == "" {
		return usage.Of(Write(out, list[0], c.Facts))
	}
	var errs *multierror.Error
	written := 0
	for _, k := range list {
		var b bytes.Buffer
		if err := Write(&b, k, c.Facts); err != nil {
			errs = multierror.Append(errs, usage.Of(err))
			continue
		}
		if err := os.WriteFile(filepath.Join(c.Dir, FileName(k)), b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write a program: %w", err)
		}
		written++
	}
	fmt.Fprintf(out, "wrote %s to %s\n", count.Of(written, "program"), c.Dir)
	return errs.ErrorOrNil()
}

// FileName is what the file of a case is called.
func FileName(c *cases.Case) string { return strings.ReplaceAll(c.ID, "/", "-") + ".c" }

// identifier makes a name of C.
func identifier(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, s)
}

func (w *writer) writeSteps(steps []step.Step, info []cases.StepInfo, expected []sim.Expect) error {
	for i := range steps {
		w.st, w.info = &steps[i], &info[i]
		if w.leavesOut(w.st, w.info) {
			continue
		}
		write := writers[steps[i].Op]
		if write == nil {
			return w.refuse("%s cannot be written yet", steps[i].Op)
		}
		if w.want = wanted(&expected[i], &info[i]); !expected[i].Verdict.Known && info[i].Pin == nil && steps[i].Out != 0 {
			return w.refuse("the rules do not say whether there is a descriptor afterwards")
		}
		for j := range steps[i].Args {
			if k := steps[i].Args[j].Key; slices.Contains(unwritten, k) {
				return w.refuse("%s= cannot be written yet", steps[i].Op.Row().Of(k).Name)
			}
		}
		w.count++
		if err := write(w); err != nil {
			return err
		}
	}
	return nil
}

// unwritten are the arguments that no operation can be written with.
var unwritten = []step.Key{step.KeyInside, step.KeyThen, step.KeyMemlock, step.KeyFromKernel, step.KeyAsUID,
	step.KeyCompat, step.KeyUmask, step.KeyDomain}

// findActors finds the actors that do something. One that only gets descriptors is left out: most cells of a matrix
// are about one of many actors.
func (w *writer) findActors(steps []step.Step, info []cases.StepInfo) {
	for i := range steps {
		s := &steps[i]
		if isControl(s, &info[i]) || w.unused[s] {
			continue
		}
		for j := int(s.Actor); j >= 0; j = w.actors[j].Parent {
			w.acts[j] = true
		}
		for _, a := range s.Args {
			if p := s.Op.Row().Of(a.Key); p != nil && p.Kind == step.KindActor && s.Op != step.OpSend {
				w.acts[a.Num] = true
			}
		}
	}
}

// isControl reports whether a step only shows that the test itself works.
func isControl(s *step.Step, info *cases.StepInfo) bool { return info.Control && s.Out == 0 }

// leavesOut reports whether the program is without a step: a control, one that makes what nothing needs, and one that
// only gives a descriptor to an actor that is left out.
func (w *writer) leavesOut(s *step.Step, info *cases.StepInfo) bool {
	to, _ := s.Num(step.KeyTo)
	return s.Op == step.OpSend && !w.acts[to] || isControl(s, info) || w.unused[s]
}

// makers are the operations that only make a descriptor.
var makers = []step.Op{step.OpBPFFS, step.OpTokenCreate, step.OpMapCreate, step.OpProgLoad, step.OpBTFLoad}

// findUnused finds the steps of the set-up that make or pass on what the case does not need: a matrix has one set-up
// for all of its cells. Of the case's own steps it leaves out those after the first steps, unless that is 0.
func (w *writer) findUnused(steps int) {
	needed := map[holding]bool{}
	needs := func(s *step.Step) {
		for _, a := range s.Args {
			if p := s.Op.Row().Of(a.Key); p != nil && p.Kind == step.KindHandle {
				needed[holding{uint64(s.Actor), step.Handle(a.Num)}] = true
			}
		}
	}
	for i := range w.cell {
		if s := &w.cell[i]; steps > 0 && i >= steps {
			w.unused[s] = true
		} else {
			needs(s)
		}
	}
	setup := w.c.World.Program.Setup
	for i := len(setup) - 1; i >= 0; i-- {
		s := &setup[i]
		_, mounts := s.Num(step.KeyAt)
		to, _ := s.Num(step.KeyTo)
		h, _ := s.Num(step.KeyHandle)
		switch {
		case s.Op == step.OpSend:
			w.unused[s] = !needed[holding{to, step.Handle(h)}]
		case s.Out != 0 && !mounts && slices.Contains(makers, s.Op):
			w.unused[s] = !needed[holding{uint64(s.Actor), s.Out}]
		}
		if !w.unused[s] {
			needs(s)
		}
	}
}

func (w *writer) refuse(format string, args ...any) error {
	return &RefusedError{Case: w.c.ID, Step: w.info.Text, Why: fmt.Sprintf(format, args...)}
}

// wanted is the errno that a step must give, as C.
func wanted(e *sim.Expect, info *cases.StepInfo) string {
	switch {
	case e.Verdict.Known:
		return errnoName(e.Verdict.Errno)
	case info.Pin != nil:
		return errnoName(info.Pin.Errno)
	}
	return "-1"
}

// enotsupp is an errno that bpf(2) gives and no header of a C library has.
const enotsupp = 524

func errnoName(e uapi.Errno) string {
	switch {
	case e == 0:
		return "0"
	case e == enotsupp:
		return "524 /* ENOTSUPP */"
	}
	return e.String()
}

func (w *writer) use(names ...string) {
	for _, name := range names {
		if w.uses[name] {
			continue
		}
		w.uses[name] = true
		for _, list := range [][]block{blocks, macros} {
			if i := slices.IndexFunc(list, func(b block) bool { return b.name == name }); i >= 0 {
				w.use(list[i].uses...)
			}
		}
	}
}

// fixture is what root makes before the steps, most often a descriptor.
type fixture struct{ name, make string }

// fixture has the program make a descriptor once, and returns the name of its variable.
func (w *writer) fixture(name, call string) string {
	if !slices.ContainsFunc(w.fixed, func(f fixture) bool { return f.name == name }) {
		w.fixed = append(w.fixed, fixture{name, name + " = " + call})
	}
	return name
}

// once has the program make a call before the steps.
func (w *writer) once(call string) {
	if f := (fixture{make: call}); !slices.Contains(w.fixed, f) {
		w.fixed = append(w.fixed, f)
	}
}

// definition is a macro or an object that steps share. In its text NAME is the name.
type definition struct{ name, text string }

// named adds a definition, unless the program has it, and returns its name: base, or base with a number if another
// definition has that name.
func (w *writer) named(base, text string) string {
	if i := slices.IndexFunc(w.data, func(d definition) bool { return d.text == text }); i >= 0 {
		return w.data[i].name
	}
	name := base
	for i := 2; slices.ContainsFunc(w.data, func(d definition) bool { return d.name == name }); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	w.data = append(w.data, definition{name, text})
	return name
}

// define has the program define a constant that old headers lack, and returns its name. No #ifndef is needed: an
// enumerator may be defined as a macro after it, and the macros are the same as the header's.
func (w *writer) define(name string, value string) string {
	text := fmt.Sprintf("#define %s\t%s\n", name, value)
	if !slices.Contains(w.defines, text) {
		w.defines = append(w.defines, text)
	}
	return name
}

// enum returns the kernel's name of an enumerator, or a number that has none.
func (w *writer) enum(e *uapi.Enum, v uint32) string {
	for _, m := range e.Members {
		if m.Value == v && !oldest.Less(m.Since) {
			return e.Symbol(m)
		}
		if m.Value == v {
			return w.define(e.Symbol(m), fmt.Sprint(v))
		}
	}
	return fmt.Sprint(v)
}

// actor is what C calls the process of an actor.
func (w *writer) actor(i uint64) string {
	if isRoot(&w.actors[i]) {
		return root
	}
	return strings.ToUpper(identifier(w.actors[i].Name))
}

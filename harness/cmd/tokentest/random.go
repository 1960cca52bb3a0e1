package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/pflag"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/shell"
	"tokentest/harness/usage"
)

// random is the part of a run that is drawn.
type random struct {
	worlds int
	seed   uint64
	given  bool              // the seed was
	asked  bool              // so were worlds
	texts  map[string]string // of the case files, by group
	known  []cases.Known     // defects of kernels that a world may come upon
}

func (f *random) register(fl *pflag.FlagSet) {
	fl.IntVar(&f.worlds, "random", 0, "draw `N` worlds at random and shrink what a kernel and the oracle disagree on")
	fl.Uint64Var(&f.seed, "seed", 0, "draw the worlds of the seed `S` (default a new one, which is printed)")
}

func (f *random) check() error {
	switch {
	case f.worlds < 0 || f.asked && f.worlds == 0:
		return usage.Errorf("--random %d: want at least 1", f.worlds)
	case f.given && f.worlds == 0:
		return usage.Errorf("--seed without --random: how many worlds?")
	}
	return nil
}

// seeds chooses a seed if none was given.
func (f *random) seeds() {
	if f.worlds > 0 && !f.given {
		f.seed = uint64(rand.Uint32()) // short enough to be typed
	}
}

// draw adds the worlds to the corpus and returns their groups.
func (f *random) draw(ctx context.Context, c *cases.Corpus) (names []string, err error) {
	for _, g := range c.Groups {
		f.known = append(f.known, g.Known...)
	}
	names, f.texts, err = draw.Add(ctx, c, f.seed, f.worlds)
	return names, err
}

// keep writes the worlds into the run's directory, so that each is a file to
// run again or to send, and says which they are.
func (f *random) keep(a *app, dir string, p *plan.Plan) error {
	if f.worlds == 0 {
		return nil
	}
	a.note("random: %d worlds of --seed %d", f.worlds, f.seed)
	if err := os.MkdirAll(filepath.Join(dir, "random"), 0o755); err != nil {
		return fmt.Errorf("keep the random worlds: %w", err)
	}
	f.place(dir, p)
	for name, text := range f.texts {
		if err := os.WriteFile(p.Files[name], []byte(text), 0o644); err != nil {
			return fmt.Errorf("keep the random worlds: %w", err)
		}
	}
	return nil
}

// place tells the plan where the worlds of a run are kept.
func (f *random) place(dir string, p *plan.Plan) {
	p.Files = maps.Clone(p.Files)
	if p.Files == nil {
		p.Files = map[string]string{}
	}
	for name := range f.texts {
		p.Files[name] = filepath.Join(dir, "random", name+".txt")
	}
}

// line is the command line as the records have it, with the seed.
func (f *random) line(args []string) []string {
	if f.worlds > 0 && !f.given {
		args = append(args, "--seed", strconv.FormatUint(f.seed, 10))
	}
	return args
}

const (
	maxShrunk    = 3   // kinds of disagreement that are shrunk for each kernel
	shrinkRounds = 16  // boots for each
	shrinkWidth  = 120 // scenarios in each boot
)

// disagreement is a step on which a kernel and the oracle differ.
type disagreement struct {
	c     *cases.Case
	setup int // the number of set-up steps up to the one, or -1 when it is the cell
	kind  disagreementKind
	step  *result.StepResult
}

// disagreementKind is what a step shows, so that shrinking does not end at
// something else.
type disagreementKind struct {
	op   step.Op
	cmd  string // of a call: each command is something else
	got  uapi.Errno
	want string // an errno, or "?" where the oracle knows none
}

func (k disagreementKind) String() string {
	return fmt.Sprintf("%s: got %s, want %s", cmp.Or(k.cmd, k.op.String()), k.got, k.want)
}

// disagreementRule is a kind of disagreement with a rule.
type disagreementRule struct {
	kind disagreementKind
	rule string
}

// kindOf is the kind of disagreement that a step and its result make.
func kindOf(s *step.Step, r *result.StepResult) disagreementKind {
	k := disagreementKind{op: s.Op, got: r.Got.Errno, want: "?"}
	if r.Want != nil {
		k.want = r.Want.String()
	}
	if cmd, ok := s.Num(step.KeyCmd); ok && s.Op == step.OpCall {
		k.cmd = uapi.Cmds.Name(uint32(cmd))
	}
	return k
}

// disagreementOf finds the step that decides a case, nil where none does.
func disagreementOf(c *cases.Case, r *result.CaseResult) *disagreement {
	s := r.Decisive()
	if s == nil {
		return nil
	}
	steps, i, d := []step.Step(nil), r.Cause.Step, &disagreement{c: c, setup: -1, step: s}
	if r.Cause.Kind == result.BySetup {
		steps, d.setup = c.World.Program.Setup, i
	} else {
		steps, _ = c.Steps()
	}
	if i > len(steps) {
		return nil
	}
	d.kind = kindOf(&steps[i-1], s)
	return d
}

// shrink makes a smallest case file of each kind of disagreement that the
// random worlds of a run showed; drawn has these by their groups.
func (a *app) shrink(ctx context.Context, l *lab.Lab, p *plan.Plan, r *result.Run, drawn map[string]string) error {
	byID := map[string]*cases.Case{}
	for _, c := range p.Cases {
		byID[c.ID] = c
	}
	n := 0
	for _, k := range r.Kernels {
		found, kinds := []*disagreement{}, map[disagreementRule]int{}
		for i := range k.Cases {
			c := byID[k.Cases[i].ID]
			if c == nil || drawn[c.Group.Name] == "" {
				continue
			}
			d := disagreementOf(c, &k.Cases[i])
			if d == nil {
				continue
			}
			key := disagreementRule{d.kind, d.step.ID}
			if kinds[key]++; kinds[key] == 1 {
				found = append(found, d)
			}
		}
		for i, d := range found {
			if ctx.Err() != nil {
				return nil // the run says that it was interrupted
			}
			if i == maxShrunk {
				fmt.Fprintf(a.stderr, "%s: %d other kinds of disagreement are not shrunk\n", k.Ref, len(found)-maxShrunk)
				break
			}
			n++
			if err := a.shrinkOne(ctx, l, k, d, n); err != nil {
				return fmt.Errorf("shrink %s: %w", d.c.ID, err)
			}
		}
	}
	return nil
}

func (a *app) shrinkOne(ctx context.Context, l *lab.Lab, k *result.KernelRun, d *disagreement, n int) error {
	dir := filepath.Join(l.Dir, "shrink", strconv.Itoa(n))
	s := draw.Shrinker{Facts: k.Facts, Omit: l.Faults.OmitRule, Rounds: shrinkRounds, Width: shrinkWidth,
		Try: func(round int, list []*cases.Group) ([]bool, error) {
			a.note("%s: shrink %s: round %d of at most %d, %d reductions", k.Ref, d.c.ID, round+1, shrinkRounds, len(list))
			return a.try(ctx, l, filepath.Join(dir, strconv.Itoa(round)), k.Ref, d.kind, list)
		}}
	small, rounds, repeats, smallest, err := s.Shrink(ctx, draw.SketchOf(d.c, d.setup))
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case !repeats:
		fmt.Fprintf(a.stderr, "%s on %s does not reproduce alone; it depends on earlier cases\n", d.c.ID, k.Ref)
		return nil
	}
	path := filepath.Join(l.Dir, fmt.Sprintf("shrunk-%d.txt", n))
	again := "tokentest run " + shell.Quote(path) + " --kernel " + shell.Quote(k.Ref)
	if l.Faults.OmitRule != "" {
		again += " --lie-rule " + l.Faults.OmitRule
	}
	text, err := small.File(ctx, []string{
		fmt.Sprintf("%s on %s, %s: %s", small.Last(), k.Ref, k.Release, d.step.Explain()),
		"tokentest run " + filepath.Base(path) + " --kernel " + shell.Quote(k.Ref),
	}, k.Facts, l.Faults.OmitRule)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the shrunk case: %w", err)
	}
	end := ""
	if !smallest {
		end = ", where it was stopped; it may not be the smallest"
	}
	fmt.Fprintf(a.stderr, "%s on %s: %s; shrunk in %d rounds%s\nrepeat: %s\n", d.c.ID, k.Ref, d.kind, rounds, end, again)
	return nil
}

// try runs scenarios in one boot and says which show the same disagreement.
func (a *app) try(ctx context.Context, l *lab.Lab, dir, ref string, kind disagreementKind, list []*cases.Group) ([]bool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t := *l
	t.Dir, t.Progress, t.Log = dir, nil, nil
	p := &plan.Plan{Kernels: []string{ref}, Batch: plan.DefaultBatch}
	for _, g := range list {
		p.Cases = append(p.Cases, g.Cases...)
	}
	r, err := t.Run(ctx, p, []string{"tokentest", "shrink"})
	if err != nil {
		return nil, err
	}
	out := make([]bool, len(list))
	shown := map[string]*result.CaseResult{}
	for _, k := range r.Kernels {
		if k.Error != "" {
			return nil, fmt.Errorf("%s: %s", ref, k.Error)
		}
		for i := range k.Cases {
			shown[k.Cases[i].ID] = &k.Cases[i]
		}
	}
	for i, g := range list {
		if c := shown[g.Cases[0].ID]; c != nil {
			d := disagreementOf(g.Cases[0], c)
			out[i] = d != nil && d.kind == kind
		}
	}
	return out, nil
}

// Package shrink makes a smallest case file of each disagreement between a kernel and the
// oracle that a run of drawn worlds shows, by running reductions of it.
//
// How a world is reduced is package draw's; it only runs the reductions and compares what they
// show.
//
// Start with Run.
package shrink

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/shell"
)

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

// Options say what to shrink, and with what.
type Options struct {
	// Lab ran the cases. It runs the reductions as well, in Lab.Dir.
	Lab   *lab.Lab
	Cases []*cases.Case // of the run
	// Drawn holds the texts of the groups whose cases are shrunk, by name.
	Drawn map[string]string
	// Say prints a line for the user; Log a line of progress. Both must not be nil.
	Say, Log func(format string, args ...any)
}

// Run writes a smallest case file for each kind of disagreement that a run shows, next to
// its records, and says how to repeat it. The error is the host's. If ctx ends it returns nil:
// the run itself says that it was interrupted.
func Run(ctx context.Context, r *result.Run, o Options) error {
	_, err := Fold(ctx, r, o, map[string]bool{})
	return err
}

// Fold is Run for one of several runs: it leaves out the kinds in known, adds those of this run to it, and returns how
// many these are.
func Fold(ctx context.Context, r *result.Run, o Options, known map[string]bool) (int, error) {
	byID := map[string]*cases.Case{}
	for _, c := range o.Cases {
		if o.Drawn[c.Group.Name] != "" {
			byID[c.ID] = c
		}
	}
	n := 0
	for _, k := range r.Kernels {
		found := find(k, byID)
		found = slices.DeleteFunc(found, func(d *disagreement) bool { return known[d.key()] })
		for i, d := range found {
			known[d.key()] = true
			if ctx.Err() != nil {
				return n, nil
			}
			if i == maxShrunk {
				o.Say("%s: %d other kinds of disagreement are not shrunk", k.Ref, len(found)-maxShrunk)
				break
			}
			n++
			if err := o.one(ctx, k, d, n); err != nil {
				return n, fmt.Errorf("shrink %s: %w", d.c.ID, err)
			}
		}
	}
	return n, nil
}

// key names the kind and the rule.
func (d *disagreement) key() string { return d.kind.String() + " " + d.step.ID }

// find returns the disagreements of a kernel, the first of each kind and rule.
func find(k *result.KernelRun, byID map[string]*cases.Case) []*disagreement {
	var found []*disagreement
	kinds := map[disagreementRule]bool{}
	for r := range k.All() {
		c := byID[r.ID]
		if c == nil {
			continue
		}
		d := disagreementOf(c, r)
		if d == nil {
			continue
		}
		if key := (disagreementRule{d.kind, d.step.ID}); !kinds[key] {
			kinds[key] = true
			found = append(found, d)
		}
	}
	return found
}

func (o *Options) one(ctx context.Context, k *result.KernelRun, d *disagreement, n int) error {
	l := o.Lab
	dir := filepath.Join(l.Dir, "shrink", strconv.Itoa(n))
	s := draw.Shrinker{Facts: k.Facts, Omit: l.Faults.OmitRule, Rounds: shrinkRounds, Width: shrinkWidth,
		Try: func(round int, list []*cases.Group) ([]bool, error) {
			o.Log("%s: shrink %s: round %d of at most %d, %d reductions", k.Ref, d.c.ID, round+1, shrinkRounds, len(list))
			return o.try(ctx, filepath.Join(dir, strconv.Itoa(round)), k.Ref, d.kind, list)
		}}
	small, rounds, repeats, smallest, err := s.Shrink(ctx, draw.SketchOf(d.c, d.setup))
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case !repeats:
		o.Say("%s on %s does not reproduce alone; it depends on earlier cases", d.c.ID, k.Ref)
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
	o.Say("%s on %s: %s; shrunk in %d rounds%s\nrepeat: %s", d.c.ID, k.Ref, d.kind, rounds, end, again)
	return nil
}

// try runs scenarios in one boot and says which show the same disagreement.
func (o *Options) try(ctx context.Context, dir, ref string, kind disagreementKind, list []*cases.Group) ([]bool,
	error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t := *o.Lab
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
		for c := range k.All() {
			shown[c.ID] = c
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

package mutate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"tokentest/cases"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Work is mutants that need machines.
type Work struct {
	Lab   lab.Lab // the settings of the machines
	Plan  *plan.Plan
	Names []string // of the cases that tasks name by their numbers
	Tasks []*Task
}

// Task is one mutant to try.
type Task struct {
	Mutant
	Patch vm.Patch      `json:"patch"`
	Cases []int         `json:"cases"` // that execute it
	Limit time.Duration `json:"limit"` // for a machine
}

// Try tries mutants on the machines of this host; names are those of the cases.
func Try(ctx context.Context, l *lab.Lab, p *plan.Plan, names []string, tasks []*Task) ([]*Outcome, error) {
	machines := *l
	machines.Accel, machines.Entry, machines.Snapshot = string(vm.TCG), lab.DirectEntry, lab.AlwaysRestore
	saved, err := savedFor(ctx, machines, p.Kernels[0])
	if err != nil {
		return nil, err
	}
	of := map[string]*cases.Case{}
	for _, c := range p.Cases {
		of[c.ID] = c
	}
	var out []*Outcome
	for _, t := range tasks {
		one := &Outcome{Mutant: t.Mutant}
		out = append(out, one)
		if err := saved.check(ctx, t.Patch); errors.Is(err, vm.ErrPatch) {
			one.Verdict, one.Reason = Unpatched, err.Error()
			continue
		} else if err != nil {
			return nil, err
		}
		var all []*cases.Case
		for _, n := range t.Cases {
			if n < 0 || n >= len(names) || of[names[n]] == nil {
				return nil, fmt.Errorf("try %s: there is no case %d", t.ID, n)
			}
			all = append(all, of[names[n]])
		}
		by := &tester{machines, p, t.Limit}
		if err := by.judge(ctx, t.Patch, one, all); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// slower is how much longer than here a machine on another host may take: what takes longer counts as noticed.
const slower = 3

// elsewhere has other hosts try the mutants that need a machine.
func (j *job) elsewhere(ctx context.Context, list []*Mutant, known map[string]*Outcome) ([]*Outcome, error) {
	out := make([]*Outcome, len(list))
	w := &Work{Lab: j.Cover.Machines(), Plan: j.plan}
	number := map[*cases.Case]int{}
	for i, c := range j.plan.Cases {
		w.Names, number[c] = append(w.Names, c.ID), i
	}
	var of []int            // the index of each task's mutant
	var screened []*Outcome // of the task's
	for i, m := range list {
		if o := known[m.ID]; o != nil {
			o.Mutant = *m
			out[i] = o
			continue
		}
		o, all, err := j.screen(ctx, m)
		if err != nil {
			return nil, err
		}
		if o.Verdict != "" {
			out[i] = o
			if err := j.keep(o); err != nil {
				return nil, err
			}
			continue
		}
		t := &Task{Mutant: *m, Patch: m.patch, Limit: slower * j.limit}
		for _, c := range all {
			t.Cases = append(t.Cases, number[c])
		}
		w.Tasks, of, screened = append(w.Tasks, t), append(of, i), append(screened, o)
	}
	var err error
	if len(w.Tasks) > 0 {
		err = j.Elsewhere(ctx, w, func(task int, o *Outcome) error {
			o.Mutant, o.Cases, o.Tried = *list[of[task]], screened[task].Cases, screened[task].Tried
			out[of[task]] = o
			return j.keep(o)
		})
	}
	return slices.DeleteFunc(out, func(o *Outcome) bool { return o == nil }), errors.Join(err, context.Cause(ctx))
}

// tester runs cases on machines of one kernel.
type tester struct {
	machines lab.Lab
	plan     *plan.Plan
	limit    time.Duration // for a machine
}

// judge runs the cases that execute a mutant: if there are many, some of them first.
func (t *tester) judge(ctx context.Context, patch vm.Patch, out *Outcome, all []*cases.Case) error {
	start := time.Now()
	defer func() { out.Seconds = time.Since(start).Seconds() }()
	for _, c := range spread(all, maxSome) {
		out.Some = append(out.Some, c.ID)
	}
	if len(all) > 2*few {
		if err := t.decide(ctx, patch, out, spread(all, few)); err != nil || out.Verdict != Survived {
			return err
		}
	}
	return t.decide(ctx, patch, out, all)
}

// decide runs cases. The host may lose a machine: then it tries again.
func (t *tester) decide(ctx context.Context, patch vm.Patch, out *Outcome, list []*cases.Case) error {
	for range maxTries {
		if err := t.try(ctx, patch, out, list); err != nil || out.Verdict != Unknown {
			return err
		}
	}
	return nil
}

// maxTries is how often a mutant is tried whose machine the host lost.
const maxTries = 3

// try runs cases on one machine with the mutant.
func (t *tester) try(ctx context.Context, patch vm.Patch, out *Outcome, list []*cases.Case) error {
	dir, err := os.MkdirTemp(t.machines.Dir, "mutant-")
	if err != nil {
		return fmt.Errorf("make a directory for a mutant: %w", err)
	}
	defer os.RemoveAll(dir)
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l := t.machines
	l.Dir, l.Patches, l.Jobs, l.Log, l.Deadline = dir, []vm.Patch{patch}, 1, nil, t.limit
	var first lab.Result
	var once sync.Once
	l.Each = func(r lab.Result) {
		if r.Status == result.Fail || r.Status == result.Broken {
			once.Do(func() {
				first = r
				stop(errNoticed)
			})
		}
	}
	run, err := l.Run(inner, t.plan.Just(list), nil)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case first.Of != nil:
		out.by(first.Of, first.CaseResult, run.Kernels[0])
		return nil
	}
	return out.ended(run.Kernels[0])
}

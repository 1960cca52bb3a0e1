package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/bisect"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
)

type bisectFlags struct {
	run    runFlags // how machines run
	build  buildFlags
	q      bisect.Question
	resume string
	first  bool
}

func (a *app) bisectCmd() *cobra.Command {
	f := &bisectFlags{}
	c := &cobra.Command{
		Use:   "bisect --good REF --bad REF [CASE|FILE...]",
		Short: "find the commit, patch or release that changed a decision",
		Long: `Search for the first kernel that decides otherwise than the good one.

Both ends are git:DIR#REV or src:VERSION of one tree: the commits between them
are searched, and with +PATCHES behind the bad end the patches of the series.
Commits that do not compile or boot are skipped, and the same image is not run
twice. Both ends are deb: references: the packaged releases between them are
searched, without building anything.

What is looked for are failures of the named cases. Without cases, or with
--ends, both ends are booted first to see what differs. Between releases it is
the decisions that the oracle expects to change. --as RUN takes the decisions
of a stored run for good ones. Nothing else counts: no other case, no splat.

Everything is kept in a directory; --resume DIR goes on after an interruption.
Exit code 0 says that the culprit was found, 3 that it was not.`,
		Example: `  tokentest bisect --good git:~/linux#v6.12 --bad git:~/linux#HEAD 'map_create/any/owner/*'
  tokentest bisect --good src:6.12 --bad src:6.12+series.mbox token_create
  tokentest bisect --good deb:6.12 --bad deb:7.3 repro.txt`,
		RunE: func(c *cobra.Command, args []string) error {
			f.q.Patterns = args
			return a.bisect(c.Context(), f)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.q.Good, "good", "", "known-good kernel `REF`")
	fl.StringVar(&f.q.Bad, "bad", "", "`REF` that does not")
	fl.StringVar(&f.q.When, "when", "any", "a kernel is bad when `ANY|ALL` of the cases are")
	fl.StringVar(&f.q.As, "as", "", "call a kernel good if its results match the stored `RUN`")
	fl.BoolVar(&f.q.Ends, "ends", false, "boot both ends first, and look for what they decide differently")
	fl.IntVar(&f.q.Repeat, "repeat", 1, "run each good kernel `N` times, for a failure that comes and goes")
	fl.BoolVar(&f.q.Every, "every", false, "between releases: try every version, not one of each release")
	fl.BoolVar(&f.q.Full, "full", false, "look at every case, not only the default suite")
	fl.BoolVar(&f.first, "first-parent", false, "follow only the first parent of merges")
	fl.StringVar(&f.resume, "resume", "", "go on with the bisection in `DIR`")
	fl.StringVarP(&f.run.out, "out", "o", "", "keep everything in `DIR`, which must not exist")
	fl.StringVar(&f.run.accel, "accel", "auto", "run guests on `HOW`: auto, kvm or tcg")
	fl.StringVar(&f.run.qemu, "qemu", "", "run `PROGRAM` as QEMU (default qemu-system-x86_64)")
	fl.DurationVar(&f.run.deadline, "deadline", 0, "end a machine after `TIME`")
	fl.BoolVar(&f.run.offline, "offline", false, "do not use the network")
	f.build.register(fl)
	return c
}

func (f *bisectFlags) check() error {
	switch {
	case f.resume != "" && (f.q.Good != "" || f.q.Bad != "" || len(f.q.Patterns) > 0 || f.run.out != ""):
		return usage.Errorf("--resume takes all that was asked from its directory: leave out --good, --bad, --out and the cases")
	case f.resume == "" && (f.q.Good == "" || f.q.Bad == ""):
		return usage.Errorf("no ends: name both with --good REF and --bad REF")
	case f.q.When != "any" && f.q.When != "all":
		return usage.Errorf("--when %q: want any or all", f.q.When)
	case f.q.Repeat < 1:
		return usage.Errorf("--repeat %d: want at least 1", f.q.Repeat)
	}
	return f.run.check()
}

// bisection is one search.
type bisection struct {
	*app
	f      *bisectFlags
	q      *bisect.Question
	dir    string
	log    *bisect.Log
	done   []bisect.Test
	field  field
	looked []string // the names of the cases that are looked at
	pred   *bisect.Predicate
	what   string // what is looked for, in words
}

// field is where candidates come from.
type field interface {
	bisect.Space
	ends() (good, bad string)
	// kernel finds or builds a candidate. ref is what the lab takes.
	kernel(ctx context.Context, id string) (ref string, k *kernel.Kernel, err error)
	name(ctx context.Context, id string) string
	// expected is what the oracle says that differs between the ends; nil when
	// it cannot tell.
	expected(list []*cases.Case) bisect.Decisions
}

func (a *app) bisect(ctx context.Context, f *bisectFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	b := &bisection{app: a, f: f, q: &f.q}
	if err := b.open(); err != nil {
		return err
	}
	if b.log != nil {
		defer b.log.Close()
	}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.predicate(ctx); err != nil {
		return b.interrupted(err)
	}
	good, bad := b.field.ends()
	s := &bisect.Search{Space: b.field, Good: good, Bad: bad, Done: b.done, Try: b.try, Keep: b.log.Add, Name: b.field.name, Log: a.note}
	r, err := s.Run(ctx)
	if err != nil {
		return b.interrupted(err)
	}
	return b.report(ctx, r)
}

// interrupted says how the search goes on.
func (b *bisection) interrupted(err error) error {
	var u *usage.Error
	if errors.As(err, &u) || b.log == nil {
		return err
	}
	if errors.Is(err, context.Canceled) {
		err = signals.ErrInterrupted
	}
	return fmt.Errorf("%w; what was found is kept: tokentest bisect --resume %s", err, b.dir)
}

// open reads what an interrupted search had asked and found.
func (b *bisection) open() error {
	if b.f.resume == "" {
		b.q.Config, b.q.Fragments, b.q.Make, b.q.Without = b.f.build.config, b.f.build.fragments, b.f.build.vars, b.f.build.without
		return nil
	}
	log, q, done, err := bisect.Resume(b.f.resume)
	if errors.Is(err, fs.ErrNotExist) {
		return usage.Errorf("--resume %s: no bisection is kept there", b.f.resume)
	}
	if err != nil {
		return err
	}
	b.log, b.q, b.done, b.dir = log, q, done, b.f.resume
	b.f.build.config, b.f.build.fragments, b.f.build.vars, b.f.build.without = q.Config, q.Fragments, q.Make, q.Without
	return nil
}

// prepare finds the candidates and the cases, and begins the log. What the host
// lacks is told before anything is built.
func (b *bisection) prepare(ctx context.Context) error {
	if err := (&lab.Lab{QEMU: b.f.run.qemu}).Check(); err != nil {
		return err
	}
	chosen, err := b.choose(ctx)
	if err != nil {
		return err
	}
	b.keep(ctx)
	for _, c := range chosen {
		b.looked = append(b.looked, c.ID)
	}
	if b.field, err = b.app.openField(ctx, b.f, b.q); err != nil {
		return err
	}
	if b.log != nil {
		return nil
	}
	if b.dir, err = runs.Make(b.f.run.out); err != nil {
		return err
	}
	b.log, err = bisect.NewLog(b.dir, b.q)
	return err
}

// choose returns the cases that were named, without the controls that come
// along.
func (b *bisection) choose(ctx context.Context) ([]*cases.Case, error) {
	p, err := expand(ctx, plan.Request{Kernels: []string{defaultKernel}, Args: b.q.Patterns, Full: b.q.Full})
	if err != nil {
		return nil, err
	}
	if len(b.q.Patterns) == 0 {
		return p.Cases, nil
	}
	return slices.DeleteFunc(p.Cases, func(c *cases.Case) bool {
		return !slices.ContainsFunc(b.q.Patterns, func(pattern string) bool {
			return cases.Match(pattern, c.ID) || strings.HasSuffix(pattern, ".txt") && p.Files[c.Group.Name] == pattern
		})
	}), nil
}

// predicate finds out what is looked for.
func (b *bisection) predicate(ctx context.Context) error {
	b.pred = &bisect.Predicate{All: b.q.When == "all"}
	_, commits := b.field.(*commitField)
	switch {
	case b.q.As != "":
		return b.asRun()
	case b.q.Ends, commits && len(b.q.Patterns) == 0:
		return b.compareEnds(ctx)
	case commits:
		b.pred.Good = bisect.Decisions{}
		for _, id := range b.looked {
			b.pred.Good[id] = ""
		}
		b.what = fmt.Sprintf("a failure of %s of %s", b.q.When, report.Count(len(b.looked), "case"))
		return nil
	}
	chosen, err := b.choose(ctx)
	if err != nil {
		return err
	}
	if b.pred.Good = b.field.expected(chosen); len(b.pred.Good) == 0 {
		return usage.Errorf("the oracle knows of no decision of these cases that changes from %s to %s: --ends boots both to see, --as RUN compares with a stored run", b.q.Good, b.q.Bad)
	}
	b.what = fmt.Sprintf("%s that the oracle expects to change, %s of them", report.Count(len(b.pred.Good), "decision"), b.q.When)
	return nil
}

func (b *bisection) asRun() error {
	r, err := runs.Load(&result.Loader{}, b.q.As)
	if err == nil {
		err = runs.Complete(r, b.note)
	}
	if err != nil {
		return err
	}
	if len(r.Kernels) != 1 {
		return usage.Errorf("--as %s: it holds %d kernels; want a run of one", b.q.As, len(r.Kernels))
	}
	b.pred.Good = b.only(bisect.Of(r.Kernels[0]))
	if len(b.pred.Good) == 0 {
		return usage.Errorf("--as %s: it holds none of the cases that were named", b.q.As)
	}
	b.what = fmt.Sprintf("another decision than in %s in %s of %s", b.q.As, b.q.When, report.Count(len(b.pred.Good), "case"))
	return nil
}

// only leaves the cases that are looked at.
func (b *bisection) only(all bisect.Decisions) bisect.Decisions {
	out := bisect.Decisions{}
	for _, id := range b.looked {
		if d, ok := all[id]; ok {
			out[id] = d
		}
	}
	return out
}

// compareEnds boots both ends. Cases that fail at the bad end and not at the
// good one are what is looked for; without such, every decision that changes.
func (b *bisection) compareEnds(ctx context.Context) error {
	good, bad := b.field.ends()
	g, err := b.end(ctx, good, bisect.Good)
	if err != nil {
		return err
	}
	k, err := b.end(ctx, bad, bisect.Bad)
	if err != nil {
		return err
	}
	before, after := b.only(bisect.Of(g)), b.only(bisect.Of(k))
	b.pred.Good = bisect.Decisions{}
	for _, id := range bisect.Failing(k) {
		if d, ok := before[id]; ok && !slices.Contains(bisect.Failing(g), id) && d != after[id] {
			b.pred.Good[id] = ""
		}
	}
	if len(b.pred.Good) > 0 {
		b.what = fmt.Sprintf("a failure of %s of %s that pass at the good end and not at the bad one", b.q.When, report.Count(len(b.pred.Good), "case"))
		return nil
	}
	for _, id := range bisect.Changes(before, after) {
		b.pred.Good[id] = before[id]
	}
	b.pred.Good = bisect.Answers(b.pred.Good, after)
	if len(b.pred.Good) == 0 {
		return usage.Errorf("both ends decide alike on all %s: name other cases, or other ends", report.Count(len(before), "case"))
	}
	b.what = fmt.Sprintf("%s that the ends make differently, %s of them", report.Count(len(b.pred.Good), "decision"), b.q.When)
	return nil
}

// end boots one end, or reads what it showed before an interruption.
func (b *bisection) end(ctx context.Context, id string, o bisect.Outcome) (*result.KernelRun, error) {
	for _, t := range b.done {
		if t.ID == id && t.Run != "" {
			return b.stored(t)
		}
	}
	t, k, err := b.ask(ctx, id)
	if err != nil {
		return nil, err
	}
	if t.Outcome == bisect.Skip {
		return nil, fmt.Errorf("the %s end %s says nothing: %s", o, b.field.name(ctx, id), t.Why)
	}
	t.ID, t.Outcome, t.Why = id, o, "given by the user"
	if o == bisect.Bad {
		t.Bads = t.Runs
	}
	b.done = append(b.done, t)
	return k, b.log.Add(t)
}

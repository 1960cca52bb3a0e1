package mutate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-multierror"

	"tokentest/cases"
	"tokentest/harness/cover"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
)

// Options say what to measure.
type Options struct {
	Cover     cover.Options // the kernel, its symbols, the cases, and the settings of machines
	Selection Selection
	Jobs      int // machines at a time; 0 means one for each processor
	Expect    []Expected
	// Program, if it is not nil, runs instead of cases.
	Program *Program
	// ExpectFile and PatchFile are files that Run reads into Expect and Selection.Patch; "" is none.
	ExpectFile, PatchFile string
	Results               string // a file that gets each outcome, and of which finished ones are taken; "" is none
	// Each gets each outcome as soon as it is known; calls do not overlap.
	Each func(*Outcome)
	// Elsewhere tries mutants on other hosts, and calls each with each outcome; nil tries them here.
	Elsewhere func(ctx context.Context, w *Work, each func(task int, o *Outcome) error) error
}

// Verdict says who noticed a mutant.
type Verdict string

// The verdicts.
const (
	ByCase     Verdict = "case"    // a case failed, or a test of a program does not end as on the unchanged kernel
	ByControl  Verdict = "control" // a control or a set-up failed
	ByMachine  Verdict = "machine" // the kernel reported a fault, or did not answer any more
	Survived   Verdict = "survived"
	Judged     Verdict = "judged"      // it survived, and a list says why that is right
	NotReached Verdict = "not reached" // no case executes the instruction
	NoEffect   Verdict = "no effect"   // the jump always goes that way
	Unpatched  Verdict = "unpatched"   // the running kernel has other bytes there: it changes itself
	Unknown    Verdict = "unknown"     // the host lost the machine, more than once
)

// Outcome is what became of a mutant.
type Outcome struct {
	Mutant
	Verdict Verdict `json:"verdict"`
	Case    string  `json:"case,omitempty"` // that noticed it
	Rule    string  `json:"rule,omitempty"` // that decides in the case
	Reason  string  `json:"reason,omitempty"`
	Cases   int     `json:"cases,omitempty"` // that execute it, or the thousands in which one does
	// Tried is how many of these cases it was tried with; 0 is all.
	Tried int `json:"tried,omitempty"`
	// Some are a few of these cases, of a mutant that survived.
	Some    []string `json:"some,omitempty"`
	Seconds float64  `json:"seconds,omitempty"`
	Of      string   `json:"of"` // the kernel's build ID and a digest of the cases
}

// errNoticed ends a run at the first case that is not as expected.
var errNoticed = errors.New("the mutant was noticed")

// Run makes the mutants and runs on each the cases that execute it, or the program. It returns the outcomes in the
// order of the mutants; if ctx ends it returns those that it has, and the context's cause.
func Run(ctx context.Context, o Options) ([]*Outcome, error) {
	if err := o.read(); err != nil {
		return nil, err
	}
	begin := o.withCases
	switch {
	case o.Program != nil:
		begin = o.withProgram
		switch {
		case o.Cover.Full || len(o.Cover.Args) > 0:
			return nil, usage.Errorf("a program runs instead of cases: name no case and no --full with it")
		case len(o.Program.Args) == 0:
			return nil, usage.Errorf("no program after --")
		case o.Elsewhere != nil:
			return nil, usage.Errorf("--on tries mutants with cases only: leave it out with a program")
		}
	case o.Cover.Full:
		begin = o.withUsual
	}
	j, code, err := begin(ctx)
	if err != nil {
		return nil, err
	}
	chosen := mutants(code, &o.Selection)
	if len(chosen) == 0 {
		return nil, usage.Errorf("there is nothing to change: no instruction is chosen")
	}
	list, err := j.all(ctx, chosen)
	if err == nil && j.first {
		err = j.rest(ctx, code, chosen, list)
	}
	if err != nil && j.first {
		list = final(list)
	}
	if err == nil {
		err = o.judge(list)
	}
	return list, err
}

// withCases traces the cases on the unchanged kernel.
func (o *Options) withCases(ctx context.Context) (*job, *cover.Code, error) {
	p, digest, err := o.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	return o.trace(ctx, p, digest)
}

// withUsual begins with the default suite, which --full contains: what it notices, all cases notice.
func (o *Options) withUsual(ctx context.Context) (*job, *cover.Code, error) {
	_, digest, err := o.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	usual := *o
	usual.Cover.Full = false
	p, err := plan.Load(ctx, usual.Cover.Request())
	if err != nil {
		return nil, nil, err
	}
	j, code, err := usual.trace(ctx, p, digest)
	if err != nil {
		return nil, nil, err
	}
	j.first = true
	return j, code, nil
}

// load returns the cases and their digest. It fails if Results has outcomes of other cases, before
// they are traced for minutes.
func (o *Options) load(ctx context.Context) (*plan.Plan, string, error) {
	p, err := plan.Load(ctx, o.Cover.Request())
	if err != nil {
		return nil, "", err
	}
	digest := cover.CasesDigest(p)
	_, _, err = o.stored(func(of string) bool { return strings.HasSuffix(of, " "+digest) })
	return p, digest, err
}

// trace traces cases on the unchanged kernel. Digest is of the cases that outcomes are of.
func (o *Options) trace(ctx context.Context, p *plan.Plan, digest string) (*job, *cover.Code, error) {
	code, traces, err := cover.TraceCases(ctx, o.Cover)
	if err != nil {
		return nil, nil, err
	}
	saved, err := savedFor(ctx, o.Cover.Machines(), o.Cover.Kernel)
	if err != nil {
		return nil, nil, err
	}
	return &job{Options: o, plan: p, saved: saved, of: code.BuildID + " " + digest, traces: traces,
		executed: traces.Executed(), limit: traces.Took + reserve}, code, nil
}

// rest tries with all cases the mutants that the default suite does not notice, and replaces their outcomes. There are
// fifty times as many cases, so it only knows which thousands of them execute a mutant. At most as many as the default
// suite has are tried.
func (j *job) rest(ctx context.Context, code *cover.Code, chosen []*Mutant, list []*Outcome) error {
	var left []*Mutant
	var at []uint64 // of all, so that the cache knows them whichever of them are left
	for i, m := range chosen {
		at = append(at, m.patch.At)
		if m.never != 0 {
			at = append(at, m.never)
		}
		if o := list[i]; !o.noticed() && o.Of == "" { // Results has the others
			left = append(left, m)
		}
	}
	if len(left) == 0 {
		return nil
	}
	all := *j.Options
	all.Cover.Full = true
	p, err := plan.Load(ctx, all.Cover.Request())
	if err != nil {
		return err
	}
	slices.Sort(at)
	if all.Cover.Lab.Dir, err = os.MkdirTemp(all.Cover.Lab.Dir, "all-"); err != nil {
		return fmt.Errorf("make a directory for the traces: %w", err)
	}
	traces, err := code.TraceParts(ctx, all.Cover, slices.Compact(at), j.Jobs)
	if err != nil {
		return err
	}
	k := &job{Options: &all, plan: p, saved: j.saved, of: j.of, traces: traces, executed: traces.Executed(),
		limit: 2*j.limit + traces.Took, most: len(j.plan.Cases)}
	again, err := k.all(ctx, left)
	of := map[string]*Outcome{}
	for _, o := range again {
		of[o.ID] = o
	}
	for i, o := range list {
		if of[o.ID] != nil {
			list[i] = of[o.ID]
		}
	}
	return err
}

// final leaves out the outcomes of the default suite that all cases could still change.
func final(list []*Outcome) []*Outcome {
	return slices.DeleteFunc(list, func(o *Outcome) bool { return !o.noticed() && o.Of == "" })
}

// noticed reports whether anything noticed the mutant.
func (o *Outcome) noticed() bool {
	return o.Verdict == ByCase || o.Verdict == ByControl || o.Verdict == ByMachine
}

// reserve is how much longer than the unchanged kernel a machine with a mutant may take, whatever it runs.
const reserve = 20 * time.Second

// read reads the files that the options name.
func (o *Options) read() (err error) {
	if o.ExpectFile != "" {
		text, err := os.ReadFile(o.ExpectFile)
		if err != nil {
			return usage.Errorf("read the judged survivors: %w", err)
		}
		if o.Expect, err = ParseExpected(o.ExpectFile, string(text)); err != nil {
			return err
		}
	}
	if o.PatchFile != "" {
		o.Selection.Patch, err = cover.ChangesOf(o.Cover.Kernel, o.PatchFile)
	}
	return err
}

// job tries the mutants of one kernel.
type job struct {
	*Options
	plan  *plan.Plan
	saved *saved
	of    string        // what outcomes are of
	limit time.Duration // for a machine
	first bool          // only what is noticed counts: the other mutants are tried again
	most  int           // cases that a mutant is tried with; 0 is all

	traces   *cover.Traces  // of the cases; nil with a program
	executed cover.Executed // what the cases or the program execute
	subject  *subject       // nil with cases

	mu      sync.Mutex
	results *os.File
}

func (j *job) all(ctx context.Context, list []*Mutant) ([]*Outcome, error) {
	known, err := j.open()
	if err != nil {
		return nil, err
	}
	if j.results != nil {
		defer j.results.Close()
	}
	if j.Elsewhere != nil {
		return j.elsewhere(ctx, list, known)
	}
	out := make([]*Outcome, len(list))
	next := make(chan int)
	var wait sync.WaitGroup
	jobs := j.Jobs
	if jobs == 0 {
		jobs = runtime.NumCPU()
	}
	errs := make([]error, jobs)
	for n := range jobs {
		wait.Go(func() {
			for i := range next {
				if errs[n] != nil {
					continue
				}
				out[i], errs[n] = j.outcome(ctx, list[i])
				if errs[n] == nil {
					errs[n] = j.keep(out[i])
				}
			}
		})
	}
	for i, m := range list {
		if o := known[m.ID]; o != nil {
			o.Mutant = *m
			out[i] = o
			continue
		}
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wait.Wait()
	out = slices.DeleteFunc(out, func(o *Outcome) bool { return o == nil })
	errs = append(slices.DeleteFunc(errs, func(e error) bool { return e == nil }), context.Cause(ctx))
	return out, multierror.Append(nil, errs...).ErrorOrNil()
}

// outcome decides about one mutant.
func (j *job) outcome(ctx context.Context, m *Mutant) (*Outcome, error) {
	out, all, err := j.screen(ctx, m)
	if err != nil || out.Verdict != "" {
		return out, err
	}
	if j.subject != nil {
		return out, j.subject.judge(ctx, m.patch, out)
	}
	t := &tester{machines: j.Cover.Machines(), plan: j.plan, limit: j.limit}
	return out, t.judge(ctx, m.patch, out, all)
}

// screen decides about a mutant what needs no machine. If there is no verdict yet, it returns the cases to run.
func (j *job) screen(ctx context.Context, m *Mutant) (*Outcome, []*cases.Case, error) {
	out := &Outcome{Mutant: *m}
	known := j.subject != nil || j.traces.Knows(m.patch.At)
	switch {
	case known && !j.executed.Has(m.patch.At):
		out.Verdict = NotReached
		return out, nil, nil
	case known && m.never != 0 && !j.executed.Has(m.never):
		out.Verdict = NoEffect
		return out, nil, nil
	}
	if err := j.saved.check(ctx, m.patch); errors.Is(err, vm.ErrPatch) {
		out.Verdict, out.Reason = Unpatched, err.Error()
		return out, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	if j.subject != nil {
		return out, nil, nil
	}
	all := j.covering(m)
	if out.Cases = len(all); out.Cases == 0 {
		out.Verdict, out.Reason = NotReached, "only by cases that need a machine of their own"
	}
	if most := j.mostFor(m); most > 0 && out.Cases > most {
		all, out.Tried = spread(all, most), most
	}
	return out, all, nil
}

// mostFor is how many cases a mutant is tried with; 0 is all. One that is judged to show nothing is not tried with many
// beside the default suite.
func (j *job) mostFor(m *Mutant) int {
	if j.most > 0 && slices.ContainsFunc(j.Expect, func(e Expected) bool { return e.covers(m) }) {
		return few
	}
	return j.most
}

// maxSome is how many cases that execute a survivor are named.
const maxSome = 3

// few is how many cases run first if many execute a mutant.
const few = 100

// covering are the cases that execute a mutant, or whose set-up does, of those that share a machine.
func (j *job) covering(m *Mutant) []*cases.Case {
	together, _ := plan.Alone(j.plan.Cases)
	if !j.traces.Knows(m.patch.At) {
		return together
	}
	ids := map[string]bool{}
	for _, n := range j.traces.Of(m.patch.At) {
		for _, id := range j.traces.Spans[n].Cases {
			ids[id] = true
		}
	}
	return slices.DeleteFunc(together, func(c *cases.Case) bool { return !ids[c.ID] })
}

// spread chooses n cases, as many of each group as of any other.
func spread(all []*cases.Case, n int) []*cases.Case {
	var groups []*cases.Group
	of := map[*cases.Group][]*cases.Case{}
	for _, c := range all {
		if of[c.Group] == nil {
			groups = append(groups, c.Group)
		}
		of[c.Group] = append(of[c.Group], c)
	}
	var out []*cases.Case
	for round := 0; len(out) < n && round < len(all); round++ {
		for _, g := range groups {
			if list := of[g]; round < len(list) && len(out) < n {
				out = append(out, list[round*len(list)/min(len(list), n)])
			}
		}
	}
	return out
}

// by fills in the case that noticed the mutant.
func (o *Outcome) by(c *cases.Case, r *result.CaseResult, k *result.KernelRun) {
	o.Verdict, o.Case, o.Reason = ByCase, c.ID, r.Reason
	if n := len(r.Steps); n > 0 {
		o.Rule = r.Steps[n-1].Rule
	}
	if r.Status == result.Broken || c.Control != "" {
		o.Verdict = ByControl
	}
	for _, b := range k.Boots {
		if b.Fate == vm.Panicked || b.Fate == vm.Tainted || b.Fate == vm.Hung {
			o.Verdict, o.Reason = ByMachine, fmt.Sprintf("%s: %s", b.Fate, b.Reason)
		}
	}
}

// ended fills in the verdict of a run in which every case that has a result is as expected.
func (o *Outcome) ended(k *result.KernelRun) error {
	if len(k.Boots) == 0 {
		return fmt.Errorf("try %s: %s", o.ID, k.Error)
	}
	o.fate(&k.Boots[len(k.Boots)-1])
	return nil
}

// fate fills in the verdict of a machine on which everything that has a result is as expected.
func (o *Outcome) fate(b *result.Boot) {
	switch b.Fate {
	case vm.Clean:
		o.Verdict = Survived
	case vm.Panicked, vm.Tainted, vm.Hung:
		o.Verdict, o.Reason = ByMachine, fmt.Sprintf("%s: %s", b.Fate, b.Reason)
		if b.Fate == vm.Hung && b.Host != nil {
			o.Verdict = Unknown
		}
	default:
		o.Verdict, o.Reason = Unknown, fmt.Sprintf("%s: %s", b.Fate, b.Reason)
	}
}

package bisect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"tokentest/cases"
	"tokentest/harness/kernel"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// Options say how a search is made.
type Options struct {
	// Question says what to search for. A search that is resumed must have the one that
	// ReadQuestion returns.
	Question *Question
	// Resume is the directory of a search that continues; "" starts one.
	Resume string
	// Out is the directory of a search that starts, which must not exist; "" chooses one.
	Out string
	// FirstParent follows only the first parent of merges.
	FirstParent bool
	// Lab holds the settings of the machines. Dir is set for each run.
	Lab lab.Lab
	// Kernel says where kernels come from and how they are built.
	Kernel kernel.Options
	// Elsewhere runs the cases on other hosts; nil runs them here.
	Elsewhere Elsewhere
	// Args is the command line, for the records; Flags are those flags of it that the question does not have.
	Args, Flags []string
	// Log gets a line for each step. It must not be nil.
	Log func(format string, args ...any)
}

// Elsewhere is other hosts, which run cases, and build if Options.Kernel says so.
type Elsewhere interface {
	// CheckHost returns an error that says what this host lacks nevertheless.
	CheckHost(l *lab.Lab) error
	// Run is lab.Lab.Run.
	Run(ctx context.Context, l *lab.Lab, p *plan.Plan, args []string) (*result.Run, error)
	// Builders is how many kernels are built at a time.
	Builders(ctx context.Context) int
}

// Report is what a search or a series came to.
type Report struct {
	Text string // to print, and to send as a mail; it is stored in Dir, too
	Dir  string // where everything is stored
	Code int    // an exit code of package result
}

const reportFile = "report.txt"

// store writes the report into its directory.
func (r *Report) store() error {
	if err := os.WriteFile(filepath.Join(r.Dir, reportFile), []byte(r.Text), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// driver is one search at work.
type driver struct {
	*Options
	q      *Question
	dir    string
	log    *Log
	done   []Test
	field  field
	looked []string // the names of the cases to look at
	pred   *Predicate
	what   string // what the search looks for, in words
}

// Run searches. The error is the host's or the user's; after an interruption it says how
// to resume.
func Run(ctx context.Context, o Options) (*Report, error) {
	d := &driver{Options: &o, q: o.Question}
	if err := d.open(); err != nil {
		return nil, err
	}
	defer d.close()
	if err := d.prepare(ctx); err != nil {
		return nil, err
	}
	if text := d.announce(ctx); text != "" && d.Resume == "" {
		d.Log("%s", text)
	}
	if err := d.predicate(ctx); err != nil {
		return nil, d.interrupted(ctx, err)
	}
	good, bad := d.field.ends()
	s := &Search{Space: d.field, Good: good, Bad: bad, Done: d.done, Try: d.try, Keep: d.log.Add, Name: d.field.name,
		Log: d.Log}
	if _, commits := d.field.(*commitField); commits && d.Elsewhere != nil {
		s.AtOnce, s.Ahead = d.Elsewhere.Builders, d.ahead
	}
	r, err := s.Run(ctx)
	if err != nil {
		return nil, d.interrupted(ctx, err)
	}
	return d.report(ctx, r)
}

// open reads what an interrupted search found.
func (d *driver) open() (err error) {
	if d.Resume == "" {
		return nil
	}
	d.dir = d.Resume
	d.log, d.q, d.done, err = Resume(d.Resume)
	return err
}

func (d *driver) close() {
	if d.log != nil {
		d.log.Close()
	}
}

// interrupted says how the search goes on.
func (d *driver) interrupted(ctx context.Context, err error) error {
	var u *usage.Error
	if errors.As(err, &u) || d.log == nil {
		return err
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%w; what was found is kept: tokentest bisect --resume %s", err, d.dir)
}

// prepare finds the candidates and the cases, and begins the log. It says what the host
// lacks before anything is built.
func (d *driver) prepare(ctx context.Context) error {
	if err := d.checkHost(); err != nil {
		return err
	}
	chosen, err := d.choose(ctx)
	if err != nil {
		return err
	}
	for _, c := range chosen {
		d.looked = append(d.looked, c.ID)
	}
	if d.field, err = openField(ctx, d.Options, d.q); err != nil {
		return err
	}
	if d.log != nil {
		return nil
	}
	if d.dir, err = runs.Make(d.Out); err != nil {
		return err
	}
	d.log, err = NewLog(d.dir, d.q)
	return err
}

func (d *driver) checkHost() error {
	if d.Elsewhere != nil {
		return d.Elsewhere.CheckHost(&d.Lab)
	}
	return d.Lab.Check()
}

// ahead builds candidates at the same time, so that a test of one finds its kernel. What goes wrong is tried again.
func (d *driver) ahead(ctx context.Context, ids []string) {
	var builds sync.WaitGroup
	for _, id := range ids {
		builds.Go(func() {
			if _, _, err := d.field.kernel(ctx, id); err != nil && unfit(err) == "" && ctx.Err() == nil {
				d.Log("%s: %v", d.field.name(ctx, id), err)
			}
		})
	}
	builds.Wait()
}

// expand makes the plan for a kernel.
func (d *driver) expand(ctx context.Context, ref string) (*plan.Plan, error) {
	p, err := plan.Load(ctx, plan.Request{Kernels: []string{ref}, Args: d.q.Patterns, Full: d.q.Full})
	if err == nil {
		debug.SetMemoryLimit(p.Memory())
	}
	return p, err
}

// choose returns the cases that the user named, without the controls that come along.
func (d *driver) choose(ctx context.Context) ([]*cases.Case, error) {
	p, err := d.expand(ctx, d.q.Good)
	if err != nil {
		return nil, err
	}
	if len(d.q.Patterns) == 0 {
		return p.Cases, nil
	}
	return slices.DeleteFunc(p.Cases, func(c *cases.Case) bool {
		return !slices.ContainsFunc(d.q.Patterns, func(pattern string) bool {
			return cases.Match(pattern, c.ID) || strings.HasSuffix(pattern, ".txt") && p.Files[c.Group.Name] == pattern
		})
	}), nil
}

// announce says how many kernels a search makes and boots, "" if it makes none.
func (d *driver) announce(ctx context.Context) string {
	good, bad := d.field.ends()
	suspects, err := d.field.Suspects(ctx, []string{good}, bad)
	if err != nil {
		return "" // the search says what is wrong
	}
	n := steps(len(suspects))
	if d.bootsEnds() {
		n += 2
	}
	if n == 0 {
		return ""
	}
	how := "fetches and boots about %s"
	if _, commits := d.field.(*commitField); commits {
		how = "builds and boots about %s; the first build takes the longest"
	}
	return fmt.Sprintf("%s between the ends: the search "+how, report.Count(len(suspects), "suspect"),
		report.Count(n, "kernel"))
}

// bootsEnds reports whether the search begins with a boot of both ends.
func (d *driver) bootsEnds() bool {
	_, commits := d.field.(*commitField)
	return d.q.As == "" && (d.q.Ends || commits && len(d.q.Patterns) == 0)
}

// predicate finds out what to look for.
func (d *driver) predicate(ctx context.Context) error {
	d.pred = &Predicate{All: d.q.When == "all"}
	_, commits := d.field.(*commitField)
	switch {
	case d.q.As != "":
		return d.asRun()
	case d.bootsEnds():
		return d.compareEnds(ctx)
	case commits:
		d.pred.Good = Decisions{}
		for _, id := range d.looked {
			d.pred.Good[id] = Decision{}
		}
		d.what = fmt.Sprintf("a failure of %s of %s", d.q.When, report.Count(len(d.looked), "case"))
		return nil
	}
	chosen, err := d.choose(ctx)
	if err != nil {
		return err
	}
	if d.pred.Good = d.field.expected(chosen); len(d.pred.Good) == 0 {
		return usage.Errorf("the oracle knows of no decision of these cases that changes from %s to %s: "+
			"--ends boots both to see, --as RUN compares with a stored run", d.q.Good, d.q.Bad)
	}
	d.what = fmt.Sprintf("%s that the oracle expects to change, %s of them", report.Count(len(d.pred.Good), "decision"),
		d.q.When)
	return nil
}

// asRun takes the decisions of a stored run for good ones.
func (d *driver) asRun() error {
	k, err := d.load(d.q.As)
	var several *severalError
	if errors.As(err, &several) {
		return usage.Errorf("--as %s: it has %d kernels; name a run of one kernel", d.q.As, several.kernels)
	}
	if err != nil {
		return err
	}
	if d.pred.Good = Of(k).only(d.looked); len(d.pred.Good) == 0 {
		return usage.Errorf("--as %s: it has none of the named cases", d.q.As)
	}
	d.what = fmt.Sprintf("another decision than in %s in %s of %s", d.q.As, d.q.When,
		report.Count(len(d.pred.Good), "case"))
	return nil
}

// compareEnds boots both ends. It looks for the cases that fail at the bad end only; if there
// are none, for every decision that changes.
func (d *driver) compareEnds(ctx context.Context) error {
	good, bad := d.field.ends()
	g, err := d.end(ctx, good, Good)
	if err != nil {
		return err
	}
	k, err := d.end(ctx, bad, Bad)
	if err != nil {
		return err
	}
	before, after := Of(g).only(d.looked), Of(k).only(d.looked)
	d.pred.Good = Decisions{}
	for _, id := range Failing(k) {
		if was, ok := before[id]; ok && !slices.Contains(Failing(g), id) && !was.Equal(after[id]) {
			d.pred.Good[id] = Decision{}
		}
	}
	if n := len(d.pred.Good); n > 0 {
		d.what = fmt.Sprintf("a failure of %s of %s that pass at the good end and not at the bad one", d.q.When,
			report.Count(n, "case"))
		return nil
	}
	for _, id := range Changes(before, after) {
		d.pred.Good[id] = before[id]
	}
	d.pred.Good = Answers(d.pred.Good, after)
	if len(d.pred.Good) == 0 {
		return usage.Errorf("both ends decide alike on all %s: name other cases, or other ends",
			report.Count(len(before), "case"))
	}
	d.what = fmt.Sprintf("%s that the ends make differently, %s of them", report.Count(len(d.pred.Good), "decision"),
		d.q.When)
	return nil
}

// end boots one end, or reads what it showed before an interruption.
func (d *driver) end(ctx context.Context, id string, o Outcome) (*result.KernelRun, error) {
	for _, t := range d.done {
		if t.ID == id && t.Run != "" {
			return d.stored(t)
		}
	}
	t, k, err := d.ask(ctx, id)
	if err != nil {
		return nil, err
	}
	if t.Outcome == Skip {
		return nil, fmt.Errorf("the %s end %s says nothing: %s", o, d.field.name(ctx, id), t.Why)
	}
	t.ID, t.Outcome, t.Why = id, o, "given by the user"
	if o == Bad {
		t.Bads = t.Runs
	}
	d.done = append(d.done, t)
	return k, d.log.Add(t)
}

// ReadQuestion returns what the search in a directory asks. It is a *usage.Error if there is
// none.
func ReadQuestion(dir string) (*Question, error) {
	log, q, _, err := Resume(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("--resume %s: no bisection is kept there", dir)
	}
	if err != nil {
		return nil, err
	}
	return q, log.Close()
}

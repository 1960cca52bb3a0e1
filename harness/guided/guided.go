// Package guided searches for worlds that make a kernel execute what no other world did. It keeps those, varies them,
// and drops the others.
//
// A world is kept for an instruction of the kernel's code that no case executed before, or a rule of the oracle
// that decides a step of a case which executes an instruction that no such case executed before. The oracle judges
// each answer, so a search finds wrong decisions, and reports of the kernel, as a run does. It also says which rules
// decide before a world runs: of several worlds that are drawn, the one runs of which it expects the most that is new.
//
// How a world is drawn and varied is package draw's, which code a case executes package cover's.
//
// Start with Run.
package guided

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"tokentest/cases"
	"tokentest/cases/draw"
	"tokentest/harness/count"
	"tokentest/harness/cover"
	"tokentest/harness/lab"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/shrink"
	"tokentest/harness/usage"
)

// Options say what to search, and how.
type Options struct {
	// Cover names the kernel, its symbols and its machines.
	Cover cover.Options
	// Dir is the corpus: a case file for each world that is kept, which anybody can run. It is made if there is none. Runs
	// with a finding are kept below it, in runs.
	Dir   string
	Count int    // how many worlds are tried, besides those of the corpus
	Seed  uint64 // the choices are the same with the same seed, corpus, kernel and Jobs
	Vary  int    // the percentage of the tried worlds that are variations
	Jobs  int    // machines at a time; 0 means one for each processor
	// Say prints a line for the user; Log a line of progress. Both must not be nil.
	Say, Log func(format string, args ...any)
}

// Report is what a search did.
type Report struct {
	Tried    int `json:"tried"`
	Kept     int `json:"kept"`     // of the tried
	Corpus   int `json:"corpus"`   // files in the end
	Insns    int `json:"insns"`    // different instructions that were executed
	Pairs    int `json:"pairs"`    // of a rule and an instruction
	Findings int `json:"findings"` // kinds of disagreement, and reports of the kernel
}

func (r *Report) String() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s tried, %d kept; %s of %d instructions and %d pairs with a rule; %s\n",
		count.Of(r.Tried, "world"), r.Kept, count.Of(r.Corpus, "world"), r.Insns, r.Pairs, count.Of(r.Findings, "finding"))
}

// ExitCode is 1 if something was found. A nil report found nothing.
func (r *Report) ExitCode() int {
	if r != nil && r.Findings > 0 {
		return result.ExitDiffers
	}
	return result.ExitOK
}

// taken are the flags of "run" that a search takes.
var taken = []string{"kernel", "random", "seed", "guided", "vary", "append", "offline", "cache", "agent", "quiet",
	"lie-rule", "jobs"}

// Check refuses what a search does not take, with a *usage.Error: another of the given flags of "run", a case, or more
// than one kernel.
func Check(given, kernels, args []string) error {
	for _, name := range given {
		if !slices.Contains(taken, name) {
			return usage.Errorf("--guided does not go with --%s", name)
		}
	}
	if len(args) > 0 || len(kernels) != 1 {
		return usage.Errorf("--guided takes one kernel, and no case")
	}
	return nil
}

// candidates are drawn for each world that is tried: the one of which the oracle expects the most that is new.
const candidates = 8

// chance is how rarely a cell is tried of which the oracle expects nothing new: the kernel may do something new.
const chance = 8

// maxUntraced is how many runs in a row may have traces that do not fit.
const maxUntraced = 3

// width is how many worlds share a machine.
const width = 25

// world is a world that is to be tried.
type world struct {
	name, text string
	origin     draw.Origin
	choices    int
	file       string   // of the corpus, "" for a new world
	whole      *world   // what this one was trimmed from
	must       features // of the whole one, all of which the trimmed one must have
	again      bool     // it was in a run that had a finding
	forecast   *draw.Forecast
}

// features are what worlds showed.
type features struct {
	insns map[uint64]bool
	pairs map[pair]bool
}

type pair struct {
	rule string
	insn uint64
}

func newFeatures() features { return features{map[uint64]bool{}, map[pair]bool{}} }

func (f *features) len() int { return len(f.insns) + len(f.pairs) }

type search struct {
	Options
	code  *cover.Code
	lab   lab.Lab
	rand  *rand.Rand
	known *result.KernelRun // the kernel as a run saw it; nil before the first one
	seen  features
	// expected are the aspects that the oracle expected of worlds which were tried.
	expected map[string]bool
	corpus   []*world
	queue    []*world // that have to be tried before new ones
	found    map[string]bool
	report   Report
	drawn    int
	// untraced counts runs in a row whose traces do not fit: a busy host can lose a machine, and its trace with it.
	untraced int
}

// Run searches until Count worlds are tried or ctx ends, whose cause it then returns with the report. The error is a
// *usage.Error for a file of the corpus that is wrong, else the host's.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := &search{Options: o, rand: rand.New(rand.NewPCG(o.Seed, 0)), seen: newFeatures(), found: map[string]bool{},
		expected: map[string]bool{}}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, usage.Errorf("make the corpus: %w", err)
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.code, s.lab, err = cover.Open(ctx, &o.Cover); err != nil {
		return nil, err
	}
	s.lab.Dir = filepath.Join(o.Dir, "runs")
	s.lab.Log = nil // it would say for each machine what the kernel is
	if err := os.MkdirAll(s.lab.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for the runs: %w", err)
	}
	defer os.Remove(s.lab.Dir) // if it is empty
	if s.Jobs == 0 {
		s.Jobs = runtime.NumCPU()
	}
	for err == nil && (len(s.queue) > 0 || s.report.Tried < o.Count) {
		err = s.round(ctx)
	}
	s.report.Corpus, s.report.Insns, s.report.Pairs = len(s.corpus), len(s.seen.insns), len(s.seen.pairs)
	return &s.report, err
}

// open queues the worlds of the corpus, the smallest first.
func (s *search) open(ctx context.Context) error {
	files, err := filepath.Glob(filepath.Join(s.Dir, "*.txt"))
	if err != nil {
		return fmt.Errorf("list the corpus: %w", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the corpus: %w", err)
		}
		w := &world{name: strings.TrimSuffix(filepath.Base(file), ".txt"), text: string(text), file: file}
		origin, ok, err := draw.Find(w.text)
		if err != nil {
			return usage.Errorf("%s: %w", file, err)
		}
		if ok {
			w.origin = origin
			if _, w.choices, err = origin.Draw(ctx, w.name, "It is only counted."); err != nil {
				return err
			}
		}
		s.queue = append(s.queue, w)
	}
	slices.SortStableFunc(s.queue, func(a, b *world) int { return cmp.Compare(len(a.text), len(b.text)) })
	return nil
}

// next are the worlds of a round: those that wait, then variations and new ones.
func (s *search) next(ctx context.Context) ([]*world, error) {
	n := min(width, len(s.queue))
	list := slices.Clone(s.queue[:n])
	s.queue = s.queue[n:]
	for len(list) < width && s.report.Tried < s.Count {
		w, err := s.draw(ctx)
		if err != nil {
			return nil, err
		}
		s.report.Tried++
		list = append(list, w)
	}
	return list, nil
}

// draw draws a world that is worth a try: the candidate of which the oracle expects the most that is new, without the
// cells of which it expects nothing new.
func (s *search) draw(ctx context.Context) (*world, error) {
	var best *world
	most := -1
	for range candidates {
		w, err := s.candidate(ctx)
		if err != nil || s.known == nil {
			return w, err
		}
		if w.forecast, err = draw.Foresee(ctx, w.name, w.text, s.known.Facts); err != nil {
			return nil, fmt.Errorf("play a world: %w", err)
		}
		if n := w.forecast.Beyond(s.expected); n > most {
			best, most = w, n
		}
	}
	best.text = best.forecast.Worth(best.text, s.expected, func() bool { return s.rand.IntN(chance) == 0 })
	return best, nil
}

// candidate draws a world, or a variation of one of the corpus.
func (s *search) candidate(ctx context.Context) (*world, error) {
	w := &world{origin: draw.Origin{Seed: s.Seed, World: uint64(s.drawn)}}
	about := fmt.Sprintf("about World %d of seed %d.", s.drawn, s.Seed)
	var from []*world
	for _, c := range s.corpus {
		if c.choices > 0 {
			from = append(from, c)
		}
	}
	if len(from) > 0 && s.rand.IntN(100) < s.Vary {
		c := from[s.rand.IntN(len(from))]
		w.origin = c.origin.Vary(s.rand, c.choices)
		about = fmt.Sprintf("about A variation of world %d of seed %d.", w.origin.World, w.origin.Seed)
	} else {
		s.drawn++
	}
	sum := sha256.Sum256([]byte(w.origin.String()))
	w.name = fmt.Sprintf("world_%x", sum[:6])
	text, choices, err := w.origin.Draw(ctx, w.name, strings.TrimPrefix(about, "about "))
	if err != nil {
		return nil, fmt.Errorf("draw a world: %w", err)
	}
	w.choices = choices
	w.text = strings.Replace(text, "\n", "\n"+w.origin.String()+"\n", 1)
	return w, nil
}

// try is worlds that share a machine.
type try struct {
	list   []*world
	texts  map[string]string // of the worlds that run, by name
	plan   *plan.Plan
	lab    lab.Lab
	traces *cover.Traces
	run    *result.Run
	err    error
}

// round tries worlds on Jobs machines at a time, and learns from what they showed.
func (s *search) round(ctx context.Context) error {
	var tries []*try
	var err error
	for range s.Jobs {
		t, failed := s.prepare(ctx)
		if err = failed; t == nil {
			break
		}
		defer t.remove()
		tries = append(tries, t)
	}
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	for _, t := range tries {
		wait.Go(func() { t.traces, t.run, t.err = s.code.Follow(ctx, &t.lab, t.plan) })
	}
	wait.Wait()
	for _, t := range tries {
		if err := s.end(ctx, t); err != nil {
			return err
		}
	}
	s.Log("%s: %d of %d worlds tried, %d kept, %d instructions, %d pairs with a rule", s.Cover.Kernel, s.report.Tried,
		s.Count, s.report.Kept, len(s.seen.insns), len(s.seen.pairs))
	return nil
}

// prepare makes a try of the next worlds; nil if there are none.
func (s *search) prepare(ctx context.Context) (*try, error) {
	t := &try{lab: s.lab, texts: map[string]string{}}
	var err error
	if t.list, err = s.next(ctx); err != nil || len(t.list) == 0 {
		return nil, err
	}
	if err := s.plan(ctx, t); err != nil {
		return nil, err
	}
	if t.lab.Dir, err = os.MkdirTemp(s.lab.Dir, ""); err != nil {
		return nil, fmt.Errorf("make a directory for a run: %w", err)
	}
	return t, nil
}

// remove removes the run of a try, but not one with a finding.
func (t *try) remove() {
	if !errors.Is(t.err, cover.ErrNotClean) {
		os.RemoveAll(t.lab.Dir)
	}
}

// end learns from a try.
func (s *search) end(ctx context.Context, t *try) error {
	switch {
	case errors.Is(t.err, cover.ErrNotClean):
		return s.unclean(ctx, t)
	case errors.Is(t.err, cover.ErrTrace) && s.untraced < maxUntraced:
		s.untraced++
		s.Log("%s: %v (%s); its worlds are tried again", s.Cover.Kernel, t.err,
			count.Of(len(t.run.Kernels[0].Boots), "machine"))
		s.again(t.list)
		return nil
	case t.err != nil:
		return t.err
	}
	s.untraced = 0
	s.known = &result.KernelRun{Facts: t.run.Kernels[0].Facts} // not its results
	shown := showed(t.traces, t.run)
	for _, w := range t.list {
		if err := s.learn(w, shown[w.name]); err != nil {
			return err
		}
	}
	return nil
}

// plan makes the plan of the worlds, each of them once.
func (s *search) plan(ctx context.Context, t *try) (err error) {
	t.plan, err = plan.Load(ctx, plan.Request{Kernels: []string{s.Cover.Kernel}, Batch: 1,
		Extend: func(ctx context.Context, c *cases.Corpus) (names []string, err error) {
			t.lab.Known = nil
			for _, g := range c.Groups {
				t.lab.Known = append(t.lab.Known, g.Known...)
			}
			for _, w := range t.list {
				if t.texts[w.name] != "" {
					continue // drawn twice
				}
				if err := c.Add(ctx, w.name+".txt", w.text); err != nil {
					return nil, usage.Errorf("%s: %w", cmp.Or(w.file, "draw a world"), err)
				}
				t.texts[w.name] = w.text
				names = append(names, w.name)
			}
			return names, nil
		}})
	return err
}

// unclean takes a run in which not every case was as expected: it is kept, its disagreements become smallest cases, and
// the other worlds are tried again.
func (s *search) unclean(ctx context.Context, t *try) error {
	bad := map[string]bool{}
	k := t.run.Kernels[0]
	for r := range k.All() {
		if r.Status != result.Pass && r.Status != result.Skip {
			group, _, _ := strings.Cut(r.ID, "/")
			bad[group] = true
		}
	}
	before := s.report.Findings
	s.reports(k, t.lab.Dir)
	n, err := shrink.Fold(ctx, t.run, shrink.Options{Lab: &t.lab, Cases: t.plan.Cases, Drawn: t.texts, Say: s.Say,
		Log: s.Log}, s.found)
	s.report.Findings += n
	if s.report.Findings == before {
		s.Log("%s: nothing new was found, but not every case is as expected: %s", k.Ref, t.lab.Dir)
	}
	s.again(slices.DeleteFunc(t.list, func(w *world) bool { return bad[w.name] }))
	return err
}

// again queues worlds once more, but none twice.
func (s *search) again(list []*world) {
	for _, w := range list {
		if !w.again {
			w.again = true
			s.queue = append(s.queue, w)
		}
	}
}

// reports names what the kernel reported, each kind once.
func (s *search) reports(k *result.KernelRun, dir string) {
	for i := range k.Boots {
		b := &k.Boots[i]
		for _, f := range b.Findings {
			if f.Counts() && !s.found[f.Fingerprint] {
				s.found[f.Fingerprint] = true
				s.report.Findings++
				s.Say("%s reports under %s: %s (%s)", k.Ref, cmp.Or(f.Case, "no case"), f.Title, filepath.Join(dir, b.Dir))
			}
		}
	}
}

// shown is what one world showed.
type shown struct {
	features
	cells map[string]features // by the last part of the case's ID
}

// showed sorts what the cases executed by their worlds.
func showed(t *cover.Traces, run *result.Run) map[string]*shown {
	rules := map[string][]string{}
	for r := range run.Kernels[0].All() {
		for i := range r.Steps {
			rules[r.ID] = append(rules[r.ID], r.Steps[i].ID)
		}
	}
	out := map[string]*shown{}
	for _, b := range t.Blocks {
		for _, n := range b.Spans {
			for _, id := range t.Spans[n].Cases {
				group, rest, _ := strings.Cut(id, "/")
				w := out[group]
				if w == nil {
					w = &shown{newFeatures(), map[string]features{}}
					out[group] = w
				}
				w.add(b.Insns)
				if t.Spans[n].Setup {
					continue
				}
				cell := rest[strings.LastIndexByte(rest, '/')+1:]
				c, ok := w.cells[cell]
				if !ok {
					c = newFeatures()
					w.cells[cell] = c
				}
				c.add(b.Insns, rules[id]...)
				w.add(b.Insns, rules[id]...)
			}
		}
	}
	return out
}

func (f *features) add(insns []uint64, rules ...string) {
	for _, at := range insns {
		f.insns[at] = true
		for _, rule := range rules {
			f.pairs[pair{rule, at}] = true
		}
	}
}

// beyond are the features of f that seen has not.
func (f *features) beyond(seen *features) features {
	out := newFeatures()
	for at := range f.insns {
		if !seen.insns[at] {
			out.insns[at] = true
		}
	}
	for p := range f.pairs {
		if !seen.pairs[p] {
			out.pairs[p] = true
		}
	}
	return out
}

// learn keeps a world that showed something new. Then it queues the world without the cells that showed nothing new.
func (s *search) learn(w *world, shows *shown) error {
	if shows == nil {
		return nil // all of its cases were skipped
	}
	if w.whole != nil {
		if rest := w.must.beyond(&shows.features); rest.len() == 0 {
			w.whole.text = w.text
			return s.write(w.whole)
		}
		return nil
	}
	gain := shows.beyond(&s.seen)
	for at := range gain.insns {
		s.seen.insns[at] = true
	}
	for p := range gain.pairs {
		s.seen.pairs[p] = true
	}
	if w.file != "" {
		s.corpus = append(s.corpus, w) // also one that adds nothing: on another kernel it may
		return nil
	}
	if gain.len() == 0 {
		return nil
	}
	s.report.Kept++
	s.corpus = append(s.corpus, w)
	w.file = filepath.Join(s.Dir, w.name+".txt")
	useful := func(cell string) bool {
		c, ok := shows.cells[cell]
		if !ok {
			return false
		}
		for at := range c.insns {
			if gain.insns[at] {
				return true
			}
		}
		for p := range c.pairs {
			if gain.pairs[p] {
				return true
			}
		}
		return false
	}
	if less := draw.Only(w.text, useful); 2*draw.Cells(less) <= draw.Cells(w.text) { // else it is not worth a run
		s.queue = append(s.queue, &world{name: w.name, text: less, whole: w, must: gain})
	}
	return s.write(w)
}

func (s *search) write(w *world) error {
	if err := os.WriteFile(w.file, []byte(w.text), 0o644); err != nil {
		return fmt.Errorf("write the corpus: %w", err)
	}
	return nil
}

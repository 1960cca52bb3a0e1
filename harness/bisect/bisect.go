// Package bisect searches for the first of several kernels that decides differently: among
// commits, patches of a series, or packaged releases. It also runs a series patch by patch.
//
// Search knows nothing about machines or builds: its caller tests a candidate and returns
// the Outcome. Run is the caller that builds kernels and boots them in a lab.
//
// Start with Run in driver.go, or with Search for the algorithm alone.
package bisect

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"tokentest/harness/report"
)

// Outcome is what a test of one candidate said.
type Outcome string

// The outcomes. Skip means that the candidate says nothing: it does not
// compile, does not boot, or its controls did not come out.
const (
	Good Outcome = "good"
	Bad  Outcome = "bad"
	Skip Outcome = "skip"
)

// Test is the result of one candidate.
type Test struct {
	ID      string  `json:"id"`
	Outcome Outcome `json:"outcome"`
	Why     string  `json:"why,omitempty"`    // one line
	Digest  string  `json:"digest,omitempty"` // of the image; the same image decides the same
	Release string  `json:"release,omitempty"`
	Run     string  `json:"run,omitempty"` // the directory of its run
	// Unbooted says that the candidate does not boot, which is why it is skipped.
	Unbooted bool   `json:"unbooted,omitempty"`
	SameAs   string `json:"sameas,omitempty"` // the candidate whose image was the same, so that this one was not run
	Runs     int    `json:"runs,omitempty"`   // how often it was asked
	Bads     int    `json:"bads,omitempty"`   // how often it was bad
}

// Space holds the candidates of a search.
type Space interface {
	// Suspects returns the candidates that can still be the first bad one, the
	// best to test first. The known bad one is among them, whatever is known.
	Suspects(ctx context.Context, good []string, bad string) ([]string, error)
}

// Search is one bisection. Done holds the tests in order; candidates that are in it at the
// start, from a log, are not tested again.
type Search struct {
	Space     Space
	Good, Bad string
	Done      []Test
	// Try tests a candidate. Its error ends the search: it is the host's.
	Try func(ctx context.Context, id string) (Test, error)
	// AtOnce is how many candidates can be prepared at the same time, and Ahead prepares some: they are then tried one
	// after the other. nil prepares none.
	AtOnce func(ctx context.Context) int
	Ahead  func(ctx context.Context, ids []string)
	// Keep gets each new test, to write it down; nil keeps nothing.
	Keep func(Test) error
	// Name says what a candidate is, for people; nil leaves its id.
	Name func(ctx context.Context, id string) string
	// Log gets a line for each step; nil is silence.
	Log func(format string, args ...any)
}

// Result is the outcome of a search.
type Result struct {
	First   string   // the first bad one, "" when skips stand in the way
	Last    string   // the last good one that was tested, or the given one
	Among   []string // with skips: the first bad one is one of these
	Tests   []Test
	Tested  int // that were good or bad and ran
	Skipped int
}

// ErrReversed means that the outcomes contradict each other.
var ErrReversed = errors.New("the outcomes contradict each other")

// Run searches until one suspect is left, or only skipped ones are.
func (s *Search) Run(ctx context.Context) (*Result, error) {
	for {
		good, bad, skipped := s.known()
		suspects, err := s.Space.Suspects(ctx, good, bad)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(suspects, bad) {
			return nil, fmt.Errorf("%w: %s is bad and was good before", ErrReversed, bad)
		}
		next, err := s.next(ctx, suspects, good, bad, skipped)
		if err != nil {
			return nil, err
		}
		if len(next) == 0 {
			return s.result(suspects, good, bad), nil
		}
		if len(next) > 1 {
			s.log("%s: %d of them at once", report.Count(len(suspects), "suspect"), len(next))
			s.Ahead(ctx, next)
		}
		for _, id := range next {
			if err := s.try(ctx, id, len(suspects), len(next)); err != nil {
				return nil, err
			}
		}
	}
}

// try tests one of several suspects, of which n are tested in this round.
func (s *Search) try(ctx context.Context, id string, suspects, n int) error {
	if n == 1 {
		s.log("%s, about %s to go: %s", report.Count(suspects, "suspect"), report.Count(steps(suspects), "test"),
			s.name(ctx, id))
	}
	t, err := s.Try(ctx, id)
	if err != nil {
		return err
	}
	t.ID = id
	s.Done = append(s.Done, t)
	s.log("%s: %s: %s", t.Outcome, s.name(ctx, id), t.Why)
	if s.Keep != nil {
		return s.Keep(t)
	}
	return nil
}

// next are the suspects to test in the next round. Those that leave more suspects if they are bad come first: the last
// bad one is then the earliest.
func (s *Search) next(ctx context.Context, suspects, good []string, bad string, skipped map[string]bool) (
	[]string, error,
) {
	n := 1
	if s.AtOnce != nil {
		n = s.AtOnce(ctx)
	}
	if n <= 1 {
		if one := choose(suspects, bad, skipped); one != "" {
			return []string{one}, nil
		}
		return nil, nil
	}
	chosen, err := s.spread(ctx, suspects, good, bad, skipped, n)
	slices.SortStableFunc(chosen, func(a, b split) int { return b.before - a.before })
	var out []string
	for _, c := range chosen {
		out = append(out, c.id)
	}
	return out, err
}

// split is a suspect that divides others.
type split struct {
	id     string
	before int // how many of all suspects are left if it is bad
}

// spread chooses n suspects that divide the others into n+1 parts of about the same size. One divides them into two;
// the others divide these.
func (s *Search) spread(
	ctx context.Context, suspects, good []string, bad string, skipped map[string]bool, n int,
) ([]split, error) {
	open := slices.DeleteFunc(slices.Clone(suspects), func(id string) bool { return id == bad || skipped[id] })
	if n <= 0 || len(open) == 0 {
		return nil, nil
	}
	small := (n + 1) / 2 // parts on the smaller side
	one := choose(suspects, bad, skipped)
	if n%2 == 0 { // the list begins in the middle and goes on to both ends
		half := len(suspects) - 2*len(suspects)*small/(n+1)
		one = open[min(max(0, half), len(open)-1)]
	}
	until, err := s.Space.Suspects(ctx, good, one)
	if err != nil {
		return nil, err
	}
	after, err := s.Space.Suspects(ctx, append(slices.Clone(good), one), bad)
	if err != nil {
		return nil, err
	}
	left, right := small-1, n-small
	if len(until) > len(after) {
		left, right = right, left
	}
	out := []split{{one, len(until)}}
	first, err := s.spread(ctx, until, good, one, skipped, left)
	if err != nil {
		return nil, err
	}
	last, err := s.spread(ctx, after, append(slices.Clone(good), one), bad, skipped, right)
	for _, l := range last {
		out = append(out, split{l.id, l.before + len(until)})
	}
	return append(out, first...), err
}

func (s *Search) name(ctx context.Context, id string) string {
	if s.Name == nil {
		return id
	}
	return s.Name(ctx, id)
}

// steps is how many tests halve n suspects down to one.
func steps(n int) int { return int(math.Ceil(math.Log2(float64(max(n, 1))))) }

func (s *Search) log(format string, args ...any) {
	if s.Log != nil {
		s.Log(format, args...)
	}
}

// known sums up what was tested. The last bad one is the earliest: only
// suspects of the one before were tested.
func (s *Search) known() (good []string, bad string, skipped map[string]bool) {
	good, bad, skipped = []string{s.Good}, s.Bad, map[string]bool{}
	for _, t := range s.Done {
		switch t.Outcome {
		case Good:
			good = append(good, t.ID)
		case Bad:
			bad = t.ID
		case Skip:
			skipped[t.ID] = true
		}
	}
	return good, bad, skipped
}

// choose takes the best suspect that is neither known nor skipped. Right
// beside a skipped one the next is likely to be skipped as well, so with every
// skip in a row the choice moves one further down the list.
func choose(suspects []string, bad string, skipped map[string]bool) string {
	var open []string
	passed := 0
	for _, id := range suspects {
		switch {
		case id == bad:
		case skipped[id]:
			passed++
		default:
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return ""
	}
	if passed > 1 { // one alone costs nothing: the next best is as good
		return open[min(passed-1, len(open)-1)]
	}
	return open[0]
}

func (s *Search) result(suspects, good []string, bad string) *Result {
	r := &Result{Tests: s.Done, Last: good[len(good)-1]}
	for _, t := range s.Done {
		switch {
		case t.Outcome == Skip:
			r.Skipped++
		case t.SameAs == "":
			r.Tested++
		}
	}
	if len(suspects) == 1 {
		r.First = bad
	} else {
		r.Among = suspects
	}
	return r
}

// Confidence is how sure the good outcomes are, from how often the bad ones
// were bad: 1 when nothing varied.
func (r *Result) Confidence() float64 {
	runs, bads := 0, 0
	for _, t := range r.Tests {
		if t.Outcome == Bad {
			runs, bads = runs+t.Runs, bads+t.Bads
		}
	}
	if runs == 0 || bads == runs {
		return 1
	}
	miss, sure := 1-float64(bads)/float64(runs), 1.0
	for _, t := range r.Tests {
		if t.Outcome == Good {
			sure *= 1 - math.Pow(miss, float64(t.Runs))
		}
	}
	return sure
}

// Line is candidates in an order: releases, or the patches of a series.
type Line []string

// Suspects returns the candidates after the last good one up to the bad one, the
// middle first.
func (l Line) Suspects(_ context.Context, good []string, bad string) ([]string, error) {
	last, first := -1, slices.Index(l, bad)
	for _, g := range good {
		last = max(last, slices.Index(l, g))
	}
	if first < 0 {
		return nil, fmt.Errorf("%s is not among the %d candidates", bad, len(l))
	}
	if last >= first {
		return nil, nil
	}
	out := slices.Clone(l[last+1 : first+1])
	at := map[string]int{}
	for i, id := range out {
		at[id] = i
	}
	// Testing the i-th splits n suspects into i+1 up to it and n-i-1 after it.
	worth := func(id string) int { return min(at[id]+1, len(out)-at[id]-1) }
	slices.SortStableFunc(out, func(a, b string) int { return worth(b) - worth(a) })
	return out, nil
}

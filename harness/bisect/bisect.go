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
		next := choose(suspects, bad, skipped)
		if next == "" {
			return s.result(suspects, good, bad), nil
		}
		s.log("%s, about %s to go: %s", report.Count(len(suspects), "suspect"), report.Count(steps(len(suspects)), "test"),
			s.name(ctx, next))
		t, err := s.Try(ctx, next)
		if err != nil {
			return nil, err
		}
		t.ID = next
		s.Done = append(s.Done, t)
		s.log("%s: %s: %s", t.Outcome, s.name(ctx, next), t.Why)
		if s.Keep != nil {
			if err := s.Keep(t); err != nil {
				return nil, err
			}
		}
	}
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

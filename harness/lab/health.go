package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// marked is when the control channel said that something was about to run.
// The marks in the kernel's log say it in words of the same form.
type marked struct {
	at   time.Duration // from the machine's start
	mark string
}

// mark notes what the control channel announced.
func (s *session) mark(format string, args ...any) {
	s.marks = append(s.marks, marked{time.Since(s.started), fmt.Sprintf(format, args...)})
}

// place names the cases under which each finding came: by the mark before it
// in the log, else by what the control channel had last announced. What the
// guest noticed at the end came at any time before, unless it knows better.
func (s *session) place(findings []vm.Finding) {
	for i := range findings {
		f := &findings[i]
		switch {
		case f.Case != "": // a boot that is there from before
		case f.Offset < 0:
			f.Case = s.oneOf(f.Under)
		default:
			f.Case = s.named(s.markOf(f))
		}
	}
}

// markOf is the mark under which a finding came.
func (s *session) markOf(f *vm.Finding) string {
	if f.Mark != "" {
		return f.Mark
	}
	return s.markAt(f.Time)
}

// during lists the cases that were under way when a finding came: where that
// was their set-up, all that need it.
func (s *session) during(f *vm.Finding) []*cases.Case {
	w, b := s.marked(s.markOf(f))
	switch {
	case w != nil:
		return w.Cases
	case b != nil:
		return b.Cases
	}
	return nil
}

// markAt is what the control channel had last announced at a time.
func (s *session) markAt(at time.Duration) string {
	mark := ""
	for _, m := range s.marks {
		if m.at > at {
			break
		}
		mark = m.mark
	}
	return mark
}

// oneOf names the cases of several marks.
func (s *session) oneOf(marks []string) string {
	var names []string
	for _, m := range marks {
		if n := s.named(m); n != "" {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

// named turns a mark into the names of cases; one that says nothing known is nobody's.
func (s *session) named(mark string) string {
	switch w, b := s.marked(mark); {
	case w != nil:
		return "the set-up of " + w.Cases[0].ID
	case b != nil:
		return span(b)
	}
	return ""
}

// marked is what a mark announces: the set-up of a world, or the cases of a batch.
func (s *session) marked(mark string) (*cases.World, *plan.Batch) {
	var a, n int
	if k, _ := fmt.Sscanf(mark, "set-up %d", &a); k == 1 && a >= 0 && a < len(s.worlds) {
		return s.worlds[a], nil
	}
	if k, _ := fmt.Sscanf(mark, "cells %d %d", &a, &n); k != 2 {
		return nil, nil
	}
	for i := range s.batches {
		if int(s.batches[i].First) == a {
			return nil, &s.batches[i]
		}
	}
	return nil, nil
}

func span(b *plan.Batch) string {
	if n := len(b.Cases); n > 1 {
		return fmt.Sprintf("one of %d cases, %s to %s", n, b.Cases[0].ID, b.Cases[n-1].ID)
	}
	return b.Cases[0].ID
}

// healthy takes in what the guest saw of the kernel's health.
func (s *session) healthy(payload []byte) error {
	var d wire.Done
	if err := wire.DecodeJSON(payload, &d); err != nil {
		return err
	}
	s.m.Taint(s.taint, d.Taint)
	if l := d.Leaks; l != nil && (l.Unscanned == "" || !s.leaksOff()) {
		told := vm.Leaks{Text: l.Text, Jiffies: l.Jiffies, Ticks: l.Ticks, Unscanned: l.Unscanned}
		for _, m := range l.Marks {
			told.Marks = append(told.Marks, vm.LeakMark{Ticks: m.Ticks, Mark: m.What})
		}
		s.m.Leaks(told)
	}
	return nil
}

// leaksOff says that kmemleak is in the kernel, but whoever configured it or
// runs it left it off.
func (s *session) leaksOff() bool {
	asked := slices.Concat(s.Append, s.arguments)
	return slices.Contains(asked, "kmemleak=off") ||
		s.kernel.Config["DEBUG_KMEMLEAK_DEFAULT_OFF"] == "y" && !slices.Contains(asked, "kmemleak=on")
}

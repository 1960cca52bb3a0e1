package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/harness/plan"
	"tokentest/harness/splat"
	"tokentest/harness/wire"
)

// marked is when the control channel said that something was about to run. The
// same mark is in the kernel's log.
type marked struct {
	at   time.Duration // from the machine's start
	mark wire.Mark
}

// mark notes what the control channel announced.
func (s *session) mark(m wire.Mark) {
	s.marks = append(s.marks, marked{time.Since(s.started), m})
}

// place names the cases under which each finding came: by the mark before it
// in the log, else by what the control channel had last announced. What the
// guest noticed at the end came at any time before, unless it knows better.
func (s *session) place(findings []splat.Finding) {
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
func (s *session) markOf(f *splat.Finding) wire.Mark {
	if f.Mark != "" {
		m, _ := wire.ParseMark(f.Mark) // another program's line begins nothing
		return m
	}
	return s.markAt(f.Time)
}

// during lists the cases that were under way when a finding came: where that
// was their set-up, all that need it.
func (s *session) during(f *splat.Finding) []*cases.Case {
	w, b := s.marked(s.markOf(f))
	switch {
	case w != nil:
		return w.Cases
	case b != nil:
		return b.Cases
	}
	return nil
}

// markAt is what the control channel had last announced at a time; the zero
// mark is nothing.
func (s *session) markAt(at time.Duration) wire.Mark {
	var mark wire.Mark
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
	for _, text := range marks {
		m, _ := wire.ParseMark(text)
		if n := s.named(m); n != "" {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

// named returns the names of a mark's cases; a mark that no case has has no name.
func (s *session) named(mark wire.Mark) string {
	switch w, b := s.marked(mark); {
	case w != nil:
		return "the set-up of " + w.Cases[0].ID
	case b != nil:
		return span(b)
	}
	return ""
}

// marked returns what a mark announces: the set-up of a world, or the cases of
// a batch; nil is neither.
func (s *session) marked(m wire.Mark) (*cases.World, *plan.Batch) {
	switch m.Kind {
	case wire.MarkSetup:
		if int(m.First) < len(s.worlds) {
			return s.worlds[m.First], nil
		}
	case wire.MarkCells:
		if i := slices.IndexFunc(s.batches, func(b plan.Batch) bool { return b.First == m.First }); i >= 0 {
			return nil, &s.batches[i]
		}
	case wire.MarkExec: // of a program, which has no cases
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
		s.m.Leaks(l)
	}
	return nil
}

// leaksOff says that kmemleak is in the kernel, but whoever configured it or
// runs it left it off.
func (s *session) leaksOff() bool {
	asked := slices.Concat(s.trial.lab.Append, s.trial.arguments)
	return slices.Contains(asked, "kmemleak=off") ||
		s.trial.kernel.Config["DEBUG_KMEMLEAK_DEFAULT_OFF"] == "y" && !slices.Contains(asked, "kmemleak=on")
}

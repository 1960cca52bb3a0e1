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

// timedMark is a mark that the control channel announced. The kernel log has it too.
type timedMark struct {
	at   time.Duration // from the machine's start
	mark wire.Mark
}

// addMark records a mark that the control channel announced. The times of a stored boot
// are unknown.
func (s *session) addMark(m wire.Mark) {
	if s.replayed {
		return
	}
	s.marks = append(s.marks, timedMark{s.m.Uptime(), m})
	if f, ok := s.m.Blocks.(Follower); ok {
		f.Mark(m.Kind == wire.MarkSetup, s.sentOf(m))
	}
}

// sentOf returns the cases of a mark that are in this run; of a set-up, those that need it.
func (s *session) sentOf(m wire.Mark) []*cases.Case {
	w, b := s.announced(m)
	if b != nil {
		return b.Cases
	}
	var out []*cases.Case
	for _, b := range s.batches {
		if b.World == w {
			out = append(out, b.Cases...)
		}
	}
	return out
}

// attribute names the cases under which each finding came: by the mark before it in the
// log, else by the last one that the control channel announced. A finding that the guest
// reports at the end names the marks that it may belong to.
func (s *session) attribute(findings []splat.Finding) {
	for i := range findings {
		f := &findings[i]
		switch {
		case f.Case != "": // of a stored boot
		case f.Offset < 0:
			f.Case = s.nameAny(f.Under)
		default:
			f.Case = s.name(s.markOf(f))
		}
	}
}

// markOf is the mark under which a finding came; the zero mark is none.
func (s *session) markOf(f *splat.Finding) wire.Mark {
	if f.Mark != "" {
		m, _ := wire.ParseMark(f.Mark) // another program's line is no mark
		return m
	}
	return s.markAt(f.Time)
}

// running returns the cases that ran when a finding came; during a set-up, all cases that
// need it.
func (s *session) running(f *splat.Finding) []*cases.Case {
	w, b := s.announced(s.markOf(f))
	switch {
	case w != nil:
		return w.Cases
	case b != nil:
		return b.Cases
	}
	return nil
}

// markAt is the last mark that the control channel announced before a time; the zero mark
// is none.
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

// nameAny names the cases of several marks.
func (s *session) nameAny(marks []string) string {
	var names []string
	for _, text := range marks {
		m, _ := wire.ParseMark(text)
		if n := s.name(m); n != "" {
			names = append(names, n)
		}
	}
	return strings.Join(names, " or ")
}

// name names a mark's cases; unknown marks are attributed to no case.
func (s *session) name(mark wire.Mark) string {
	switch w, b := s.announced(mark); {
	case w != nil:
		return "the set-up of " + w.Cases[0].ID
	case b != nil:
		return span(b)
	}
	return ""
}

// announced returns what a mark announces: the set-up of a world, or the cases of a batch;
// nil is neither.
func (s *session) announced(m wire.Mark) (*cases.World, *plan.Batch) {
	switch m.Kind {
	case wire.MarkSetup:
		if int(m.First) < len(s.worlds) {
			return s.worlds[m.First], nil
		}
	case wire.MarkCells:
		if i := slices.IndexFunc(s.batches, func(b plan.Batch) bool { return b.First == m.First }); i >= 0 {
			return nil, &s.batches[i]
		}
	case wire.MarkExec: // a program has no cases
	}
	return nil, nil
}

// span names the cases of a batch.
func span(b *plan.Batch) string {
	if n := len(b.Cases); n > 1 {
		return fmt.Sprintf("one of %d cases, %s to %s", n, b.Cases[0].ID, b.Cases[n-1].ID)
	}
	return b.Cases[0].ID
}

// storeHealth passes on what the guest's done record says about the kernel's health.
func (s *session) storeHealth(payload []byte) error {
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

// leaksOff reports whether the kernel has kmemleak, but its configuration or its command
// line keeps it off.
func (s *session) leaksOff() bool {
	args := slices.Concat(s.trial.lab.Append, s.trial.arguments)
	return slices.Contains(args, "kmemleak=off") ||
		s.trial.kernel.Config["DEBUG_KMEMLEAK_DEFAULT_OFF"] == "y" && !slices.Contains(args, "kmemleak=on")
}

package lab

import (
	"fmt"
	"time"

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
// in the log, else by what the control channel had last announced.
func (s *session) place(findings []vm.Finding) {
	for i := range findings {
		f := &findings[i]
		if f.Case != "" {
			continue // a boot that is there from before
		}
		mark := f.Mark
		for _, m := range s.marks {
			if f.Mark != "" || m.at > f.Time {
				break
			}
			mark = m.mark
		}
		f.Case = s.named(mark)
	}
}

// named turns a mark into the names of cases; one that says nothing known is nobody's.
func (s *session) named(mark string) string {
	var a, n int
	if k, _ := fmt.Sscanf(mark, "set-up %d", &a); k == 1 && a >= 0 && a < len(s.worlds) {
		return "the set-up of " + s.worlds[a].Cases[0].ID
	}
	if k, _ := fmt.Sscanf(mark, "cells %d %d", &a, &n); k != 2 {
		return ""
	}
	for i := range s.batches {
		if int(s.batches[i].First) == a {
			return span(&s.batches[i])
		}
	}
	return ""
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
	s.m.Leaks(d.Leaks)
	return nil
}

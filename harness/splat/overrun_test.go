package splat

import (
	"fmt"
	"testing"
	"time"
)

func TestExcuses(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		name    string
		share   Share
		excuses bool
		text    string
	}{
		{"a quiet host", Share{Span: 20 * s, Ran: 19 * s, Life: 100 * s, Guest: 99 * s}, false,
			"in the 20.0 s before, QEMU ran for 19.0 s and waited 0.0 s for a processor"},
		{"half of the time", Share{Span: 20 * s, Waited: 10 * s, Life: 100 * s}, false, ""},
		{"enough processor time", Share{Span: 200 * s, Ran: 24 * s, Waited: 176 * s, Life: 300 * s}, false, ""},
		{"no processor", Share{Span: 20 * s, Ran: s, Waited: 11 * s, Life: 100 * s}, true,
			"in the 20.0 s before, QEMU ran for 1.0 s and waited 11.0 s for a processor"},
		{"a stop", Share{Span: 20 * s, Waited: 4 * s, Stood: 7 * s, Life: 100 * s}, true,
			"in the 20.0 s before, QEMU ran for 0.0 s and waited 4.0 s for a processor, and was stopped for 7.0 s"},
		{"a clock a bit ahead", Share{Span: 4 * s, Ran: 4 * s, Life: 4 * s, Guest: 6 * s}, false, ""},
		{"a runaway clock", Share{Span: 4 * s, Ran: 4 * s, Life: 4 * s, Guest: 23 * s}, true,
			"the guest's clock advanced by 23.0 s in 4.0 s"},
		{"a clock a quarter ahead", Share{Span: 20 * s, Ran: 20 * s, Life: 100 * s, Guest: 124 * s}, false, ""},
		{"nothing known", Share{}, false, ""},
	} {
		if got := c.share.Excuses(20 * s); got != c.excuses || c.text != "" && c.share.String() != c.text {
			t.Errorf("%s: got %v, %q", c.name, got, &c.share)
		}
	}
}

// TestOverrun: the scanner asks about the whole of a lockup, and only about reports
// that a timeout triggers.
func TestOverrun(t *testing.T) {
	for line, want := range map[string]Overrun{
		"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]":  {Span: 22 * time.Second, Limit: 20 * time.Second},
		"watchdog: BUG: soft lockup - CPU#0 stuck for 200s! [a:1]": {Span: 200 * time.Second, Limit: 20 * time.Second},
		"watchdog: BUG: soft lockup - CPU#0 stuck for 8s! [a:1]":   {Span: 20 * time.Second, Limit: 20 * time.Second},
		"rcu: INFO: rcu_preempt self-detected stall on CPU":        {Span: 21 * time.Second, Limit: 21 * time.Second},
		"INFO: task sh:1 blocked for more than 120 seconds.":       {Span: 120 * time.Second, Limit: 120 * time.Second},
		"BUG: KASAN: slab-use-after-free in f":                     {},
	} {
		var got Overrun
		s := &Scanner{Excuse: func(o Overrun) *Share { got = o; return &Share{} }}
		fmt.Fprintf(s, "[   90.000000] %s\n", line)
		f := s.Close().Findings[0]
		if want.Span > 0 {
			want.Guest = 90 * time.Second
		}
		if got != want || f.Counts() != (want.Span == 0) {
			t.Errorf("%s: asked about %+v, want %+v; the finding counts: %v", line, got, want, f.Counts())
		}
	}
}

// TestResumedClock: a restored guest's clock started before the machine did.
func TestResumedClock(t *testing.T) {
	for resumed, want := range map[bool]time.Duration{false: 90 * time.Second, true: 30 * time.Second} {
		var guest time.Duration
		s := &Scanner{Resumed: resumed, Excuse: func(o Overrun) *Share { guest = o.Guest; return nil }}
		fmt.Fprintf(s, "[   60.000000] x\n[   90.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]\n")
		if guest != want {
			t.Errorf("resumed %v: the clock advanced by %v, want %v", resumed, guest, want)
		}
	}
}

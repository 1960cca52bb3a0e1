package vm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A report that comes from a clock is the host's where QEMU had no processor or
// the guest's clock ran away, and else the kernel's.
func TestWhoIsToBlame(t *testing.T) {
	for _, want := range []struct {
		act    string
		busy   bool
		fate   Fate
		reason string
	}{
		{"lockup", false, Tainted, "soft lockup in crypto_sha3_final (findings: 1)"},
		{"lockup", true, Infra, "soft lockup in crypto_sha3_final, and the host is to blame: in the "},
		{"farlockup", false, Infra, "soft lockup in crypto_sha3_final, and the host is to blame: the guest's clock went on by 286.9 s in 0."},
		{"lockuppanic", false, Panicked, "soft lockup"},
		{"lockuppanic", true, Infra, "soft lockup, and the host is to blame: in the "},
		{"tainted", true, Tainted, "WARNING in bpf_token_create (kernel/bpf/token.c) (findings: 1)"},
		{"clean", true, Clean, "powered off after its done record"},
	} {
		t.Run(fmt.Sprintf("%s %v", want.act, want.busy), func(t *testing.T) {
			m := machine(t, want.act)
			if want.busy {
				m.usages = busy()
			}
			got := converse(t, m, "off")
			if got.Fate != want.fate || !strings.HasPrefix(got.Reason, want.reason) {
				t.Errorf("got  %s: %s\nwant %s: %s", got.Fate, got.Reason, want.fate, want.reason)
			}
			if (got.Host != nil) != (want.fate == Infra) {
				t.Errorf("the host gave %v", got.Host)
			}
		})
	}
}

// A guest that could not run is not silent, and its deadline is not its fault.
func TestBusyHost(t *testing.T) {
	m := machine(t, "hung")
	m.Quiet, m.Deadline, m.usages = time.Second, 3*time.Second, busy()
	got := converse(t, m, "off")
	want := "the machine ran for 3s, its deadline, and the host is to blame: in the "
	if got.Fate != Infra || got.Host == nil || !strings.HasPrefix(got.Reason, want) {
		t.Errorf("got %s: %s, want infra: %s", got.Fate, got.Reason, want)
	}
}

// One that hangs without a wait for a processor does so by itself, although its
// boot had to wait.
func TestBusyBoot(t *testing.T) {
	start := time.Now()
	m := machine(t, "hung")
	m.Deadline, m.usages = 3*time.Second, func(int) map[string]usage {
		return map[string]usage{"vcpu": {ran: time.Millisecond, waited: min(time.Since(start), time.Second)}}
	}
	if got := converse(t, m, "off"); got.Fate != Hung || got.Reason != "the machine ran for 3s, its deadline" {
		t.Errorf("got %s: %s", got.Fate, got.Reason)
	}
}

// steady is a meter whose threads got that much of each second.
func steady(of map[string]usage) (m *meter, pass func(time.Duration)) {
	var now time.Duration
	m = &meter{read: func() map[string]usage {
		out := map[string]usage{}
		for name, u := range of {
			out[name] = usage{ran: time.Duration(now.Seconds() * float64(u.ran)), waited: time.Duration(now.Seconds() * float64(u.waited))}
		}
		return out
	}}
	return m, func(d time.Duration) {
		for end := now + d; now < end; {
			now += sampleEvery
			m.sample(now)
		}
	}
}

func TestMeter(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	threads := map[string]usage{"vcpu": {200 * ms, 800 * ms}, "main": {50 * ms, 300 * ms}}
	m, pass := steady(threads)
	pass(600 * s) // longer than the meter remembers
	threads["vcpu"] = usage{900 * ms, 0}
	got := m.share(600*s, 20*s)
	if got.Span != 20*s || got.Waited != 16*s || got.Ran != 4*s || got.Life != 600*s || !got.hosts(20*s) {
		t.Errorf("busy: %+v", got)
	}
	if long := m.share(600*s, 120*s); long.Span != 120*s || long.Waited != 96*s {
		t.Errorf("the last 120 s: %+v", long)
	}
	if n := len(m.history); n > maxSamples {
		t.Errorf("%d samples are kept", n)
	}
	m, pass = steady(map[string]usage{"vcpu": {900 * ms, 0}})
	pass(60 * s)
	if got := m.share(60*s, 20*s); got.Waited != 0 || got.hosts(20*s) {
		t.Errorf("quiet: %+v", got)
	}
	m.stands(11 * s)
	if got := m.share(60*s, 20*s); !got.hosts(20 * s) {
		t.Errorf("it stood still: %+v", got)
	}
	unknown := meter{}
	unknown.sample(30 * s)
	if got := unknown.share(40*s, 20*s); got.hosts(20 * s) {
		t.Errorf("nothing is known: %+v", got)
	}
}

// The clock of what a guest may take stands still while QEMU waits.
func TestFairClock(t *testing.T) {
	m, pass := steady(map[string]usage{"vcpu": {0, 750 * time.Millisecond}})
	pass(8 * time.Second)
	var counted time.Duration
	for range 8 {
		counted += m.fair(time.Second)
	}
	if counted != 2*time.Second {
		t.Errorf("of 8 s %v count, want 2 s", counted)
	}
}

func TestShareBlames(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		share Share
		hosts bool
		text  string
	}{
		{Share{Span: 20 * s, Ran: 19 * s, Life: 100 * s, Guest: 99 * s}, false, "in the 20.0 s before, QEMU ran for 19.0 s and waited 0.0 s for a processor"},
		{Share{Span: 20 * s, Waited: 10 * s, Life: 100 * s}, false, ""},
		{Share{Span: 200 * s, Ran: 24 * s, Waited: 176 * s, Life: 300 * s}, false, ""}, // it ran for long enough
		{Share{Span: 20 * s, Ran: s, Waited: 11 * s, Life: 100 * s}, true, "in the 20.0 s before, QEMU ran for 1.0 s and waited 11.0 s for a processor"},
		{Share{Span: 20 * s, Waited: 4 * s, Stood: 7 * s, Life: 100 * s}, true, "in the 20.0 s before, QEMU ran for 0.0 s and waited 4.0 s for a processor, and stood still for 7.0 s"},
		{Share{Span: 4 * s, Ran: 4 * s, Life: 4 * s, Guest: 6 * s}, false, ""},
		{Share{Span: 4 * s, Ran: 4 * s, Life: 4 * s, Guest: 23 * s}, true, "the guest's clock went on by 23.0 s in 4.0 s"},
		{Share{Span: 20 * s, Ran: 20 * s, Life: 100 * s, Guest: 124 * s}, false, ""},
		{Share{}, false, ""},
	} {
		if got := c.share.hosts(20 * s); got != c.hosts || c.text != "" && c.share.String() != c.text {
			t.Errorf("%+v: got %v, %q", c.share, got, &c.share)
		}
	}
}

// A lockup that goes on is looked at as a whole.
func TestLongLockup(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]":  22 * time.Second,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 200s! [a:1]": 200 * time.Second,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 8s! [a:1]":   20 * time.Second,
		"rcu: INFO: rcu_preempt self-detected stall on CPU":        21 * time.Second,
		"INFO: task sh:1 blocked for more than 120 seconds.":       120 * time.Second,
		"BUG: KASAN: slab-use-after-free in f":                     0,
	} {
		s := newScanner(func() time.Duration { return 0 })
		var got question
		s.share = func(q question) *Share { got = q; return &Share{} }
		fmt.Fprintf(s, "[   90.000000] %s\n", line)
		r := s.close()
		if got.span != want || (r.findings[0].Host != nil) != (want > 0) {
			t.Errorf("%s: asked for %v, want %v; %+v", line, got.span, want, r.findings[0].Host)
		}
	}
}

// A restored guest's clock began before the machine did.
func TestRestoredClock(t *testing.T) {
	for restored, want := range map[bool]time.Duration{false: 90 * time.Second, true: 30 * time.Second} {
		s := newScanner(func() time.Duration { return 0 })
		var guest time.Duration
		s.restored = restored
		s.share = func(q question) *Share { guest = q.guest; return nil }
		fmt.Fprintf(s, "[   60.000000] x\n[   90.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]\n")
		if guest != want {
			t.Errorf("restored %v: the clock went on by %v, want %v", restored, guest, want)
		}
	}
}

// The real meter of this process: its threads ran, and the figures grow.
func TestUsages(t *testing.T) {
	sum := func() (ran time.Duration) {
		for _, u := range usages(os.Getpid()) {
			ran += u.ran
		}
		return ran
	}
	before := sum()
	if before == 0 {
		t.Skip("this host does not count what a thread gets of its processors")
	}
	for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
	}
	if after := sum(); after <= before {
		t.Errorf("its threads ran for %v, then for %v", before, after)
	}
}

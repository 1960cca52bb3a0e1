package vm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWhoIsToBlame: a report that a timeout triggers is the host's fault if QEMU had no
// processor or the guest's clock ran away, and the kernel's otherwise.
func TestWhoIsToBlame(t *testing.T) {
	for _, want := range []struct {
		act    string
		busy   bool
		fate   Fate
		reason string
	}{
		{"lockup", false, Tainted, "soft lockup in crypto_sha3_final (findings: 1)"},
		{"lockup", true, Infra, "soft lockup in crypto_sha3_final, and the host is to blame: in the "},
		{"farlockup", false, Infra, "soft lockup in crypto_sha3_final, and the host is to blame: " +
			"the guest's clock advanced by 286.9 s in 0."},
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

// TestBusyHost: a guest that cannot run is not silent, and its deadline is not its fault.
func TestBusyHost(t *testing.T) {
	m := machine(t, "hung")
	m.Quiet, m.Deadline, m.usages = time.Second, 3*time.Second, busy()
	got := converse(t, m, "off")
	want := "the machine ran for 3s, its deadline, and the host is to blame: in the "
	if got.Fate != Infra || got.Host == nil || !strings.HasPrefix(got.Reason, want) {
		t.Errorf("got %s: %s, want infra: %s", got.Fate, got.Reason, want)
	}
}

// TestBusyBoot: a guest that hangs without waiting for a processor does so by itself,
// even if its boot had to wait.
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

// steady returns a meter whose threads get that much of each second, and a function that
// lets time pass.
func steady(of map[string]usage) (m *meter, pass func(time.Duration)) {
	var now time.Duration
	m = &meter{read: func() map[string]usage {
		out := map[string]usage{}
		for name, u := range of {
			part := func(d time.Duration) time.Duration { return time.Duration(now.Seconds() * float64(d)) }
			out[name] = usage{ran: part(u.ran), waited: part(u.waited)}
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
	if got.Span != 20*s || got.Waited != 16*s || got.Ran != 4*s || got.Life != 600*s || !got.Excuses(20*s) {
		t.Errorf("a busy host: got %+v", got)
	}
	if long := m.share(600*s, 120*s); long.Span != 120*s || long.Waited != 96*s {
		t.Errorf("the last 120 s: got %+v", long)
	}
	if n := len(m.history); n > maxSamples {
		t.Errorf("the meter keeps %d samples", n)
	}
	m, pass = steady(map[string]usage{"vcpu": {900 * ms, 0}})
	pass(60 * s)
	if got := m.share(60*s, 20*s); got.Waited != 0 || got.Excuses(20*s) {
		t.Errorf("a quiet host: got %+v", got)
	}
	m.addStop(11 * s)
	if got := m.share(60*s, 20*s); !got.Excuses(20 * s) {
		t.Errorf("a stopped host: got %+v", got)
	}
	unknown := meter{}
	unknown.sample(30 * s)
	if got := unknown.share(40*s, 20*s); got.Excuses(20 * s) {
		t.Errorf("nothing known: got %+v", got)
	}
}

// TestWithoutWaits: the guest's clock stands still while QEMU waits for a processor.
func TestWithoutWaits(t *testing.T) {
	m, pass := steady(map[string]usage{"vcpu": {0, 750 * time.Millisecond}})
	pass(8 * time.Second)
	var counted time.Duration
	for range 8 {
		counted += m.withoutWaits(time.Second)
	}
	if counted != 2*time.Second {
		t.Errorf("of 8 s %v count, want 2 s", counted)
	}
}

// TestUsages reads the real usages of this process: its threads run, and the figures grow.
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
		t.Errorf("the threads ran for %v, then for %v", before, after)
	}
}

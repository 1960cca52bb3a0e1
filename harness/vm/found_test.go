package vm

import (
	"testing"
	"time"

	"tokentest/harness/splat"
	"tokentest/harness/wire"
)

// found returns how a guest that said done ended, with what it reported itself.
func found(f evidence) (Fate, []splat.Finding) {
	f.hello, f.done = 1, true
	e := f.exit()
	return e.Fate, e.Findings
}

const warning = "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"

// TestFound: what the guest reports besides the log decides the fate like the log.
func TestFound(t *testing.T) {
	logged := func() splat.Report { return splat.Scan([]byte(warning)) }
	for _, tt := range []struct {
		name  string
		f     evidence
		fate  Fate
		title string // of the last finding
		count int
	}{
		{"nothing", evidence{}, Clean, "", 0},
		{"a taint", evidence{taint: 1 << 12}, Tainted, "the kernel became tainted: O (out-of-tree module)", 1},
		{"a taint that the log explains", evidence{taint: 1 << 9, log: logged()}, Tainted, "WARNING in a (kernel/a.c)", 1},
		{"a leak", evidence{leaks: &wire.Leaks{Text: "unreferenced object 0x1 (size 8):\n"}}, Tainted,
			"unreferenced object", 1},
		{"no scan for leaks", evidence{leaks: &wire.Leaks{Unscanned: "why"}}, Tainted, "no leak was looked for: why", 1},
		{"a program's words", evidence{foreign: []string{warning[:len(warning)-1]}, log: logged()}, Clean, "", 0},
		{"other words", evidence{foreign: []string{"WARNING: other"}, log: logged()}, Tainted,
			"WARNING in a (kernel/a.c)", 1},
	} {
		fate, list := found(tt.f)
		if fate != tt.fate || len(list) != tt.count || tt.count > 0 && list[tt.count-1].Title != tt.title {
			t.Errorf("%s: got %s %+v", tt.name, fate, list)
		}
	}
}

// TestFoundOnce: Wait may be called again, and the findings stay the same.
func TestFoundOnce(t *testing.T) {
	f := evidence{hello: 1, done: true, taint: 1 << 12, leaks: &wire.Leaks{Unscanned: "why"}}
	first, again := len(f.exit().Findings), len(f.exit().Findings)
	if first != 2 || again != first {
		t.Errorf("got %d findings, then %d; want 2 each time", first, again)
	}
}

// TestAllowNoPanic: an allow entry does not excuse the report that killed the kernel.
func TestAllowNoPanic(t *testing.T) {
	a, err := splat.ParseAllow(nil, "a", "* until=2027-01-01 # all", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	log := splat.Scan([]byte("Kernel panic - not syncing: x\n"))
	if fate, _ := found(evidence{log: log, allow: a}); fate != Panicked {
		t.Errorf("got %s, want panicked", fate)
	}
	if fate, list := found(evidence{log: splat.Scan([]byte(warning)), allow: a}); fate != Clean || list[0].Counts() {
		t.Errorf("an allowed warning: got %s %+v, want clean", fate, list)
	}
}

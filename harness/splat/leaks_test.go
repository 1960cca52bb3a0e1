package splat

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/harness/wire"
)

// leaksText is kmemleak's text: the first object as kernels before 6.9 print it, the
// others as later ones do.
const leaksText = `unreferenced object 0xffff888101234560 (size 64):
  comm "subject", pid 88, jiffies 4294893546 (age 12.310s)
  hex dump (first 32 bytes):
    00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  ................
  backtrace:
    [<00000000a1b2c3d4>] kmalloc_trace+0x1a/0x90
    [<00000000a1b2c3d5>] bpf_token_create+0x1a/0x90
    [<00000000a1b2c3d5>] __sys_bpf+0x77/0x90
unreferenced object 0xffff888101239999 (size 64):
  comm "init", pid 1, jiffies 4294893546
  backtrace (crc 0):
    kmemleak_alloc+0x45/0x90
    __kmalloc_cache_noprof+0x1a/0x90
    bpf_token_create+0x77/0x90
    __sys_bpf+0x1/0x90

unreferenced object (percpu) 0xffff888101239999 (size 64):
  comm "a\"b", pid 0, jiffies 4294892297
  backtrace (crc 0):
    pcpu_alloc_noprof+0x77/0x90
    htab_map_alloc+0x77/0x90
`

// leaksMarks are the agent's marks. A kernel with 250 jiffies a second starts at
// jiffy 4294892296.
var leaksMarks = []wire.MarkAt{
	{Ticks: atBoot(0.5), Mark: wire.Mark{Kind: wire.MarkSetup}},
	{Ticks: atBoot(5), Mark: wire.Mark{Kind: wire.MarkCells, Count: 10}},
	{Ticks: atBoot(9), Mark: wire.Mark{Kind: wire.MarkCells, First: 10, Count: 1}},
}

const leaksHZ, leaksBoot = 250, 1<<32 - 300*leaksHZ

func atBoot(seconds float64) uint64 { return leaksBoot*100/leaksHZ + uint64(100*seconds) }

func TestLeaks(t *testing.T) {
	list := Leaks(&wire.Leaks{
		Text: leaksText, Jiffies: leaksBoot + 20*leaksHZ, Ticks: atBoot(20), Marks: leaksMarks,
	}, time.Second)
	if len(list) != 3 {
		t.Fatalf("got %d findings: %+v", len(list), list)
	}
	for i, want := range []struct {
		title string
		lines int
		under []string
	}{
		{"unreferenced object of bpf_token_create", 8, []string{"set-up 0", "cells 0 10"}}, // in the mark's own jiffy
		{"unreferenced object of bpf_token_create", 7, []string{"set-up 0", "cells 0 10"}},
		{"unreferenced object of htab_map_alloc", 5, []string{""}}, // before the first mark
	} {
		g := list[i]
		if g.Kind != KindKmemleak || g.Title != want.title || g.Offset != -1 || g.Time != time.Second {
			t.Errorf("%d: got %+v", i, g)
		}
		if len(g.Lines) != want.lines || !slices.Equal(g.Under, want.under) {
			t.Errorf("%d: got %d lines under %q, want %d under %q", i, len(g.Lines), g.Under, want.lines, want.under)
		}
	}
	if list[0].Fingerprint != list[1].Fingerprint || list[0].Fingerprint == list[2].Fingerprint {
		t.Errorf("fingerprints %s, %s, %s: want the first two alike and the third different",
			list[0].Fingerprint, list[1].Fingerprint, list[2].Fingerprint)
	}
}

func TestLeaksWithoutClock(t *testing.T) {
	for name, l := range map[string]wire.Leaks{
		"no ticks":   {Text: leaksText, Jiffies: 1 << 40, Marks: leaksMarks},
		"no jiffies": {Text: leaksText, Ticks: 1 << 40, Marks: leaksMarks},
		"future":     {Text: leaksText, Jiffies: 7, Ticks: 7, Marks: leaksMarks},
	} {
		if list := Leaks(&l, 0); len(list) != 3 || list[0].Under != nil {
			t.Errorf("%s: got %+v", name, list)
		}
	}
}

// TestNoLeakScan: a scan that did not run is a finding, because silence would pass
// for health.
func TestNoLeakScan(t *testing.T) {
	list := Leaks(&wire.Leaks{Unscanned: "kmemleak has switched itself off"}, 0)
	want := "no leak was looked for: kmemleak has switched itself off"
	if len(list) != 1 || list[0].Title != want || !list[0].Counts() {
		t.Errorf("got %+v, want %q", list, want)
	}
}

func TestLeaksAreBounded(t *testing.T) {
	if list := Leaks(&wire.Leaks{Text: strings.Repeat(leaksText, maxFindings)}, 0); len(list) != maxFindings {
		t.Errorf("got %d findings, want %d", len(list), maxFindings)
	}
	long := "unreferenced object 0x1 (size 64):\n" + strings.Repeat("    line\n", 10*maxLines)
	if list := Leaks(&wire.Leaks{Text: long}, 0); len(list) != 1 || len(list[0].Lines) != maxLines {
		t.Errorf("got %d findings, the first of %d lines; want 1 of %d", len(list), len(list[0].Lines), maxLines)
	}
}

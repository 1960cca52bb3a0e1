package vm

import (
	"slices"
	"testing"
)

// Leaks as kernels before 6.9 and from then on print them.
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

// leaksMarks are what the agent said. A kernel with 250 jiffies a second has
// counted to 4294892296 when it boots.
var leaksMarks = []LeakMark{
	{atBoot(0.5), "set-up 0"}, {atBoot(5), "cells 0 10"}, {atBoot(9), "cells 10 1"},
}

const leaksHZ, leaksBoot = 250, 1<<32 - 300*leaksHZ

func atBoot(seconds float64) uint64 { return leaksBoot*100/leaksHZ + uint64(100*seconds) }

func TestLeaks(t *testing.T) {
	f := facts{leaks: Leaks{Text: leaksText, Jiffies: leaksBoot + 20*leaksHZ, Ticks: atBoot(20), Marks: leaksMarks}}
	fate, list := found(f)
	if fate != Tainted || len(list) != 3 {
		t.Fatalf("%s %+v", fate, list)
	}
	for i, want := range []struct {
		title string
		lines int
		under []string
	}{
		{"unreferenced object of bpf_token_create", 8, []string{"set-up 0", "cells 0 10"}}, // the very jiffy of the mark
		{"unreferenced object of bpf_token_create", 7, []string{"set-up 0", "cells 0 10"}},
		{"unreferenced object of htab_map_alloc", 5, []string{""}}, // before the first
	} {
		g := list[i]
		if g.Kind != KindKmemleak || g.Title != want.title || len(g.Lines) != want.lines || !slices.Equal(g.Under, want.under) {
			t.Errorf("%d: %+v", i, g)
		}
	}
	if list[0].Fingerprint != list[1].Fingerprint || list[0].Fingerprint == list[2].Fingerprint {
		t.Error("the same leak has two fingerprints, or different ones have the same")
	}
}

func TestLeaksWithoutClock(t *testing.T) {
	for name, l := range map[string]Leaks{
		"no ticks":   {Text: leaksText, Jiffies: 1 << 40, Marks: leaksMarks},
		"no jiffies": {Text: leaksText, Ticks: 1 << 40, Marks: leaksMarks},
		"future":     {Text: leaksText, Jiffies: 7, Ticks: 7, Marks: leaksMarks},
	} {
		if _, list := found(facts{leaks: l}); len(list) != 3 || list[0].Under != nil {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// A scan that did not come about is no clean bill of health.
func TestNoLeakScan(t *testing.T) {
	fate, list := found(facts{leaks: Leaks{Unscanned: "kmemleak has switched itself off"}})
	if fate != Tainted || len(list) != 1 || list[0].Title != "no leak was looked for: kmemleak has switched itself off" {
		t.Errorf("%s %+v", fate, list)
	}
}

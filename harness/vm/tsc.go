package vm

import (
	"math"
	"sync"
	"time"
)

// A guest under TCG reads the host's own time stamp counter: helper_rdtsc of
// QEMU's target/i386 asks cpu_get_tsc, which ends in cpu_get_host_ticks, an
// RDTSC. So the guest's frequency is the host's, and need not be measured in
// the guest. There pit_hpet_ptimer_calibrate_cpu (arch/x86/kernel/tsc.c) compares
// it with timers that QEMU emulates. On a busy host QEMU is interrupted between
// two reads; then the frequency is wrong by any factor, and every timeout of the
// guest's kernel with it.

// instant is the counter and the host's clock at one time.
type instant struct {
	at    time.Time
	ticks uint64
	width time.Duration // how long it took to read both
}

// How well the frequency is measured.
const (
	// tscTries is how often both clocks are read for one instant. The narrowest
	// counts: the others were interrupted.
	tscTries = 16
	// tscSpan is how far apart the instants of a measurement are at least: with
	// reads that take a microsecond the error is below 50 ppm.
	tscSpan = 50 * time.Millisecond
	// tscError is the largest part of the frequency by which it may be wrong.
	tscError = 1.0 / 1000
)

func readInstant() instant {
	best := instant{width: math.MaxInt64}
	for range tscTries {
		before := time.Now()
		ticks := readTSC()
		if width := time.Since(before); width < best.width {
			best = instant{before.Add(width / 2), ticks, width}
		}
	}
	return best
}

// frequency is how many thousand ticks a second the counter made between two
// instants. It answers false where the reads took too long to know.
func frequency(a, b instant) (khz int, ok bool) {
	span := b.at.Sub(a.at)
	if span <= 0 || b.ticks <= a.ticks || float64(a.width+b.width) > tscError*float64(span) {
		return 0, false
	}
	return int(math.Round(float64(b.ticks-a.ticks) / span.Seconds() / 1000)), true
}

// firstInstant is when the program began: until a machine starts, enough time
// has usually gone by to measure with.
var firstInstant = readInstant()

// HostTSC is the frequency of the host's time stamp counter in kHz, which is that
// of a guest under TCG. It answers 0 where the processor has none or the host is too busy to measure it.
var HostTSC = sync.OnceValue(func() int {
	if !hasTSC {
		return 0
	}
	time.Sleep(tscSpan - time.Since(firstInstant.at))
	khz, _ := frequency(firstInstant, readInstant())
	return khz
})

// sameTSC says whether two frequencies are those of one counter: each is
// measured, and none of two is known on a host without a counter.
func sameTSC(a, b int) bool {
	return math.Abs(float64(a-b)) <= 2*tscError*float64(max(a, b))
}

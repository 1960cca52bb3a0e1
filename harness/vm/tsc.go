package vm

import (
	"math"
	"sync"
	"time"
)

// A guest under TCG reads the host's own time stamp counter: helper_rdtsc in QEMU's
// target/i386 calls cpu_get_tsc, which ends in cpu_get_host_ticks, an RDTSC. So the
// guest's frequency is the host's, and the guest need not measure it. If it did,
// pit_hpet_ptimer_calibrate_cpu (arch/x86/kernel/tsc.c) would compare the counter with
// timers that QEMU emulates. On a busy host QEMU is interrupted between two reads; then
// the frequency is wrong by any factor, and every timeout of the guest's kernel too.

// instant is the counter and the host's clock at the same time.
type instant struct {
	at    time.Time
	ticks uint64
	width time.Duration // how long it took to read both
}

// The precision of a measurement.
const (
	// tscTries is how often both clocks are read for one instant. The fastest read
	// counts; the others were interrupted.
	tscTries = 16
	// tscSpan is the least time between the instants of a measurement: if a read
	// takes a microsecond, the error is below 50 ppm.
	tscSpan = 50 * time.Millisecond
	// tscError is the largest relative error of the frequency.
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

// frequency is the counter's frequency in kHz between two instants. ok is false if the
// reads took too long.
func frequency(a, b instant) (khz int, ok bool) {
	span := b.at.Sub(a.at)
	if span <= 0 || b.ticks <= a.ticks || float64(a.width+b.width) > tscError*float64(span) {
		return 0, false
	}
	return int(math.Round(float64(b.ticks-a.ticks) / span.Seconds() / 1000)), true
}

// firstInstant is when the program started: until it starts a machine, enough time for
// a measurement has usually passed.
var firstInstant = readInstant()

// HostTSC returns the frequency of the host's time stamp counter in kHz, which is that
// of a guest under TCG. It is 0 if the processor has no counter or the host is too busy
// to measure it.
var HostTSC = sync.OnceValue(func() int {
	if !hasTSC {
		return 0
	}
	time.Sleep(tscSpan - time.Since(firstInstant.at))
	khz, _ := frequency(firstInstant, readInstant())
	return khz
})

// sameTSC reports whether two measured frequencies can be those of one counter. On a
// host without a counter both are 0.
func sameTSC(a, b int) bool {
	return math.Abs(float64(a-b)) <= 2*tscError*float64(max(a, b))
}

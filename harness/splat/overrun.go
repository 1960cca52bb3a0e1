package splat

import (
	"fmt"
	"time"
)

// Overrun is a time that was too long: that of a lockup or a stall which the kernel
// reports, or a deadline that passed.
type Overrun struct {
	Span  time.Duration // how long it lasted
	Limit time.Duration // this much processor time is too long by any clock
	Guest time.Duration // how far the guest's clock advanced since the machine started; 0 is unknown
}

// Share is what the host gave a machine before an Overrun. All times but Guest are
// of the host's clock.
type Share struct {
	Span   time.Duration `json:"span"`            // the period that the other figures cover
	Ran    time.Duration `json:"ran"`             // QEMU's busiest thread ran for so long in it
	Waited time.Duration `json:"waited"`          // and waited for a processor for so long
	Stood  time.Duration `json:"stood,omitempty"` // QEMU, this program or the host was stopped for so long
	Guest  time.Duration `json:"guest,omitempty"` // the guest's clock advanced by this much in Life; 0 is unknown
	Life   time.Duration `json:"life"`            // from the machine's start to the overrun
}

// timeouts are the kernel's default timeouts: twice watchdog_thresh
// (kernel/watchdog.c), CONFIG_RCU_CPU_STALL_TIMEOUT,
// CONFIG_DEFAULT_HUNG_TASK_TIMEOUT. Findings of other kinds have none.
var timeouts = map[Kind]time.Duration{
	KindLockup: 20 * time.Second, KindRCU: 21 * time.Second, KindHungTask: 120 * time.Second,
}

// Excuses reports whether an overrun is the host's fault: the guest's clock ran
// away, or the machine had too little of a processor. limit is Overrun.Limit.
func (s *Share) Excuses(limit time.Duration) bool { return s.runaway() || s.starved(limit) }

// starved reports whether the machine had a processor for less than half of the
// period, and for less than limit altogether.
func (s *Share) starved(limit time.Duration) bool {
	return s.Waited+s.Stood > s.Span/2 && s.Ran < limit
}

// A guest's clock starts after the machine and is at most as fast as the host's. One
// that is further ahead than this runs away.
const (
	clockAhead = 2 * time.Second
	clockRatio = 4 // of the time that passed: a quarter more
)

// runaway reports whether the guest's clock is ahead of the host's: what took too
// long by it did not.
func (s *Share) runaway() bool {
	return s.Guest > s.Life+s.Life/clockRatio+clockAhead
}

// String describes the figures in one line.
func (s *Share) String() string {
	sec := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	if s.runaway() {
		return fmt.Sprintf("the guest's clock advanced by %s in %s", sec(s.Guest), sec(s.Life))
	}
	text := fmt.Sprintf("in the %s before, QEMU ran for %s and waited %s for a processor",
		sec(s.Span), sec(s.Ran), sec(s.Waited))
	if s.Stood > 0 {
		text += fmt.Sprintf(", and was stopped for %s", sec(s.Stood))
	}
	return text
}

package vm

import (
	"fmt"
	"time"
)

// Share is what the host gave a machine in the time before the kernel said that
// something takes too long, or before a deadline. All are times of the host's
// clock, but for Guest.
type Share struct {
	Span   time.Duration `json:"span"`            // the time that is looked at, up to then
	Ran    time.Duration `json:"ran"`             // of it, QEMU's busiest thread on a processor
	Waited time.Duration `json:"waited"`          // ready to run, and without a processor
	Stood  time.Duration `json:"stood,omitempty"` // QEMU was stopped, or this program or the host stood still
	Guest  time.Duration `json:"guest,omitempty"` // by how much the guest's clock went on in Life; 0 is unknown
	Life   time.Duration `json:"life"`            // from the machine's start to then
}

// patience is after what time the kernel says that something takes too long,
// where nobody configured it otherwise: twice watchdog_thresh (kernel/watchdog.c),
// CONFIG_RCU_CPU_STALL_TIMEOUT, CONFIG_DEFAULT_HUNG_TASK_TIMEOUT. Findings of
// other kinds do not come from a clock.
var patience = map[Kind]time.Duration{
	KindLockup: 20 * time.Second, KindRCU: 21 * time.Second, KindHungTask: 120 * time.Second,
}

// question is what is to be known of a time that was too long.
type question struct {
	span   time.Duration // how long it was
	enough time.Duration // on a processor, it would be too long by whatever clock
	guest  time.Duration // by how much the guest's clock went on since the machine's start; 0 is unknown
}

// starved says that the machine had a processor for less than half of the time,
// and all in all for less than enough: what took too long took it because of the
// host.
func (s *Share) starved(enough time.Duration) bool {
	return s.Waited+s.Stood > s.Span/2 && s.Ran < enough
}

// A guest's clock begins to run behind the machine's start and is at most as
// fast as the host's. One that is further on than this runs away.
const (
	clockAhead = 2 * time.Second
	clockRatio = 4 // of the time that went by: a fourth more
)

// runaway says that the guest's clock is ahead of the host's: what took too
// long by it did not.
func (s *Share) runaway() bool {
	return s.Guest > s.Life+s.Life/clockRatio+clockAhead
}

// hosts says whether the host is to blame for what took too long, for which a
// processor would have been enough for that time.
func (s *Share) hosts(enough time.Duration) bool { return s.runaway() || s.starved(enough) }

// String gives the figures, for people.
func (s *Share) String() string {
	sec := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	if s.runaway() {
		return fmt.Sprintf("the guest's clock went on by %s in %s", sec(s.Guest), sec(s.Life))
	}
	text := fmt.Sprintf("in the %s before, QEMU ran for %s and waited %s for a processor", sec(s.Span), sec(s.Ran), sec(s.Waited))
	if s.Stood > 0 {
		text += fmt.Sprintf(", and stood still for %s", sec(s.Stood))
	}
	return text
}

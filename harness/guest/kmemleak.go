package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

const (
	kmemleak    = "/sys/kernel/debug/kmemleak"
	maxLeaks    = 64 << 10
	debugfs     = "debugfs"
	debugfsRoot = "/sys/kernel/debug"
)

// leakAge is more than what kmemleak calls the minimum age of an object
// (MSECS_MIN_AGE): a scan says nothing about one that is younger.
const leakAge = 5200 * time.Millisecond

// findLeaks has kmemleak scan the memory, where the kernel has it; nil is
// where not. By itself it would only do so minutes after the boot.
func (g *agent) findLeaks() *wire.Leaks {
	if err := unix.Mount(debugfs, debugfsRoot, debugfs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return nil // no debugfs, so no kmemleak either
	}
	if _, err := os.Stat(kmemleak); err != nil {
		return nil // the kernel has no kmemleak
	}
	ended, over := make(chan struct{}), make(chan struct{})
	go func() {
		g.beat(ended)
		close(over)
	}()
	defer func() {
		close(ended)
		<-over // no alive record may follow the next record
	}()
	return scanTwice(g.log.marks)
}

// scanTwice scans the memory. The first scan notes objects without a pointer to them; the
// second reports those that are unchanged and old enough.
func scanTwice(marks []wire.MarkAt) *wire.Leaks {
	l := &wire.Leaks{}
	began := time.Now()
	if err := scanLeaks(); err != nil {
		l.Unscanned = err.Error()
		return l
	}
	time.Sleep(leakAge - time.Since(began))
	if err := scanLeaks(); err != nil {
		l.Unscanned = err.Error()
		return l
	}
	text, err := os.ReadFile(kmemleak)
	if err != nil {
		l.Unscanned = fmt.Sprintf("read the leaks: %v", err)
	}
	if l.Text = string(text[:min(len(text), maxLeaks)]); l.Text != "" {
		l.Jiffies, l.Ticks, l.Marks = jiffies(), ticks(), marks
	}
	return l
}

// scanLeaks scans once. A kmemleak that gave up, for lack of memory or for a
// fault of its own, refuses it.
func scanLeaks() error {
	err := os.WriteFile(kmemleak, []byte("scan"), 0)
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("kmemleak has disabled itself")
	}
	if err != nil {
		return fmt.Errorf("scan for leaks: %w", err)
	}
	return nil
}

// jiffies reads the kernel's clock by which kmemleak dates objects; 0 is
// unknown.
func jiffies() uint64 {
	text, err := os.ReadFile("/proc/timer_list")
	if err != nil {
		return 0
	}
	return parseJiffies(text)
}

func parseJiffies(timers []byte) uint64 {
	for line := range strings.Lines(string(timers)) {
		if number, ok := strings.CutPrefix(line, "jiffies: "); ok {
			n, err := strconv.ParseUint(strings.TrimSuffix(number, "\n"), 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

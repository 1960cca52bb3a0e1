package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokentest/harness/splat"
)

// usage is what a thread got of the host's processors since it started.
type usage struct{ ran, waited time.Duration }

// usages reads the usage of each thread of a process. The map is empty if the host's
// kernel does not count it (CONFIG_SCHED_INFO).
func usages(pid int) map[string]usage {
	out := map[string]usage{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var u usage
		if n, _ := fmt.Sscan(string(text), &u.ran, &u.waited); n == 2 && u != (usage{}) {
			out[name] = u
		}
	}
	return out
}

// A meter is read every sampleEvery. It remembers more than the longest timeout of a
// kernel.
const (
	sampleEvery = 250 * time.Millisecond
	maxSamples  = 600
)

// reading is a meter's state at a time after the machine's start.
type reading struct {
	at                   time.Duration
	ran, waited, stopped time.Duration
}

// meter measures what the host gives a machine. The busiest thread of QEMU is the one
// that runs the guest.
type meter struct {
	read func() map[string]usage // of QEMU's threads

	mu      sync.Mutex
	now     reading
	before  map[string]usage
	history []reading
	pending time.Duration // waits that withoutWaits has not yet subtracted
}

// addStop records that QEMU, this program or the host was stopped for d.
func (m *meter) addStop(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.stopped += d
}

// sample reads the meter; at is the time since the machine's start.
func (m *meter) sample(at time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.update(at)
	if len(m.history) >= maxSamples {
		m.history = append(m.history[:0], m.history[maxSamples/8:]...)
	}
	m.history = append(m.history, m.now)
}

func (m *meter) update(at time.Duration) {
	m.now.at = at
	if m.read == nil {
		return
	}
	var most usage
	threads := m.read()
	for name, u := range threads {
		d := usage{u.ran - m.before[name].ran, u.waited - m.before[name].waited}
		if d.ran+d.waited > most.ran+most.waited {
			most = d
		}
	}
	m.before = threads
	m.now.ran += most.ran
	m.now.waited += most.waited
	m.pending += most.waited
}

// withoutWaits is d less the time in which the machine waited for a processor.
func (m *meter) withoutWaits(d time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	waited := min(m.pending, d)
	m.pending -= waited
	return d - waited
}

// share is what the host gave in the span that ends at a time after the machine's start.
func (m *meter) share(at, span time.Duration) splat.Share {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.update(at)
	var from reading // the machine's start
	for _, r := range m.history {
		if r.at > at-span {
			break
		}
		from = r
	}
	n := m.now
	return splat.Share{
		Span: n.at - from.at, Ran: n.ran - from.ran, Waited: n.waited - from.waited,
		Stood: n.stopped - from.stopped, Life: at,
	}
}

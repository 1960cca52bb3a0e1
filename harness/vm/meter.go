package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokentest/harness/splat"
)

// usage is what a thread got of the host's processors since it began.
type usage struct{ ran, waited time.Duration }

// usages reads what each of a process's threads got. There is none where the
// host's kernel does not count it (CONFIG_SCHED_INFO).
func usages(pid int) map[string]usage {
	out := map[string]usage{}
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid)) // the pattern is well formed
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has just ended
		}
		var u usage
		if n, _ := fmt.Sscan(string(text), &u.ran, &u.waited); n == 2 && u != (usage{}) {
			out[name] = u
		}
	}
	return out
}

// sampleEvery is how often a meter is read; it holds as much as the longest
// patience of a kernel takes, and some more.
const (
	sampleEvery = 250 * time.Millisecond
	maxSamples  = 600
)

// reading is a meter at a time of the machine's life.
type reading struct {
	at                 time.Duration
	ran, waited, stood time.Duration
}

// meter measures what the host gives a machine. A machine has one thread that
// runs the guest, and that is the busiest.
type meter struct {
	read func() map[string]usage // of QEMU's threads

	mu      sync.Mutex
	now     reading
	before  map[string]usage
	history []reading
	unpaid  time.Duration // that it waited, and the machine's clock did not yet stand still for
}

// stands notes that all stood still for some time.
func (m *meter) stands(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.stood += d
}

// sample reads the meter at a time of the machine's life.
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
	m.unpaid += most.waited
}

// fair is what of some time counts for the machine: not that in which it
// waited for a processor.
func (m *meter) fair(d time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	pay := min(m.unpaid, d)
	m.unpaid -= pay
	return d - pay
}

// share is what the host gave in the span up to a time of the machine's life.
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
		Span: n.at - from.at, Ran: n.ran - from.ran, Waited: n.waited - from.waited, Stood: n.stood - from.stood, Life: at,
	}
}

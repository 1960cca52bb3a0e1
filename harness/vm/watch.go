package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"tokentest/harness/splat"
)

// run attends a started machine: it reads the console, watches the clocks,
// and collects the facts once QEMU is gone.
func (b *boot) run(ctx context.Context, r Machine, w *channels, files *bootFiles) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.drain(w.console.host)
	}()
	go b.watch(ctx, r)
	go b.safeguard()
	b.finish = sync.OnceFunc(func() {
		// QEMU's end is closed; all it wrote is in the socket's buffer.
		w.console.host.SetReadDeadline(time.Now().Add(time.Second))
		<-drained
		closeAll(w.console.host, b.monitor)
		b.collect()
	})
}

// drain stores the console until QEMU is gone.
func (b *boot) drain(from *os.File) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			b.pulse.touch()
			b.console.Write(buf[:n])
		}
		if err != nil {
			return
		}
	}
}

// tick is how often the clocks are read.
const tick = 50 * time.Millisecond

// maxTick is by how much the clocks go on at a time. A ticker that is later is
// that of a program that was stopped, or of a host that stood still.
const maxTick = time.Second

// syncEvery is how much of what a guest said a loss of power may cost.
const syncEvery = time.Second

// safeguard brings to the disk what the guest said.
func (b *boot) safeguard() {
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	for {
		select {
		case <-b.proc.done:
			return
		case <-t.C:
			b.control.sync()
		}
	}
}

// watch kills the machine when the caller says so or a clock has run out.
func (b *boot) watch(ctx context.Context, r Machine) {
	t := time.NewTicker(tick)
	defer t.Stop()
	before := time.Now()
	for {
		select {
		case <-b.proc.done:
			return
		case <-ctx.Done():
			b.kill(func(f *facts) { f.cancelled = context.Cause(ctx) })
			return
		case <-t.C:
			b.goOn(r, time.Since(before))
			before = time.Now()
			if b.wall > r.Deadline {
				b.stop(fmt.Sprintf("the machine ran for %v, its deadline", r.Deadline), b.lately())
				return
			}
			if why := b.overdue(r); why != "" {
				b.stop(why, nil)
				return
			}
		}
	}
}

// lately is what the host gave in the second half of the machine's life, where
// that is to blame: a guest that hangs without a wait for a processor does so by
// itself, however its boot was. Of less than a second nothing can be said.
func (b *boot) lately() *splat.Share {
	span := b.wall / 2
	if b.wall < 4*sampleEvery {
		return nil
	}
	return b.share(splat.Overrun{Span: span, Limit: span})
}

// stop ends a machine for which a clock has run out; host is what the host gave
// it, where that is to blame.
func (b *boot) stop(why string, host *splat.Share) {
	halted := b.proc.halted()
	b.kill(func(f *facts) { f.stopped, f.halted, f.host = why, halted, host })
}

// goOn reads the meter and lets the clocks go on. What the guest may take goes
// by a clock that stands still while QEMU waits for a processor; the machine's
// deadline does not.
func (b *boot) goOn(r Machine, d time.Duration) {
	if d > maxTick {
		b.meter.stands(d - maxTick)
		d = maxTick
	}
	if at := time.Since(b.start); at-b.sampled >= sampleEvery {
		if b.proc.halted() {
			b.meter.stands(at - b.sampled)
		}
		b.meter.sample(at)
		b.sampled = at
	}
	if r.Debug == "" {
		b.wall += d
		b.pulse.advance(b.meter.fair(d))
	}
}

// share is what the host gave in the time up to now, where it is to blame for
// what took too long.
func (b *boot) share(o splat.Overrun) *splat.Share {
	s := b.meter.share(time.Since(b.start), o.Span)
	if s.Guest = o.Guest; !s.Excuses(o.Limit) {
		return nil
	}
	return &s
}

// How long a kernel may take to reset after it said that it is dead.
const (
	graceQuiet = time.Second
	graceTotal = 5 * time.Second
)

// overdue says which of the clocks that stand still while QEMU waits for a
// processor has run out, if any.
func (b *boot) overdue(r Machine) string {
	total, silence := b.pulse.time(), b.pulse.silence()
	dead, fatal := time.Duration(0), b.console.dying()
	if fatal && b.died == 0 {
		b.died = total
	}
	dead = total - b.died
	switch {
	case fatal && (silence > r.Scale(graceQuiet) || dead > r.Scale(graceTotal)):
		return "no reset after a panic"
	case r.Flood > 0 && b.console.size() > r.Flood:
		return fmt.Sprintf("it floods its console: more than %d MiB", r.Flood>>20)
	case silence > r.Quiet:
		return fmt.Sprintf("silent for %v", r.Quiet)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.expected; e.why != "" && total > e.until {
		return e.why
	}
	return ""
}

// expectation is something that is to happen until a time of the machine's clock.
type expectation struct {
	until time.Duration
	why   string
}

// Expect has the machine end as hung, for the reason why, unless Relax is
// called in time. Only the last expectation counts.
func (m *Machine) Expect(in time.Duration, why string) {
	if m.boot != nil {
		m.note(func(*facts) { m.boot.expected = expectation{m.boot.pulse.time() + in, why} })
	}
}

// Relax says that what was expected has happened.
func (m *Machine) Relax() {
	m.note(func(*facts) { m.boot.expected = expectation{} })
}

// Unheard says that the caller does not listen to the guest until it calls
// what is returned: a guest that waits to be heard is not silent.
func (m *Machine) Unheard() (over func()) {
	if m.boot == nil {
		return func() {}
	}
	p := &m.boot.pulse
	p.unheard.Add(1)
	return sync.OnceFunc(func() {
		p.touch()
		p.unheard.Add(-1)
	})
}

// kill ends QEMU; only the first reason counts.
func (b *boot) kill(why func(*facts)) {
	if b.proc == nil || b.proc.gone() {
		return
	}
	b.mu.Lock()
	if b.facts.stopped == "" && b.facts.cancelled == nil {
		why(&b.facts)
	}
	b.mu.Unlock()
	b.proc.kill()
}

// Lines with which QEMU says that a virtual CPU cannot go on. It does not
// exit then.
var internalErrors = []string{"KVM internal error", "error: kvm run failed", "emulation failure"}

func isInternal(line string) bool {
	for _, e := range internalErrors {
		if strings.Contains(line, e) {
			return true
		}
	}
	return false
}

// complaint takes a line of QEMU's stderr. It answers true if QEMU will never
// get on after it.
func (b *boot) complaint(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	internal := isInternal(line)
	switch {
	case internal && b.facts.internal == "":
		b.facts.internal = line
	case !internal && !strings.Contains(line, "warning: "):
		b.facts.complains(line)
	}
	return internal
}

// collect gathers the facts once QEMU is gone.
func (b *boot) collect() {
	log, heard, err := b.console.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &b.facts
	f.code, f.signal = b.proc.outcome()
	f.total = b.proc.end.Sub(b.start)
	f.heard = heard || b.control.heard()
	f.log, f.storage = log, errors.Join(err, b.control.failure())
	if f.signal == 0 { // it ended by itself before our kill arrived
		f.stopped, f.cancelled = "", nil
	}
	if errors.Is(f.cancelled, context.Canceled) {
		f.cancelled = errors.New("interrupted")
	}
}

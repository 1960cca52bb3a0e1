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

// run attends a started machine: it reads the console, watches the clocks, and
// collects the evidence once QEMU is gone.
func (b *boot) run(ctx context.Context, r Machine, c *channels, files *bootFiles) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		b.drain(c.console.host)
	}()
	go b.watch(ctx, r)
	go b.syncFiles()
	b.finish = sync.OnceFunc(func() {
		// QEMU's end is closed; everything that it wrote is in the pipe's buffer. A process that QEMU has left behind
		// can still hold it open.
		c.console.host.SetReadDeadline(time.Now().Add(restQuiet))
		<-drained
		closeAll(c.console.host, b.monitor)
		b.blocks.close()
		b.collect()
	})
}

// restQuiet is how long the pipe of a console must be empty once QEMU is gone.
const restQuiet = time.Second

// drain stores the console until QEMU is gone, whose end sets a deadline, and then what is left in the pipe. On a busy
// host that takes longer than any deadline, and the last lines say why the kernel died.
func (b *boot) drain(from *os.File) {
	buf := make([]byte, 32<<10)
	rest, ended, quiet := consoleBuffer, false, false
	for rest > 0 {
		n, err := from.Read(buf)
		if n > 0 {
			b.pulse.touch()
			b.console.Write(buf[:n])
			quiet = false
		}
		if ended {
			rest -= n
		}
		switch {
		case err == nil:
		case quiet || !errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			from.SetReadDeadline(time.Now().Add(restQuiet))
			ended, quiet = true, true
		}
	}
}

// tick is how often the clocks are read.
const tick = 50 * time.Millisecond

// maxTick is the most that the clocks advance at a time. A ticker that is later than
// this belongs to a program or a host that was stopped.
const maxTick = time.Second

// syncEvery bounds how much of the guest's output a loss of power costs.
const syncEvery = time.Second

// syncFiles brings the guest's output to the disk until QEMU is gone.
func (b *boot) syncFiles() {
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

// watch kills the machine when the caller's context ends or a clock runs out.
func (b *boot) watch(ctx context.Context, r Machine) {
	t := time.NewTicker(tick)
	defer t.Stop()
	before := time.Now()
	for {
		select {
		case <-b.proc.done:
			return
		case <-ctx.Done():
			b.kill(func(v *evidence) { v.cancelled = context.Cause(ctx) })
			return
		case <-t.C:
			b.advance(r, time.Since(before))
			before = time.Now()
			if b.wall > r.Deadline {
				b.stop(fmt.Sprintf("the machine ran for %v, its deadline", r.Deadline), b.recentShare())
				return
			}
			if why := b.overdue(r); why != "" {
				b.stop(why, nil)
				return
			}
		}
	}
}

// recentShare is what the host gave in the second half of the machine's life, if that
// explains why the machine is late: a guest that hangs without waiting for a processor
// does so by itself, however slow its boot was. Less than a second says nothing.
func (b *boot) recentShare() *splat.Share {
	span := b.wall / 2
	if b.wall < 4*sampleEvery {
		return nil
	}
	return b.share(splat.Overrun{Span: span, Limit: span})
}

// stop kills a machine whose clock has run out; host is what the host gave it, if that
// explains why.
func (b *boot) stop(why string, host *splat.Share) {
	halted := b.proc.halted()
	b.kill(func(v *evidence) { v.stopped, v.halted, v.host = why, halted, host })
}

// advance reads the meter and advances the clocks by d. The guest's own clock stands
// still while QEMU waits for a processor; that of the machine's deadline does not.
func (b *boot) advance(r Machine, d time.Duration) {
	if d > maxTick {
		b.meter.addStop(d - maxTick)
		d = maxTick
	}
	if at := time.Since(b.start); at-b.sampled >= sampleEvery {
		if b.proc.halted() {
			b.meter.addStop(at - b.sampled)
		}
		b.meter.sample(at)
		b.sampled = at
	}
	if r.Debug == "" {
		b.wall += d
		b.pulse.advance(b.meter.withoutWaits(d))
	}
}

// share is what the host gave the machine up to now, if that explains an overrun.
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

// overdue says which of the clocks that stand still while QEMU waits for a processor
// has run out; "" is none.
func (b *boot) overdue(r Machine) string {
	total, silence := b.pulse.time(), b.pulse.silence()
	dying := b.console.dying()
	if dying && b.died == 0 {
		b.died = total
	}
	switch {
	case dying && (silence > r.Scale(graceQuiet) || total-b.died > r.Scale(graceTotal)):
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

// expectation is something that must happen before a time of the machine's clock.
type expectation struct {
	until time.Duration
	why   string
}

// Expect makes the machine end as hung, for the reason why, unless Relax or another
// Expect is called within the time in. The time in which QEMU waits for a processor
// does not count.
func (m *Machine) Expect(in time.Duration, why string) {
	if m.boot != nil {
		m.note(func(*evidence) { m.boot.expected = expectation{m.boot.pulse.time() + in, why} })
	}
}

// Relax cancels the last Expect.
func (m *Machine) Relax() {
	m.note(func(*evidence) { m.boot.expected = expectation{} })
}

// PauseQuiet stops the clock of Quiet while the caller does not read from the guest; it
// runs again once the caller has called resume: a guest that waits for its reader is
// not silent.
func (m *Machine) PauseQuiet() (resume func()) {
	if m.boot == nil {
		return func() {}
	}
	p := &m.boot.pulse
	p.paused.Add(1)
	return sync.OnceFunc(func() {
		p.touch()
		p.paused.Add(-1)
	})
}

// kill kills QEMU; only the first reason counts.
func (b *boot) kill(why func(*evidence)) {
	if b.proc == nil || b.proc.gone() {
		return
	}
	b.mu.Lock()
	if b.evidence.stopped == "" && b.evidence.cancelled == nil {
		why(&b.evidence)
	}
	b.mu.Unlock()
	b.proc.kill()
}

// internalErrors are lines with which QEMU says that a virtual CPU cannot continue. It
// does not exit then.
var internalErrors = []string{"KVM internal error", "error: kvm run failed", "emulation failure"}

func isInternal(line string) bool {
	for _, e := range internalErrors {
		if strings.Contains(line, e) {
			return true
		}
	}
	return false
}

// complaint takes a line of QEMU's stderr. It returns true if QEMU can do nothing
// useful after it.
func (b *boot) complaint(line string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	internal := isInternal(line)
	switch {
	case internal && b.evidence.internal == "":
		b.evidence.internal = line
	case !internal && !strings.Contains(line, "warning: "):
		b.evidence.addComplaint(line)
	}
	return internal
}

// collect completes the evidence once QEMU is gone.
func (b *boot) collect() {
	log, heard, err := b.console.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	v := &b.evidence
	v.code, v.signal = b.proc.outcome()
	v.total = b.proc.end.Sub(b.start)
	v.heard = heard || b.control.heard()
	v.log, v.storage = log, errors.Join(err, b.control.failure())
	if v.signal == 0 { // it ended by itself before our kill arrived
		v.stopped, v.cancelled = "", nil
	}
	if errors.Is(v.cancelled, context.Canceled) {
		v.cancelled = errors.New("interrupted")
	}
}

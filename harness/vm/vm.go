// Package vm boots a kernel under QEMU and says how the machine ended.
//
// A Machine is shaped like exec.Cmd: fill it in, Start it, talk to the guest over
// Control, and Wait. The result is one word of a closed set (Fate), one line of
// reason, and what the kernel log contains (Findings).
//
// A guest has two channels. The console (ttyS0) carries the kernel log and nothing
// else; it is classified as it arrives. The control channel carries whatever caller
// and guest agree on: a virtio-serial port named wire.ControlPort or, where that does
// not work, the second ISA serial port.
//
// It knows nothing about cases or BPF, and package splat recognises the reports in the
// kernel log. Start with Machine; fate.go decides how a machine ended.
package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokentest/harness/splat"
)

// Fate is how a machine ended. The words are the same in every output.
type Fate string

// The fates, from best to worst.
const (
	Clean    Fate = "clean"    // the guest powered off after its done record
	Tainted  Fate = "tainted"  // as clean, but the kernel log holds a splat
	Panicked Fate = "panicked" // the console holds an oops or a panic
	Hung     Fate = "hung"     // silence, a deadline, or the caller's Kill
	Lost     Fate = "lost"     // QEMU or the agent went away before the done record
	Unbooted Fate = "unbooted" // the agent never said hello: blame the kernel
	Infra    Fate = "infra"    // QEMU did not run the guest: blame the host
)

// Accel is how the guest's instructions are executed.
type Accel string

// The accelerators.
const (
	KVM Accel = "kvm"
	TCG Accel = "tcg"
)

// tcgScale is how much longer everything may take when QEMU translates every
// instruction: a boot measures 0.5 s with KVM and 3 to 5 s with TCG on a quiet
// host, and hosts without KVM are seldom quiet.
const tcgScale = 8

// Scale stretches a duration that fits KVM to what is fair under a.
func (a Accel) Scale(d time.Duration) time.Duration {
	if a == TCG {
		return d * tcgScale
	}
	return d
}

// Scale stretches a duration that fits a usual kernel under KVM to what is fair
// for this machine.
func (m *Machine) Scale(d time.Duration) time.Duration {
	return m.Accel.Scale(d) * time.Duration(max(m.Slow, 1))
}

// Defaults for the zero values of Machine; the durations are those under KVM.
const (
	defaultQEMU     = "qemu-system-x86_64"
	defaultCPUs     = 1
	defaultMemMiB   = 512
	defaultDeadline = 5 * time.Minute
	defaultQuiet    = 10 * time.Second
)

// Machine is a kernel to boot under QEMU. Like exec.Cmd it is filled in,
// started once, and waited for.
type Machine struct {
	QEMU     string        // "" means qemu-system-x86_64 from PATH
	Kernel   string        // bzImage, or a vmlinux that QEMU can enter through PVH
	Initrd   string        // one file; the caller concatenates archives
	Append   []string      // extra kernel arguments, after ours so that they win
	CPUs     int           // zero means 1: a second one only costs boot time under TCG
	MemMiB   int           // zero means 512
	Accel    Accel         // KVM or TCG; Probe finds out which one works
	Dir      string        // the boot's directory, which exists: cmdline, console.log, control.in, control.out
	TSC      int           // kHz of the guest's time stamp counter under TCG; zero means the host's
	Slow     int           // how many times longer than others this kernel takes; zero means 1
	Deadline time.Duration // for the whole boot; zero means 5 minutes, scaled
	Quiet    time.Duration // silence on both channels that counts as a hang, but for waits for a processor; zero means 10 s, scaled
	Flood    int64         // how many bytes of console end the machine; zero means that none do
	Restore  *Snapshot     // begin there, as a machine that is otherwise the same
	Debug    string        // wait for a debugger at this unix socket, which is made; no clock runs then
	Monitor  bool          // the machine is going to be saved
	Allow    *splat.Allow  // findings that do not count; nil means that all do
	Console  io.Writer     // if not nil, gets a raw copy of the console as it comes

	usages func(pid int) map[string]usage // for tests; nil means usages

	boot *boot // set by Start
}

// Exit says how a machine ended.
type Exit struct {
	Fate     Fate
	Reason   string          // one line for people
	Findings []splat.Finding // what the kernel log holds, in order
	Boot     time.Duration   // from start to hello; zero when there was none
	Total    time.Duration   // from start to QEMU's exit
	Code     int             // QEMU's exit status, -1 when a signal ended it
	// Host is what the host gave the machine, where that is why the fate is
	// Infra: on a host that is less busy another machine comes out differently.
	Host *splat.Share `json:",omitempty"`
}

// boot is the state of a started machine.
type boot struct {
	accel   Accel
	start   time.Time
	proc    *process
	console *console
	control *control
	pulse   pulse
	meter   meter
	monitor *os.File // not yet spoken to
	finish  func()   // closes files, ends watchers; runs once QEMU is gone

	died    time.Duration // when the kernel said so; the watcher's own
	wall    time.Duration // for how long it ran, the waits for a processor too; the watcher's own
	sampled time.Duration // when the meter was last read; the watcher's own

	mu       sync.Mutex
	facts    facts
	expected expectation
}

// Start starts QEMU. An error means that it did not run, which is the host's
// fault: no process and no open file is left, and Wait answers Infra.
func (m *Machine) Start(ctx context.Context) error {
	if m.boot != nil {
		return errors.New("start machine: already started")
	}
	b := &boot{accel: m.Accel, start: time.Now()}
	m.boot, b.facts.allow, b.facts.accel = b, m.Allow, m.Accel
	if err := m.start(ctx, b); err != nil {
		b.facts.startErr = err
		return err
	}
	return nil
}

func (m *Machine) start(ctx context.Context, b *boot) error {
	r, err := m.resolve()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start qemu: %w", err)
	}
	files, err := openFiles(r.Dir)
	if err != nil {
		return err
	}
	channels, err := newChannels(r)
	if err != nil {
		files.close()
		return err
	}
	if err := writeCmdline(r, virtioPort, 0); err != nil {
		files.close()
		channels.close()
		return err
	}
	b.console = newConsole(files.console, r.Console, b.start)
	b.monitor = channels.monitor.host
	b.control = newControl(channels.virtio.host, channels.serial.host, files.in, files.out, &b.pulse, func(p port) {
		if p == serialPort { // without virtio the replay must wait for the agent
			writeCmdline(r, p, time.Since(b.start))
		}
	}, r.Restore)
	b.console.scan.Excuse = b.share
	b.console.scan.Resumed = r.Restore != nil // the same kernel's log continues
	b.proc, err = startProcess(r.QEMU, argv(r), channels.guests(), b.complaint)
	channels.closeGuests()
	if err != nil {
		files.close()
		channels.close()
		return fmt.Errorf("start qemu: %w", err)
	}
	b.meter.read = func() map[string]usage { return r.usages(b.proc.cmd.Process.Pid) }
	b.pulse.touch()
	b.run(ctx, r, channels, files)
	return nil
}

// resolve fills in the zero values and refuses what has no sensible default.
func (m *Machine) resolve() (Machine, error) {
	r := *m
	r.boot = nil
	if r.Restore != nil && r.Monitor {
		return r, errors.New("check machine: one that is restored cannot be saved")
	}
	switch {
	case r.Accel != KVM && r.Accel != TCG:
		return r, fmt.Errorf("check machine: Accel is %q, want %q or %q", r.Accel, KVM, TCG)
	case r.Kernel == "":
		return r, errors.New("check machine: Kernel is empty")
	case r.Dir == "":
		return r, errors.New("check machine: Dir is empty")
	case r.CPUs < 0 || r.MemMiB < 0 || r.Slow < 0 || r.Deadline < 0 || r.Quiet < 0:
		return r, errors.New("check machine: CPUs, MemMiB, Slow, Deadline and Quiet must not be negative")
	}
	if r.usages == nil {
		r.usages = usages
	}
	r.QEMU = orDefault(r.QEMU, defaultQEMU)
	r.CPUs = orDefault(r.CPUs, defaultCPUs)
	r.MemMiB = orDefault(r.MemMiB, defaultMemMiB)
	if r.Accel == TCG && r.TSC == 0 {
		r.TSC = HostTSC()
	}
	r.Deadline = orDefault(r.Deadline, r.Scale(defaultDeadline))
	r.Quiet = orDefault(r.Quiet, r.Scale(defaultQuiet))
	return r, absolute(&r.Kernel, &r.Initrd, &r.Dir)
}

// absolute makes paths absolute, so that cmdline works from any directory.
func absolute(paths ...*string) error {
	for _, p := range paths {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Control is the channel to the guest's agent. Both ports are open; the one
// that first delivers a byte becomes the channel. Reads and writes wait for
// that, and fail once QEMU is gone (reads with io.EOF).
func (m *Machine) Control() io.ReadWriter {
	if m.boot == nil || m.boot.control == nil {
		return noControl{}
	}
	return m.boot.control
}

// noControl is the control channel of a machine that did not start.
type noControl struct{}

func (noControl) Read([]byte) (int, error)  { return 0, io.EOF }
func (noControl) Write([]byte) (int, error) { return 0, os.ErrClosed }

// Hello marks that the agent's hello arrived: from now on the kernel counts
// as booted.
func (m *Machine) Hello() {
	m.note(func(f *facts) {
		if f.hello == 0 {
			f.hello = time.Since(m.boot.start)
		}
	})
}

// Done marks that the agent's last record arrived: from now on a power-off is
// what is expected.
func (m *Machine) Done() { m.note(func(f *facts) { f.done = true }) }

// Touch marks progress that the machine cannot see by itself, so that the
// silence starts anew. Every byte from the guest does the same.
func (m *Machine) Touch() {
	if m.boot != nil {
		m.boot.pulse.touch()
	}
}

// Kill ends the machine because it hangs; reason says in what way, for
// example that a case passed its deadline.
func (m *Machine) Kill(reason string) {
	if m.boot != nil {
		m.boot.kill(func(f *facts) { f.stopped = reason })
	}
}

func (m *Machine) note(fn func(*facts)) {
	if m.boot == nil {
		return
	}
	m.boot.mu.Lock()
	defer m.boot.mu.Unlock()
	fn(&m.boot.facts)
}

// Wait waits until QEMU is gone and says how it ended. No process and no
// temporary file is left. As with exec.Cmd's pipes, read Control to its end
// first: QEMU can be gone before its last bytes, and so Done, were taken in.
// Wait may be called more than once.
func (m *Machine) Wait() Exit {
	b := m.boot
	if b == nil {
		return Exit{Fate: Infra, Reason: "the machine was not started", Code: -1}
	}
	if b.proc != nil {
		<-b.proc.done
		b.finish()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts.exit()
}

// Package vm boots a kernel under QEMU and says how the machine ended.
//
// A Machine is shaped like exec.Cmd: fill it in, Start it, talk to the guest over
// Control, and Wait. The result is one word of a closed set (Fate), one line of
// reason, and the reports in the kernel log (Findings).
//
// A guest has two channels. The console carries only the kernel log, which is
// classified as it arrives. The control channel carries whatever caller and guest agree
// on: a virtio-serial port named wire.ControlPort or, if that does not work, a second
// serial port.
//
// It knows nothing about cases or BPF, and package splat recognises the reports in the
// kernel log. Start with Machine; fate.go decides how a machine ended.
package vm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokentest/harness/arch"
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

// tcgScale is how much longer everything may take if QEMU translates every
// instruction: a boot takes 0.5 s with KVM and 3 to 5 s with TCG on a quiet host,
// and hosts without KVM are seldom quiet.
const tcgScale = 8

// Scale stretches a duration that fits KVM to one that fits a.
func (a Accel) Scale(d time.Duration) time.Duration {
	if a == TCG {
		return d * tcgScale
	}
	return d
}

// Scale stretches a duration that fits a usual kernel under KVM to one that fits
// this machine.
func (m *Machine) Scale(d time.Duration) time.Duration {
	return m.Accel.Scale(d) * time.Duration(max(m.Slow, 1))
}

// Defaults for the zero values of Machine; the durations are for KVM.
const (
	defaultCPUs     = 1
	defaultMemMiB   = 512
	defaultDeadline = 5 * time.Minute
	defaultQuiet    = 10 * time.Second
)

// Machine is a kernel to boot under QEMU. Like exec.Cmd it is filled in,
// started once, and waited for.
type Machine struct {
	Arch     *arch.Arch    // of the kernel; nil means arch.Default
	BigPages bool          // the kernel's pages are larger than 4 KiB
	QEMU     string        // "" means the architecture's from PATH
	Kernel   string        // an image that QEMU can enter
	Initrd   string        // one file; the caller concatenates archives
	Append   []string      // extra kernel arguments; they come after ours and so override them
	CPUs     int           // zero means 1: a second one only costs boot time under TCG
	MemMiB   int           // zero means 512
	Accel    Accel         // KVM or TCG; Probe finds out which one works
	Dir      string        // the boot's directory, which must exist; gets cmdline, console.log, control.in, control.out
	TSC      int           // kHz of the guest's time stamp counter under TCG; zero means the host's
	Slow     int           // how many times slower than a usual kernel this one is; zero means 1
	Deadline time.Duration // for the whole boot; zero means 5 minutes, scaled
	Flood    int64         // the machine ends after so many bytes of console; zero means no limit
	Restore  *Snapshot     // start from it; the machine must be otherwise the same
	Debug    string        // wait for a debugger at this unix socket, which is created; no clock runs then
	Monitor  bool          // the machine will be saved by Snapshots.Put
	Patches  []Patch       // of the kernel in the snapshot that the machine starts from
	Trace    []Range       // code of which QEMU logs what it translates in the file TraceLog of Dir; only under TCG
	Blocks   io.Writer     // gets that log as it comes, with a line for each time that a block is executed
	Program  bool          // a program of the user runs, which can use all that the kernel has
	Allow    *splat.Allow  // findings that do not count; nil means that all count
	Console  io.Writer     // if not nil, gets a raw copy of the console as it comes

	// Quiet is how long both channels may be silent, without the time in which
	// QEMU waits for a processor, before the machine counts as hung. Zero means
	// 10 seconds, scaled.
	Quiet time.Duration

	cpu    string                         // the CPU model; "" is that of the architecture
	usages func(pid int) map[string]usage // tests replace it; nil means usages
	boot   *boot                          // set by Start
}

// Exit says how a machine ended.
type Exit struct {
	Fate     Fate
	Reason   string          // one line for people
	Findings []splat.Finding // what the kernel log holds, in order
	Boot     time.Duration   // from start to hello; zero when there was none
	Total    time.Duration   // from start to QEMU's exit
	Code     int             // QEMU's exit status, -1 when a signal ended it
	// Signal is the name of the signal that decides the fate, such as SIGKILL from outside, SIGSTOP from outside, or
	// SIGABRT of a QEMU that crashed; "" for none.
	Signal string `json:",omitempty"`
	// Host is what the host gave the machine, if the fate is Infra for that
	// reason: on a host that is less busy, another machine may end differently.
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
	monitor *os.File // QEMU's monitor, before it is used
	blocks  *blockLog
	finish  func() // closes files and ends the watchers; runs once QEMU is gone

	// Only the watcher uses these.
	died    time.Duration // when the kernel said that it is dead
	wall    time.Duration // how long the machine has run, with the waits for a processor
	sampled time.Duration // when the meter was last read

	mu       sync.Mutex
	evidence evidence
	expected expectation
}

// Start starts QEMU. ctx kills the machine when it ends. An error means that QEMU did
// not run, which is the host's fault: no process and no open file is left, and Wait
// returns Infra.
func (m *Machine) Start(ctx context.Context) error {
	if m.boot != nil {
		return errors.New("start machine: already started")
	}
	b := &boot{accel: m.Accel, start: time.Now()}
	m.boot, b.evidence.allow, b.evidence.accel = b, m.Allow, m.Accel
	if err := m.start(ctx, b); err != nil {
		b.evidence.startErr = err
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
		if p == serialPort { // over this port a replay must wait for the agent
			writeCmdline(r, p, time.Since(b.start))
		}
	}, r.Restore)
	if b.blocks, err = newBlockLog(r); err != nil {
		files.close()
		channels.close()
		return err
	}
	b.console.scan.Excuse = b.share
	b.console.scan.Resumed = r.Restore != nil // the same kernel's log continues
	b.proc, err = startProcess(r.QEMU, argv(r), channels.guests(), b.complaint)
	channels.closeGuests()
	if err != nil {
		files.close()
		channels.close()
		b.blocks.close()
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
		return r, errors.New("check machine: Monitor is set, but a restored machine cannot be saved")
	}
	if len(r.Patches) > 0 && r.Restore == nil {
		return r, errors.New("check machine: Patches are of a snapshot, and there is none to start from")
	}
	switch {
	case r.Accel != KVM && r.Accel != TCG:
		return r, fmt.Errorf("check machine: Accel is %q, must be %q or %q", r.Accel, KVM, TCG)
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
	r.Arch = arch.Or(r.Arch)
	r.QEMU = cmp.Or(r.QEMU, r.Arch.QEMU.Program)
	r.cpu = r.model()
	r.CPUs = cmp.Or(r.CPUs, defaultCPUs)
	r.MemMiB = cmp.Or(r.MemMiB, defaultMemMiB)
	if r.Accel == TCG && r.TSC == 0 && r.Arch.QEMU.TSC {
		r.TSC = HostTSC()
	}
	r.Deadline = cmp.Or(r.Deadline, r.Scale(defaultDeadline))
	r.Quiet = cmp.Or(r.Quiet, r.Scale(defaultQuiet))
	return r, absolute(&r.Kernel, &r.Initrd, &r.Dir)
}

// absolute makes paths absolute, so that the recorded command line works from any
// directory.
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

// Control returns the channel to the guest's agent. Both ports are open; the one that
// first delivers a byte becomes the channel. Reads and writes wait for that byte, and
// fail once QEMU is gone (reads with io.EOF).
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

// Uptime returns the time since the machine started, by which Finding.Time counts; 0
// before the start.
func (m *Machine) Uptime() time.Duration {
	if m.boot == nil {
		return 0
	}
	return time.Since(m.boot.start)
}

// Hello records that the agent's hello arrived: from now on the kernel counts as
// booted.
func (m *Machine) Hello() {
	m.note(func(v *evidence) {
		if v.hello == 0 {
			v.hello = time.Since(m.boot.start)
		}
	})
}

// Done records that the agent's last record arrived: from now on a power-off is
// expected.
func (m *Machine) Done() { m.note(func(v *evidence) { v.done = true }) }

// Touch records progress that the machine cannot see itself, and so restarts the
// clock of Quiet. Every byte from the guest does the same.
func (m *Machine) Touch() {
	if m.boot != nil {
		m.boot.pulse.touch()
	}
}

// Kill ends the machine because it hangs; reason says how, for example that a case
// passed its deadline.
func (m *Machine) Kill(reason string) {
	if m.boot != nil {
		m.boot.kill(func(v *evidence) { v.stopped = reason })
	}
}

func (m *Machine) note(fn func(*evidence)) {
	if m.boot == nil {
		return
	}
	m.boot.mu.Lock()
	defer m.boot.mu.Unlock()
	fn(&m.boot.evidence)
}

// Wait waits until QEMU is gone and returns how the machine ended. No process and no
// temporary file is left. As with the pipes of exec.Cmd, the caller must read Control
// to its end first: QEMU can be gone before the caller has read its last bytes, and so
// called Done. Wait may be called more than once.
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
	return b.evidence.exit()
}

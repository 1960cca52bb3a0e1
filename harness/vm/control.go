package vm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Files of the boot's directory.
const (
	consoleLog = "console.log"
	controlIn  = "control.in"
	controlOut = "control.out"
)

// pulse is the machine's clock, and remembers when the guest last gave a sign of life.
// The clock stands still while this program is stopped or QEMU waits for a processor:
// the guest is not to blame for a suspended or busy host.
type pulse struct {
	now, last atomic.Int64
	paused    atomic.Int32 // callers of PauseQuiet
}

func (p *pulse) touch() { p.last.Store(p.now.Load()) }

func (p *pulse) silence() time.Duration {
	if p.paused.Load() > 0 {
		return 0
	}
	return time.Duration(p.now.Load() - p.last.Load())
}

// time is how long the machine could run.
func (p *pulse) time() time.Duration { return time.Duration(p.now.Load()) }

// advance advances the clock.
func (p *pulse) advance(d time.Duration) { p.now.Add(int64(d)) }

// channel is a socket pair: one end is ours, QEMU inherits the other. It has no name,
// so parallel boots cannot collide and nothing needs removal.
type channel struct{ host, guest *os.File }

func newChannel(name string) (channel, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return channel{}, fmt.Errorf("open %s channel: %w", name, err)
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		return channel{}, fmt.Errorf("open %s channel: %w", name, err)
	}
	return channel{os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)}, nil
}

// consoleBuffer is how many bytes a console may print while nobody reads it. More is
// damaged or lost. It is the largest pipe that an ordinary user may have.
const consoleBuffer = 1 << 20

// newConsoleChannel makes the channel of a console, a pipe. The kernel waits 10 ms for
// its serial port to take a character and then overwrites one (wait_for_xmitr in
// 8250_port.c), QEMU writes each character by itself, and a socket holds only some
// hundred writes of any length: on a busy host it damages or loses reports.
func newConsoleChannel() (channel, error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return channel{}, fmt.Errorf("open console channel: %w", err)
	}
	w := channel{guest: os.NewFile(uintptr(fds[1]), "console")}
	// The user's quota of pipe memory may be used up; then the pipe stays smaller.
	unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, consoleBuffer)
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		w.guest.Close()
		syscall.Close(fds[0])
		return channel{}, fmt.Errorf("open console channel: %w", err)
	}
	w.host = os.NewFile(uintptr(fds[0]), "console")
	return w, nil
}

// channels are all channels of a machine.
type channels struct {
	console, virtio, serial, monitor channel
	state                            *os.File // the snapshot to start from
}

func newChannels(m Machine) (*channels, error) {
	w := &channels{}
	open := map[string]*channel{"virtio": &w.virtio, "serial": &w.serial}
	if m.Monitor {
		open["monitor"] = &w.monitor
	}
	if m.Restore != nil {
		var err error
		if w.state, err = m.Restore.open(m.Patches); err != nil {
			return nil, err
		}
	}
	var err error
	if w.console, err = newConsoleChannel(); err != nil {
		w.close()
		return nil, err
	}
	for name, to := range open {
		if *to, err = newChannel(name); err != nil {
			w.close()
			return nil, err
		}
	}
	return w, nil
}

// guests returns QEMU's ends, in the order that argv assumes.
func (w *channels) guests() []*os.File {
	all := []*os.File{w.console.guest, w.virtio.guest, w.serial.guest}
	for _, f := range []*os.File{w.monitor.guest, w.state} { // at most one of them exists
		if f != nil {
			all = append(all, f)
		}
	}
	return all
}

func (w *channels) closeGuests() { closeAll(w.guests()...) }

func (w *channels) close() {
	w.closeGuests()
	closeAll(w.console.host, w.virtio.host, w.serial.host, w.monitor.host)
}

func closeAll(files ...*os.File) {
	for _, f := range files {
		f.Close() // a nil file returns an error, which is harmless
	}
}

// bootFiles are the files of the boot's directory that grow while it runs.
type bootFiles struct{ console, in, out *os.File }

func openFiles(dir string) (*bootFiles, error) {
	b := &bootFiles{}
	for name, to := range map[string]**os.File{consoleLog: &b.console, controlIn: &b.in, controlOut: &b.out} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			b.close()
			return nil, fmt.Errorf("prepare boot directory: %w", err)
		}
		*to = f
	}
	return b, nil
}

func (b *bootFiles) close() { closeAll(b.console, b.in, b.out) }

// control is the host's end of the control channel.
type control struct {
	pulse   *pulse
	in, out *os.File   // what was written and read, for a replay
	chosen  func(port) // is called once

	once  sync.Once
	ready chan struct{} // closed once a port has delivered a byte
	conn  *os.File
	which port
	head  []byte // delivered, not yet read

	mu     sync.Mutex
	failed error // the first failure to store

	silent sync.WaitGroup
	gone   chan struct{} // closed when both ports ended without a byte
}

// newControl listens on both ports. The agent of a restored machine has chosen one and
// said hello there before.
func newControl(virtio, serial, in, out *os.File, p *pulse, chosen func(port), from *Snapshot) *control {
	c := &control{pulse: p, in: in, out: out, chosen: chosen, ready: make(chan struct{}), gone: make(chan struct{})}
	c.silent.Add(2)
	if from != nil {
		which := map[bool]port{false: virtioPort, true: serialPort}[from.Serial]
		c.choose(map[port]*os.File{virtioPort: virtio, serialPort: serial}[which], which, from.Said)
		c.silent.Done()
		go c.listen(map[port]*os.File{virtioPort: serial, serialPort: virtio}[which], 1-which)
	} else {
		go c.listen(virtio, virtioPort)
		go c.listen(serial, serialPort)
	}
	go func() {
		c.silent.Wait()
		close(c.gone)
	}()
	return c
}

// listen waits for the port's first bytes. The first port that delivers some becomes
// the channel; what the other one delivers is dropped.
func (c *control) listen(conn *os.File, p port) {
	defer c.silent.Done()
	buf := make([]byte, 4096)
	n, _ := conn.Read(buf)
	if n == 0 || !c.choose(conn, p, buf[:n]) {
		io.Copy(io.Discard, conn)
		conn.Close()
	}
}

// choose makes a port the channel, unless there is one.
func (c *control) choose(conn *os.File, p port, head []byte) (won bool) {
	c.once.Do(func() {
		won = true
		c.conn, c.head, c.which = conn, head, p
		c.pulse.touch()
		c.chosen(p)
		close(c.ready)
	})
	return won
}

// port is the one that was chosen.
func (c *control) port() port {
	<-c.ready
	return c.which
}

// wait waits until a port is chosen; it returns false if none ever will be.
func (c *control) wait() bool {
	select {
	case <-c.ready:
		return true
	case <-c.gone:
	}
	select {
	case <-c.ready: // both may be closed: the port was chosen and then ended
		return true
	default:
		return false
	}
}

func (c *control) heard() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// Read reads what the guest sent. Everything that it sent before QEMU ended can be read;
// then Read returns io.EOF.
func (c *control) Read(p []byte) (int, error) {
	if !c.wait() {
		closeAll(c.in, c.out)
		return 0, io.EOF
	}
	n, err := c.next(p)
	if n > 0 {
		c.pulse.touch()
		c.store(c.out, p[:n])
	}
	if err != nil {
		closeAll(c.conn, c.in, c.out)
		return n, io.EOF
	}
	return n, nil
}

func (c *control) next(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.conn.Read(p)
}

// store keeps what crossed the channel, for a replay. A full disk must not stop the
// guest, so failure returns the error.
func (c *control) store(f *os.File, p []byte) {
	_, err := f.Write(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.failed == nil {
		c.failed = fmt.Errorf("record control channel: %w", err)
	}
}

func (c *control) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// sync brings what was stored to the disk. An error matters only if the host loses
// power.
func (c *control) sync() {
	c.out.Sync()
	c.in.Sync()
}

// errGone is what Write returns once QEMU is gone.
var errGone = errors.New("the machine is gone")

// Write sends p to the guest.
func (c *control) Write(p []byte) (int, error) {
	if !c.wait() {
		return 0, fmt.Errorf("write to guest: %w", errGone)
	}
	n, err := c.conn.Write(p)
	c.store(c.in, p[:n])
	if err != nil {
		return n, fmt.Errorf("write to guest: %w", errGone)
	}
	return n, nil
}

package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/harness/wire"
)

// guestProgram is the program that the agent runs for the host, if any.
type guestProgram struct {
	send  sync.Mutex // several goroutines send the program's output and its end
	last  *os.File   // the file that is being received
	input chan []byte
	proc  process
	tty   *os.File
	found chan *wire.ModuleAnswer // from the host
}

// process is a program that may not have started yet. Signals wait for it.
type process struct {
	sync.Mutex
	p     *os.Process
	early []syscall.Signal
}

func (p *process) signal(s syscall.Signal) {
	p.Lock()
	defer p.Unlock()
	if p.p == nil {
		p.early = append(p.early, s)
		return
	}
	p.p.Signal(s) // it may just have ended
}

func (p *process) started(now *os.Process) {
	p.Lock()
	defer p.Unlock()
	p.p = now
	for _, s := range p.early {
		now.Signal(s)
	}
}

// program does what a record about a program says.
func (g *agent) program(kind wire.Kind, payload []byte) error {
	switch kind {
	case wire.KindFile:
		return g.receive(payload)
	case wire.KindExec:
		var e wire.Exec
		if err := wire.DecodeJSON(payload, &e); err != nil {
			return err
		}
		return g.exec(&e)
	case wire.KindInput:
		if g.input != nil {
			g.input <- append([]byte(nil), payload...)
		}
		return nil
	case wire.KindModule:
		return g.moduleAnswer(payload)
	}
	var s wire.Signal
	if err := wire.DecodeJSON(payload, &s); err != nil {
		return err
	}
	g.signal(&s)
	return nil
}

func (g *agent) signal(s *wire.Signal) {
	if s.Size != nil && g.tty != nil {
		unix.IoctlSetWinsize(int(g.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Size.Rows, Col: s.Size.Cols})
	}
	if s.Number != 0 {
		g.proc.signal(syscall.Signal(s.Number))
	}
}

// exec starts a program. Its output and its end are sent later; meanwhile the agent
// reads the records that the host sends for it.
func (g *agent) exec(e *wire.Exec) error {
	debug.SetGCPercent(100) // there can be any amount of output
	g.log.begin(wire.Mark{Kind: wire.MarkExec})
	if err := g.closeReceived(); err != nil {
		return g.tellExit(&wire.Exit{Error: err.Error()})
	}
	setClock(e.Now)
	prepareForPrograms(e.Root)
	if err := makeDirs(e); err != nil {
		return g.tellExit(&wire.Exit{Error: err.Error()})
	}
	g.offerModules()
	s, err := newStdio(e.TTY)
	if err != nil {
		return g.tellExit(&wire.Exit{Error: err.Error()})
	}
	g.tty, g.input = s.tty, make(chan []byte, wire.InputWindow)
	go g.start(e, s)
	return nil
}

// start runs the program, while the agent goes on reading records: for a file that the machine cannot run, the kernel
// asks for the module binfmt-464c (search_binary_handler), and the agent asks the host for that. A thread that forks
// keeps its share of GOMAXPROCS until the program runs, so the others need one as well.
func (g *agent) start(e *wire.Exec, s *stdio) {
	runtime.GOMAXPROCS(max(2, runtime.NumCPU()))
	p, err := os.StartProcess(e.Args[0], e.Args, s.attr(e))
	s.closeTheirs()
	if err != nil {
		s.closeOurs()
		g.tellExit(&wire.Exit{Error: err.Error(), Missing: errors.Is(err, os.ErrNotExist)})
		return
	}
	g.proc.started(p)
	go g.feed(s.in)
	g.attend(e, p, s)
}

// clockStep is the least difference for which the clock is set: a smaller one is the way of the record.
const clockStep = time.Second

// setClock sets the clock to a time in nanoseconds since 1970. A kernel that refuses keeps its own.
func setClock(now int64) {
	if off := time.Since(time.Unix(0, now)); now != 0 && off.Abs() > clockStep {
		ts := unix.NsecToTimespec(now)
		unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
	}
}

// feed writes input to the program and acknowledges it to the host.
func (g *agent) feed(in *os.File) {
	for p := range g.input {
		if len(p) == 0 {
			in.Close()
		} else {
			in.Write(p) // a program that does not listen is no fault
		}
		g.tell(wire.KindTaken, nil)
	}
}

// lastWords is how long output may still come from a program's children once the
// program has ended.
const lastWords = time.Second

// attend sends the program's output, and how it ended.
func (g *agent) attend(e *wire.Exec, p *os.Process, s *stdio) {
	var pumps sync.WaitGroup
	for i, f := range s.out {
		pumps.Add(1)
		go func() {
			defer pumps.Done()
			g.pump(byte(i+1), f)
		}()
	}
	ended := make(chan struct{})
	go g.beat(ended)
	state, err := p.Wait()
	close(ended)
	drained := make(chan struct{})
	go func() {
		pumps.Wait()
		close(drained)
	}()
	select {
	case <-drained:
	case <-time.After(lastWords):
	}
	x := &wire.Exit{}
	if ws, ok := state.Sys().(syscall.WaitStatus); err != nil {
		x.Error = err.Error()
	} else if ok && ws.Signaled() {
		x.Code, x.Signal = 128+int(ws.Signal()), int(ws.Signal())
	} else {
		x.Code = state.ExitCode()
	}
	g.sendBack(e, x)
	g.tellExit(x)
}

// beat says that the guest is alive for as long as the program runs.
func (g *agent) beat(ended <-chan struct{}) {
	t := time.NewTicker(wire.AliveEvery)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			g.tell(wire.KindAlive, nil)
		}
	}
}

// pump sends what it reads from a pipe or terminal to the host.
func (g *agent) pump(stream byte, from *os.File) {
	buf := make([]byte, 64<<10)
	buf[0] = stream
	for {
		n, err := from.Read(buf[1:])
		if n > 0 && g.tell(wire.KindOutput, buf[:n+1]) != nil || err != nil {
			return
		}
	}
}

func (g *agent) tell(k wire.Kind, payload []byte) error {
	g.send.Lock()
	defer g.send.Unlock()
	return g.out.Write(k, payload)
}

func (g *agent) tellExit(x *wire.Exit) error {
	x.Words = userSpaceLines()
	payload, err := wire.EncodeJSON(x)
	if err != nil {
		return err
	}
	return g.tell(wire.KindExit, payload)
}

// stdio is a program's standard input and output: our ends and its.
type stdio struct {
	in     *os.File
	out    []*os.File // stdout, stderr; a terminal has one for both
	tty    *os.File
	theirs []*os.File
}

func newStdio(size *wire.Terminal) (*stdio, error) {
	if size != nil {
		return openTerminal(size)
	}
	s := &stdio{}
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("open a pipe: %w", err)
		}
		if i == 0 {
			s.in, s.theirs = w, append(s.theirs, r)
		} else {
			s.out, s.theirs = append(s.out, r), append(s.theirs, w)
		}
	}
	return s, nil
}

// openTerminal opens a new pseudo terminal.
func openTerminal(size *wire.Terminal) (*stdio, error) {
	master, err := os.OpenFile("/dev/pts/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the terminal: %w", err), master.Close())
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the terminal: %w", err), master.Close())
	}
	return &stdio{in: master, out: []*os.File{master}, tty: master, theirs: []*os.File{slave, slave, slave}}, nil
}

func (s *stdio) attr(e *wire.Exec) *os.ProcAttr {
	sys := &syscall.SysProcAttr{Setsid: true, Chroot: e.Root}
	if s.tty != nil {
		sys.Setctty, sys.Ctty = true, 0
	}
	if e.UID != 0 || e.GID != 0 {
		sys.Credential = &syscall.Credential{Uid: e.UID, Gid: e.GID}
	}
	return &os.ProcAttr{Dir: e.Dir, Env: e.Env, Files: s.theirs, Sys: sys}
}

func (s *stdio) closeTheirs() {
	for _, f := range s.theirs {
		f.Close() // a terminal's, twice more than needed
	}
}

func (s *stdio) closeOurs() {
	for _, f := range append(s.out, s.in) {
		f.Close()
	}
}

// userSpaceLines are the lines of the kernel's log that did not come from the
// kernel, as the console shows them: a program may write the words of a splat.
func userSpaceLines() []string {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var out []string
	buf := make([]byte, 8<<10)
	for len(out) < maxUserSpaceLines {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EPIPE: // older lines were overwritten meanwhile
			continue
		case err != nil || n <= 0:
			return out
		}
		if w := userSpaceLine(string(buf[:n])); w != "" {
			out = append(out, w)
		}
	}
	return out
}

const maxUserSpaceLines = 4096

// userSpaceLine returns a record of /dev/kmsg as a line of the console, if its
// facility is not the kernel's.
func userSpaceLine(record string) string {
	var prio, seq, usec uint64
	head, text, ok := strings.Cut(record, ";")
	if n, _ := fmt.Sscanf(head, "%d,%d,%d,", &prio, &seq, &usec); !ok || n < 3 || prio>>3 == 0 {
		return ""
	}
	text, _, _ = strings.Cut(text, "\n")
	if strings.HasPrefix(text, wire.LogPrefix) {
		return ""
	}
	return fmt.Sprintf("[%5d.%06d] %s", usec/1e6, usec%1e6, text)
}

// IgnoreTerminal keeps the agent from being stopped by a terminal's signals.
func ignoreTerminal() { signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGTTOU) }

// raiseLoopback gives the machine its only network.
func raiseLoopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return // a kernel without a network
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

func makeDirs(e *wire.Exec) error {
	for _, dir := range append([]string{e.Dir}, e.Make...) {
		if err := os.MkdirAll(filepath.Join(e.Root, dir), 0o755); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		if e.UID != 0 || e.GID != 0 {
			os.Chown(filepath.Join(e.Root, dir), int(e.UID), int(e.GID))
		}
	}
	return nil
}

// receive stores a file, or the next part of one.
func (g *agent) receive(payload []byte) error {
	f, err := wire.DecodeFile(payload)
	if err != nil {
		return err
	}
	if f.More && g.last != nil {
		_, err = g.last.Write(f.Data)
	} else {
		err = errors.Join(g.closeReceived(), g.create(f))
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", f.Path, err)
	}
	return nil
}

func (g *agent) create(f *wire.File) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return err
	}
	switch f.Kind {
	case wire.Directory:
		return errors.Join(os.MkdirAll(f.Path, 0o755), os.Chmod(f.Path, os.FileMode(f.Mode)))
	case wire.Symlink:
		os.Remove(f.Path)
		return os.Symlink(string(f.Data), f.Path)
	}
	if info, err := os.Lstat(f.Path); err == nil && info.Mode().Type() == os.ModeSymlink {
		os.Remove(f.Path) // it may be one of u-root's commands, all of which are links to one program
	}
	out, err := os.OpenFile(f.Path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, os.FileMode(f.Mode))
	if err != nil {
		return err
	}
	g.last = out
	_, err = out.Write(f.Data)
	return errors.Join(err, out.Chmod(os.FileMode(f.Mode)))
}

func (g *agent) closeReceived() error {
	if g.last == nil {
		return nil
	}
	err := g.last.Close()
	g.last = nil
	return err
}

// sendBack sends the files that the host asked for.
func (g *agent) sendBack(e *wire.Exec, x *wire.Exit) {
	for _, name := range e.Get {
		if err := g.sendFile(e.Root, name); err != nil {
			x.Unsent = append(x.Unsent, wire.Unsent{Path: name, Error: cause(err), Missing: errors.Is(err, os.ErrNotExist)})
		}
	}
}

// cause is an error without the name of the file that it is about.
func cause(err error) string {
	if path := new(os.PathError); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func (g *agent) sendFile(root, name string) error {
	f, err := os.Open(filepath.Join(root, name))
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, wire.MaxFileData)
	for more := false; ; more = true {
		n, err := io.ReadFull(f, buf)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		if n == 0 && more {
			return nil
		}
		if err := g.tell(wire.KindFile, wire.EncodeFile(&wire.File{Path: name, Mode: 0o644, More: more,
			Data: buf[:n]})); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

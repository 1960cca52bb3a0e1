package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// Program is one to run in a machine, as exec.Cmd is one to run here.
type Program struct {
	wire.Exec
	Files   []File // what it needs, the program itself included
	MemMiB  int    // of the machine; 0 means what is fit for the files
	Append  []string
	Shell   bool // the program is one of u-root's, in the image
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan wire.Signal
}

// Ended is how a program and its machine came out.
type Ended struct {
	Kernel *result.KernelRun
	Exit   *wire.Exit // nil when the program was not heard of again
}

// programDeadline ends a machine whose program runs for ever, unless the user
// says when to.
const programDeadline = 24 * time.Hour

// Exec runs a program in a machine of its own. The error is the host's, or a
// mistake in what was asked for; what became of the machine is in the result.
func (l *Lab) Exec(ctx context.Context, ref string, p *Program) (*Ended, error) {
	out := &Ended{Kernel: &result.KernelRun{Ref: ref}}
	t, err := l.prepare(ctx, ref, out.Kernel, &result.Run{})
	if err != nil {
		return nil, err
	}
	t.dir = l.Dir
	if p.Shell {
		if err := t.withShell(ctx); err != nil {
			return nil, err
		}
	}
	t.memMiB, t.arguments = t.memory(p.MemMiB, fitting(p.Files)), p.Append
	for {
		exit, err := t.exec(ctx, p, out)
		if err != nil {
			return nil, err
		}
		if !t.enterPacked(ctx, exit) {
			return out, nil
		}
	}
}

// exec starts one machine for the program, and records how both ended.
func (t *trial) exec(ctx context.Context, p *Program, out *Ended) (exit vm.Exit, err error) {
	s := &session{trial: t}
	dir := filepath.Join(t.dir, "boot0")
	if err := s.directory(dir); err != nil {
		return exit, err
	}
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var x executor
	if s.m, err = t.launch(inner, dir, cmp.Or(t.lab.Deadline, programDeadline)); err == nil {
		x = executor{session: s, p: p, w: wire.NewWriter(s.m.Control()), window: make(chan struct{}, wire.InputWindow), over: make(chan struct{})}
		if s.wrong = x.converse(); s.wrong != nil {
			stop(s.wrong)
		}
	}
	out.Exit = x.exit
	exit = s.m.Wait()
	s.trial.symbolise(exit.Findings)
	for i := range exit.Findings {
		exit.Findings[i].Case = p.Args[0]
	}
	out.Kernel.Boots = append(out.Kernel.Boots, result.Boot{Dir: "boot0", Began: t.began(s.m), Fate: exit.Fate, Reason: s.because(exit),
		Findings: exit.Findings, Boot: exit.Boot, Total: exit.Total, Decide: s.decide,
		Host: exit.Host, Refused: s.fixtures})
	return exit, nil
}

// because is the machine's reason, or what the guest sent that ended it.
func (s *session) because(exit vm.Exit) string {
	if s.wrong != nil && exit.Fate == vm.Lost {
		return s.wrong.Error()
	}
	return exit.Reason
}

// fitting is how much more memory a machine needs that holds the files: those
// below /tmp may take up half of it.
func fitting(files []File) int {
	var sum int64
	for i := range files {
		sum += files[i].size
	}
	return int(sum>>20) * 5 / 2
}

// executor is the conversation about one program.
type executor struct {
	session *session
	p       *Program
	mu      sync.Mutex // several write
	w       *wire.Writer
	window  chan struct{}
	over    chan struct{} // closed once the program has ended
	exit    *wire.Exit
	back    *os.File // a file that comes back
}

// converse sends the program and takes in what it says, until the machine has
// no more to say.
func (x *executor) converse() error {
	r := wire.NewReader(x.session.m.Control())
	for {
		x.expect()
		kind, payload, err := r.Read()
		x.session.m.Relax() // whoever reads what the program writes may take their time
		if errors.Is(err, io.EOF) {
			return x.closeBack()
		}
		if err == nil {
			err = x.record(kind, payload)
		}
		if err != nil {
			return err
		}
	}
}

// How long the agent may take to its hello, and to a next record: it says
// that it is alive every few seconds. A console that goes on says nothing of it.
const (
	helloDeadline = 5 * time.Minute
	aliveDeadline = 15 * wire.AliveEvery
)

func (x *executor) expect() {
	if x.session.hello.IsZero() {
		in := x.session.m.Scale(helloDeadline)
		x.session.m.Expect(in, fmt.Sprintf("no hello in %s", in))
		return
	}
	in := x.session.m.Scale(cmp.Or(x.session.trial.lab.caseDeadline, aliveDeadline))
	x.session.m.Expect(in, fmt.Sprintf("the agent said nothing for %s, whatever the console prints", in))
}

func (x *executor) record(kind wire.Kind, payload []byte) error {
	if (kind == wire.KindHello) == !x.session.hello.IsZero() {
		return fmt.Errorf("%w: an unexpected %s record", wire.ErrCorrupt, kind)
	}
	switch kind {
	case wire.KindHello:
		h, err := x.session.meet(payload)
		if err != nil {
			return err
		}
		x.session.trial.out.Release = h.Release
		go x.start()
		return nil
	case wire.KindOutput:
		return x.output(payload)
	case wire.KindTaken:
		select {
		case <-x.window:
			return nil
		default:
			return fmt.Errorf("%w: the guest acknowledged input that was never sent", wire.ErrCorrupt)
		}
	case wire.KindAlive:
		return nil
	case wire.KindFile:
		return x.fetch(payload)
	case wire.KindExit:
		return x.ended(payload)
	case wire.KindDone:
		if err := x.session.healthy(payload); err != nil {
			return err
		}
		x.session.decide = time.Since(x.session.hello)
		x.session.m.Done()
		return nil
	}
	return fmt.Errorf("%w: a %s record is not about a program", wire.ErrCorrupt, kind)
}

func (x *executor) write(k wire.Kind, payload []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.w.Write(k, payload)
}

// start sends the files, the program, and then its input. A write fails only
// when the machine is gone, which the reader knows better.
func (x *executor) start() {
	for i := range x.p.Files {
		if err := x.p.Files[i].send(x.write); err != nil {
			x.session.m.Kill(err.Error())
			return
		}
	}
	payload, err := wire.EncodeJSON(x.p.Exec)
	if err != nil || x.write(wire.KindExec, payload) != nil {
		return
	}
	go x.signals()
	x.input()
}

// input sends what comes in on the standard input, as fast as it is taken.
func (x *executor) input() {
	buf := make([]byte, 32<<10)
	for {
		n, err := 0, io.EOF
		if x.p.Stdin != nil {
			n, err = x.p.Stdin.Read(buf)
		}
		if n > 0 && !x.inputRecord(buf[:n]) {
			return
		}
		if err != nil {
			x.inputRecord(nil)
			return
		}
	}
}

func (x *executor) inputRecord(p []byte) bool {
	select {
	case x.window <- struct{}{}:
		return x.write(wire.KindInput, p) == nil
	case <-x.over:
		return false
	}
}

func (x *executor) signals() {
	for {
		select {
		case s := <-x.p.Signals:
			if payload, err := wire.EncodeJSON(s); err == nil {
				x.write(wire.KindSignal, payload)
			}
		case <-x.over:
			return
		}
	}
}

// output hands on what the program wrote. When nobody reads it any more the
// program gets the signal that it would get here.
func (x *executor) output(payload []byte) error {
	if len(payload) == 0 || payload[0] < 1 || payload[0] > 2 {
		return fmt.Errorf("%w: output of no stream", wire.ErrCorrupt)
	}
	to := x.p.Stdout
	if payload[0] == 2 {
		to = x.p.Stderr
	}
	resume := x.session.m.PauseQuiet() // a pager may wait for its user
	_, err := to.Write(payload[1:])
	if resume(); err != nil {
		if s, err := wire.EncodeJSON(wire.Signal{Number: int(syscall.SIGPIPE)}); err == nil {
			x.write(wire.KindSignal, s)
		}
	}
	return nil
}

// fetch stores a file that the program wrote, where the user asked for it.
func (x *executor) fetch(payload []byte) error {
	f, err := wire.DecodeFile(payload)
	if err != nil {
		return err
	}
	if !f.More {
		if err := x.closeBack(); err != nil {
			return err
		}
		if !slices.Contains(x.p.Get, f.Path) {
			return fmt.Errorf("%w: %s comes back and was not asked for", wire.ErrCorrupt, f.Path)
		}
		if x.back, err = os.Create(f.Path); err != nil {
			return fmt.Errorf("store what comes back: %w", err)
		}
	}
	if x.back == nil {
		return fmt.Errorf("%w: the rest of a file that did not begin", wire.ErrCorrupt)
	}
	if _, err := x.back.Write(f.Data); err != nil {
		return fmt.Errorf("store what comes back: %w", err)
	}
	return nil
}

func (x *executor) closeBack() error {
	if x.back == nil {
		return nil
	}
	err := x.back.Close()
	x.back = nil
	if err != nil {
		return fmt.Errorf("store what comes back: %w", err)
	}
	return nil
}

func (x *executor) ended(payload []byte) error {
	var e wire.Exit
	if err := wire.DecodeJSON(payload, &e); err != nil {
		return err
	}
	if x.exit != nil {
		return fmt.Errorf("%w: the program ended twice", wire.ErrCorrupt)
	}
	x.exit = &e
	x.session.m.Disown(e.Words)
	close(x.over)
	return x.write(wire.KindBye, nil)
}

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

	"tokentest/harness/arch"
	"tokentest/harness/result"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// Program is a program to run in a machine, as exec.Cmd is one to run on the host.
type Program struct {
	wire.Exec
	Files   []File             // the files that it needs, with the program itself
	Own     int                // how many of the first files are the program and what it loads
	Name    string             // of the program as it was given, unless that was a path; see fitTo
	MemMiB  int                // of the machine; 0 means enough for the kernel and the files
	CPUs    int                // of the machine; 0 means one
	Append  []string           // further kernel arguments
	Shell   bool               // the program is one of u-root's, which the image then holds
	Extras  bool               // the image holds u-root's commands, if they can be built
	Stdin   io.Reader          // nil is empty
	Stdout  io.Writer          // must not be nil
	Stderr  io.Writer          // must not be nil
	Signals <-chan wire.Signal // signals and terminal sizes to pass on; nil is none
}

// Ended is how a program and its machine ended.
type Ended struct {
	Kernel *result.KernelRun // with one boot
	Exit   *wire.Exit        // nil if the machine ended before the program
}

// programDeadline ends a machine whose program does not end, unless Lab.Deadline is set.
const programDeadline = 24 * time.Hour

// Exec runs a program in a machine of its own. An error is the host's fault or a mistake of
// the caller; the result says how the machine ended.
func (l *Lab) Exec(ctx context.Context, ref string, p *Program) (*Ended, error) {
	return l.runner().exec(ctx, ref, p)
}

func (r *runner) exec(ctx context.Context, ref string, p *Program) (*Ended, error) {
	out := &Ended{Kernel: &result.KernelRun{Ref: ref}}
	t, err := r.forProgram(ctx, p, out.Kernel)
	if err != nil {
		return nil, err
	}
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

// forProgram prepares machines for a program.
func (r *runner) forProgram(ctx context.Context, p *Program, out *result.KernelRun) (*trial, error) {
	t, err := r.prepare(ctx, out.Ref, out, &result.Run{})
	if err != nil {
		return nil, err
	}
	if err := p.fitTo(arch.Or(t.kernel.Arch)); err != nil {
		return nil, err
	}
	t.dir, t.program = r.lab.Dir, true
	if p.Shell || p.Extras {
		err := t.withShell(ctx)
		switch {
		case err == nil:
		case p.Shell || ctx.Err() != nil:
			return nil, err
		default:
			r.lab.log("u-root's commands are not in the machine: %v", err)
		}
	}
	t.memMiB, t.cpus, t.arguments = t.memory(p.MemMiB, memoryFor(p.Files)), p.CPUs, p.Append
	return t, nil
}

// SavedFor is Saved for machines that run a program.
func (l *Lab) SavedFor(ctx context.Context, ref string, p *Program) (*vm.Snapshot, error) {
	t, err := l.runner().forProgram(ctx, p, &result.KernelRun{Ref: ref})
	if err != nil {
		return nil, err
	}
	return t.saved(ctx)
}

// exec starts one machine for the program, and records in out how both ended.
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
		x = executor{
			session: s, p: p, w: wire.NewWriter(s.m.Control()),
			window: make(chan struct{}, wire.InputWindow), over: make(chan struct{}), modules: t.modules(inner),
		}
		if s.wrong = x.converse(); s.wrong != nil {
			stop(s.wrong)
		}
	}
	out.Exit = x.exit
	exit = s.m.Wait()
	t.bootedPacked(exit)
	s.trial.symbolise(exit.Findings)
	for i := range exit.Findings {
		exit.Findings[i].Case = p.Args[0]
	}
	out.Kernel.Boots = append(out.Kernel.Boots, result.Boot{
		Dir: "boot0", Began: t.began(s.m), Fate: exit.Fate, Signal: exit.Signal, Reason: s.reason(exit),
		Findings: exit.Findings, Boot: exit.Boot, Total: exit.Total, Decide: s.decide, Host: exit.Host, Refused: s.fixtures,
	})
	return exit, nil
}

// reason is what the guest sent that ended the machine, else the machine's own reason.
func (s *session) reason(exit vm.Exit) string {
	if s.wrong != nil && exit.Fate == vm.Lost {
		return s.wrong.Error()
	}
	return exit.Reason
}

// memoryFor is how many MiB more a machine needs that holds the files: those below /tmp
// may take half of its memory.
func memoryFor(files []File) int { return int(Size(files)>>20) * 5 / 2 }

// executor is the conversation about one program.
type executor struct {
	session *session
	p       *Program
	mu      sync.Mutex // protects w
	w       *wire.Writer
	window  chan struct{} // holds a token for each input record that is not acknowledged
	over    chan struct{} // closed once the program has ended
	exit    *wire.Exit
	back    *os.File // the file that the guest is sending back
	modules *modules
}

// converse sends the program and passes on its output until the machine ends.
func (x *executor) converse() error {
	r := wire.NewReader(x.session.m.Control())
	for {
		x.expect()
		kind, payload, err := r.Read()
		x.session.m.Relax() // the reader of the output may be slow
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

// expect sets the deadline of the agent's next record. Console output does not extend it.
func (x *executor) expect() {
	if x.session.hello.IsZero() {
		in := x.session.m.Scale(x.session.trial.deadlines.hello)
		x.session.m.Expect(in, fmt.Sprintf("no hello in %s", in))
		return
	}
	in := x.session.m.Scale(x.session.trial.deadlines.alive)
	x.session.m.Expect(in, fmt.Sprintf("the agent said nothing for %s, whatever the console prints", in))
}

func (x *executor) record(kind wire.Kind, payload []byte) error {
	if (kind == wire.KindHello) == !x.session.hello.IsZero() {
		return fmt.Errorf("%w: an unexpected %s record", wire.ErrCorrupt, kind)
	}
	switch kind {
	case wire.KindHello:
		h, err := x.session.checkHello(payload)
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
	case wire.KindModule:
		var q wire.ModuleRequest
		if err := wire.DecodeJSON(payload, &q); err != nil {
			return err
		}
		go x.module(q.Name) // it may have to be fetched first
		return nil
	case wire.KindExit:
		return x.ended(payload)
	case wire.KindDone:
		if err := x.session.storeHealth(payload); err != nil {
			return err
		}
		x.session.decide = time.Since(x.session.hello)
		x.session.m.Done()
		return nil
	}
	return fmt.Errorf("%w: a %s record does not belong to a program", wire.ErrCorrupt, kind)
}

func (x *executor) write(k wire.Kind, payload []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.w.Write(k, payload)
}

// start sends the files, the program, and then its input. A write fails only if the
// machine is gone, which the reader reports.
func (x *executor) start() {
	files := slices.Concat(x.configuration(), x.p.Files)
	for i := range files {
		if err := files[i].send(x.write); err != nil {
			x.session.m.Kill(err.Error())
			return
		}
	}
	e := x.p.Exec
	e.Now = time.Now().UnixNano()
	payload, err := wire.EncodeJSON(e)
	if err != nil || x.write(wire.KindExec, payload) != nil {
		return
	}
	go x.signals()
	x.input()
}

// configuration is the kernel's configuration, where programs look for it.
func (x *executor) configuration() []File {
	t := x.session.trial
	if t.kernel.ConfigPath == "" || x.p.Root != "" {
		return nil
	}
	files, err := Gather(t.kernel.ConfigPath, "/boot/config-"+t.out.Release)
	if err != nil {
		t.lab.log("the kernel's configuration is not in the machine: %v", err)
	}
	return files
}

// input sends the standard input as fast as the guest acknowledges it.
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

// output passes on the program's output. If nobody reads it any more, the program gets
// SIGPIPE, as it would on the host.
func (x *executor) output(payload []byte) error {
	if len(payload) == 0 || payload[0] < 1 || payload[0] > 2 {
		return fmt.Errorf("%w: output of an unknown stream", wire.ErrCorrupt)
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

// fetch stores a file of Program.Get that the guest sends back.
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
			return fmt.Errorf("%w: the guest sent %s, which was not requested", wire.ErrCorrupt, f.Path)
		}
		if x.back, err = os.Create(f.Path); err != nil {
			return fmt.Errorf("store a file of the guest: %w", err)
		}
	}
	if x.back == nil {
		return fmt.Errorf("%w: the rest of a file without its start", wire.ErrCorrupt)
	}
	if _, err := x.back.Write(f.Data); err != nil {
		return fmt.Errorf("store a file of the guest: %w", err)
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
		return fmt.Errorf("store a file of the guest: %w", err)
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

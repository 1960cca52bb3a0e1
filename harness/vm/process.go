package vm

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"tokentest/harness/child"
)

// process is a running QEMU. It dies with this program, whatever ends that.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it is gone and reaped
	end  time.Time     // set before done is closed
}

// startProcess starts a program in a process group of its own, with files as
// descriptors 3 and up. complain gets each line of its stderr, and returns true to kill
// it.
func startProcess(path string, args []string, files []*os.File, complain func(string) bool) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), done: make(chan struct{})}
	errs := &lineWriter{each: func(line string) {
		if complain(line) {
			p.kill()
		}
	}}
	p.cmd.Stderr = errs
	p.cmd.ExtraFiles = files
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go p.attend(started, errs)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// attend starts the program and reaps it. The kernel sends the parent-death signal when
// the *thread* that forked ends, so this goroutine keeps its thread until the program is
// gone.
func (p *process) attend(started chan<- error, errs *lineWriter) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	ended := child.Guard(p.cmd.Process.Pid) // a wrapper's children
	p.cmd.Wait()                            // the outcome is in cmd.ProcessState
	defer ended()
	p.end = time.Now()
	p.killGroup() // a wrapper's children
	errs.flush()
	close(p.done)
}

func (p *process) kill() {
	if !p.gone() {
		p.killGroup()
		p.cmd.Process.Kill()
	}
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// halted reports whether a signal such as SIGSTOP has stopped the program.
func (p *process) halted() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, ok := strings.Cut(string(text), ") ")
	return err == nil && ok && (rest[:1] == "T" || rest[:1] == "t")
}

func (p *process) killGroup() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

// outcome is the exit status, and the signal if one ended it.
func (p *process) outcome() (code int, signal syscall.Signal) {
	ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return -1, ws.Signal()
	}
	return p.cmd.ProcessState.ExitCode(), 0
}

// maxComplaint is how many bytes of one line of QEMU's stderr are kept together.
const maxComplaint = 1024

// lineWriter passes on whole lines.
type lineWriter struct {
	each func(string)
	part []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 && len(w.part) < maxComplaint {
			return len(p), nil
		}
		if i < 0 {
			i = len(w.part) - 1
		}
		w.emit(w.part[:i])
		w.part = w.part[i+1:]
	}
}

func (w *lineWriter) flush() {
	w.emit(w.part)
	w.part = nil
}

func (w *lineWriter) emit(line []byte) {
	if s := strings.TrimSpace(string(line)); s != "" {
		w.each(s)
	}
}

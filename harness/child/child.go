// Package child runs programs that end when this process ends, also by SIGKILL, together
// with everything that they started.
//
// It is for QEMU, apt, git, make and compilers on the host. It does not run programs in a
// guest; package guest does.
//
// Start with Command, which is like exec.CommandContext.
package child

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Cmd is an exec.Cmd whose program has a process group of its own. When the context ends,
// the group gets SIGTERM, on which git and make remove incomplete files, and then SIGKILL.
// Files in ExtraFiles stay open in the program, and so do the locks on them.
type Cmd struct {
	*exec.Cmd
	ended chan struct{} // closed once the program is reaped
}

// killAfter is the time between SIGTERM and SIGKILL.
const killAfter = 300 * time.Millisecond

// Command prepares a program. The caller may set the fields of exec.Cmd, except SysProcAttr
// and Cancel.
func Command(ctx context.Context, name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ended: make(chan struct{})}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c.WaitDelay = 5 * time.Second
	c.Cancel = func() error {
		err := c.signal(syscall.SIGTERM)
		time.AfterFunc(killAfter, func() { c.signal(syscall.SIGKILL) })
		return err
	}
	return c
}

// signal sends a signal to the program and everything that it started, unless it has ended.
func (c *Cmd) signal(s syscall.Signal) error {
	select {
	case <-c.ended:
		return nil
	default:
		return syscall.Kill(-c.Process.Pid, s)
	}
}

// Start starts the program. The kernel sends the parent-death signal when the thread that
// forked ends, so Start keeps that thread until the program is gone.
func (c *Cmd) Start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.Cmd.Start()
		if err == nil {
			theGuard.add(c.Process.Pid)
		}
		started <- err
		if err == nil {
			<-c.ended
		}
	}()
	return <-started
}

// Wait waits until the program has ended, and kills what it leaves running.
func (c *Cmd) Wait() error {
	err := c.Cmd.Wait()
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // the group is mostly empty
	close(c.ended)
	theGuard.remove(c.Process.Pid)
	return err
}

// Run starts the program and waits for it.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("run a program: Stdout or Stderr is set already")
	}
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns its standard output and standard error.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("run a program: Stdout or Stderr is set already")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

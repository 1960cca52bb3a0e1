// Package child runs programs that end with this process, however it ends: with
// everything that they started, and also after SIGKILL.
//
// It is for QEMU, apt, git, make and compilers on the host. Programs in a guest are
// not its subject; package guest runs them.
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

// Cmd is an exec.Cmd whose program has a process group of its own. The group is
// ended with the context: by SIGTERM, upon which git and make remove what is
// half done, and then by SIGKILL. Files in ExtraFiles stay open in the program,
// and with them the locks on them.
type Cmd struct {
	*exec.Cmd
	ended chan struct{} // closed once the program is reaped
}

// patience is how long a program may take to end after SIGTERM.
const patience = 300 * time.Millisecond

// Command prepares a program. Set what exec.Cmd has, but neither SysProcAttr
// nor Cancel.
func Command(ctx context.Context, name string, args ...string) *Cmd {
	c := &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ended: make(chan struct{})}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	c.WaitDelay = 5 * time.Second
	c.Cancel = func() error {
		err := c.signal(syscall.SIGTERM)
		time.AfterFunc(patience, func() { c.signal(syscall.SIGKILL) })
		return err
	}
	return c
}

// signal sends a signal to the program and to all that it has started, unless
// it has ended.
func (c *Cmd) signal(s syscall.Signal) error {
	select {
	case <-c.ended:
		return nil
	default:
		return syscall.Kill(-c.Process.Pid, s)
	}
}

// Start starts the program. The kernel sends the parent-death signal when the
// thread that forked ends, so that one is kept until the program is gone.
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

// Wait waits until the program has ended, and ends what it leaves behind.
func (c *Cmd) Wait() error {
	err := c.Cmd.Wait()
	syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // there is most often nothing
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

// Output runs the program and returns what it prints.
func (c *Cmd) Output() ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("the output goes elsewhere already")
	}
	var out bytes.Buffer
	c.Stdout = &out
	err := c.Run()
	return out.Bytes(), err
}

// CombinedOutput runs the program and returns what it prints and complains of.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	if c.Stdout != nil || c.Stderr != nil {
		return nil, errors.New("the output goes elsewhere already")
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

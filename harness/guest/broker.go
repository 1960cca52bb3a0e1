package guest

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// delegate makes a bpffs that an actor owns. It takes two processes:
//  1. The actor, in its user and mount namespace, calls fsopen("bpf") and
//     sends the context to the broker.
//  2. The broker, in the initial namespaces, sets the options and creates the
//     superblock.
//  3. The actor mounts it and opens its root.
func (g *agent) delegate(p *player, s *step.Step) (step.Observation, error) {
	p.pending.add(verbOpen)
	p.pending.gives++
	fds, err := g.flush(p)
	if err != nil {
		return step.Observation{}, err
	}
	context := fds[len(fds)-1]
	defer unix.Close(context)
	if errno := configure(context, g.btf.options(s.Args)); errno != 0 {
		return step.Observation{Errno: errno}, nil
	}
	at := place(s, step.KeyAt)
	p.pending.add(verbMount, append([]byte{byte(s.Out)}, at...)...)
	p.pending.shown = p.pending.shown || at != ""
	p.forgetGiven()
	return step.Observation{Proof: step.Works}, nil
}

// configure sets the options in their order and creates the superblock.
func configure(context int, args []step.Arg) uapi.Errno {
	for _, a := range args {
		if a.Key.MountOption() == "" {
			continue
		}
		if err := unix.FsconfigSetString(context, a.Key.MountOption(), a.Str); err != nil {
			return errnoOf(err)
		}
	}
	return errnoOf(unix.FsconfigCreate(context))
}

// playOne has an actor run a single step, now.
func (g *agent) playOne(p *player, s *step.Step) (step.Observation, error) {
	seen := make([]step.Observation, 1)
	p.queue([]step.Step{*s}, seen)
	_, err := g.flush(p)
	return seen[0], err
}

// closeCopies has every actor take what was sent to it, and closes the broker's
// copies: they would keep a mount busy.
func (g *agent) closeCopies() error {
	for _, p := range g.players {
		if len(p.pending.acts) > 0 && !p.absent {
			if _, err := g.flush(p); err != nil {
				return err
			}
		}
		p.forgetGiven()
	}
	return nil
}

// where asks an actor for its process and for the number of a descriptor.
func (g *agent) where(p *player, h step.Handle) (pid, fd int, err error) {
	seen := make([]step.Observation, 1)
	p.pending.add(verbWhere, byte(h))
	p.pending.want = append(p.pending.want, seen)
	if _, err := g.flush(p); err != nil {
		return 0, 0, err
	}
	return int(seen[0].Values[0]), int(int64(seen[0].Values[1])), nil
}

// takeFrom has an actor take a descriptor of another actor, by process and number.
func (g *agent) takeFrom(p *player, s *step.Step) (step.Observation, error) {
	who, _ := s.Num(step.KeyFrom)
	h, _ := s.Num(step.KeyHandle)
	victim, err := g.player(uint32(who))
	if err != nil {
		return step.Observation{}, err
	}
	pid, fd, err := g.where(victim, step.Handle(h))
	if err != nil {
		return step.Observation{}, err
	}
	aimed := *s
	aimed.Args = append(
		[]step.Arg{{Key: step.KeyPID, Num: uint64(pid)}, {Key: step.KeyNumber, Num: uint64(fd)}},
		s.Args...)
	return g.playOne(p, &aimed)
}

// umount unmounts once the broker's copies of descriptors are closed.
func (g *agent) umount(p *player, s *step.Step) (step.Observation, error) {
	if err := g.closeCopies(); err != nil {
		return step.Observation{}, err
	}
	return g.playOne(p, s)
}

// race has an actor do two things at once, or does one of them itself.
func (g *agent) race(p *player, s *step.Step) (step.Observation, error) {
	if what, _ := s.Num(step.KeyRace); step.Race(what) == step.RaceDelegateExit {
		return g.delegateExit(s)
	}
	return g.playOne(p, s)
}

// execAgain has an actor start its program again. The actor answers earlier acts first,
// because the new program does not know them.
func (g *agent) execAgain(p *player, _ *step.Step) (step.Observation, error) {
	if len(p.pending.acts) > 0 {
		if _, err := g.flush(p); err != nil {
			return step.Observation{}, err
		}
	}
	p.forgetGiven()
	p.pending.add(verbExec)
	_, err := g.flush(p)
	p.pending.add(verbTypes, g.types...)
	return step.Observation{}, err
}

func (g *agent) fork(p *player, s *step.Step) (step.Observation, error) {
	who, _ := s.Num(step.KeyTo)
	child, err := g.player(uint32(who))
	if err != nil {
		return step.Observation{}, err
	}
	if child.socket == noFD {
		return step.Observation{}, fmt.Errorf("actor %s was forked already", child.name)
	}
	p.pending.add(verbForkSharing, binary.NativeEndian.AppendUint32(nil, child.actor.As)...)
	p.pending.fds = append(p.pending.fds, child.socket)
	child.socket, child.absent = noFD, false
	_, err = g.flush(p)
	return step.Observation{}, err
}

// exit ends an actor's process and waits until it is gone.
func (g *agent) exit(p *player, _ *step.Step) (step.Observation, error) {
	if err := g.closeCopies(); err != nil {
		return step.Observation{}, err
	}
	pid, _, err := g.where(p, 0)
	if err != nil {
		return step.Observation{}, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return step.Observation{}, fmt.Errorf("watch actor %s: %w", p.name, err)
	}
	defer unix.Close(pidfd)
	unix.Close(p.link.fd)
	p.link.fd, p.absent = noFD, true
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, exitPatience); n == 0 || err != nil {
		return step.Observation{}, fmt.Errorf("actor %s does not exit", p.name)
	}
	if p.pid != 0 {
		var status syscall.WaitStatus
		syscall.Wait4(p.pid, &status, 0, nil)
		p.pid = 0
	}
	reap()
	return step.Observation{}, nil
}

const exitPatience = 5000 // milliseconds

// reap waits for the processes whose parent ended before them: they hold their
// namespaces until then.
func reap() {
	if os.Getpid() != 1 {
		return
	}
	for {
		var status syscall.WaitStatus
		if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
			return
		}
	}
}

// where answers the process's number and the number of a descriptor.
func (a *actor) where(h step.Handle) {
	fd, ok := a.handles[h]
	if !ok {
		fd = badFD
	}
	a.answer.seen = append(a.answer.seen, step.Observation{Values: []uint64{ownPID(), uint64(fd)}})
}

// ownPID is the process's number in the initial pid namespace, of which /proc is.
func ownPID() uint64 {
	self, err := os.Readlink("/proc/self")
	n, notNumber := strconv.ParseUint(self, 10, 32)
	if err != nil || notNumber != nil {
		return uint64(os.Getpid())
	}
	return n
}

// exec starts the program again, with the numbers of all descriptors. The new
// program finds out which ones the kernel closed.
func (a *actor) exec() error {
	for fd := actorLink; fd < actorCommands+fixCount; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keep descriptor %d over exec: %w", fd, err)
		}
	}
	args := []string{actorArg0, a.self.String(), handlesArg(a.handles) + ",resumed"}
	return fmt.Errorf("exec: %w", syscall.Exec(ownProgram, args, actorEnv))
}

// forkSharing forks an actor that inherits every descriptor.
func (a *actor) forkSharing(as uint32, socket int) error {
	defer unix.Close(socket)
	_, err := start(ownProgram, &syscall.SysProcAttr{}, self{as, a.bits}, socket, a.fix, handlesArg(a.handles)+",")
	return err
}

// resume continues in the program that exec or forkSharing started.
func (a *actor) resume(handles string) error {
	if err := a.inherit(handles); err != nil {
		return err
	}
	const resumed = ",resumed"
	if len(handles) >= len(resumed) && handles[len(handles)-len(resumed):] == resumed {
		if err := a.respond(); err != nil { // to the exec
			return err
		}
	}
	return a.serve()
}

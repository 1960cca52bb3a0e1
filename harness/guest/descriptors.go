package guest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

func (a *actor) dup(s *step.Step) (int, step.Observation) {
	return kept(unix.FcntlInt(uintptr(a.fd(s, step.KeyHandle)), unix.F_DUPFD_CLOEXEC, 0))
}

func (a *actor) cloexec(s *step.Step) (int, step.Observation) {
	flags := 0
	if on, _ := s.Num(step.KeyOn01); on != 0 {
		flags = unix.FD_CLOEXEC
	}
	_, err := unix.FcntlInt(uintptr(a.fd(s, step.KeyHandle)), unix.F_SETFD, flags)
	return done(err)
}

func (a *actor) userns(*step.Step) (int, step.Observation) {
	return kept(unix.Open("/proc/thread-self/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

func (a *actor) netns(*step.Step) (int, step.Observation) {
	return kept(unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0))
}

// setns calls setns(2) in a process of its own: a process with several threads may not.
func (a *actor) setns(s *step.Step) (int, step.Observation) {
	p, err := newRawProcess()
	if err != nil {
		return done(err)
	}
	defer p.free()
	enter := p.add(unix.SYS_SETNS, a.fd(s, step.KeyInside), unix.CLONE_NEWUSER)
	if err := p.start(); err != nil {
		return done(err)
	}
	p.wait()
	_, errno := p.got(enter)
	return noFD, step.Observation{Errno: errno}
}

// keeps is the set of capabilities that a process keeps.
type keeps struct {
	drops bool
	caps  uint64
}

// add has the process drop the others. The kernel never refuses that.
func (d keeps) add(p *rawProcess) {
	if !d.drops {
		return
	}
	word := func(b []byte, n uint32) []byte { return binary.NativeEndian.AppendUint32(b, n) }
	header, data := word(word(nil, unix.LINUX_CAPABILITY_VERSION_3), 0), []byte{}
	for _, half := range []uint32{uint32(d.caps), uint32(d.caps >> 32)} {
		data = word(word(word(data, half), half), 0) // effective, permitted, inheritable
	}
	p.add(unix.SYS_CAPSET, pointer(header), pointer(data))
}

// bpfInside makes a call of bpf(2) in a process that has entered a user
// namespace. The descriptor that the call makes is the actor's.
func bpfInside(userns int, then keeps, cmd uapi.Cmd, at, size uintptr) (int, uapi.Errno) {
	p, err := newRawProcess()
	if err != nil {
		return noFD, errnoOf(err)
	}
	defer p.free()
	enter := p.add(unix.SYS_SETNS, userns, unix.CLONE_NEWUSER)
	then.add(p)
	call := p.add(unix.SYS_BPF, int(cmd), at, size)
	if err := p.start(); err != nil {
		return noFD, errnoOf(err)
	}
	p.wait()
	if _, errno := p.got(enter); errno != 0 {
		return noFD, errno
	}
	return p.got(call)
}

// pidfdGetfd takes a descriptor by the process and the number that the broker
// has found out.
func (a *actor) pidfdGetfd(s *step.Step) (int, step.Observation) {
	pid, _ := s.Num(step.KeyPID)
	number, _ := s.Num(step.KeyNumber)
	pidfd, err := unix.PidfdOpen(int(pid), 0)
	if err != nil {
		return done(err)
	}
	defer unix.Close(pidfd)
	return kept(unix.PidfdGetfd(pidfd, int(number), 0))
}

// procOpen asks for O_PATH: to open a token for reading or writing makes a
// file that some kernels crash on.
func (a *actor) procOpen(s *step.Step) (int, step.Observation) {
	pid, _ := s.Num(step.KeyPID)
	number, _ := s.Num(step.KeyNumber)
	return kept(unix.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, number), unix.O_PATH|unix.O_CLOEXEC, 0))
}

func (a *actor) churn(s *step.Step) (int, step.Observation) {
	times, _ := s.Num(step.KeyTimes)
	bpffs := a.fd(s, step.KeyBPFFS)
	plain := &step.Step{}
	want := uapi.Errno(0)
	if has(s, step.KeyNoFD) {
		want = uapi.Errno(unix.EMFILE)
		defer limited(s)()
	}
	for range times {
		fd, errno := tokenCreate(0, bpffs, plain)
		if errno != want {
			return noFD, step.Observation{Errno: errno}
		}
		closeFD(fd)
	}
	return done(nil)
}

// race has another thread do one thing while this one does the other.
func (a *actor) race(s *step.Step) (int, step.Observation) {
	what, _ := s.Num(step.KeyRace)
	times, _ := s.Num(step.KeyTimes)
	r := newRacer()
	defer r.stop()
	seen := map[uapi.Errno]bool{}
	for range times {
		var err error
		switch step.Race(what) {
		case step.RaceCreateUmount:
			err = a.createUmount(r, place(s, step.KeyAt), seen)
		case step.RaceUseClose:
			err = a.useClose(r, a.fd(s, step.KeyToken), seen)
		default:
			err = unix.ENOSYS
		}
		if err != nil {
			return done(err)
		}
	}
	return noFD, step.Observation{Values: errnos(seen)}
}

func errnos(seen map[uapi.Errno]bool) []uint64 {
	var out []uint64
	for e := range seen {
		out = append(out, uint64(e))
	}
	slices.Sort(out)
	return out
}

// racer is a thread that does a job after a short random delay.
type racer struct {
	jobs chan func()
	done chan struct{}
}

func newRacer() *racer {
	r := &racer{make(chan func()), make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		for job := range r.jobs {
			wait := unix.NsecToTimespec(rand.Int64N(int64(racerDelay)))
			unix.Nanosleep(&wait, nil)
			job()
			r.done <- struct{}{}
		}
	}()
	return r
}

// racerDelay is what some calls under test take in an emulated guest.
const racerDelay = 2 * time.Millisecond

func (r *racer) stop() { close(r.jobs) }

// secondPlace is where the raced bpffs is mounted a second time.
var secondPlace = step.Places[4]

// createUmount makes tokens from a bpffs whose mount and descriptor go away.
func (a *actor) createUmount(r *racer, from string, seen map[uapi.Errno]bool) error {
	if err := unix.Mount(from, secondPlace, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	root, err := unix.Open(secondPlace, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	high, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, highFD)
	unix.Close(root)
	if err != nil {
		return err
	}
	r.jobs <- func() {
		unix.Unmount(secondPlace, unix.MNT_DETACH)
		unix.Close(high)
	}
	until(r, func() uapi.Errno {
		fd, errno := tokenCreate(0, high, &step.Step{})
		closeFD(fd)
		return errno
	}, seen)
	return nil
}

// highFD is a number that open(2) does not reach: a descriptor closed there stays closed.
const highFD = 700

func (a *actor) useClose(r *racer, token int, seen map[uapi.Errno]bool) error {
	high, err := unix.FcntlInt(uintptr(token), unix.F_DUPFD_CLOEXEC, highFD)
	if err != nil {
		return err
	}
	r.jobs <- func() { unix.Close(high) }
	until(r, func() uapi.Errno {
		fd, errno := a.mapCreate(uapi.BPF_MAP_TYPE_ARRAY, tokenArg{true, high}, &step.Step{}, fdArgs{})
		closeFD(fd)
		return errno
	}, seen)
	return nil
}

// until repeats a call until it is refused, and then waits for the racer.
func until(r *racer, call func() uapi.Errno, seen map[uapi.Errno]bool) {
	for {
		errno := call()
		seen[errno] = true
		if errno != 0 {
			<-r.done
			return
		}
		runtime.Gosched()
	}
}

// handlesArg lists which number has which descriptor, for a process that starts its
// program again.
func handlesArg(handles map[step.Handle]int) string {
	var out []string
	for h, fd := range handles {
		out = append(out, fmt.Sprintf("%d:%d", h, fd))
	}
	return strings.Join(out, ",")
}

// inherit takes over the descriptors that are still open.
func (a *actor) inherit(arg string) error {
	for _, pair := range strings.Split(arg, ",") {
		number, where, ok := strings.Cut(pair, ":")
		if !ok {
			continue
		}
		h, err := strconv.ParseUint(number, 10, 8)
		if err != nil {
			return fmt.Errorf("inherit a descriptor: %w", err)
		}
		fd, err := strconv.Atoi(where)
		if err != nil {
			return fmt.Errorf("inherit a descriptor: %w", err)
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			a.handles[step.Handle(h)] = fd
		}
	}
	return nil
}

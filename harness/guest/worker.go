package guest

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
)

// worker is a thread with exactly one set of capabilities (and, in the
// initial namespace, one uid). Capabilities are per thread, so an actor has a
// worker for each set that its steps ask for.
type worker struct {
	jobs chan func()
	done chan struct{}
}

// newWorker starts the thread and reads its credentials back to be sure.
func newWorker(uid uint32, caps uapi.CapSet) (*worker, error) {
	w := &worker{make(chan func()), make(chan struct{})}
	ready := make(chan error)
	go func() {
		// The thread is never unlocked: it ends with the goroutine, and its
		// credentials with it.
		runtime.LockOSThread()
		ready <- become(uid, caps)
		for job := range w.jobs {
			job()
			w.done <- struct{}{}
		}
	}()
	return w, <-ready
}

func (w *worker) do(job func()) {
	w.jobs <- job
	<-w.done
}

// become gives the calling thread, alone, a uid and exactly the capabilities
// in its effective and permitted sets, and none in the others.
func become(uid uint32, caps uapi.CapSet) error {
	full, err := capget()
	if err != nil {
		return err
	}
	if err := setUID(uid); err != nil {
		return err
	}
	want := uint64(caps)
	if caps>>63 != 0 { // "all", or all but some: what there is of it
		want &= full.permitted
	}
	if err := capset(capState{effective: want, permitted: want}); err != nil {
		return err
	}
	return readBack(uid, want)
}

// setUID changes the thread's uids and keeps the permitted capabilities until
// capset says which stay.
func setUID(uid uint32) error {
	if uint32(unix.Geteuid()) == uid {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities over setresuid: %w", err)
	}
	for _, nr := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		// Raw: the library's call would change every thread.
		if _, _, errno := unix.RawSyscall(nr, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			return fmt.Errorf("become uid %d: %w", uid, errno)
		}
	}
	return nil
}

// readBack makes sure that the thread is what the case says, and can raise
// nothing more.
func readBack(uid uint32, want uint64) error {
	got, err := capget()
	switch {
	case err != nil:
		return err
	case got != capState{effective: want, permitted: want}:
		return fmt.Errorf("read back capabilities: effective %#x, permitted %#x, inheritable %#x, want %#x", got.effective, got.permitted, got.inheritable, want)
	}
	euid, _, _ := unix.RawSyscall(unix.SYS_GETEUID, 0, 0, 0)
	if uint32(euid) != uid {
		return fmt.Errorf("read back uid: %d, want %d", euid, uid)
	}
	return nil
}

type capState struct{ effective, permitted, inheritable uint64 }

func capget() (capState, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return capState{}, fmt.Errorf("read capabilities: %w", errno)
	}
	join := func(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }
	return capState{join(data[0].Effective, data[1].Effective), join(data[0].Permitted, data[1].Permitted), join(data[0].Inheritable, data[1].Inheritable)}, nil
}

func capset(s capState) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(s.effective), Permitted: uint32(s.permitted), Inheritable: uint32(s.inheritable)},
		{Effective: uint32(s.effective >> 32), Permitted: uint32(s.permitted >> 32), Inheritable: uint32(s.inheritable >> 32)},
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	return nil
}

// step makes one call of an actor's worker and looks at what it made.
func (a *actor) step(s *program.Step) program.Observation {
	if has(s, program.KeyInside) && s.Op != program.OpSetns {
		s = a.inside(s)
	}
	if has(s, program.KeyFromKernel) {
		s = withNumber(s, program.KeyFromKernel, a.fix.commands[fixLoader])
	}
	if has(s, program.KeyTime) {
		return a.timed(s)
	}
	t, _ := s.Num(program.KeyType)
	switch s.Op {
	case program.OpTokenCreate:
		fd, errno := a.request(s)
		return a.keep(s, fd, program.Observation{Errno: errno})
	case program.OpLibrary:
		return a.library(s)
	case program.OpReopen:
		return a.reopen(s)
	case program.OpMapCreate:
		fd, errno := a.request(s)
		return a.made(s, uapi.BPF_MAP_CREATE, fd, errno, uint32(t))
	case program.OpProgLoad:
		fd, errno := a.request(s)
		return a.made(s, uapi.BPF_PROG_LOAD, fd, errno, uint32(t))
	case program.OpBTFLoad:
		fd, errno := a.request(s)
		return a.made(s, uapi.BPF_BTF_LOAD, fd, errno, 0)
	case program.OpCall:
		return a.command(s)
	case program.OpClose:
		h, _ := s.Num(program.KeyHandle)
		return program.Observation{Errno: a.close(program.Handle(h))}
	}
	return a.more(s)
}

// inside puts the descriptor's number in the place of the handle of the user
// namespace that the call is to be made in.
func (a *actor) inside(s *program.Step) *program.Step {
	return withNumber(s, program.KeyInside, a.fd(s, program.KeyInside))
}

// withNumber puts a descriptor's number in the place of an argument.
func withNumber(s *program.Step, k program.Key, fd int) *program.Step {
	c := *s
	c.Args = slices.Clone(s.Args)
	for i := range c.Args {
		if c.Args[i].Key == k {
			c.Args[i].Num = uint64(fd)
		}
	}
	return &c
}

// request makes the call of a step that makes an object.
func (a *actor) request(s *program.Step) (fd int, errno uapi.Errno) {
	t, _ := s.Num(program.KeyType)
	switch s.Op {
	case program.OpTokenCreate:
		flags, _ := s.Num(program.KeyFlags)
		return tokenCreate(uint32(flags), a.fd(s, program.KeyBPFFS), s)
	case program.OpMapCreate:
		return a.mapCreate(uapi.MapType(t), a.token(s), s, a.fdArgs(s))
	case program.OpProgLoad:
		at, _ := s.Num(program.KeyAttach)
		return a.progLoad(uapi.ProgType(t), uapi.AttachType(at), a.token(s), s, a.fdArgs(s))
	case program.OpBTFLoad:
		blob := intBlob()
		if has(s, program.KeyLock) {
			blob = lockBlob()
		}
		if has(s, program.KeyJunk) {
			blob[0]++ // the magic
		}
		return btfLoad(blob, a.token(s), s)
	}
	return noFD, uapi.Errno(unix.ENOSYS)
}

// made proves that an object works, then keeps it or lets it go.
func (a *actor) made(s *program.Step, cmd uapi.Cmd, fd int, errno uapi.Errno, wantType uint32) program.Observation {
	o := program.Observation{Errno: errno}
	if errno == 0 {
		o.Proof = prove(cmd, fd, wantType)
	}
	return a.keep(s, fd, o)
}

func (a *actor) keep(s *program.Step, fd int, o program.Observation) program.Observation {
	if o.Errno != 0 {
		return o
	}
	if s.Op == program.OpTokenCreate {
		a.unproven = append(a.unproven, fd)
	}
	if s.Out != 0 {
		a.set(s.Out, fd)
	} else if s.Op != program.OpTokenCreate {
		unix.Close(fd)
	}
	return o
}

// fd returns the descriptor behind a handle argument, one that is not open
// where the actor has none.
func (a *actor) fd(s *program.Step, k program.Key) int {
	h, _ := s.Num(k)
	if fd, ok := a.handles[program.Handle(h)]; ok {
		return fd
	}
	return badFD
}

func (a *actor) token(s *program.Step) tokenArg {
	switch {
	case has(s, program.KeyToken):
		return tokenArg{true, a.fd(s, program.KeyToken)}
	case has(s, program.KeyTokenFD):
		return tokenArg{false, a.fd(s, program.KeyTokenFD)}
	}
	return tokenArg{}
}

func (a *actor) fdArgs(s *program.Step) fdArgs {
	get := func(k program.Key) *int {
		if !has(s, k) {
			return nil
		}
		fd := a.fd(s, k)
		return &fd
	}
	return fdArgs{get(program.KeyInner), get(program.KeyBTF), get(program.KeyAttachFD), get(program.KeyMap)}
}

func (a *actor) set(h program.Handle, fd int) {
	if old, ok := a.handles[h]; ok {
		unix.Close(old)
	}
	a.handles[h] = fd
}

func (a *actor) close(h program.Handle) uapi.Errno {
	fd, ok := a.handles[h]
	if !ok {
		return uapi.Errno(unix.EBADF)
	}
	delete(a.handles, h)
	if err := unix.Close(fd); err != nil {
		return uapi.Errno(err.(unix.Errno))
	}
	return 0
}

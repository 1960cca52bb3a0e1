package guest

import (
	"strconv"

	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// worker is a thread with exactly one set of capabilities (and, in the
// initial namespace, one uid). Capabilities are per thread, so an actor has a
// worker for each set that its steps ask for.
type worker struct {
	jobs chan func()
	done chan struct{}
}

// newWorker starts the thread and reads its credentials back to be sure.
func newWorker(who identity, dumpable bool) (*worker, error) {
	w := &worker{make(chan func()), make(chan struct{})}
	ready := make(chan error)
	go func() {
		// The thread is never unlocked: it ends with the goroutine, and its
		// credentials with it.
		runtime.LockOSThread()
		err := become(who.self, who.caps)
		if err == nil && who.sandbox {
			err = sandbox()
		}
		if err == nil && who.domain != 0 {
			err = enterDomain(who.domain)
		}
		if err == nil && dumpable {
			err = stayDumpable()
		}
		ready <- err
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

// sandbox gives the calling thread, alone, a Landlock domain without a rule.
func sandbox() error {
	rules := unix.LandlockRulesetAttr{Handled_access_fs: 1<<(1+firstOfFS) - 1}
	fd, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rules)), rulesetV1, 0)
	if errno != 0 {
		return fmt.Errorf("make a Landlock ruleset: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enter a Landlock domain: %w", errno)
	}
	return nil
}

const (
	firstOfFS = 12 // the last right of the first version, LANDLOCK_ACCESS_FS_MAKE_SYM
	rulesetV1 = 8  // the length of struct landlock_ruleset_attr there
)

// become gives the calling thread, alone, a uid and securebits, exactly the capabilities
// in its effective and permitted sets, and none in the others.
func become(as self, caps uapi.CapSet) error {
	full, err := capget()
	if err != nil {
		return err
	}
	if err := setUID(as.uid); err != nil {
		return err
	}
	if as.bits != 0 { // for which it needs CAP_SETPCAP
		if err := capset(capState{effective: full.permitted, permitted: full.permitted}); err != nil {
			return err
		}
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(as.bits), 0, 0, 0); err != nil {
			return fmt.Errorf("set the securebits %#x: %w", as.bits, err)
		}
	}
	want := uint64(caps)
	if caps>>63 != 0 { // "all", or all but some: what there is of it
		want &= full.permitted
	}
	if err := capset(capState{effective: want, permitted: want}); err != nil {
		return err
	}
	return readBack(as.uid, want)
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

// stayDumpable undoes what a change of uid does to the whole process: others could not
// look at it any more, and an actor in a user namespace is to look as if it had not made one.
func stayDumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("stay dumpable: %w", err)
	}
	return nil
}

// readBack checks that the thread has the uid and exactly the capabilities of the step.
func readBack(uid uint32, want uint64) error {
	got, err := capget()
	switch {
	case err != nil:
		return err
	case got != capState{effective: want, permitted: want}:
		return fmt.Errorf(
			"read back capabilities: effective %#x, permitted %#x, inheritable %#x, want %#x",
			got.effective,
			got.permitted,
			got.inheritable,
			want,
		)
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
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPGET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])),
		0); errno != 0 {
		return capState{}, fmt.Errorf("read capabilities: %w", errno)
	}
	join := func(lo, hi uint32) uint64 { return uint64(hi)<<32 | uint64(lo) }
	return capState{
		join(data[0].Effective, data[1].Effective),
		join(data[0].Permitted, data[1].Permitted),
		join(data[0].Inheritable, data[1].Inheritable),
	}, nil
}

func capset(s capState) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{
		{Effective: uint32(s.effective), Permitted: uint32(s.permitted), Inheritable: uint32(s.inheritable)},
		{
			Effective:   uint32(s.effective >> 32),
			Permitted:   uint32(s.permitted >> 32),
			Inheritable: uint32(s.inheritable >> 32),
		},
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])),
		0); errno != 0 {
		return fmt.Errorf("set capabilities: %w", errno)
	}
	return nil
}

// step does one step of the actor, and keeps what it made.
func (a *actor) step(s *step.Step) step.Observation {
	if has(s, step.KeyInside) && s.Op != step.OpSetns {
		s = a.inside(s)
	}
	if has(s, step.KeyFromKernel) {
		s = withNumber(s, step.KeyFromKernel, a.fix.commands[fixLoader])
	}
	d := &doers[s.Op]
	switch {
	case has(s, step.KeyTime):
		return a.timed(s)
	case d.call != nil:
		fd, errno := d.call(a, s)
		return a.keep(s, fd, made(s, fd, errno))
	}
	fd, o := d.actor(a, s)
	return a.keep(s, fd, o)
}

// inside replaces the handle of the user namespace, in which the call is made, by the
// descriptor's number.
func (a *actor) inside(s *step.Step) *step.Step {
	return withNumber(s, step.KeyInside, a.fd(s, step.KeyInside))
}

// withNumber replaces an argument by a descriptor's number.
func withNumber(s *step.Step, k step.Key, fd int) *step.Step {
	c := *s
	c.Args = slices.Clone(s.Args)
	for i := range c.Args {
		if c.Args[i].Key == k {
			c.Args[i].Num = uint64(fd)
		}
	}
	return &c
}

func (a *actor) createToken(s *step.Step) (fd int, errno uapi.Errno) {
	flags, _ := s.Num(step.KeyFlags)
	if mask, err := strconv.ParseUint(str(s, step.KeyUmask), 8, 32); err == nil {
		defer unix.Umask(unix.Umask(int(mask)))
	}
	return tokenCreate(uint32(flags), a.fd(s, step.KeyBPFFS), s)
}

func (a *actor) createMap(s *step.Step) (fd int, errno uapi.Errno) {
	t, _ := s.Num(step.KeyType)
	return a.mapCreate(uapi.MapType(t), a.token(s), s, a.fdArgs(s))
}

func (a *actor) loadProg(s *step.Step) (fd int, errno uapi.Errno) {
	t, _ := s.Num(step.KeyType)
	at, _ := s.Num(step.KeyAttach)
	return a.progLoad(uapi.ProgType(t), uapi.AttachType(at), a.token(s), s, a.fdArgs(s))
}

func (a *actor) loadBTF(s *step.Step) (fd int, errno uapi.Errno) {
	blob := bodies.IntBTF().Bytes()
	if f, ok := s.Num(step.KeyField); ok {
		blob = bodies.FieldBTF(step.Field(f)).Bytes()
	}
	if has(s, step.KeyLock) {
		blob = bodies.LockBTF().Bytes()
	}
	if has(s, step.KeyLoop) {
		blob = bodies.LoopBTF().Bytes()
	}
	if has(s, step.KeyJunk) {
		blob[0]++ // the magic
	}
	return btfLoad(blob, a.token(s), s)
}

// made proves that an object works; of a token proveTokens does.
func made(s *step.Step, fd int, errno uapi.Errno) step.Observation {
	o := step.Observation{Errno: errno, Text: inCommon(s)}
	if cmd := doers[s.Op].proves; errno == 0 && cmd != uapi.BPF_TOKEN_CREATE {
		t, _ := s.Num(step.KeyType)
		o.Proof = prove(cmd, fd, uint32(t))
	}
	return o
}

// keep keeps the descriptor that a step made, or lets it go.
func (a *actor) keep(s *step.Step, fd int, o step.Observation) step.Observation {
	if o.Errno != 0 || fd == noFD {
		return o
	}
	token := s.Op == step.OpTokenCreate
	if token {
		a.unproven = append(a.unproven, fd)
	}
	switch {
	case s.Out != 0:
		a.set(s.Out, fd)
	case !token:
		unix.Close(fd)
	}
	return o
}

// closeStep closes a descriptor.
func (a *actor) closeStep(s *step.Step) (int, step.Observation) {
	h, _ := s.Num(step.KeyHandle)
	return noFD, step.Observation{Errno: a.close(step.Handle(h))}
}

// fd returns the descriptor of a handle argument, or badFD if the actor has none.
func (a *actor) fd(s *step.Step, k step.Key) int {
	h, _ := s.Num(k)
	if fd, ok := a.handles[step.Handle(h)]; ok {
		return fd
	}
	return badFD
}

func (a *actor) token(s *step.Step) tokenArg {
	switch {
	case has(s, step.KeyToken):
		return tokenArg{true, a.fd(s, step.KeyToken)}
	case has(s, step.KeyTokenFD):
		return tokenArg{false, a.fd(s, step.KeyTokenFD)}
	}
	return tokenArg{}
}

func (a *actor) fdArgs(s *step.Step) fdArgs {
	get := func(k step.Key) *int {
		if !has(s, k) {
			return nil
		}
		fd := a.fd(s, k)
		return &fd
	}
	return fdArgs{get(step.KeyInner), get(step.KeyBTF), get(step.KeyAttachFD), get(step.KeyMap), get(step.KeyBound)}
}

func (a *actor) set(h step.Handle, fd int) {
	if old, ok := a.handles[h]; ok {
		unix.Close(old)
	}
	a.handles[h] = fd
}

func (a *actor) close(h step.Handle) uapi.Errno {
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

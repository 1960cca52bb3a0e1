package guest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/wire"
)

// actor is the process of one actor: it serves the agent on its socket and runs each
// step on a worker thread with the step's capabilities.
type actor struct {
	caller
	link     link
	self          // its uid as the process's own namespace numbers it
	below    bool // it is in a user namespace below the initial one
	workers  map[identity]*worker
	handles  map[step.Handle]int
	context  int      // the bpffs that is being made
	places   []string // that the world has mounted something on
	mapped   [][]byte // memory of maps
	unproven []int    // tokens of this run whose masks are still to be read
	answer   answer
}

// answer is the result of a script so far.
type answer struct {
	seen  []step.Observation // of the steps of all runs
	cells *wire.Results      // instead, of a record's cells
	fds   []int
	// notOpen says that the actor does not have a descriptor that it was to send.
	notOpen bool
}

// self is what an actor's threads are.
type self struct {
	uid  uint32
	bits uint8 // their securebits
}

// selfForm is how an actor's process gets that as an argument.
const selfForm = "%d:%d"

func (s self) String() string { return fmt.Sprintf(selfForm, s.uid, s.bits) }

// noFD means no descriptor.
const noFD = -1

// The descriptors that an actor's process inherits.
const (
	actorLink = 3 + iota
	actorInner
	actorIntBTF
	actorExtTarget
	actorFuncBTF
	actorCommands // the first of the command fixtures
)

// actorArg0 is the name that an actor's process is started under; a user
// namespace needs a process of its own, because only a process with one thread can enter one.
const actorArg0 = "tokentest-actor"

// The first thread of an actor's process is never a worker: it keeps the
// capabilities that others see when they look at the process.
func init() {
	if IsActor() {
		runtime.LockOSThread()
	}
}

// runActor serves until the agent closes the socket.
func runActor(args []string) error {
	if len(args) != 2 && len(args) != 3 {
		return fmt.Errorf("start an actor: want UID:SECUREBITS [HANDLES]")
	}
	var is self
	if _, err := fmt.Sscanf(args[1], selfForm, &is.uid, &is.bits); err != nil {
		return fmt.Errorf("start an actor: %w", err)
	}
	for fd := actorLink; fd < actorCommands+fixCount; fd++ {
		unix.CloseOnExec(fd)
	}
	a := &actor{
		link:    link{actorLink},
		self:    is,
		below:   belowInitial(),
		workers: map[identity]*worker{},
		handles: map[step.Handle]int{},
		context: noFD,
	}
	a.fix = fixtures{inner: actorInner, intBTF: actorIntBTF, extTarget: actorExtTarget, funcBTF: actorFuncBTF}
	for i := range a.fix.commands {
		a.fix.commands[i] = actorCommands + i
	}
	calmRuntime()
	signal.Ignore(unix.SIGCHLD) // nothing waits for the processes that it forks
	if len(args) == 2 {
		return a.serve()
	}
	return a.resume(args[2])
}

// initialUserns is the link to the initial user namespace in /proc, whose number is PROC_USER_INIT_INO.
const initialUserns = "user:[4026531837]"

func belowInitial() bool {
	link, err := os.Readlink("/proc/self/ns/user")
	return err == nil && link != initialUserns
}

func (a *actor) serve() error {
	buf := make([]byte, maxMessage)
	for {
		message, fds, err := a.link.recv(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a.answer = answer{}
		if err := a.perform(message, fds); err != nil {
			err = a.link.send(append([]byte{answerError}, err.Error()...), nil)
			if err != nil {
				return err
			}
			continue
		}
		if err := a.respond(); err != nil {
			return err
		}
	}
}

func (a *actor) respond() error {
	r := a.answer.cells
	if r == nil {
		r = &wire.Results{Cells: [][]step.Observation{a.answer.seen}}
	}
	first := byte(answerOK)
	if a.answer.notOpen {
		first = answerEBADF
	}
	return a.link.send(append([]byte{first}, wire.EncodeResults(r)...), a.answer.fds)
}

// perform does the acts of a script in order.
func (a *actor) perform(message []byte, fds []int) error {
	acts, err := decodeScript(message)
	if err != nil {
		return err
	}
	for _, act := range acts {
		along := noFD
		if act.verb == verbTake || act.verb == verbFork || act.verb == verbForkSharing {
			if len(fds) == 0 {
				return errors.New("a descriptor is missing")
			}
			along, fds = fds[0], fds[1:]
		}
		if err := a.act(act, along); err != nil {
			return err
		}
	}
	return nil
}

func (a *actor) act(act act, along int) (err error) {
	switch act.verb {
	case verbForget:
		a.forget()
	case verbTypes:
		return json.Unmarshal(act.payload, &a.btf)
	case verbFork:
		return a.fork(act.payload, along)
	case verbTake:
		a.set(step.Handle(act.payload[0]), along)
	case verbOpen:
		return a.open()
	case verbMount:
		return a.mount(step.Handle(act.payload[0]), string(act.payload[1:]))
	case verbRun:
		return a.run(act.payload)
	case verbPID:
		a.answer.seen = append(a.answer.seen, step.Observation{Values: []uint64{ownPID()}})
	case verbWhere:
		a.where(step.Handle(act.payload[0]))
	case verbExec:
		return a.exec()
	case verbForkSharing:
		return a.forkSharing(binary.NativeEndian.Uint32(act.payload), along)
	case verbCells:
		return a.cells(act.payload)
	case verbGive:
		fd, ok := a.handles[step.Handle(act.payload[0])]
		if !ok {
			a.answer.notOpen = true
			return nil
		}
		a.answer.fds = append(a.answer.fds, fd)
	default:
		return fmt.Errorf("unknown verb %d", act.verb)
	}
	return nil
}

// open is the first step of the delegation: the context, and with it the
// bpffs, will belong to this process's user namespace.
func (a *actor) open() (err error) {
	closeFD(a.context)
	if a.context, err = unix.Fsopen("bpf", unix.FSOPEN_CLOEXEC); err != nil {
		return fmt.Errorf("fsopen bpf: %w", err)
	}
	a.answer.fds = append(a.answer.fds, a.context)
	return nil
}

func (a *actor) forget() {
	for h := range a.handles {
		a.close(h)
	}
	closeFD(a.context)
	a.context = noFD
	a.unmountAll()
	a.unmapAll()
}

// mount is the third step of the delegation: the created bpffs becomes a
// mount, at a place if the step names one, and its root directory a descriptor.
func (a *actor) mount(h step.Handle, at string) error {
	mnt, err := unix.Fsmount(a.context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fsmount bpf: %w", err)
	}
	defer unix.Close(mnt)
	closeFD(a.context)
	a.context = noFD
	if at != "" {
		if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount the bpffs at its place: %w", err)
		}
		a.places = append(a.places, at)
	}
	dir, err := unix.Openat(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0) // mnt itself is O_PATH
	if err != nil {
		return fmt.Errorf("open the root of the bpffs: %w", err)
	}
	if h == 0 {
		return unix.Close(dir)
	}
	a.set(h, dir)
	return nil
}

func (a *actor) run(payload []byte) error {
	steps, err := wire.DecodeSteps(payload)
	if err != nil {
		return err
	}
	seen, err := a.steps(steps)
	a.answer.seen = append(a.answer.seen, seen...)
	return err
}

// cells runs the cells of a record that are all its own.
func (a *actor) cells(payload []byte) error {
	c, err := wire.DecodeCells(payload)
	if err != nil {
		return err
	}
	seen, err := a.steps(joined(c.Cells))
	if err != nil {
		return err
	}
	a.answer.cells = resultsOf(c, seen)
	return nil
}

// steps runs steps in order, each on the worker with its capabilities, and
// reads the masks of the tokens that they made.
func (a *actor) steps(steps []step.Step) ([]step.Observation, error) {
	if err := knowsAll(steps); err != nil {
		return nil, err
	}
	results := make([]step.Observation, len(steps))
	proven := 0
	for i := 0; i < len(steps); {
		if losesToken(steps[proven:i], &steps[i]) {
			a.proveTokens(steps[proven:i], results[proven:i])
			proven = i
		}
		if byLeader(&steps[i]) {
			results[i] = a.step(&steps[i])
			i++
			continue
		}
		n := i + 1
		who := a.identityOf(&steps[i])
		for n < len(steps) && a.identityOf(&steps[n]) == who && !byLeader(&steps[n]) &&
			!losesToken(steps[proven:n], &steps[n]) {
			n++
		}
		w, err := a.worker(who)
		if err != nil {
			return nil, err
		}
		w.do(func() {
			for j := i; j < n; j++ {
				results[j] = a.step(&steps[j])
			}
		})
		i = n
	}
	a.proveTokens(steps[proven:], results[proven:])
	return results, nil
}

// byLeader reports whether the first thread does a step. That starts a program as well:
// it has all capabilities, and so can become what the program is to be.
func byLeader(s *step.Step) bool { return s.Op.Observes() || s.Op == step.OpRun }

// losesToken reports whether a step closes a token that earlier steps made, or
// replaces it: afterwards its number may be another file.
func losesToken(earlier []step.Step, s *step.Step) bool {
	lost := s.Out
	if s.Op == step.OpClose {
		h, _ := s.Num(step.KeyHandle)
		lost = step.Handle(h)
	}
	return lost != 0 &&
		slices.ContainsFunc(earlier, func(e step.Step) bool { return e.Op == step.OpTokenCreate && e.Out == lost })
}

// proveTokens reads the fdinfo of the tokens that the run made. It runs on the first
// thread, because a thread that dropped its privileges may not read fdinfo.
func (a *actor) proveTokens(steps []step.Step, results []step.Observation) {
	next := 0
	for i := range steps {
		if steps[i].Op != step.OpTokenCreate || results[i].Errno != 0 || has(&steps[i], step.KeyTime) {
			continue
		}
		fd := a.unproven[next]
		next++
		results[i].Proof, results[i].Values = proveNewToken(fd)
		if steps[i].Out == 0 {
			unix.Close(fd)
		}
	}
	a.unproven = a.unproven[:0]
}

// identity is as whom a worker makes calls.
type identity struct {
	self
	caps    uapi.CapSet
	sandbox bool // in a Landlock domain
	domain  step.Domain
}

func (a *actor) identityOf(s *step.Step) identity {
	domain, _ := s.Num(step.KeyDomain)
	who := identity{a.self, s.Caps, has(s, step.KeySandbox), step.Domain(domain)}
	if uid, ok := s.Num(step.KeyAsUID); ok {
		who.uid = uint32(uid)
	}
	return who
}

func (a *actor) worker(who identity) (*worker, error) {
	if w := a.workers[who]; w != nil {
		return w, nil
	}
	w, err := newWorker(who, a.below)
	if err != nil {
		return nil, err
	}
	a.workers[who] = w
	return w, nil
}

// fork starts an actor inside this one's namespaces, or in a child user
// namespace of them.
func (a *actor) fork(payload []byte, socket int) error {
	defer unix.Close(socket)
	var as step.Actor
	if err := json.Unmarshal(payload, &as); err != nil {
		return fmt.Errorf("fork an actor: %w", err)
	}
	if as.Kind != step.Userns {
		_, err := start(programOf(&as), &syscall.SysProcAttr{}, self{as.As, as.Bits}, socket, a.fix, "")
		return err
	}
	as.UID = 0
	_, err := startApart(&as, socket, a.fix)
	return err
}

// usernsAttr makes a process root of a user namespace of its own, and of the further
// namespaces of the actor; UID is the uid that the parent's namespace has for it.
func usernsAttr(a *step.Actor) *syscall.SysProcAttr {
	var ids []syscall.SysProcIDMap
	for _, l := range a.Lines(a.UID) {
		ids = append(ids, syscall.SysProcIDMap{ContainerID: int(l.Inner), HostID: int(l.Outer), Size: int(l.Count)})
	}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	if len(a.Map.Lines()) > 0 { // its uid 0 may be another than that of the creator
		attr.GidMappingsEnableSetgroups, attr.Credential = true, &syscall.Credential{}
	}
	if a.Mounts == step.MountsOwn {
		attr.Cloneflags |= syscall.CLONE_NEWNS
	}
	for is, flag := range map[step.Apart]uintptr{step.ApartNet: syscall.CLONE_NEWNET, step.ApartPID: syscall.CLONE_NEWPID,
		step.ApartCgroup: syscall.CLONE_NEWCGROUP} {
		if a.Apart&is != 0 {
			attr.Cloneflags |= flag
		}
	}
	return attr
}

// startApart starts an actor in a user namespace of its own. A mount namespace that is made
// before needs a thread of its own, which then forks and ends.
func startApart(a *step.Actor, socket int, fix fixtures) (pid int, err error) {
	if a.Mounts != step.MountsBefore {
		return start(programOf(a), usernsAttr(a), self{0, a.Bits}, socket, fix, "")
	}
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			err = fmt.Errorf("make a mount namespace: %w", err)
			return
		}
		pid, err = start(programOf(a), usernsAttr(a), self{0, a.Bits}, socket, fix, "")
	})
	return pid, err
}

// onThread calls f on a thread that ends with it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// actorEnv keeps Go's runtime from interrupting waits and from collecting garbage,
// of which a run makes little.
var actorEnv = []string{wire.GoDebug, "GOGC=off"}

// start starts an actor's process: a program of the agent under another name. handles, as
// handlesArg writes it, names descriptors that the process inherits; "" is none.
func start(program string, attr *syscall.SysProcAttr, as self, socket int, fix fixtures,
	handles string) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("start an actor: %w", err)
	}
	defer null.Close()
	n := null.Fd()
	files := []uintptr{n, n, 2, uintptr(socket)}
	for _, fd := range append([]int{fix.inner, fix.intBTF, fix.extTarget, fix.funcBTF}, fix.commands[:]...) {
		if fd < 0 {
			fd = int(n) // the kernel refused the fixture: a request that names it fails
		}
		files = append(files, uintptr(fd))
	}
	args := []string{actorArg0, as.String()}
	if handles != "" {
		args = append(args, handles)
	}
	pid, err := syscall.ForkExec(program, args, &syscall.ProcAttr{Files: files, Sys: attr, Env: actorEnv})
	if err != nil {
		return 0, fmt.Errorf("start an actor: %w", err)
	}
	return pid, nil
}

// startOwned starts an actor in a user namespace that its kuid owns. A
// namespace belongs to the euid of the thread that makes it, so a thread
// becomes that uid, forks, and ends.
func startOwned(a *step.Actor, socket int, fix fixtures) (pid int, err error) {
	onThread(func() {
		if a.Mounts == step.MountsBefore {
			if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
				err = fmt.Errorf("make a mount namespace: %w", err)
				return
			}
		}
		if a.UID != 0 {
			if err = dropTo(a.UID, len(a.Map.Lines()) > 0 || a.Apart != 0); err != nil {
				return
			}
		}
		pid, err = start(programOf(a), usernsAttr(a), self{0, a.Bits}, socket, fix, "")
	})
	return pid, err
}

// dropTo changes the uid of the thread. To map a range of ids it must keep the capabilities.
func dropTo(kuid uint32, keepsCaps bool) error {
	all, err := capget()
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, boolArg(keepsCaps), 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("drop groups: %w", errno)
	}
	for _, nr := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		if _, _, errno := unix.RawSyscall(nr, uintptr(kuid), uintptr(kuid), uintptr(kuid)); errno != 0 {
			return fmt.Errorf("become uid %d: %w", kuid, errno)
		}
	}
	if keepsCaps {
		if err := capset(capState{effective: all.permitted, permitted: all.permitted}); err != nil {
			return err
		}
	}
	return stayDumpable() // else the child's id maps would be root's, and the uid must write them
}

func boolArg(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

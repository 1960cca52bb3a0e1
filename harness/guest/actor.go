package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
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
	uid      uint32 // as the process's own namespace numbers it
	workers  map[uapi.CapSet]*worker
	handles  map[step.Handle]int
	context  int      // the bpffs that is being made
	places   []string // that the world has mounted something on
	unproven []int    // tokens of this run whose masks are still to be read
	answer   answer
}

// answer is the result of a script so far.
type answer struct {
	seen  []step.Observation // of the steps of all runs
	cells *wire.Results      // instead, of a record's cells
	fds   []int
}

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
		return fmt.Errorf("start an actor: want UID [HANDLES]")
	}
	uid, err := strconv.ParseUint(args[1], 10, 32)
	if err != nil {
		return fmt.Errorf("start an actor: %w", err)
	}
	for fd := actorLink; fd < actorCommands+fixCount; fd++ {
		unix.CloseOnExec(fd)
	}
	a := &actor{
		link:    link{actorLink},
		uid:     uint32(uid),
		workers: map[uapi.CapSet]*worker{},
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
	return a.link.send(append([]byte{answerOK}, wire.EncodeResults(r)...), a.answer.fds)
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
		return a.fork(act.payload[0] == 1, along)
	case verbTake:
		a.set(step.Handle(act.payload[0]), along)
	case verbOpen:
		return a.open()
	case verbMount:
		return a.mount(step.Handle(act.payload[0]), act.payload[1])
	case verbRun:
		return a.run(act.payload)
	case verbPID:
		a.answer.seen = append(a.answer.seen, step.Observation{Values: []uint64{uint64(os.Getpid())}})
	case verbWhere:
		a.where(step.Handle(act.payload[0]))
	case verbExec:
		return a.exec()
	case verbForkSharing:
		return a.forkSharing(along)
	case verbCells:
		return a.cells(act.payload)
	case verbGive:
		fd, ok := a.handles[step.Handle(act.payload[0])]
		if !ok {
			return errors.New("send a descriptor: the actor does not have it")
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
}

// mount is the third step of the delegation: the created bpffs becomes a
// mount, at a place if the step names one, and its root directory a descriptor.
func (a *actor) mount(h step.Handle, at byte) error {
	mnt, err := unix.Fsmount(a.context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("fsmount bpf: %w", err)
	}
	defer unix.Close(mnt)
	closeFD(a.context)
	a.context = noFD
	if at != 0 {
		if err := unix.MoveMount(mnt, "", unix.AT_FDCWD, step.Places[at], unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount the bpffs at its place: %w", err)
		}
		a.places = append(a.places, step.Places[at])
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
		if steps[i].Op.Observes() {
			results[i] = a.step(&steps[i])
			i++
			continue
		}
		n := i + 1
		for n < len(steps) && steps[n].Caps == steps[i].Caps && !steps[n].Op.Observes() && !losesToken(steps[proven:n],
			&steps[n]) {
			n++
		}
		w, err := a.worker(steps[i].Caps)
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

func (a *actor) worker(caps uapi.CapSet) (*worker, error) {
	if w := a.workers[caps]; w != nil {
		return w, nil
	}
	w, err := newWorker(a.uid, caps)
	if err != nil {
		return nil, err
	}
	a.workers[caps] = w
	return w, nil
}

// fork starts an actor inside this one's namespaces, or in a child user
// namespace of them.
func (a *actor) fork(userns bool, socket int) error {
	attr := &syscall.SysProcAttr{}
	if userns {
		attr = usernsAttr(0)
	}
	defer unix.Close(socket)
	_, err := start(attr, 0, socket, a.fix, "")
	return err
}

// usernsAttr makes a process root of a user and mount namespace of its own;
// host is the uid that the parent's namespace has for it.
func usernsAttr(host int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: host, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: host, Size: 1}},
	}
}

// actorEnv keeps Go's runtime from interrupting waits and from collecting garbage,
// of which a run makes little.
var actorEnv = []string{wire.NoPreempt, "GOGC=off"}

// start starts an actor's process: this program under another name. handles, as
// handlesArg writes it, names descriptors that the process inherits; "" is none.
func start(attr *syscall.SysProcAttr, uid uint32, socket int, fix fixtures, handles string) (int, error) {
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
	args := []string{actorArg0, strconv.FormatUint(uint64(uid), 10)}
	if handles != "" {
		args = append(args, handles)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{Files: files, Sys: attr, Env: actorEnv})
	if err != nil {
		return 0, fmt.Errorf("start an actor: %w", err)
	}
	return pid, nil
}

// startOwned starts an actor in a user namespace that the kuid owns. A
// namespace belongs to the euid of the thread that makes it, so a thread
// becomes that uid, forks, and ends.
func startOwned(kuid uint32, socket int, fix fixtures) (pid int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if kuid != 0 {
			if err = dropTo(kuid); err != nil {
				return
			}
		}
		pid, err = start(usernsAttr(int(kuid)), 0, socket, fix, "")
	}()
	<-done
	return pid, err
}

func dropTo(kuid uint32) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
		return fmt.Errorf("drop groups: %w", errno)
	}
	for _, nr := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		if _, _, errno := unix.RawSyscall(nr, uintptr(kuid), uintptr(kuid), uintptr(kuid)); errno != 0 {
			return fmt.Errorf("become uid %d: %w", kuid, errno)
		}
	}
	// Changing uids makes the process undumpable, and the child's id maps
	// root's; the uid must write them.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("stay dumpable: %w", err)
	}
	return nil
}

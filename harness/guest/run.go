package guest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// runArg0 is the name of this program as the one that starts a user's program and waits for
// its end: an actor waits for no process.
const runArg0 = "tokentest-run"

// runSpec says how a program is run.
type runSpec struct {
	File       string
	Args       []string
	UID        uint32
	Caps       uint64
	Ambient    bool
	NoNewPrivs bool
	Had        uint64 // the securebits of the actor
	Securebits uint64
}

// runEnd is how it ended.
type runEnd struct {
	Errno uapi.Errno // why it could not be started
	Code  uint64
	Out   string
}

const (
	runPatience = time.Minute
	mostOutput  = 4 << 10 // bytes of the output that are kept
	runResult   = 3       // the descriptor for the runEnd
	runPassed   = 4       // the descriptor that the program gets
)

// bringProgram prepares the program's file, and has the actor run it.
func (g *agent) bringProgram(p *player, s *step.Step) (step.Observation, error) {
	name, _, _ := strings.Cut(str(s, step.KeyCommand), " ")
	file := step.RunPlace(name)
	if name == step.OwnProgram {
		if err := copySelf(file); err != nil {
			return step.Observation{}, err
		}
	}
	if err := setFileCaps(file, s); err != nil {
		return step.Observation{}, err
	}
	if err := g.settle(p); err != nil {
		return step.Observation{}, err
	}
	defer g.beats()()
	return g.playOne(p, s)
}

// beats says that the guest is alive until the returned function is called.
func (g *agent) beats() (stop func()) {
	ended, quiet := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(quiet)
		g.beat(ended)
	}()
	return func() {
		close(ended)
		<-quiet // nothing else writes to the host meanwhile
	}
}

func copySelf(file string) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.MkdirAll("/run.d", dirMode)
	}
	if err == nil {
		err = os.WriteFile(file, self, dirMode)
	}
	if err != nil {
		return fmt.Errorf("copy the agent: %w", err)
	}
	return nil
}

const (
	fileCaps          = "security.capability"
	vfsCapRevision2   = 0x02000000
	vfsCapEffective   = 1
	vfsCapsOfRevision = 20 // the length of struct vfs_cap_data
)

// setFileCaps gives the file the capabilities of the step, permitted and effective, or none.
func setFileCaps(file string, s *step.Step) error {
	caps, ok := s.Num(step.KeyFileCaps)
	if !ok {
		if err := unix.Removexattr(file, fileCaps); err != nil && !errors.Is(err, unix.ENODATA) &&
			!errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("take the capabilities from %s: %w", file, err)
		}
		return nil
	}
	b := make([]byte, vfsCapsOfRevision)
	binary.LittleEndian.PutUint32(b, vfsCapRevision2|vfsCapEffective)
	binary.LittleEndian.PutUint32(b[4:], uint32(caps))
	binary.LittleEndian.PutUint32(b[12:], uint32(caps>>32))
	if err := unix.Setxattr(file, fileCaps, b, 0); err != nil {
		return fmt.Errorf("give capabilities to %s: %w", file, err)
	}
	return nil
}

// runProgram has another process run the step's program in the actor's namespaces.
func (a *actor) runProgram(s *step.Step) (int, step.Observation) {
	end, err := a.runs(s)
	if err != nil { // a case that gets this answer fails; the console has the reason
		fmt.Fprintln(os.Stderr, "tokentest: run:", err)
		return noFD, step.Observation{Errno: uapi.Errno(unix.EPROTO)}
	}
	o := step.Observation{Errno: end.Errno, Text: end.Out}
	if end.Errno == 0 {
		o.Values = []uint64{end.Code}
	}
	return noFD, o
}

func (a *actor) runs(s *step.Step) (*runEnd, error) {
	words := strings.Split(str(s, step.KeyCommand), " ")
	way, _ := s.Num(step.KeyWay)
	who := a.identityOf(s)
	spec := runSpec{File: step.RunPlace(words[0]), Args: words, UID: who.uid, Caps: uint64(who.caps),
		Ambient: step.RunWay(way) != step.WayExec, NoNewPrivs: has(s, step.KeyNoNewPrivs)}
	spec.Had, spec.Securebits = uint64(a.bits), uint64(a.bits)
	if n, ok := s.Num(step.KeySecurebits); ok {
		spec.Securebits = n
	}
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], `\040`, " ")
	}
	text, err := json.Marshal(&spec)
	if err != nil {
		return nil, fmt.Errorf("start a program: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("start a program: %w", err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start a program: %w", err)
	}
	defer r.Close()
	passed := null.Fd()
	if has(s, step.KeyHandle) {
		if fd := a.fd(s, step.KeyHandle); fd != badFD {
			passed = uintptr(fd)
		}
	}
	n := null.Fd()
	_, err = syscall.ForkExec("/proc/self/exe", []string{runArg0, string(text)},
		&syscall.ProcAttr{Files: []uintptr{n, n, 2, w.Fd(), passed}, Env: actorEnv})
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start a program: %w", err)
	}
	answer, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read how a program ended: %w", err)
	}
	end := &runEnd{}
	if err := json.Unmarshal(answer, end); err != nil {
		return nil, fmt.Errorf("the process that starts programs answered %q", answer)
	}
	return end, nil
}

// runProgram is the process that starts a program and says how it ended.
func runProgram(args []string) error {
	if len(args) != 2 {
		return errors.New("run a program: want how")
	}
	var spec runSpec
	if err := json.Unmarshal([]byte(args[1]), &spec); err != nil {
		return fmt.Errorf("run a program: %w", err)
	}
	runtime.LockOSThread()
	unix.CloseOnExec(runResult)
	passed := os.NewFile(runPassed, "passed")
	defer passed.Close()
	end, err := spec.run(passed)
	if err != nil {
		return err
	}
	text, err := json.Marshal(end)
	if err != nil {
		return fmt.Errorf("run a program: %w", err)
	}
	_, err = unix.Write(runResult, text)
	return err
}

// run starts the program from this thread, which has become what the program is to be. The
// program gets passed, which stays the caller's.
func (r *runSpec) run(passed *os.File) (*runEnd, error) {
	switch err := r.become(); {
	case errors.Is(err, errNotRaised), errors.Is(err, errNotSet):
		return &runEnd{Errno: errnoOf(err)}, nil
	case err != nil:
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("run a program: %w", err)
	}
	defer read.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("run a program: %w", err)
	}
	defer null.Close()
	p, err := os.StartProcess(r.File, r.Args, &os.ProcAttr{Dir: "/", Env: []string{"PATH=/bbin:/bin:/usr/bin", "HOME=/"},
		Files: []*os.File{null, write, write, passed}})
	write.Close()
	if err != nil {
		return &runEnd{Errno: errnoOf(err)}, nil
	}
	late := time.AfterFunc(runPatience, func() { p.Kill() })
	defer late.Stop()
	out := make(chan []byte)
	go func() {
		var b bytes.Buffer
		io.CopyN(&b, read, mostOutput)
		go io.Copy(io.Discard, read)
		out <- b.Bytes()
	}()
	state, err := p.Wait()
	if err != nil {
		return nil, fmt.Errorf("wait for a program: %w", err)
	}
	end := &runEnd{Code: uint64(state.ExitCode())}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		end.Code = 128 + uint64(ws.Signal())
	}
	select {
	case b := <-out:
		end.Out = strings.TrimSpace(string(b))
	case <-time.After(lastWords): // a child of it holds its output open
	}
	return end, nil
}

const secbitNoRoot = 1 << 0 // SECBIT_NOROOT

var (
	errNotRaised = errors.New("raise the ambient capability")
	errNotSet    = errors.New("set the securebits")
)

// become gives the thread the program's uid and, unless execve(2) is to decide, exactly its
// capabilities, which then survive execve(2) as ambient ones.
func (r *runSpec) become() error {
	bits := r.Securebits
	if r.Ambient {
		bits |= secbitNoRoot
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(r.Had), 0, 0, 0); err != nil {
		return fmt.Errorf("set the securebits %#x: %w", r.Had, err)
	}
	if bits != r.Had {
		if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits), 0, 0, 0); err != nil {
			return fmt.Errorf("%w %#x: %w", errNotSet, bits, err)
		}
	}
	if err := become(self{uid: r.UID}, uapi.CapSet(r.Caps)); err != nil {
		return err
	}
	all, err := capget()
	if err != nil {
		return err
	}
	if r.Ambient {
		all.inheritable = all.permitted
		if err := capset(all); err != nil {
			return err
		}
		for c := range uintptr(64) {
			if all.permitted&(1<<c) == 0 {
				continue
			}
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
				return fmt.Errorf("%w %d: %w", errNotRaised, c, err)
			}
		}
	}
	if r.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("set no_new_privs: %w", err)
		}
	}
	return nil
}

// IsOwnProgram reports whether this process is step.OwnProgram.
func IsOwnProgram() bool { return os.Args[0] == step.OwnProgram }

// OwnProgram is step.OwnProgram. It returns the exit status, which is the errno.
func OwnProgram() int {
	all, err := capget()
	if err != nil {
		fmt.Println(err)
		return maxStatus
	}
	_, errno := (&caller{}).mapCreate(uapi.BPF_MAP_TYPE_HASH, tokenArg{given: true, fd: runResult}, &step.Step{}, fdArgs{})
	fmt.Printf("uid=%d effective=%#x map_create=%s\n", os.Geteuid(), all.effective, errno)
	return int(errno)
}

const maxStatus = 255

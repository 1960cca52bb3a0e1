package guest

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// libraryArg0 is the name of this program as an application of cilium/ebpf;
// package library, which the agent does not link to, answers to it.
const libraryArg0 = "tokentest-library"

// library runs an application inside the actor's namespaces and takes the errno
// that its library gave it.
func (a *actor) library(s *step.Step) (int, step.Observation) {
	o, err := application(s)
	if err != nil { // a case that gets this answer fails; the console has the reason
		fmt.Fprintln(os.Stderr, "tokentest: application:", err)
		return noFD, step.Observation{Errno: uapi.Errno(unix.EPROTO)}
	}
	return noFD, o
}

// environment is the application's: empty, or a variable that libbpf uses and
// cilium/ebpf ignores.
func environment(s *step.Step) []string {
	if !has(s, step.KeyEnv) {
		return []string{}
	}
	return []string{"LIBBPF_BPF_TOKEN_PATH=" + str(s, step.KeyEnv)}
}

func application(s *step.Step) (step.Observation, error) {
	n, _ := s.Num(step.KeyMake)
	r, w, err := os.Pipe()
	if err != nil {
		return step.Observation{}, fmt.Errorf("start an application: %w", err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return step.Observation{}, fmt.Errorf("start an application: %w", err)
	}
	defer null.Close()
	argv := []string{libraryArg0, step.Makes[n], strconv.FormatUint(uint64(s.Caps), 10)}
	pid, err := syscall.ForkExec(
		"/proc/self/exe",
		argv,
		&syscall.ProcAttr{Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), w.Fd()}, Env: environment(s)},
	)
	w.Close()
	if err != nil {
		return step.Observation{}, fmt.Errorf("start an application: %w", err)
	}
	answer, err := io.ReadAll(r)
	var status syscall.WaitStatus
	syscall.Wait4(pid, &status, 0, nil)
	if err != nil {
		return step.Observation{}, fmt.Errorf("read the application's answer: %w", err)
	}
	errno, err := strconv.ParseUint(string(answer), 10, 16)
	if err != nil {
		return step.Observation{}, fmt.Errorf("the application answered %q", answer)
	}
	o := step.Observation{Errno: uapi.Errno(errno)}
	if errno == 0 {
		o.Proof = step.Works // the library closed what it had made
	}
	return o, nil
}

package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/harness/library"
	"tokentest/harness/wire"
)

// privateMounts is set in the process that TestMain starts: it has a mount namespace of
// its own, so that actors can mount without anyone else seeing it.
const privateMounts = "TOKENTEST_PRIVATE_MOUNTS"

// alone is the value of privateMounts under qemu-user, which has not all system calls, runs no other program, and shows
// the BTF of this host's kernel.
const alone = "alone"

// notUnderQEMU skips a test of what qemu-user does not have.
func notUnderQEMU(t *testing.T) {
	t.Helper()
	if os.Getenv(privateMounts) == alone {
		t.Skip("qemu-user does not do this as a kernel does")
	}
}

// TestMain makes the test program stand in for the agent's: actors and applications are
// this program under another name, as they are in a machine.
func TestMain(m *testing.M) {
	switch {
	case library.Is():
		library.Main()
	case IsActor():
		if err := Main("test", nil); err != nil {
			fmt.Fprintln(os.Stderr, "actor:", err)
			os.Exit(1)
		}
	case os.Geteuid() == 0 && os.Getenv(privateMounts) == "":
		os.Exit(runPrivately(m))
	default:
		os.Exit(runTests(m))
	}
}

// runTests fails the run if a test closed a descriptor that it did not open. Another file gets the
// number then, and the tests use or close the wrong file.
func runTests(m *testing.M) int {
	before := standardFiles()
	code := m.Run()
	runtime.GC() // closes what a test left open
	if after := standardFiles(); after != before {
		fmt.Fprintf(os.Stderr, "a test closed standard input, output or error: %v, before %v\n", after, before)
		return max(code, 1)
	}
	return code
}

// standardFiles tells the files of descriptors 0 to 2 apart.
func standardFiles() (ids [3][2]uint64) {
	for fd := range ids {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			ids[fd] = [2]uint64{uint64(st.Dev), st.Ino}
		}
	}
	return ids
}

// testActor is an actor without a process.
func testActor(handles map[step.Handle]int) *actor {
	if handles == nil {
		handles = map[step.Handle]int{}
	}
	return &actor{handles: handles, context: noFD}
}

// runPrivately runs the tests in a process with its own mount namespace.
func runPrivately(m *testing.M) int {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	mounts := "none"
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := exec.Command("unshare", "-m", "true").Run(); err == nil {
		mounts = "private"
	} else {
		c.SysProcAttr.Unshareflags = 0
	}
	// As in an actor, no signal interrupts a call: the verifier would answer EAGAIN.
	c.Env = append(os.Environ(), privateMounts+"="+mounts, wire.GoDebug)
	if err := c.Run(); errors.Is(err, unix.ENOEXEC) { // qemu-user runs this program alone
		os.Setenv(privateMounts, alone)
		return runTests(m)
	} else if c.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "run the tests:", err)
		return 1
	}
	return c.ProcessState.ExitCode()
}

// needRoot skips a test that needs root and a mount namespace of its own. It makes the
// places that actors mount on.
func needRoot(t *testing.T) {
	t.Helper()
	switch os.Getenv(privateMounts) {
	case "":
		t.Skip("only root can start actors")
	case "none", alone:
		t.Skip("root cannot make a mount namespace here")
	}
	if _, err := os.Stat(step.Places[1]); err == nil {
		return
	}
	for _, dir := range []string{"/mnt", "/tmp"} {
		if dir == "/tmp" && os.TempDir() == "/tmp" {
			continue // it holds the directories of other tests
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatalf("mount a tmpfs on %s: %v", dir, err)
		}
	}
	for _, c := range makePlaces() {
		if c.Errno != 0 {
			t.Fatalf("make %s: %s", c.Name, c.Errno)
		}
	}
}

// needTokens skips a test that needs a kernel with tokens, and an agent that may use bpf(2).
func needTokens(t *testing.T) {
	t.Helper()
	needRoot(t)
	if _, errno := tokenCreate(0, badFD, &step.Step{}); unix.Errno(errno) != unix.EBADF {
		t.Skipf("this kernel has no tokens, or root may not use bpf(2): BPF_TOKEN_CREATE answers %s", errno)
	}
	if err := makeUserns(); err != nil {
		t.Skip(err)
	}
	if err := makeBPFFS(); err != nil {
		t.Skip(err)
	}
}

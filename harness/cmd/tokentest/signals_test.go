package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/guestprog"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
	"tokentest/harness/signals"
)

// manySteps is a scenario that takes long to read and longer to play.
func manySteps(t *testing.T) string {
	t.Helper()
	text := `about Many steps.
actor owner userns uid=1000
actor other init uid=4242
owner bpffs cmds=map_create maps=hash -> b
owner token_create bpffs=b -> t
control owner map_create type=hash token=t
control other map_create type=hash => EPERM
` + strings.Repeat("owner map_create type=hash token=t\n", 200_000)
	name := filepath.Join(t.TempDir(), "many.txt")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func fifo(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo.txt")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// busy waits until a process has computed for a while, or has had a while to
// begin to wait for something.
func busy(pid int) {
	const enough, tick = 20, 100 // hundredths of a second
	for begun := time.Now(); time.Since(begun) < 3*time.Second; time.Sleep(tick * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		var user int
		if err != nil || len(fields) < 12 {
			return
		}
		if fmt.Sscan(fields[11], &user); user >= enough {
			return
		}
	}
}

// ends starts a command, sends a signal and returns the exit code, what was
// said and how long it took to end.
func ends(t *testing.T, sig syscall.Signal, ready func(pid int), args ...string) (code int, said string,
	took time.Duration) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("tokentest", args...)
	cmd.Dir, cmd.Stderr = t.TempDir(), &stderr
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir)
	if err := errors.Join(labtest.Tree(cmd.Dir), cmd.Start()); err != nil {
		t.Fatal(err)
	}
	ready(cmd.Process.Pid)
	start := time.Now()
	cmd.Process.Signal(sig)
	guard := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	cmd.Wait() // its outcome is the exit code
	guard.Stop()
	return cmd.ProcessState.ExitCode(), stderr.String(), time.Since(start)
}

// endsWithin is how long a command may go on after a signal on a busy host.
// Elsewhere it is less than a second.
const endsWithin = 8 * time.Second

// TestSignalsEndCommands sends each signal to commands that compute or wait.
func TestSignalsEndCommands(t *testing.T) {
	many := manySteps(t)
	for _, args := range [][]string{
		{"explain", "--diff", "6.12", "7.3"},
		{"explain", many},
		{"plan", "--full"},
		{"run", "-k", "bzImage", "--random", "100000000"},
		{"list", "cases", fifo(t)},
		{"run", "-k", "bzImage", "--denylist", fifo(t), "nested_userns"},
	} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
			code, said, took := ends(t, sig, busy, args...)
			if code != result.ExitNoVerdict || took > endsWithin || strings.Count(said, "\n") != 1 ||
				!strings.HasPrefix(said, "tokentest: ") {
				t.Errorf("%s after %s: exit code %d after %s, it said %q", args[0], sig, code, took, said)
			}
		}
	}
}

// TestSignalEndsBisect has the exit code that stops git bisect.
func TestSignalEndsBisect(t *testing.T) {
	code, said, took := ends(t, syscall.SIGTERM, busy, "run", "--bisect", "-k", "bzImage", "--random", "100000000")
	if code != result.BisectAbort || took > endsWithin {
		t.Errorf("exit code %d after %s: %s", code, took, said)
	}
}

// TestExecSignals: the program gets the first signal, and the machine ends with
// one that does not care.
func TestExecSignals(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		sig          syscall.Signal
		want         int
	}{
		{"it ends", "echo up; while :; do sleep 0.05; done", syscall.SIGTERM, 143},
		{"it ends by its own word", "trap 'exit 7' INT; echo up; while :; do sleep 0.05; done", syscall.SIGINT, 7},
		{"it does not care", "trap '' TERM; echo up; while :; do sleep 0.05; done", syscall.SIGTERM, guestprog.ExitNoMachine},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stderr bytes.Buffer
			cmd := exec.Command("tokentest", "exec", "-k", "bzImage", "--accel", "tcg", "--", "sh", "-c", tt.script)
			cmd.Dir, cmd.Stderr = t.TempDir(), &stderr
			cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, labtest.Boots+"="+filepath.Join(cmd.Dir, "boots"))
			out, err := cmd.StdoutPipe()
			if err = errors.Join(err, labtest.Tree(cmd.Dir), cmd.Start()); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
				t.Errorf("it printed %q, %v", line, err)
			}
			start := time.Now()
			cmd.Process.Signal(tt.sig)
			guard := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			cmd.Wait()
			guard.Stop()
			if code := cmd.ProcessState.ExitCode(); code != tt.want || time.Since(start) > endsWithin {
				t.Errorf("exit code %d after %s, it said %q", code, time.Since(start), stderr.String())
			}
		})
	}
}

// TestInterruptedIsNeverZero: a command that ends as if all were well once its
// context has ended has not done all of its work.
func TestInterruptedIsNeverZero(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signals.ErrInterrupted)
	for _, args := range [][]string{{"list", "cases"}, {"help"}, {"plan", "nested_userns"}, {"explain", "nested_userns"},
		{"doctor"}} {
		var stdout, stderr bytes.Buffer
		if code := execute(ctx, args, nil, &stdout, &stderr); code != result.ExitNoVerdict {
			t.Errorf("%v: exit code %d, it said %q", args, code, stderr.String())
		}
	}
}

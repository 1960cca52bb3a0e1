package child

import (
	"bufio"
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
)

// tool makes the test binary a program that starts another one and waits.
const tool = "TOKENTEST_CHILD_TEST"

func TestMain(m *testing.M) {
	if script := os.Getenv(tool); script != "" {
		c := Command(context.Background(), "sh", "-c", script)
		c.Stdout = os.Stdout
		if err := c.Run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		return
	}
	os.Exit(m.Run())
}

// alive says whether a process runs.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// gone waits until none of the processes runs.
func gone(pids ...int) error {
	var left []int
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for _, pid := range pids {
			if alive(pid) {
				left = append(left, pid)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return fmt.Errorf("the processes %d still run", left)
}

// family is a script of a program with a child and a grandchild, which prints
// the three process ids.
const family = `sh -c 'sleep 1000 & echo $$ $!; wait' & echo $$; wait`

// stubborn is one that SIGTERM does not end.
const stubborn = `trap '' TERM
sh -c 'trap "" TERM; sleep 1000 & echo $$ $!; while :; do wait; done' &
echo $$
while :; do wait; done`

// readIDs reads three process ids, whatever their order.
func readIDs(t *testing.T, from *bufio.Reader) []int {
	t.Helper()
	ids := make([]int, 3)
	for i := range ids {
		if _, err := fmt.Fscan(from, &ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	return ids
}

// TestKilled: SIGKILL ends this program and with it all that was started, also
// by what it had started.
func TestKilled(t *testing.T) {
	for name, script := range map[string]string{"family": family, "stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), tool+"="+script)
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			ids := readIDs(t, bufio.NewReader(out))
			time.Sleep(50 * time.Millisecond) // it tells the guard right after the start
			cmd.Process.Kill()
			if err := gone(ids...); err != nil {
				t.Error(err)
			}
			cmd.Wait()
		})
	}
}

// TestCancelled: a context that ends ends all that was started.
func TestCancelled(t *testing.T) {
	for name, script := range map[string]string{"family": family, "stubborn": stubborn} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			c := Command(ctx, "sh", "-c", script)
			out, err := c.StdoutPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			ids := readIDs(t, bufio.NewReader(out))
			start := time.Now()
			cancel()
			if err := c.Wait(); err == nil {
				t.Error("it ended as if all were well")
			}
			if err := gone(ids...); err != nil {
				t.Error(err)
			}
			t.Logf("it took %s", time.Since(start))
		})
	}
}

// TestTerminated: a program may remove what is half done.
func TestTerminated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "half")
	ctx, cancel := context.WithCancel(t.Context())
	c := Command(ctx, "sh", "-c", `trap 'rm "$0"; exit 1' TERM; echo > "$0"; echo; while :; do sleep 0.01; done`, name)
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n')
	cancel()
	c.Wait()
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// TestLeftBehind: what a program that has ended leaves behind is ended.
func TestLeftBehind(t *testing.T) {
	var id int
	out, err := Command(t.Context(), "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &id); err != nil {
		t.Fatal(err)
	}
	if err := gone(id); err != nil {
		t.Error(err)
	}
}

// TestLocks: a program keeps a lock that it has inherited, and it has the
// descriptor that exec.Cmd says.
func TestLocks(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	held := open()
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	c := Command(t.Context(), "sh", "-c", "read -r line")
	c.ExtraFiles = []*os.File{held}
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	held.Close()
	next := open()
	defer next.Close()
	if err := syscall.Flock(int(next.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("the lock is free while the program runs: %v", err)
	}
	in.Close()
	c.Wait()
	if err := syscall.Flock(int(next.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock is held after the program has ended: %v", err)
	}
}

package lockfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold locks a file as apt does. A lock of an open file conflicts with those of processes, this one's included.
func hold(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return f
}

// never fails the test if a lock makes its caller wait.
func never(t *testing.T) func() { return func() { t.Error("it waits for a free lock") } }

// A second Lock waits, says so once, and goes on when the first file is closed.
func TestLockWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(t.Context(), path, never(t))
	if err != nil {
		t.Fatal(err)
	}
	said := 0
	second, err := Lock(t.Context(), path, func() {
		said++
		go func() {
			time.Sleep(3 * interval) // two looks at a lock that is still taken
			first.Close()
		}()
	})
	if err != nil || said != 1 {
		t.Fatalf("got %v, it said %d times that it waits", err, said)
	}
	if err := TryLock(second); err != nil {
		t.Errorf("the file that has the lock: %v", err)
	}
	third, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	if err := TryLock(third); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want %v", err, ErrLocked)
	}
	second.Close()
	if err := TryLock(third); err != nil {
		t.Error(err)
	}
}

// A wait ends within a second of its context.
func TestLockCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Lock(t.Context(), path, never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var start time.Time
	_, err = Lock(ctx, path, func() {
		start = time.Now()
		cancel()
	})
	if !errors.Is(err, context.Canceled) || time.Since(start) > time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

// A program that inherited the file holds the lock.
func TestChildHoldsLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := Lock(t.Context(), path, never(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "read -r line")
	cmd.ExtraFiles = []*os.File{f}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	waited := false
	again, err := Lock(t.Context(), path, func() {
		waited = true
		in.Close()
	})
	if err != nil || !waited {
		t.Errorf("got %v, waited: %t", err, waited)
	}
	again.Close()
	cmd.Wait()
}

func TestLockErrors(t *testing.T) {
	if _, err := Lock(t.Context(), filepath.Join(t.TempDir(), "none", "lock"), never(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := TryLock(f); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("a closed file: %v", err)
	}
}

func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if pid, err := Holder(path); pid != 0 || err != nil {
		t.Errorf("no file: got %d, %v", pid, err)
	}
	f := hold(t, path)
	if pid, err := Holder(path); pid == 0 || err != nil {
		t.Errorf("locked: got %d, %v", pid, err)
	}
	f.Close()
	if pid, err := Holder(path); pid != 0 || err != nil {
		t.Errorf("free: got %d, %v", pid, err)
	}
	if name := ProcessName(os.Getpid()); !strings.Contains(name, "(process ") || strings.Contains(name, "\n") {
		t.Errorf("this process is called %q", name)
	}
}

// AwaitUnlocked names the process it waits for, once.
func TestAwaitUnlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f := hold(t, path)
	said := 0
	err := AwaitUnlocked(t.Context(), path, func(string, ...any) {
		said++
		f.Close()
	})
	if err != nil || said != 1 {
		t.Errorf("got %v, it said %d times that it waits", err, said)
	}
}

// A lock file that nobody removes ends the wait with an error.
func TestAwaitGoneHasPatience(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "index.lock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	said := 0
	err := AwaitGone(t.Context(), lock, 300*time.Millisecond, func(string, ...any) { said++ })
	if err == nil || !strings.Contains(err.Error(), lock) || !strings.Contains(err.Error(), "remove the file") ||
		said != 1 {
		t.Errorf("got %v, it said that it waits %d times", err, said)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := AwaitGone(ctx, lock, time.Hour, func(string, ...any) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

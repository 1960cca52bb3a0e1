package kernel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hold locks a file as apt does. A lock of an open file conflicts with those of
// processes, this one's included.
func hold(t *testing.T, path string) *os.File {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		t.Fatal(err)
	}
	return f
}

// eventually waits until another goroutine makes a condition true.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !true(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("never: %s", what)
			return
		}
	}
}

// TestForeignApt: a run waits for the lock of another apt in our state, and logs that once.
func TestForeignApt(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	lock := hold(t, w.path("cache", "apt", "lists", "lock"))
	done := make(chan error, 1)
	go func() {
		_, err := Resolve(t.Context(), "deb:6.1", w.opts)
		done <- err
	}()
	eventually(t, "it says for whom it waits",
		func() bool { return w.logged("waiting for another process, which holds the lock ") })
	if strings.Contains(w.calls(), " update") {
		t.Error("apt was started although another one holds its lock")
	}
	lock.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	n := 0
	for _, line := range w.log {
		if strings.HasPrefix(line, "waiting for ") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it says %d times that it waits: %q", n, w.log)
	}
}

func TestForeignAptCancelled(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	defer hold(t, w.path("cache", "apt", "lists", "lock")).Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, "it waits", func() bool { return w.logged("waiting for ") })
		cancel()
	}()
	if _, err := Resolve(ctx, "deb:6.1", w.opts); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestForeignGit: a build waits for git's lock on the user's index.
func TestForeignGit(t *testing.T) {
	w := newYard(t)
	w.write("int changed;\n")
	lock := filepath.Join(w.tree, ".git", "index.lock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.o.Log = func(format string, _ ...any) {
		w.said = append(w.said, format)
		os.Remove(lock) // the other git is done
	}
	_, changed, err := snapshot(t.Context(), "tree:"+w.tree, w.tree, w.o)
	if err != nil || !changed || len(w.said) != 1 || !w.heard("waiting for another git, which holds the lock") {
		t.Errorf("got %v, %v, it said %q", changed, err, w.said)
	}
}

// A lock that this process has itself is waited for without a word: it is no other process.
func TestOwnLock(t *testing.T) {
	c := cache{t.TempDir()}
	o := Options{Log: func(format string, args ...any) { t.Errorf(format, args...) }}
	_, unlock, err := c.lock(t.Context(), "x", o)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() {
		_, unlock, err := c.lock(t.Context(), "x", o)
		if err == nil {
			unlock()
			unlock()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("the lock was taken twice: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestProgramsHoldLocks: a program that is started under a lock holds it, so
// that the next process waits for one that was left behind.
func TestProgramsHoldLocks(t *testing.T) {
	c := cache{t.TempDir()}
	ctx, unlock, err := c.lock(t.Context(), "x", Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, unlockBoth, err := c.lock(ctx, "y", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer unlockBoth()
	cmd := command(ctx, "sh", "-c", "read -r line")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := c.lock(short, "x", Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the lock is free while the program runs: %v", err)
	}
	in.Close()
	cmd.Wait()
	if _, again, err := c.lock(t.Context(), "x", Options{}); err != nil {
		t.Error(err)
	} else {
		again()
	}
}

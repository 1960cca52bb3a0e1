package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// holder returns the process that holds a lock of fcntl(2) on a file, as apt
// takes them, and 0 if nobody does. A lock of no single process is held by -1.
func holder(path string) (int, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	l := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l); err != nil {
		return 0, err
	}
	if l.Type == syscall.F_UNLCK {
		return 0, nil
	}
	return int(l.Pid), nil
}

// processName words a process for people.
func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}

// awaitUnlocked waits until no process holds a lock of fcntl(2) on a file, and
// says once for whom.
func awaitUnlocked(ctx context.Context, path string, log func(string, ...any)) error {
	for waits := false; ; waits = true {
		pid, err := holder(path)
		if pid == 0 || err != nil {
			return err
		}
		if !waits {
			log("waiting for %s, which holds the lock %s", processName(pid), path)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lockFilePatience is how long a lock that is a file may be there. Nobody can
// tell whether a program that was killed has left it.
const lockFilePatience = 2 * time.Minute

// awaitGone waits until a lock that is a file, as git's are, has gone.
func awaitGone(ctx context.Context, path string, patience time.Duration, log func(string, ...any)) error {
	for begun := time.Now(); ; {
		if _, err := os.Lstat(path); err != nil {
			return nil // what is wrong with it, the program says that is about to take it
		}
		switch {
		case time.Since(begun) > patience:
			return fmt.Errorf("wait for %s: it is still there after %s: end the git that works there, or remove the file if none does", path, patience)
		case log != nil:
			log("waiting for another git, which holds the lock %s; remove the file if none runs", path)
			log = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

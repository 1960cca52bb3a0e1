package lockfile

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

// Holder returns the process that holds an fcntl(2) lock on a file, as apt takes them: 0 for none, and -1 for a lock
// that belongs to no single process.
func Holder(path string) (pid int, err error) {
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

// ProcessName names a process for a message.
func ProcessName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}

// AwaitUnlocked waits until no process holds an fcntl(2) lock on a file, and logs once which process it waits for.
func AwaitUnlocked(ctx context.Context, path string, log func(string, ...any)) error {
	pid := 0
	waits := func() { log("waiting for %s, which holds the lock %s", ProcessName(pid), path) }
	return poll(ctx, waits, func() (free bool, err error) {
		pid, err = Holder(path)
		return pid == 0, err
	})
}

// AwaitGone waits until a lock that is a file, such as one of git's, no longer exists. A program that was killed leaves
// its file, so after patience the error tells the user to remove it.
func AwaitGone(ctx context.Context, path string, patience time.Duration, log func(string, ...any)) error {
	start := time.Now()
	waits := func() { log("waiting for another git, which holds the lock %s; remove the file if none runs", path) }
	return poll(ctx, waits, func() (bool, error) {
		if _, err := os.Lstat(path); err != nil {
			return true, nil // the program that takes the lock next reports any other error
		}
		if time.Since(start) > patience {
			return false, fmt.Errorf("wait for %s: it still exists after %s: "+
				"end the git that works there, or remove the file if none does", path, patience)
		}
		return false, nil
	})
}

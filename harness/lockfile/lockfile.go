// Package lockfile takes locks between processes and waits for those of other programs. Every wait ends with its
// context, and the caller can tell the user once what it waits for.
//
// Our own locks are those of flock(2): a program that inherits the open file holds the lock too, so the next process
// waits for a compiler that outlives its parent. Locks of other programs are fcntl(2) locks (apt) and files that exist
// (git).
//
// Start with Lock.
package lockfile

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// ErrLocked means that another open file has the lock.
var ErrLocked = errors.New("locked by another process")

// interval is the time between two looks at a lock.
const interval = 50 * time.Millisecond

// TryLock locks an open file until it is closed here and in every program that inherited it. The error is ErrLocked if
// another has the lock.
func TryLock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EWOULDBLOCK:
			return ErrLocked
		case err != nil:
			return &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		default:
			return nil
		}
	}
}

// Lock creates a file if it is missing and waits until it can lock it. The caller closes the file to unlock it. waits
// is called once if another has the lock.
func Lock(ctx context.Context, path string, waits func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, waits, func() (bool, error) {
		err := TryLock(f)
		if errors.Is(err, ErrLocked) {
			return false, nil
		}
		return true, err
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// poll looks at a lock until it is free, until look fails, or until ctx is done.
func poll(ctx context.Context, waits func(), look func() (free bool, err error)) error {
	for first := true; ; first = false {
		if free, err := look(); free || err != nil {
			return err
		}
		if first {
			waits()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
	}
}

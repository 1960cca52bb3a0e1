package cachedir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Variable is the environment variable that names the cache directory.
const Variable = "TOKENTEST_CACHE"

// Default is the cache directory for a user who names none with --cache: that of TOKENTEST_CACHE, else tokentest in the
// user's cache directory. It need not exist.
func Default() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "tokentest"), nil
}

// ErrInUse means that a process uses an entry.
var ErrInUse = errors.New("in use")

// holds are the directories that this process has locked, with shared locks of flock(2), until it ends. They are the
// process's own, as its working directory is, whatever part of it opened the entry.
var holds = struct {
	sync.Mutex
	files map[string]*os.File
}{files: map[string]*os.File{}}

// removal is how long another process may take to remove an entry.
const removal = 10 * time.Second

// Hold marks a directory as used now, and keeps Remove of every process from removing it until this process ends. The
// error is fs.ErrNotExist if there is none. Open, Temp and Install hold what they return. On a file system without
// locks, it only marks.
func Hold(dir string) error {
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // a cache that cannot be written is not pruned either
	holds.Lock()
	defer holds.Unlock()
	if f := holds.files[dir]; f != nil && sameFile(f, dir) {
		return nil
	}
	for end := now.Add(removal); ; {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		switch {
		case err == syscall.EWOULDBLOCK && time.Now().Before(end): // it is being removed, or somebody looks at it
			f.Close()
			time.Sleep(5 * time.Millisecond)
		case sameFile(f, dir):
			if old := holds.files[dir]; old != nil {
				old.Close()
			}
			holds.files[dir] = f
			return nil
		default: // it was removed meanwhile
			f.Close()
		}
	}
}

// release ends a hold.
func release(dir string) {
	holds.Lock()
	defer holds.Unlock()
	if f := holds.files[dir]; f != nil {
		f.Close()
		delete(holds.files, dir)
	}
}

// sameFile reports whether a path still means an open file.
func sameFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// InUse reports whether a process holds a directory.
func InUse(dir string) bool { return lockAnd(dir, func() error { return nil }) == ErrInUse }

// Remove removes a directory that no process holds. The error is ErrInUse if one does; it is nil if there is none.
func Remove(dir string) error {
	return lockAnd(dir, func() error { return os.RemoveAll(dir) })
}

// lockAnd does something to a directory that no process holds.
func lockAnd(dir string, do func() error) error {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == syscall.EWOULDBLOCK {
		return ErrInUse
	}
	return do()
}

package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// filled is the name under which a fill function leaves its result in its temporary directory.
	filled = "image"
	// tmpPrefix begins the names of these directories. Only the holder of the lock has one.
	tmpPrefix = "tmp-"
	// keep is how long an entry stays that nobody uses.
	keep = 30 * 24 * time.Hour
)

// cache is a directory of files, each beside a file with its digest, as sha256sum writes it. Names say what the
// contents are made from, so an entry never has to change.
type cache struct {
	dir string
	log func(string, ...any)
}

// get returns the path and digest of an entry. One that is missing or damaged is made anew, once for all processes, by
// fill, which leaves a file called filled in a temporary directory.
func (c cache) get(ctx context.Context, name string, fill func(tmp string) error) (path, digest string, err error) {
	path = filepath.Join(c.dir, name)
	if digest, ok := c.sound(name); ok {
		return path, digest, nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", "", c.explain(err)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return "", "", c.explain(err)
	}
	defer unlock()
	if digest, ok := c.sound(name); ok { // filled by another process while we waited
		return path, digest, nil
	}
	c.prune()
	digest, err = c.fill(name, fill)
	return path, digest, c.explain(err)
}

// sound returns the digest of an entry if its file still has it, and marks the entry as used.
func (c cache) sound(name string) (string, bool) {
	path := filepath.Join(c.dir, name)
	note, err := os.ReadFile(path + ".sha256")
	if err != nil {
		return "", false
	}
	digest, err := fileDigest(path)
	if err != nil || string(note) != sumLine(digest, name) {
		return "", false
	}
	for _, file := range []string{path, path + ".sha256"} {
		os.Chtimes(file, time.Now(), time.Now()) // a cache that is read only is never pruned either
	}
	return digest, true
}

// fill makes an entry in a temporary directory and renames it into place.
func (c cache) fill(name string, fill func(tmp string) error) (string, error) {
	tmp, err := os.MkdirTemp(c.dir, tmpPrefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return "", err
	}
	file, note := filepath.Join(tmp, filled), filepath.Join(tmp, "sha256")
	digest, err := fileDigest(file)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(note, []byte(sumLine(digest, name)), 0o644); err != nil {
		return "", err
	}
	path := filepath.Join(c.dir, name)
	return digest, errors.Join(os.Rename(file, path), os.Rename(note, path+".sha256"))
}

// lock waits for the cache's lock and returns its release.
func (c cache) lock(ctx context.Context) (func(), error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for waited := false; ; waited = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		if !waited {
			c.log("waiting for another process that fills the cache %s", c.dir)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// prune removes what killed processes left and what nobody used for long. The caller holds the lock.
func (c cache) prune() {
	entries, _ := os.ReadDir(c.dir) // what stays only takes space
	for _, e := range entries {
		left := strings.HasPrefix(e.Name(), tmpPrefix)
		info, err := e.Info()
		if err != nil || !left && (e.Name() == "lock" || time.Since(info.ModTime()) < keep) {
			continue
		}
		os.RemoveAll(filepath.Join(c.dir, e.Name()))
	}
}

// explain says in the user's terms why the cache cannot be filled.
func (c cache) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("no space left for the cache %s: %w", c.dir, err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the cache %s is not writable: %w", c.dir, err)
	}
	return err
}

// sumLine is the line that sha256sum writes for a file.
func sumLine(digest, name string) string {
	return digest + "  " + name + "\n"
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

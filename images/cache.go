package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
)

const (
	// imageFile is the file of an entry.
	imageFile = "initrd.cpio"
	// lockName is the lock of the cache, beside the entries.
	lockName = "lock"
	// keep is how long an unused entry stays.
	keep = 30 * 24 * time.Hour
)

// cache is a directory of images. The name of an entry says what the image is made from, so an entry never changes.
type cache struct {
	dir string
	log func(string, ...any)
}

// get returns the path and digest of an entry. If it is missing or damaged, one process makes it with fill and the
// others wait. fill writes the image to the file out and may use the directory work, which is removed.
func (c cache) get(ctx context.Context, name string, fill func(work, out string) error) (path, digest string,
	err error) {
	path = filepath.Join(c.dir, name, imageFile)
	if digest, ok := c.find(name); ok {
		return path, digest, nil
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", "", c.explain(err)
	}
	lock, err := lockfile.Lock(ctx, filepath.Join(c.dir, lockName), func() {
		c.log("waiting for another process that fills the cache %s", c.dir)
	})
	if err != nil {
		return "", "", c.explain(err)
	}
	defer lock.Close()
	if digest, ok := c.find(name); ok { // filled by another process while we waited
		return path, digest, nil
	}
	c.prune()
	digest, err = c.fill(name, fill)
	return path, digest, c.explain(err)
}

// find returns the digest of an undamaged entry, which is then held.
func (c cache) find(name string) (digest string, ok bool) {
	entry := filepath.Join(c.dir, name)
	var sums cachedir.Sums
	if cachedir.Open(entry, &sums) != nil || sums.Files[imageFile] == "" {
		return "", false
	}
	return sums.Files[imageFile], true
}

// fill makes an entry.
func (c cache) fill(name string, fill func(work, out string) error) (digest string, err error) {
	work, remove, err := cachedir.Temp(c.dir, name)
	if err != nil {
		return "", err
	}
	defer remove()
	entry := filepath.Join(work, "entry")
	if err := os.Mkdir(entry, 0o755); err != nil {
		return "", err
	}
	if err := fill(work, filepath.Join(entry, imageFile)); err != nil {
		return "", err
	}
	var sums cachedir.Sums
	if err := cachedir.Seal(entry, &sums); err != nil {
		return "", err
	}
	return sums.Files[imageFile], cachedir.Install(entry, filepath.Join(c.dir, name), &sums)
}

// prune removes unfinished entries of killed processes, and entries that were not used for long. The caller holds the
// lock.
func (c cache) prune() {
	entries, _ := os.ReadDir(c.dir) // what remains only takes space
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || e.Name() == lockName {
			continue
		}
		if cachedir.Unfinished(e.Name()) || time.Since(info.ModTime()) > keep {
			os.RemoveAll(filepath.Join(c.dir, e.Name()))
		}
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

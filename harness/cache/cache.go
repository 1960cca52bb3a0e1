// Package cache lists what the cache directory holds, and removes what nobody uses. The packages that fill the cache
// know what is in an entry; this one knows where the entries are, and the locks under which they are made.
//
// Start with List and Prune; kinds.go has the table of what there is, request.go what a user asks for.
package cache

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"tokentest/harness/cachedir"
)

// Entry is one thing in the cache that can be removed alone.
type Entry struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"` // for people
	Path  string    `json:"path"`
	Bytes int64     `json:"bytes"` // on the disk
	Used  time.Time `json:"used"`  // the last time
	InUse bool      `json:"in_use,omitempty"`

	parts []string // the files of an entry that is not a directory
	locks []string // that a process holds while it works on the entry
}

// List returns the entries of some kinds, of all if there are none, those of a kind together and the last used first. A
// directory that does not exist is empty.
func List(dir string, names ...string) ([]Entry, error) {
	var out []Entry
	seen := map[inode]bool{}
	for _, k := range kinds {
		if len(names) > 0 && !slices.Contains(names, k.name) {
			continue
		}
		found, err := k.list(dir, k.name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read the cache: %w", err)
		}
		for i := range found {
			found[i].Kind = k.name
			if err := found[i].measure(seen); err != nil {
				return nil, fmt.Errorf("measure the cache: %w", err)
			}
		}
		slices.SortStableFunc(found, func(a, b Entry) int {
			return cmp.Or(b.Used.Compare(a.Used), cmp.Compare(a.Path, b.Path))
		})
		out = append(out, found...)
	}
	return out, nil
}

// inode is a file that may have several names.
type inode struct{ dev, ino uint64 }

// measure sums what the entry takes on the disk, each file once. What goes away meanwhile counts as nothing.
func (e *Entry) measure(seen map[inode]bool) error {
	for _, part := range e.files() {
		err := filepath.WalkDir(part, func(_ string, d fs.DirEntry, err error) error {
			if err != nil {
				return ignoreGone(err)
			}
			info, err := d.Info()
			if err != nil {
				return ignoreGone(err)
			}
			s, ok := info.Sys().(*syscall.Stat_t)
			if !ok || s.Nlink > 1 && !d.IsDir() && seen[inode{s.Dev, s.Ino}] {
				return nil
			}
			seen[inode{s.Dev, s.Ino}] = true
			e.Bytes += s.Blocks * 512
			return nil
		})
		if err != nil {
			return err
		}
	}
	e.InUse = len(e.parts) == 0 && isDir(e.Path) && cachedir.InUse(e.Path)
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func (e *Entry) files() []string {
	if len(e.parts) > 0 {
		return e.parts
	}
	return []string{e.Path}
}

// Total is the sum of the sizes.
func Total(list []Entry) (bytes int64) {
	for i := range list {
		bytes += list[i].Bytes
	}
	return bytes
}

// Selection says what Prune removes: entries of the kinds that were not used for a time, and then the others, those
// that were not used for longest first, until the rest is small enough.
type Selection struct {
	Kinds     []string      // none means all
	OlderThan time.Duration // remove what was not used since; 0 means nothing by its age
	MaxBytes  int64         // remove until no more is left; below 0 means nothing by size
	DryRun    bool
}

// Prune removes entries. It returns what it removed, or would, and what it left because a process uses it. If it
// fails, what it returns as removed is removed.
func Prune(dir string, now time.Time, s Selection) (removed, left []Entry, err error) {
	list, err := List(dir, s.Kinds...)
	if err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return a.Used.Compare(b.Used) })
	rest := Total(list)
	for _, e := range list {
		old := s.OlderThan > 0 && now.Sub(e.Used) >= s.OlderThan
		if !old && (s.MaxBytes < 0 || rest <= s.MaxBytes) {
			continue
		}
		err := e.remove(s.DryRun)
		switch {
		case errors.Is(err, cachedir.ErrInUse):
			e.InUse = true
			left = append(left, e)
			continue
		case err != nil:
			return removed, left, fmt.Errorf("remove %s: %w", e.Path, err)
		}
		rest -= e.Bytes
		removed = append(removed, e)
	}
	return removed, left, nil
}

// remove removes an entry unless a process uses it.
func (e *Entry) remove(dryRun bool) error {
	unlock, err := lockAll(e.locks)
	if err != nil {
		return err
	}
	defer unlock()
	switch {
	case dryRun && isDir(e.Path) && cachedir.InUse(e.Path):
		return cachedir.ErrInUse
	case dryRun:
		return nil
	case isDir(e.Path) && len(e.parts) == 0:
		return cachedir.Remove(e.Path)
	}
	for _, part := range e.files() {
		if err := ignoreGone(os.RemoveAll(part)); err != nil {
			return err
		}
	}
	return nil
}

// KindNames are the names of all kinds, and what they are.
func KindNames() (names, about []string) {
	for _, k := range kinds {
		names, about = append(names, k.name), append(about, k.about)
	}
	return names, about
}

// IsKind reports whether a kind has that name.
func IsKind(name string) bool {
	return slices.ContainsFunc(kinds, func(k kind) bool { return k.name == name })
}

// Near names the kind that a mistyped one begins like, "" if there is none.
func Near(name string) string {
	for _, k := range kinds {
		if name != "" && (strings.HasPrefix(k.name, name) || strings.HasPrefix(name, strings.TrimSuffix(k.name, "s"))) {
			return k.name
		}
	}
	return ""
}

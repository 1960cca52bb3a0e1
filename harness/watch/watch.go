// Package watch waits until files change, and runs something again each time.
//
// Start with Repeat.
package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Files are files whose changes are seen, also if they are replaced by a rename or do not exist yet.
type Files struct {
	w     *fsnotify.Watcher
	names map[string]string // as New got them, by the absolute name
}

// New watches files from now on. The directory of each must exist. Close ends that.
func New(names ...string) (*Files, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	f := &Files{w, map[string]string{}}
	for _, name := range names {
		for _, path := range paths(name) {
			f.names[path] = name
			if err := w.Add(filepath.Dir(path)); err != nil {
				w.Close()
				return nil, fmt.Errorf("watch %s: %w", name, err)
			}
		}
	}
	return f, nil
}

// paths are the absolute names of a file: its own, and the one that it is a link to.
func paths(name string) []string {
	own, err := filepath.Abs(name)
	if err != nil {
		return []string{name}
	}
	target, err := filepath.EvalSymlinks(own)
	if err != nil || target == own {
		return []string{own}
	}
	return []string{own, target}
}

// Close ends the watching.
func (f *Files) Close() error { return f.w.Close() }

// Wait returns the name of a file that changed since New, once no file has changed for the time
// quiet: an editor or a linker writes in several steps. The error is the context's cause if ctx
// ends first.
func (f *Files) Wait(ctx context.Context, quiet time.Duration) (string, error) {
	changed := ""
	settled := time.NewTimer(quiet)
	settled.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-settled.C:
			return changed, nil
		case err := <-f.w.Errors:
			return "", fmt.Errorf("watch files: %w", err)
		case e := <-f.w.Events:
			name, ours := f.names[e.Name]
			if !ours || e.Op == fsnotify.Chmod {
				continue
			}
			changed = name
			settled.Reset(quiet)
		}
	}
}

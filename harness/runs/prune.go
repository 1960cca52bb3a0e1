package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tokentest/harness/lockfile"
	"tokentest/harness/result"
)

// Pruned is a run that Prune removed.
type Pruned struct {
	Dir   string
	Start time.Time
	Bytes int64 // of its files
}

// PruneOptions say which runs Prune removes: those that both OlderThan and Keep give up.
type PruneOptions struct {
	OlderThan time.Duration // remove only runs that began before that; 0 means any
	Keep      int           // keep so many of the newest; 0 means none
	DryRun    bool          // remove nothing, and return what would be removed
}

// Prune removes stored runs of a directory, the oldest first. It leaves alone what holds no
// run, a run that is still being made, and a directory below a link. A directory that does
// not exist has no runs. If it fails, the runs that it has returned are removed.
func Prune(dir string, now time.Time, o PruneOptions) ([]Pruned, error) {
	list, err := candidates(dir)
	if err != nil {
		return nil, err
	}
	list = list[:max(0, len(list)-o.Keep)]
	var out []Pruned
	for _, p := range list {
		if o.OlderThan > 0 && now.Sub(p.Start) < o.OlderThan {
			break // all others are newer
		}
		if p.Bytes, err = size(p.Dir); err != nil {
			return out, fmt.Errorf("measure the run: %w", err)
		}
		removed := true
		if !o.DryRun {
			removed, err = remove(p.Dir)
		}
		if err != nil {
			return out, err
		}
		if removed {
			out = append(out, p)
		}
	}
	return out, nil
}

// candidates lists the runs of a directory, the oldest first, those that have not ended too.
func candidates(dir string) ([]Pruned, error) {
	ended, err := result.Runs(dir)
	if err != nil {
		return nil, err
	}
	unended, err := result.Unended(dir)
	if err != nil {
		return nil, err
	}
	var out []Pruned
	for _, name := range append(ended, unended...) {
		info, err := os.Lstat(name)
		if err != nil || !info.IsDir() {
			continue // it went away, or it is a link to a run elsewhere
		}
		out = append(out, Pruned{Dir: name, Start: startOf(name, info)})
	}
	slices.SortStableFunc(out, func(a, b Pruned) int { return a.Start.Compare(b.Start) })
	return out, nil
}

// startOf is when a run began; of one whose record cannot be read, when its directory changed last.
func startOf(dir string, info fs.FileInfo) time.Time {
	if t, err := time.Parse(nameForm, filepath.Base(dir)); err == nil {
		return t
	}
	if r, err := result.LoadHead(dir); err == nil && !r.Start.IsZero() {
		return r.Start
	}
	return info.ModTime()
}

// remove removes a run, unless a process is making it.
func remove(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, result.InvocationFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was stored whole
	case err != nil:
		return false, fmt.Errorf("lock the run: %w", err)
	default:
		defer f.Close()
		if err := lockfile.TryLock(f); errors.Is(err, lockfile.ErrLocked) {
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("lock the run: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return false, fmt.Errorf("remove the run: %w", err)
	}
	return true, nil
}

// size is the sum of the sizes of a directory's files.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

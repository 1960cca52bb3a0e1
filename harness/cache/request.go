package cache

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// Runs is the kind of stored runs. They are not in the cache directory, they are never made again, and they are meant
// only if they are named.
const Runs = "runs"

// Request is what a user asks to be removed. The zero value is refused; MaxBytes is -1 if it is not set.
type Request struct {
	Kinds    []string // none means all but Runs
	Age      Age
	MaxBytes Size
	Keep     int // of the runs
	All      bool
	DryRun   bool
}

// split refuses unknown kinds, and tells whether runs are among them.
func split(kinds []string) (cached []string, withRuns bool, err error) {
	for _, k := range kinds {
		switch near := Near(k); {
		case k == Runs:
			withRuns = true
		case IsKind(k):
			cached = append(cached, k)
		case near != "":
			return nil, false, usage.Errorf("--kind %s: no such kind (near: %s)", k, near)
		default:
			names, _ := KindNames()
			return nil, false, usage.Errorf("--kind %s: no such kind; there are %s and %s", k, strings.Join(names, ", "), Runs)
		}
	}
	return cached, withRuns, nil
}

// Show lists the entries of some kinds. The error is a *usage.Error for an unknown one.
func Show(dir string, kinds []string) (*Listing, error) {
	named, withRuns, err := split(kinds)
	if err != nil {
		return nil, err
	}
	l := &Listing{Dir: dir, Entries: []Entry{}}
	if len(named) > 0 || !withRuns {
		list, err := List(dir, named...)
		if err != nil {
			return nil, err
		}
		l.Entries = append(l.Entries, list...)
	}
	if withRuns {
		if l.Runs, err = runs.Base(); err != nil {
			return nil, err
		}
		stored, err := runs.Prune(l.Runs, time.Now(), runs.PruneOptions{DryRun: true})
		if err != nil {
			return nil, err
		}
		l.Entries = append(l.Entries, runEntries(stored)...)
	}
	names, about := KindNames()
	l.Kinds = Sum(l.Entries, func(kind string) string {
		if i := slices.Index(names, kind); i >= 0 {
			return about[i]
		}
		return "stored runs in " + l.Runs
	})
	l.Bytes = Total(l.Entries)
	return l, nil
}

// runEntries makes entries of runs, which were last used when they began.
func runEntries(list []runs.Pruned) (out []Entry) {
	for _, r := range list {
		out = append(out, Entry{Kind: Runs, Name: r.Dir, Path: r.Dir, Bytes: r.Bytes, Used: r.Start})
	}
	return out
}

func (r *Request) check(named []string, withRuns bool) error {
	switch by := r.Age > 0 || r.MaxBytes >= 0; {
	case r.Keep < 0:
		return usage.Errorf("--keep %d: must not be negative", r.Keep)
	case r.Keep > 0 && (!withRuns || len(named) > 0 || r.All):
		return usage.Errorf("--keep: only with --kind runs alone, and not with --all")
	case withRuns && r.MaxBytes >= 0:
		return usage.Errorf("--max-size: not with --kind runs; use --older-than or --keep")
	case r.All && by:
		return usage.Errorf("--all: not with --older-than or --max-size")
	case !r.All && !by && r.Keep == 0:
		return usage.Errorf("nothing says what to remove: use --older-than, --max-size or --all")
	}
	return nil
}

// Prune removes what is asked for. A mistake in the request is a *usage.Error; with any other error, what is returned
// is what was removed before.
func (r *Request) Prune(dir string, now time.Time) (*Pruned, error) {
	named, withRuns, err := split(r.Kinds)
	if err == nil {
		err = r.check(named, withRuns)
	}
	if err != nil {
		return nil, err
	}
	p := &Pruned{Dir: dir, DryRun: r.DryRun, Removed: []Entry{}, InUse: []Entry{}}
	if len(named) > 0 || !withRuns {
		s := Selection{Kinds: named, OlderThan: time.Duration(r.Age), MaxBytes: int64(r.MaxBytes), DryRun: r.DryRun}
		if r.All {
			s.MaxBytes = 0
		}
		removed, left, pruneErr := Prune(dir, now, s)
		p.Removed, p.InUse, err = append(p.Removed, removed...), append(p.InUse, left...), pruneErr
	}
	if withRuns && err == nil {
		err = r.pruneRuns(p, now)
	}
	p.Bytes = Total(p.Removed)
	return p, err
}

// pruneRuns removes stored runs.
func (r *Request) pruneRuns(p *Pruned, now time.Time) error {
	dir, err := runs.Base()
	if err != nil {
		return err
	}
	list, err := runs.Prune(dir, now, runs.PruneOptions{OlderThan: time.Duration(r.Age), Keep: r.Keep, DryRun: r.DryRun})
	p.Removed = append(p.Removed, runEntries(list)...)
	if err != nil {
		return fmt.Errorf("remove runs: %w", err)
	}
	return nil
}

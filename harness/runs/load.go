package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"tokentest/cases"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/shell"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

// Note prints a line for people. A nil Note must not be passed.
type Note func(format string, args ...any)

// memoryLimit is what a process that reads stored runs lets its memory grow to before it
// collects garbage more eagerly: a run of eleven kernels holds over a million decisions.
const memoryLimit = 220 << 20

// LimitMemory prepares the process for reading stored runs.
func LimitMemory() { debug.SetMemoryLimit(memoryLimit) }

// Load reads a stored run, by a name as Find takes it. It is a *usage.Error if there is none.
func Load(l *result.Loader, name string) (*result.Run, error) {
	LimitMemory()
	dir, err := Find(name)
	if err != nil {
		return nil, err
	}
	r, err := l.Load(dir)
	return r, noRun(dir, err)
}

// Head is Load without the run's cases.
func Head(name string) (*result.Run, error) {
	dir, err := Find(name)
	if err != nil {
		return nil, err
	}
	r, err := result.LoadHead(dir)
	return r, noRun(dir, err)
}

func noRun(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return usage.Advisef("%s: it is a file; a run is a directory%s", dir, newest())
	case errors.Is(err, fs.ErrNotExist):
		return usage.Advisef("no run is stored in %s: %w%s", dir, err, newest())
	}
	return err
}

// Side reads one side of a comparison: directories of runs, or baselines, with commas
// between, each as Find takes it. A kernel that is not "" chooses one, by its reference.
func Side(l *result.Loader, name, kernel string) (*result.Side, error) {
	LimitMemory()
	name, err := FindAll(name)
	if err != nil {
		return nil, err
	}
	s, err := l.Side(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usage.Errorf("%w%s", err, newest())
	case err != nil:
		return nil, err
	}
	if s.Kernel = kernel; kernel == "" {
		return s, nil
	}
	var refs []string
	for _, r := range s.Runs {
		for _, k := range r.Kernels {
			if k.Ref == kernel {
				s.Name = kernel + " of " + name
				return s, nil
			}
			refs = append(refs, k.Ref)
		}
	}
	return nil, usage.Errorf("%s has no kernel %q: it has %s", name, kernel, strings.Join(refs, ", "))
}

const unverified = "an older tokentest stored the records without checksums; missing records cannot be detected"

// NoteUnverified notes, in one line, that runs of an older tokentest cannot be verified.
func NoteUnverified(note Note, list ...*result.Run) {
	n, first := 0, ""
	for _, r := range list {
		if r.Unverified {
			if n++; n == 1 {
				first = cmp.Or(r.Dir, "the baseline")
			}
		}
	}
	switch n {
	case 0:
	case 1:
		note("%s: %s", first, unverified)
	default:
		note("%s: %s", report.Count(n, "run"), unverified)
	}
}

// NoteDamaged notes which runs were damaged on purpose.
func NoteDamaged(note Note, list ...*result.Run) {
	for _, r := range list {
		if why := r.Damaged(); why != "" {
			note("%s: %s", cmp.Or(r.Dir, "the baseline"), why)
		}
	}
}

// Complete returns an error if records of a run are missing or damaged, and notes each gap.
// Without this check a conclusion from a part would pass for one from the whole.
func Complete(r *result.Run, note Note) error {
	NoteUnverified(note, r)
	gaps := r.Gaps()
	if len(gaps) == 0 {
		return nil
	}
	for _, gap := range gaps[:len(gaps)-1] {
		note("%s", gap)
	}
	err := errors.New(gaps[len(gaps)-1])
	if len(r.Resume) > 0 {
		return fmt.Errorf("%w; tokentest run --resume %s makes the records again", err, shell.Quote(r.Resume[0]))
	}
	return err
}

// Corpus reads the cases that a run can hold: the built-in ones, and the user's files from
// where they were. A file that is gone is left out.
func Corpus(ctx context.Context, r *result.Run) (*cases.Corpus, error) {
	corpus, err := cases.Load(ctx)
	if err == nil && slices.ContainsFunc(r.Groups, func(g cases.Outline) bool { return cases.IsSweep(g.Name) }) {
		err = corpus.AddSweeps(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if _, err := os.Stat(r.Files[name]); errors.Is(err, fs.ErrNotExist) {
			continue // the judgement says that its cases are gone
		}
		if _, err := corpus.AddFile(ctx, r.Files[name]); err != nil {
			return nil, usage.Of(err)
		}
	}
	return corpus, nil
}

// Rejudge judges a stored run again with the cases and the oracle of this program. kept
// counts the cases that stay as they were judged, by the reason. The stored run, whose
// kernels get their configurations back, does not change otherwise.
func Rejudge(ctx context.Context, r *result.Run) (now *result.Run, kept map[string]int, err error) {
	corpus, err := Corpus(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range r.Kernels {
		if err := restoreConfig(r, k); err != nil {
			return nil, nil, err
		}
	}
	now, kept = r.Again(corpus)
	return now, kept, nil
}

// restoreConfig reads a kernel's configuration from the directory of a boot: run.json does
// not repeat it.
func restoreConfig(r *result.Run, k *result.KernelRun) error {
	if k.Facts == nil || k.Facts.Config != nil || len(k.Boots) == 0 {
		return nil
	}
	f, err := os.Open(filepath.Join(r.Dir, k.Boots[0].Dir, "config"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the kernel's configuration: %w", err)
	}
	defer f.Close()
	if k.Facts.Config, err = kconfig.Parse(f); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

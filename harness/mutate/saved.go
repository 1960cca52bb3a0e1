package mutate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"tokentest/harness/lab"
	"tokentest/harness/vm"
)

// saved is the saved machine from which those with mutants start. Other runs can remove it from the cache.
type saved struct {
	lab  lab.Lab
	ref  string // the kernel
	find func(ctx context.Context, l *lab.Lab) (*vm.Snapshot, error)

	mu  sync.Mutex
	now *vm.Snapshot
}

// newSaved finds the saved machine, or makes it.
func newSaved(
	ctx context.Context, l lab.Lab, ref string, find func(ctx context.Context, l *lab.Lab) (*vm.Snapshot, error),
) (*saved, error) {
	l.Log = nil // it has said what the kernel is
	s := &saved{lab: l, ref: ref, find: find}
	_, err := s.get(ctx, nil)
	return s, err
}

// savedFor is newSaved for machines that run cases.
func savedFor(ctx context.Context, l lab.Lab, ref string) (*saved, error) {
	return newSaved(ctx, l, ref, func(ctx context.Context, l *lab.Lab) (*vm.Snapshot, error) { return l.Saved(ctx, ref) })
}

// get returns a saved machine other than gone.
func (s *saved) get(ctx context.Context, gone *vm.Snapshot) (*vm.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != gone {
		return s.now, nil
	}
	l := s.lab
	var err error
	if l.Dir, err = os.MkdirTemp(s.lab.Dir, "saved-"); err != nil {
		return nil, fmt.Errorf("make a directory for the saved machine: %w", err)
	}
	defer os.RemoveAll(l.Dir)
	if s.now, err = s.find(ctx, &l); err != nil {
		return nil, fmt.Errorf("find the saved machine of %s: %w", s.ref, err)
	}
	return s.now, nil
}

// check returns vm.ErrPatch if the saved machine does not hold the bytes that a patch replaces.
func (s *saved) check(ctx context.Context, p vm.Patch) error {
	var gone *vm.Snapshot
	for try := 1; ; try++ {
		now, err := s.get(ctx, gone)
		if err == nil {
			err = now.Check([]vm.Patch{p})
		}
		if try == maxTries || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		gone = now
	}
}

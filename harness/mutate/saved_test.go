package mutate

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"tokentest/harness/lab"
	"tokentest/harness/vm"
)

// A saved machine that another run has removed is looked for again, a few times.
func TestSavedAgain(t *testing.T) {
	found, dir := 0, t.TempDir()
	s, err := newSaved(t.Context(), lab.Lab{Dir: dir}, "k", func(context.Context, *lab.Lab) (*vm.Snapshot, error) {
		found++
		return &vm.Snapshot{Path: filepath.Join(dir, "gone")}, nil
	})
	if err != nil || found != 1 {
		t.Fatalf("%v, found %d times", err, found)
	}
	if err := s.check(t.Context(), vm.Patch{}); !errors.Is(err, fs.ErrNotExist) || found != maxTries {
		t.Errorf("%v, found %d times", err, found)
	}
	broken := errors.New("no machine")
	s.find = func(context.Context, *lab.Lab) (*vm.Snapshot, error) { return nil, broken }
	if err := s.check(t.Context(), vm.Patch{}); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

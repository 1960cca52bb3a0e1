package cases

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestCancelled: what reads or expands cases ends with its context, and
// says why that has ended.
func TestCancelled(t *testing.T) {
	why := errors.New("the user has had enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe.txt"), filepath.Join(dir, "file.txt")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(file, []byte(scenarioControls), 0o644)); err != nil {
		t.Fatal(err)
	}
	f, err := Parse(t.Context(), "demo.txt", "demo", matrixHead+matrixDo+matrixTail)
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Load":       func() error { _, err := Load(ctx); return err },
		"LoadGroups": func() error { _, err := LoadGroups(ctx, "token_create"); return err },
		"AddSweeps":  func() error { return (&Corpus{}).AddSweeps(ctx) },
		"Sweeps":     func() error { _, err := Sweeps(ctx); return err },
		"AddFile":    func() error { _, err := (&Corpus{}).AddFile(ctx, file); return err },
		"a pipe":     func() error { _, err := (&Corpus{}).AddFile(ctx, pipe); return err },
		"Expand":     func() error { _, err := f.Expand(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			go func() { ended <- do() }()
			select {
			case err := <-ended:
				if !errors.Is(err, why) {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the work continues after the cancellation")
			}
		})
	}
}

package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func write(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// wait returns what changes within a time; "" is nothing.
func wait(t *testing.T, f *Files, limit time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	name, err := f.Wait(ctx, 10*time.Millisecond)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return name
}

func TestWait(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a")
	write(t, "real")
	if err := os.Symlink("real", "link"); err != nil {
		t.Fatal(err)
	}
	f, err := New("a", "later", "link")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, "other")
	if err := os.Chmod("a", 0o600); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, f, 200*time.Millisecond); got != "" {
		t.Errorf("%s changed, but only another file and a mode did", got)
	}
	const limit = 10 * time.Second
	write(t, "a")
	if got := wait(t, f, limit); got != "a" {
		t.Errorf("written: got %q", got)
	}
	write(t, "a~")
	if err := os.Rename("a~", "a"); err != nil {
		t.Fatal(err)
	}
	if got := wait(t, f, limit); got != "a" {
		t.Errorf("replaced: got %q", got)
	}
	write(t, "later")
	if got := wait(t, f, limit); got != "later" {
		t.Errorf("made: got %q", got)
	}
	write(t, "real")
	if got := wait(t, f, limit); got != "link" {
		t.Errorf("the target of a link: got %q", got)
	}
}

func TestWaitEnds(t *testing.T) {
	f, err := New(filepath.Join(t.TempDir(), "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := f.Wait(ctx, time.Hour); !errors.Is(err, stop) {
		t.Errorf("got %v, want the cause", err)
	}
	if _, err := New(filepath.Join(t.TempDir(), "no", "file")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that does not exist: got %v", err)
	}
}

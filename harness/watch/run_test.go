package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tokentest/harness/kernel"
	"tokentest/harness/usage"
)

func TestImages(t *testing.T) {
	dir := t.TempDir()
	image := filepath.Join(dir, "arch", "x86", "boot", "bzImage")
	refs := []string{"deb:6.12", "path/bzImage", "host", "tree:" + dir, "git:x#HEAD"}
	got := Images(t.Context(), refs, kernel.Options{CacheDir: t.TempDir(), Offline: true})
	if want := []string{"path/bzImage", image}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A change starts a second run; the end of the context ends the waiting, without an error.
func TestRepeat(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	rounds, notes := 0, 0
	err := Repeat(ctx, []string{"a"}, func(string, ...any) { notes++ }, func() {
		if rounds++; rounds == 2 {
			stop()
			return
		}
		write(t, "a") // during the run: it is seen after it
	})
	if err != nil || rounds != 2 || notes != 2 {
		t.Errorf("%d rounds, %d notes, %v; want 2, 2, nil", rounds, notes, err)
	}
}

func TestRepeatWithoutDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "absent", "a")
	var u *usage.Error
	err := Repeat(t.Context(), []string{name}, nil, func() { t.Error("it ran") })
	if !errors.As(err, &u) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want a usage error that names the directory", err)
	}
}

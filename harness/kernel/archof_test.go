package kernel

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The architecture of what is no image is the host's, and nothing waits for a named pipe.
func TestArchOf(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{pipe, t.TempDir(), filepath.Join(t.TempDir(), "none"), "deb:6.12/vax", "src:6.12"} {
		if got := ArchOf(ref); got != host {
			t.Errorf("%s: got %s", ref, got.Name)
		}
	}
	if got := ArchOf("deb:6.12/arm64"); got.Name != "arm64" {
		t.Errorf("got %s", got.Name)
	}
}

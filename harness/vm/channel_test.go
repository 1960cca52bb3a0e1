package vm

import (
	"syscall"
	"testing"
)

// TestConsoleHolds: a console that nobody reads takes far more than a busy host leaves
// unread, in writes of one character, like QEMU's.
func TestConsoleHolds(t *testing.T) {
	w, err := newConsoleChannel()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(w.host, w.guest)
	fd := int(w.guest.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for i := range 4000 {
		if _, err := syscall.Write(fd, []byte("x")); err != nil {
			t.Fatalf("character %d: %v", i, err)
		}
	}
}

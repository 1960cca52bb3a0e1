//go:build amd64 || arm64

package cli

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A standard output that was closed takes nothing; scripts/anywhere.sh runs the program itself so.
func TestStdout(t *testing.T) {
	defer func(was int) { stdoutFlags = was }(stdoutFlags)
	for _, flags := range []int{0, unix.FD_CLOEXEC} {
		stdoutFlags = flags
		if Stdout() != os.Stdout {
			t.Errorf("%d: not the standard output", flags)
		}
	}
	stdoutFlags = -int(unix.EBADF)
	if n, err := Stdout().Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d bytes, %v", n, err)
	}
}

//go:build amd64 || arm64

package cli

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Start is where the program begins if the linker is called with -E. Go's own entry opens /dev/null if the standard
// output is closed, and nobody sees then that what is written there is lost.
func Start()

// stdoutFlags is what fcntl answered at Start.
var stdoutFlags int

// Stdout is the standard output. If it was closed when the program began, each write to it is an error.
func Stdout() io.Writer {
	if stdoutFlags == -int(unix.EBADF) {
		return closedOutput{}
	}
	return os.Stdout
}

type closedOutput struct{}

func (closedOutput) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: os.Stdout.Name(), Err: os.ErrClosed}
}

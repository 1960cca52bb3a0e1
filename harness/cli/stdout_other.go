//go:build !amd64 && !arm64

package cli

import (
	"io"
	"os"
)

// Stdout is the standard output.
func Stdout() io.Writer { return os.Stdout }

//go:build !amd64 && !arm64

package guest

// No program of 32 bits is tried where the Go toolchain makes none.
const (
	machine32 = 0
	flags32   = 0
	exits32   = ""
)

//go:build !amd64

package guest

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

// bpfCompat is never called: a kernel without CONFIG_IA32_EMULATION skips the step.
func bpfCompat(uapi.Cmd, []byte, uintptr) (int, uapi.Errno) { return noFD, uapi.Errno(unix.ENOSYS) }

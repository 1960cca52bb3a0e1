package guest

import (
	"strconv"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// reopen opens a descriptor again by its name in /proc. A token's file is made
// without an open method, so the new descriptor has no token.
func (a *actor) reopen(s *step.Step) (int, step.Observation) {
	return kept(unix.Open("/proc/self/fd/"+strconv.Itoa(a.fd(s, step.KeyHandle)), unix.O_RDWR|unix.O_CLOEXEC, 0))
}

package guest

import (
	"strconv"

	"golang.org/x/sys/unix"

	"tokentest/cases/program"
)

// reopen opens a descriptor again by its name in /proc. A token's file is made
// without an open method, so what comes of it has no token behind it.
func (a *actor) reopen(s *program.Step) program.Observation {
	fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(a.fd(s, program.KeyHandle)), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return program.Observation{Errno: errnoOf(err)}
	}
	if s.Out == 0 {
		unix.Close(fd)
		return program.Observation{}
	}
	a.set(s.Out, fd)
	return program.Observation{}
}

// noMoreFDs lets the process open no descriptor until what it returns is
// called. It lowers the soft limit alone, which needs no privilege to raise again.
func noMoreFDs() (again func()) {
	var old unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &old) != nil || unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Max: old.Max}, nil) != nil {
		return func() {} // the call succeeds then, and the case fails
	}
	return func() { _ = unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil) }
}

package uapi

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Errno is what a call answered: 0, or the number that errno(3) held.
type Errno uint32

// OK is the answer of a call that was allowed.
const OK Errno = 0

// ENOTSUPP is internal to the kernel and leaks to user space,
// include/linux/errno.h; no libc names it.
const ENOTSUPP Errno = 524

// maxErrno is MAX_ERRNO of include/linux/err.h.
const maxErrno = 4095

// String returns the kernel's name, "ok" for 0.
func (e Errno) String() string {
	switch e {
	case OK:
		return "ok"
	case ENOTSUPP:
		return "ENOTSUPP"
	case Errno(unix.EOPNOTSUPP):
		return "EOPNOTSUPP"
	}
	if name := unix.ErrnoName(unix.Errno(e)); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}

// ParseErrno reads what String returns.
func ParseErrno(name string) (Errno, error) {
	for e := OK; e <= maxErrno; e++ {
		if e.String() == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("unknown errno %q: want ok or a name such as EPERM", name)
}

package guest

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

// rawCall is one system call of a process that a thread forks off: a process
// of one thread, as setns(2) and unshare(2) need for a user namespace. from
// names, for each argument, the earlier call whose result it is, counted from
// 1.
type rawCall struct {
	nr     uintptr
	args   [6]uintptr
	from   [6]uint8
	result uintptr
	errno  uintptr
	made   bool
	wanted uintptr // the errno that the call must end with
}

const maxRawCalls = 16

// rawProcess is a list of system calls, in memory that the parent and the
// child share.
type rawProcess struct {
	calls *[maxRawCalls]rawCall
	n     int
	pid   int // 0 when it was waited for
}

func newRawProcess() (*rawProcess, error) {
	size := int(unsafe.Sizeof([maxRawCalls]rawCall{}))
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("share memory with a child: %w", err)
	}
	return &rawProcess{calls: (*[maxRawCalls]rawCall)(unsafe.Pointer(&mem[0]))}, nil
}

func (p *rawProcess) free() {
	size := unsafe.Sizeof(*p.calls)
	unix.Syscall(unix.SYS_MUNMAP, uintptr(unsafe.Pointer(p.calls)), size, 0)
}

// result is an argument that an earlier call has made.
type result int

// pointer is the address of what a call reads or writes. It lives on the heap,
// of which the child has a copy.
func pointer(b []byte) uintptr {
	escapes = &b[0]
	return uintptr(unsafe.Pointer(&b[0]))
}

// add appends a call, and returns a reference to its result. Arguments are numbers
// or results.
func (p *rawProcess) add(nr uintptr, args ...any) result {
	c := &p.calls[p.n]
	*c = rawCall{nr: nr}
	for i, arg := range args {
		switch v := arg.(type) {
		case result:
			c.from[i] = uint8(v) + 1
		case uintptr:
			c.args[i] = v
		case int:
			c.args[i] = uintptr(v)
		}
	}
	p.n++
	return result(p.n - 1)
}

// start forks. The child shares the descriptors, so that what it opens is the
// parent's as well.
func (p *rawProcess) start() error {
	pid, errno := forkCalls(p.calls, p.n)
	if errno != 0 {
		return fmt.Errorf("fork: %w", unix.Errno(errno))
	}
	p.pid = int(pid)
	return nil
}

// wait returns when the child has ended. Where SIGCHLD is ignored it reaps
// itself, and the wait ends with ECHILD.
func (p *rawProcess) wait() {
	for p.pid != 0 {
		_, _, errno := unix.RawSyscall6(unix.SYS_WAIT4, uintptr(p.pid), 0, 0, 0, 0, 0)
		if errno != unix.EINTR {
			p.pid = 0
		}
	}
}

// got returns the result of a call, or ESRCH if an earlier call ended the child.
func (p *rawProcess) got(r result) (int, uapi.Errno) {
	c := &p.calls[r]
	switch {
	case !c.made:
		return noFD, uapi.Errno(unix.ESRCH)
	case c.errno != 0:
		return noFD, uapi.Errno(c.errno)
	}
	return int(c.result), 0
}

// failed returns the errno of the first call that failed.
func (p *rawProcess) failed() uapi.Errno {
	for i := range p.n {
		if _, errno := p.got(result(i)); errno != 0 {
			return errno
		}
	}
	return 0
}

// forkCalls and callAll may not grow the stack: the child has one thread, and
// Go's runtime there is without the others that it counts on.
//
//go:nosplit
//go:norace
func forkCalls(calls *[maxRawCalls]rawCall, n int) (pid, errno uintptr) {
	flags, stack := unix.CLONE_FILES|uintptr(unix.SIGCHLD), uintptr(0)
	if stackFirst {
		flags, stack = stack, flags
	}
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, flags, stack, 0, 0, 0, 0)
	if e == 0 && pid == 0 {
		callAll(calls, n)
	}
	return pid, uintptr(e)
}

//go:nosplit
//go:norace
func callAll(calls *[maxRawCalls]rawCall, n int) {
	for i := 0; i < n; i++ {
		c := &calls[i]
		for j := range c.from {
			if c.from[j] != 0 {
				c.args[j] = calls[c.from[j]-1].result
			}
		}
		r, _, e := unix.RawSyscall6(c.nr, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], c.args[5])
		c.result, c.errno, c.made = r, uintptr(e), true
		if uintptr(e) != c.wanted {
			break
		}
	}
	for {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

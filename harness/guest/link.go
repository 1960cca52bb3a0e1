package guest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// link is the agent's end, or an actor's, of their socket. The agent sends a
// script, the actor answers it; both may carry descriptors.
type link struct{ fd int }

// verb is one act of a script. Acts are sent together: under emulation a round trip to
// another process costs as much as several calls.
type verb byte

const (
	verbForget      verb = iota + 1 // close every descriptor: a new world begins
	verbTypes                       // what the kernel's BTF says, as JSON
	verbFork                        // fork an actor on the socket that comes along
	verbTake                        // keep a descriptor that comes along
	verbOpen                        // fsopen("bpf"); the answer carries the context
	verbMount                       // mount the context that the broker has created
	verbRun                         // run steps; the answer has their observations
	verbGive                        // the answer carries a descriptor
	verbPID                         // the answer has the process's number
	verbWhere                       // the answer has the process and a descriptor's number
	verbExec                        // start the program again; it answers
	verbForkSharing                 // fork an actor that inherits descriptors, on the socket that comes along
	verbCells                       // run the cells of a record; the answer is an end record's payload
)

// script is acts in order, with the descriptors that they take along.
type script struct {
	acts  []act
	fds   []int
	gives int                  // how many descriptors the answer carries
	want  [][]step.Observation // where the observations of its runs go
	shown bool                 // other actors can see what an act does
}

type act struct {
	verb    verb
	payload []byte
}

func (s *script) add(v verb, payload ...byte) { s.acts = append(s.acts, act{v, payload}) }

func (s *script) take(h step.Handle, fd int) {
	s.add(verbTake, byte(h))
	s.fds = append(s.fds, fd)
}

// drop removes everything except what the next world needs too.
func (s *script) drop() {
	for _, fd := range s.fds {
		unix.Close(fd)
	}
	kept := slices.DeleteFunc(s.acts, func(a act) bool { return a.verb != verbTypes })
	*s = script{acts: kept}
}

// maxMessage bounds a message; the socket's buffer is a bit larger.
const maxMessage = 128 << 10

// maxFDs is how many descriptors one message may carry, SCM_MAX_FD.
const maxFDs = 253

func newLink() (agent, actor link, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return link{}, link{}, fmt.Errorf("make a socket pair: %w", err)
	}
	return link{fds[0]}, link{fds[1]}, nil
}

func (l link) send(payload []byte, fds []int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, errno := rawMsg(unix.SYS_SENDMSG, l.fd, payload, oob, unix.MSG_NOSIGNAL)
	for n := 0; noRoom(errno) && n < givenBackTries; n++ {
		time.Sleep(settle)
		_, _, errno = rawMsg(unix.SYS_SENDMSG, l.fd, payload, oob, unix.MSG_NOSIGNAL)
	}
	if errno != 0 {
		return fmt.Errorf("send to the other process: %w", errno)
	}
	return nil
}

// noRoom reports that the kernel had no memory for a message. A message is charged to
// its sender's memory cgroup, which stays full for a moment after a map was refused:
// the kernel frees the pages later.
func noRoom(errno unix.Errno) bool { return errno == unix.ENOBUFS || errno == unix.ENOMEM }

// recv returns io.EOF when the other end has gone.
func (l link) recv(buf []byte) ([]byte, []int, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	n, h, errno := rawMsg(unix.SYS_RECVMSG, l.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	for errno == unix.EINTR {
		n, h, errno = rawMsg(unix.SYS_RECVMSG, l.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case errno != 0:
		return nil, nil, fmt.Errorf("receive from the other process: %w", errno)
	case n == 0:
		return nil, nil, io.EOF
	case h.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		return nil, nil, errors.New("receive from the other process: the message is truncated")
	}
	fds, err := rights(oob[:h.Controllen])
	return buf[:n], fds, err
}

// rawMsg makes the call without telling Go's scheduler: there is nothing else
// for it to run meanwhile, and its watcher thread, which would wake up for
// every wait, costs more under emulation than the call.
func rawMsg(nr uintptr, fd int, data, oob []byte, flags int) (int, unix.Msghdr, unix.Errno) {
	iov := unix.Iovec{Base: &data[0]}
	iov.SetLen(len(data)) // whose type depends on the architecture
	h := unix.Msghdr{Iov: &iov, Iovlen: 1}
	if len(oob) > 0 {
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	n, _, errno := unix.RawSyscall(nr, uintptr(fd), uintptr(unsafe.Pointer(&h)), uintptr(flags))
	return int(n), h, errno
}

func rights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("read passed descriptors: %w", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil, fmt.Errorf("read passed descriptors: %w", err)
	}
	return fds, nil
}

// The first byte of an answer.
const (
	answerOK    = 0
	answerError = 1 // the rest is an error text
	answerEBADF = 2 // as answerOK, but a descriptor to send is not open
)

// errNotOpen is a descriptor to send that is not open.
var errNotOpen = errors.New("the descriptor is not open")

// call sends a script and returns the results of its steps, encoded, and the
// descriptors that it asked for. The results are valid until buf is used again.
func (l link) call(s *script, buf []byte) ([]byte, []int, error) {
	if err := l.send(encodeScript(s), s.fds); err != nil {
		return nil, nil, err
	}
	answer, fds, err := l.recv(buf)
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, errors.New("the actor's process has died")
	case err != nil:
		return nil, nil, err
	case answer[0] == answerEBADF:
		return answer[1:], fds, errNotOpen
	case answer[0] != answerOK:
		return nil, nil, errors.New(string(answer[1:]))
	case len(fds) != s.gives:
		return nil, nil, fmt.Errorf("the actor sent %d descriptors, want %d", len(fds), s.gives)
	}
	return answer[1:], fds, nil
}

func encodeScript(s *script) []byte {
	var b []byte
	for _, a := range s.acts {
		b = append(b, byte(a.verb), byte(len(a.payload)), byte(len(a.payload)>>8), byte(len(a.payload)>>16))
		b = append(b, a.payload...)
	}
	return b
}

func decodeScript(b []byte) ([]act, error) {
	const head = 4
	var acts []act
	for len(b) > 0 {
		if len(b) < head {
			return nil, errors.New("a script is truncated")
		}
		n := int(b[1]) | int(b[2])<<8 | int(b[3])<<16
		if len(b) < head+n {
			return nil, errors.New("a script is truncated")
		}
		acts = append(acts, act{verb(b[0]), b[head : head+n]})
		b = b[head+n:]
	}
	return acts, nil
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

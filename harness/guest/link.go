package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// link is the agent's end, or an actor's, of their socket: one message each
// way, a request and its answer, either with at most one descriptor.
type link struct{ fd int }

// verb says what the agent asks of an actor.
type verb byte

const (
	verbRun    verb = iota + 1 // run steps; the answer is the observations
	verbOpen                   // fsopen("bpf"); the answer carries the context
	verbMount                  // mount the context that the broker has created
	verbGive                   // send a descriptor
	verbTake                   // keep a descriptor
	verbFork                   // fork an actor on the socket that comes along
	verbTypes                  // what the kernel BTF says of the types that requests name
	verbForget                 // close every descriptor, for the next world
)

// maxMessage bounds a message; the socket's buffer is a bit larger.
const maxMessage = 96 << 10

func newLink() (agent, actor link, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return link{}, link{}, fmt.Errorf("make a socket pair: %w", err)
	}
	return link{fds[0]}, link{fds[1]}, nil
}

// noFD says that a message carries no descriptor.
const noFD = -1

func (l link) send(v byte, payload []byte, fd int) error {
	var oob []byte
	if fd != noFD {
		oob = unix.UnixRights(fd)
	}
	if err := unix.Sendmsg(l.fd, append([]byte{v}, payload...), oob, nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send to the other process: %w", err)
	}
	return nil
}

// recv returns io.EOF when the other end has gone.
func (l link) recv(buf []byte) (v byte, payload []byte, fd int, err error) {
	oob := make([]byte, unix.CmsgSpace(4))
	n, oobn, flags, _, err := unix.Recvmsg(l.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	for errors.Is(err, unix.EINTR) {
		n, oobn, flags, _, err = unix.Recvmsg(l.fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
	}
	switch {
	case err != nil:
		return 0, nil, noFD, fmt.Errorf("receive from the other process: %w", err)
	case n == 0:
		return 0, nil, noFD, io.EOF
	case flags&unix.MSG_TRUNC != 0:
		return 0, nil, noFD, errors.New("receive from the other process: the message is cut off")
	}
	fd, err = oneFD(oob[:oobn])
	return buf[0], buf[1:n], fd, err
}

func oneFD(oob []byte) (int, error) {
	if len(oob) == 0 {
		return noFD, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return noFD, fmt.Errorf("read a passed descriptor: %w", err)
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return noFD, fmt.Errorf("read a passed descriptor: %d of them (%w)", len(fds), err)
	}
	return fds[0], nil
}

// call sends a request and returns the answer. An answer that begins with a
// non-zero byte is the actor's word for what it could not do.
func (l link) call(v verb, payload []byte, fd int, buf []byte) ([]byte, int, error) {
	if err := l.send(byte(v), payload, fd); err != nil {
		return nil, noFD, err
	}
	status, answer, got, err := l.recv(buf)
	switch {
	case errors.Is(err, io.EOF):
		return nil, noFD, errors.New("the actor's process has died")
	case err != nil:
		return nil, noFD, err
	case status != 0:
		return nil, noFD, errors.New(string(answer))
	}
	return answer, got, nil
}

func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// file wraps a descriptor so that a started process may inherit it.
func file(fd int) *os.File { return os.NewFile(uintptr(fd), "inherited") }

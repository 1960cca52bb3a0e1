package guest

import (
	"bytes"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// mmap maps the first page of a map. What is written into an array's memory is then its element, unless the process may
// not look that up.
func (a *actor) mmap(s *step.Step) (int, step.Observation) {
	fd, prot := a.fd(s, step.KeyHandle), unix.PROT_READ
	if has(s, step.KeyWrite) {
		prot |= unix.PROT_WRITE
	}
	memory, err := unix.Mmap(fd, 0, os.Getpagesize(), prot, unix.MAP_SHARED)
	if err != nil {
		return done(err)
	}
	a.mapped = append(a.mapped, memory)
	return noFD, proved(0, func() bool {
		t, room := mapInfo(fd)
		if t != uapi.BPF_MAP_TYPE_ARRAY {
			return memory[0] == 0 // the position in a buffer that nobody has used
		}
		if has(s, step.KeyWrite) {
			memory[0]++
		}
		value := make([]byte, room)
		errno := access(uapi.BPF_MAP_LOOKUP_ELEM, fd, value)
		return errno != 0 || bytes.Equal(value[:1], memory[:1])
	})
}

// unmapAll lets the memory of the world's maps go.
func (a *actor) unmapAll() {
	for _, memory := range a.mapped {
		if err := unix.Munmap(memory); err != nil {
			fmt.Fprintln(os.Stderr, "tokentest: unmap a map:", err)
		}
	}
	a.mapped = nil
}

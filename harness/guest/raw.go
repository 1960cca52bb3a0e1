package guest

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// rawAttr is an attribute that a step spells out, and the memory that it points to.
type rawAttr struct {
	bytes  []byte
	size   int
	memory map[uint16][]byte // by the pointer's offset
}

const widest = 8 // bytes of a member

// blobs are what a member can point to by name.
var blobs = [...]func() []byte{
	step.BlobExit:    func() []byte { return bodies.Exit(0) },
	step.BlobLicense: func() []byte { return []byte("GPL\x00") },
	step.BlobBTF:     bodies.IntBTF().Bytes,
}

// rawAttr makes the attribute of a step.
func (a *actor) rawAttr(s *step.Step) *rawAttr {
	r := &rawAttr{bytes: make([]byte, step.MaxAttr+widest), size: attrSize, memory: map[uint16][]byte{}}
	for i := range s.Args {
		arg := &s.Args[i]
		where := r.bytes[arg.At:]
		switch arg.Key {
		case step.KeyU32:
			binary.NativeEndian.PutUint32(where, uint32(arg.Num))
		case step.KeyU64:
			binary.NativeEndian.PutUint64(where, arg.Num)
		case step.KeyFD:
			fd, ok := a.handles[step.Handle(arg.Num)]
			if !ok {
				fd = badFD
			}
			binary.NativeEndian.PutUint32(where, uint32(int32(fd)))
		case step.KeyPtr:
			b := []byte(arg.Str)
			if arg.Num != 0 {
				b = blobs[arg.Num]()
			}
			r.memory[arg.At] = b
			point(where, uapi.Field{Size: 8}, unsafe.Pointer(&b[0]))
		}
		r.size = max(r.size, int(arg.At)+arg.Key.Width())
	}
	if n, ok := s.Num(step.KeySize); ok {
		r.size = int(n)
	}
	return r
}

// raw makes a call with an attribute that the step spells out.
func (a *actor) raw(s *step.Step) (int, step.Observation) {
	r := a.rawAttr(s)
	before := r.copies()
	cmd, _ := s.Num(step.KeyCmd)
	free := lowestFree()
	fd, errno := wayOf(s)(uapi.Cmd(cmd), r.bytes, uintptr(r.size))
	runtime.KeepAlive(r)
	o := step.Observation{Errno: errno, Text: r.written(before)}
	switch {
	case errno != 0:
		return noFD, o
	case s.Out == 0 && fd != free: // it is a number
		if fd != 0 {
			o.Text = strings.TrimSpace(fmt.Sprintf("returned %d %s", fd, o.Text))
		}
		return noFD, o
	case s.Out != 0 && fd != free:
		o.Proof = step.DoesNotWork // there is no new descriptor of this number
		return noFD, o
	}
	return fd, o
}

// lowestFree is the number that the kernel gives to the next descriptor.
func lowestFree() int {
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return noFD
	}
	unix.Close(fd)
	return fd
}

// copies is what the kernel may write to.
func (r *rawAttr) copies() map[int]string {
	out := map[int]string{attrItself: string(r.bytes[:r.size])}
	for at, b := range r.memory {
		out[int(at)] = string(b)
	}
	return out
}

const attrItself = -1

// written says what the kernel wrote, in hexadecimal.
func (r *rawAttr) written(before map[int]string) string {
	var out []string
	for at := attrItself; at < step.MaxAttr; at++ {
		old, ok := before[at]
		now, name := r.bytes[:r.size], "attribute"
		if at != attrItself {
			now, name = r.memory[uint16(at)], fmt.Sprintf("ptr@%d", at)
		}
		if ok && old != string(now) {
			out = append(out, fmt.Sprintf("%s is 0x%x", name, now))
		}
	}
	return strings.Join(out, ", ")
}

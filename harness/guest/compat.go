package guest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
)

// The programs that actors are: this one, and the two of an image.
const (
	ownProgram  = "/proc/self/exe"
	fullProgram = "/init"
	program32   = "/init32" // package images puts it there
)

// has32Bits says that this program is program32.
const has32Bits = unsafe.Sizeof(uintptr(0)) == 4

// programOf is the program of an actor that this process starts.
func programOf(a *step.Actor) string {
	switch {
	case a.Compat == has32Bits:
		return ownProgram
	case a.Compat:
		return program32
	}
	return fullProgram
}

// linux32 is PER_LINUX32 of include/uapi/linux/personality.h.
const linux32 = 8

// hasLinux32 reports whether a process may have the personality of a program of 32 bits. The thread
// that asks for it ends with it.
func hasLinux32() bool {
	has := false
	onThread(func() {
		_, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, linux32, 0, 0)
		has = errno == 0
	})
	return has
}

// refused32 starts a small program of 32 bits, which reads the clock and ends, and returns the errno with which the
// kernel refused it; step.NoProgram32 if actors have no such program, step.NoTime32 if it starts and cannot read the
// clock.
func refused32() string {
	switch {
	case len(exits32) == 0:
		return errnoName(unix.ENOEXEC)
	case absent(program32):
		return step.NoProgram32
	}
	return start32(elf32(machine32, exits32))
}

// start32 runs a program that ends with the status 0, and returns why it did not.
func start32(program []byte) string {
	fd, err := unix.MemfdCreate("exits32", unix.MFD_CLOEXEC)
	if err != nil {
		return errnoName(err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, program); err != nil {
		return errnoName(err)
	}
	pid, err := syscall.ForkExec("/proc/self/fd/0", []string{"exits32"}, &syscall.ProcAttr{Files: []uintptr{uintptr(fd)}})
	if err != nil {
		return errnoName(err)
	}
	var status syscall.WaitStatus
	syscall.Wait4(pid, &status, 0, nil)
	if status.Exited() && status.ExitStatus() == int(unix.ENOSYS) {
		return step.NoTime32
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return fmt.Sprintf("status %#x", uint32(status))
	}
	return ""
}

func errnoName(err error) string { return errnoOf(err).String() }

// elf32 is a program of little-endian code, in one segment with its headers.
func elf32(machine uint16, code string) []byte {
	const at, header, segment = 0x10000, 52, 32
	le := binary.LittleEndian
	size := uint32(header + segment + len(code))
	b := []byte("\x7fELF\x01\x01\x01" + strings.Repeat("\x00", 9))
	for _, half := range []uint16{2, machine} { // ET_EXEC
		b = le.AppendUint16(b, half)
	}
	for _, word := range []uint32{1, at + header + segment, header, 0, flags32} {
		b = le.AppendUint32(b, word)
	}
	for _, half := range []uint16{header, segment, 1, 0, 0, 0} {
		b = le.AppendUint16(b, half)
	}
	for _, word := range []uint32{1, 0, at, at, size, size, 5, 0x1000} { // PT_LOAD, readable and executable
		b = le.AppendUint32(b, word)
	}
	return append(b, code...)
}

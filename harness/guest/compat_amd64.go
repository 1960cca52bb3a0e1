package guest

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

// A program of 32 bits by int 0x80, EM_386: exit(-clock_gettime(CLOCK_MONOTONIC, below the stack)), with the call 265,
// whose time has 32 bits.
const (
	machine32 = 3
	flags32   = 0
	exits32   = "\xb8\x09\x01\x00\x00" + "\xbb\x01\x00\x00\x00" + "\x8d\x4c\x24\xc0" + "\xcd\x80" +
		"\x89\xc3" + "\xf7\xdb" + "\xb8\x01\x00\x00\x00" + "\xcd\x80"
)

// nrBPF32 is the number of bpf(2) for programs of 32 bits, arch/x86/entry/syscalls/syscall_32.tbl.
const nrBPF32 = 357

// int80 makes a system call as a program of 32 bits does. A kernel without
// CONFIG_IA32_EMULATION ends the process instead.
func int80(nr, a1, a2, a3 uintptr) uintptr

// bpfCompat makes a call of bpf(2) as a program of 32 bits does. The attribute is copied to
// an address that has 32 bits; the addresses in it have 64 bits in either case.
func bpfCompat(cmd uapi.Cmd, attribute []byte, size uintptr) (int, uapi.Errno) {
	var low []byte
	if attribute != nil {
		var err error
		if low, err = unix.Mmap(-1, 0, len(attribute), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT); err != nil {
			return noFD, errnoOf(err)
		}
		defer unix.Munmap(low)
		copy(low, attribute)
		defer copy(attribute, low)
	}
	r := int32(int80(nrBPF32, uintptr(cmd), addressOf(low), size))
	if r < 0 {
		return noFD, uapi.Errno(-r)
	}
	return int(r), 0
}

package guest

// A program of 32 bits by svc, EM_ARM with EF_ARM_EABI_VER5: exit(-clock_gettime(CLOCK_MONOTONIC, below the stack)),
// with the call 263, whose time has 32 bits.
const (
	machine32 = 40
	flags32   = 0x05000000
	exits32   = "\x07\x71\x00\xe3" + "\x01\x00\xa0\xe3" + "\x40\x10\x4d\xe2" + "\x00\x00\x00\xef" +
		"\x00\x00\x60\xe2" + "\x01\x70\xa0\xe3" + "\x00\x00\x00\xef"
)

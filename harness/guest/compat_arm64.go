package guest

// The smallest program of 32 bits: exit(0) by svc, EM_ARM with EF_ARM_EABI_VER5.
const (
	machine32 = 40
	flags32   = 0x05000000
	exits32   = "\x01\x70\xa0\xe3" + "\x00\x00\xa0\xe3" + "\x00\x00\x00\xef"
)

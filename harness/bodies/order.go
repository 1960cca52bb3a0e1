package bodies

import "encoding/binary"

// Order is binary.NativeEndian for cilium/ebpf/asm, which only takes the two others.
var Order = func() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		return binary.BigEndian
	}
	return binary.LittleEndian
}()

// Registers returns the two registers of an instruction. They are bit fields of one byte (struct bpf_insn of
// include/uapi/linux/bpf.h), and the first is the lower one where bytes are in little-endian order.
func Registers(b byte) (dst, src byte) {
	if Order == binary.BigEndian {
		return b >> 4, b & 0xf
	}
	return b & 0xf, b >> 4
}

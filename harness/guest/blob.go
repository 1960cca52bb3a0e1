package guest

import (
	"encoding/binary"
	"strings"

	"tokentest/cases/step"
)

// btfBlob frames types and strings as a BTF object, Documentation/bpf/btf.rst.
func btfBlob(types []uint32, strs string) []byte {
	b := binary.NativeEndian.AppendUint16(nil, btfMagic)
	b = append(b, 1, 0) // version, flags
	for _, n := range []int{btfHeader, 0, len(types) * int32Len, len(types) * int32Len, len(strs)} {
		b = binary.NativeEndian.AppendUint32(b, uint32(n))
	}
	for _, n := range types {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return append(b, strs...)
}

const (
	signedInt32 = 1<<24 | 32 // BTF_INT_SIGNED, 32 bits
	btfPtr      = 2
	funcTypeID  = step.FuncType
)

// intBlob is the smallest BTF that a map can name: type 1 is int.
func intBlob() []byte {
	return btfBlob([]uint32{1, btfInt << kindShift, 4, signedInt32}, "\x00int\x00")
}

// lockBlob describes a value with a special field, as type step.LockType.
func lockBlob() []byte {
	strs := "\x00int\x00bpf_spin_lock\x00val\x00value\x00lock\x00"
	return btfBlob([]uint32{
		1, btfInt << kindShift, 4, signedInt32, // 1: int
		5, btfStruct<<kindShift | 1, 4, 19, 1, 0, // 2: struct bpf_spin_lock { int val; }
		23, btfStruct<<kindShift | 1, 4, 29, 2, 0, // 3: struct value { struct bpf_spin_lock lock; }
	}, strs)
}

// funcBlob describes "int prog(struct xdp_md *ctx)", a global function, as
// type funcTypeID: what an ext program and its target share.
func funcBlob() []byte {
	const global = 1
	strs := "\x00int\x00xdp_md\x00ctx\x00prog\x00"
	return btfBlob([]uint32{
		1, btfInt << kindShift, 4, signedInt32, // 1: int
		5, btfStruct << kindShift, 24, // 2: struct xdp_md
		0, btfPtr << kindShift, 2, // 3: a pointer to it
		0, btfProto<<kindShift | 1, 1, 12, 3, // 4: int (ctx)
		16, btfFunc<<kindShift | global, 4, // 5: prog
	}, strs)
}

// fieldBlob describes a value with another special field, as type step.LockType. The kernel knows most fields by the
// name and the size of their struct, and a pointer to an object of its own by the tag of its type.
func fieldBlob(f step.Field) []byte {
	s := step.FieldShapes[f]
	strs := "\x00int\x00" + s.Struct + "\x00val\x00value\x00field\x00kptr_untrusted\x00"
	at := func(name string) uint32 { return uint32(strings.Index(strs, "\x00"+name+"\x00") + 1) }
	size, held := s.Size, uint32(2)
	if f == step.FieldKptr {
		size, held = 4, 5
	}
	types := []uint32{
		at("int"), btfInt << kindShift, 4, signedInt32, // 1: int
		at(s.Struct), btfStruct<<kindShift | 1, size, at("val"), 1, 0, // 2: the field's struct
		at("value"), btfStruct<<kindShift | 1, s.Size, at("field"), held, 0, // 3: struct value
	}
	if f == step.FieldKptr {
		types = append(types,
			at("kptr_untrusted"), btfTypeTag<<kindShift, 2, // 4: the tag
			0, btfPtr<<kindShift, 4) // 5: a pointer to it
	}
	return btfBlob(types, strs)
}

const btfTypeTag = 18

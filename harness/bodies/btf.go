package bodies

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tokentest/cases/step"
)

// BTF is types and strings, which become a BTF object: Documentation/bpf/btf.rst.
type BTF struct {
	Types []uint32
	Notes []string // what each type is; a type begins at each start
	Strs  string
	start []int
}

// Numbers of include/uapi/linux/btf.h.
const (
	btfMagic    = 0xeb9f
	btfHeader   = 24 // bytes
	int32Len    = 4
	kindShift   = 24
	kindInt     = 1
	kindPtr     = 2
	kindStruct  = 4
	kindTypedef = 8
	kindFunc    = 12
	kindProto   = 13
	kindDecl    = 17
	kindTag     = 18

	signedInt32 = 1<<24 | 32 // BTF_INT_SIGNED, 32 bits
)

// Start reports which type begins at a word, "" for none.
func (b *BTF) Start(word int) string {
	for i, at := range b.start {
		if at == word {
			return b.Notes[i]
		}
	}
	return ""
}

// add adds a type, with what it is.
func (b *BTF) add(note string, words ...uint32) {
	b.start = append(b.start, len(b.Types))
	b.Notes = append(b.Notes, fmt.Sprintf("%d: %s", len(b.Notes)+1, note))
	b.Types = append(b.Types, words...)
}

// str is where a name stands in the strings.
func (b *BTF) str(name string) uint32 {
	return uint32(strings.Index(b.Strs, "\x00"+name+"\x00") + 1)
}

// Bytes frames the types and strings.
func (b *BTF) Bytes() []byte {
	size := len(b.Types) * int32Len
	out := binary.NativeEndian.AppendUint16(nil, btfMagic)
	out = append(out, 1, 0) // version, flags
	for _, n := range []int{btfHeader, 0, size, size, len(b.Strs)} {
		out = binary.NativeEndian.AppendUint32(out, uint32(n))
	}
	for _, n := range b.Types {
		out = binary.NativeEndian.AppendUint32(out, n)
	}
	return append(out, b.Strs...)
}

// IntBTF is the smallest BTF that a map can name: type 1 is int.
func IntBTF() *BTF {
	b := &BTF{Strs: "\x00int\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	return b
}

// LockBTF describes a value with a special field, as type step.LockType.
func LockBTF() *BTF {
	b := &BTF{Strs: "\x00int\x00bpf_spin_lock\x00val\x00value\x00lock\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("struct bpf_spin_lock { int val; }", b.str("bpf_spin_lock"), kindStruct<<kindShift|1, 4, b.str("val"), 1, 0)
	b.add("struct value { struct bpf_spin_lock lock; }", b.str("value"), kindStruct<<kindShift|1, 4, b.str("lock"), 2, 0)
	return b
}

// LoopBTF has a type of itself: env_stack_push meets it again.
func LoopBTF() *BTF {
	b := &BTF{Strs: "\x00int\x00loop\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("typedef loop loop", b.str("loop"), kindTypedef<<kindShift, 2)
	return b
}

// FuncBTF describes "int prog(struct xdp_md *ctx)", a global function, as type step.FuncType: what an ext program and
// its target share.
func FuncBTF() *BTF {
	const global = 1
	b := &BTF{Strs: "\x00int\x00xdp_md\x00ctx\x00prog\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("struct xdp_md", b.str("xdp_md"), kindStruct<<kindShift, 24)
	b.add("a pointer to it", 0, kindPtr<<kindShift, 2)
	b.add("int (ctx)", 0, kindProto<<kindShift|1, 1, b.str("ctx"), 3)
	b.add("prog", b.str("prog"), kindFunc<<kindShift|global, 4)
	return b
}

// FieldBTF describes a value with another special field, as type step.LockType. The kernel knows most fields by the
// name and the size of their struct, and a pointer to an object by the tag of its type.
func FieldBTF(f step.Field) *BTF {
	switch {
	case f.Roots():
		return rootBTF(f)
	case f.Points():
		return pointerBTF(f)
	}
	s := step.FieldShapes[f]
	b := &BTF{Strs: "\x00int\x00" + s.Struct + "\x00val\x00value\x00field\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("struct "+s.Struct, b.str(s.Struct), kindStruct<<kindShift|1, s.Size, b.str("val"), 1, 0)
	b.add("struct value", b.str("value"), kindStruct<<kindShift|1, s.Size, b.str("field"), 2, 0)
	return b
}

// pointerBTF describes a value with a pointer.
func pointerBTF(f step.Field) *BTF {
	s := step.FieldShapes[f]
	tag := map[step.Field]string{step.FieldKptr: "kptr_untrusted", step.FieldUptr: "uptr"}[f]
	b := &BTF{Strs: "\x00int\x00" + s.Struct + "\x00val\x00value\x00field\x00" + tag + "\x00"}
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("struct "+s.Struct, b.str(s.Struct), kindStruct<<kindShift|1, 4, b.str("val"), 1, 0)
	b.add("struct value", b.str("value"), kindStruct<<kindShift|1, s.Size, b.str("field"), 5, 0)
	b.add("the tag", b.str(tag), kindTag<<kindShift, 2)
	b.add("a pointer to it", 0, kindPtr<<kindShift, 4)
	return b
}

// rootBTF describes a value with a lock and the root of a list or a tree of nodes.
func rootBTF(f step.Field) *BTF {
	const lockLen, rootAt, contains = 4, 8 * 8, "contains:node:link"
	s := step.FieldShapes[f]
	b := &BTF{Strs: "\x00int\x00" + s.Struct + "\x00val\x00value\x00lock\x00field\x00bpf_spin_lock\x00" + s.Node +
		"\x00node\x00link\x00" + contains + "\x00"}
	one := kindStruct<<kindShift | uint32(1)
	b.add("int", b.str("int"), kindInt<<kindShift, 4, signedInt32)
	b.add("struct "+s.Struct, b.str(s.Struct), one, s.Size, b.str("val"), 1, 0)
	b.add("struct value", b.str("value"), kindStruct<<kindShift|2, rootAt/8+s.Size, b.str("lock"), 4, 0,
		b.str("field"), 2, rootAt)
	b.add("struct bpf_spin_lock", b.str("bpf_spin_lock"), one, lockLen, b.str("val"), 1, 0)
	b.add("struct "+s.Node, b.str(s.Node), one, s.Linked, b.str("val"), 1, 0)
	b.add("struct node", b.str("node"), one, s.Linked, b.str("link"), 5, 0)
	b.add("what the second member of the value contains", b.str(contains), kindDecl<<kindShift, 3, 1)
	return b
}

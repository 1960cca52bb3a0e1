package guest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

const vmlinuxBTF = "/sys/kernel/btf/vmlinux"

// The kinds of struct btf_type that carry a name we look for, and the length
// of what follows the type, Documentation/bpf/btf.rst.
const (
	btfArray     = 3
	btfStruct    = 4
	btfUnion     = 5
	btfEnum      = 6
	btfTypedef   = 8
	btfFunc      = 12
	btfProto     = 13
	btfVar       = 14
	btfDatasec   = 15
	btfInt       = 1
	btfDeclTag   = 17
	btfEnum64    = 19
	btfHeader    = 24
	btfTypeLen   = 12
	btfMagic     = 0xeb9f
	memberLen    = 12
	enumLen      = 8
	enum64Len    = 12
	arrayLen     = 12
	paramLen     = 8
	datasecLen   = 12
	int32Len     = 4
	vlenMask     = 0xffff
	kindShift    = 24
	kindMask     = 0x1f
	flagsOffset  = 4
	sizeOffset   = 8
	memberOffset = 8 // struct btf_member's offset, in bits
	bitsPerByte  = 8
)

// btfType is a named type of the kernel: its id, its size for a struct, and
// the bytes that follow it.
type btfType struct {
	id, size uint32
	vlen     int
	tail     []byte
}

type btfName struct {
	kind string
	name string
}

// kernelBTF is what the agent and its actors look up in vmlinux's BTF.
//
// The types are walked in place, once, for the few names that are wanted:
// under emulation loading every type into a library's form takes a second,
// which is a third of a boot; this takes some tens of milliseconds.
type kernelBTF struct {
	types   map[btfName]btfType
	strings []byte
}

var wantedKinds = [kindMask + 1]string{
	btfStruct:  step.KindStruct,
	btfTypedef: step.KindTypedef,
	btfFunc:    step.KindFunc,
	btfEnum:    "enum",
}

// loadBTF reads the running kernel's BTF and finds the wanted names.
func loadBTF(wanted []btfName) (*kernelBTF, error) {
	raw, err := readBTF(vmlinuxBTF)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's BTF: %w", err)
	}
	return parseBTF(raw, wanted)
}

// readBTF maps the file. Kernels before 6.16 refuse that; then it reads the file, with
// a call for each page.
func readBTF(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > 0 {
		if raw, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err == nil {
			return raw, nil
		}
	}
	return os.ReadFile(name)
}

func parseBTF(raw []byte, wanted []btfName) (*kernelBTF, error) {
	if len(raw) < btfHeader || binary.NativeEndian.Uint16(raw) != btfMagic {
		return nil, errors.New("read the kernel's BTF: no BTF header")
	}
	word := func(off int) uint64 { return uint64(binary.NativeEndian.Uint32(raw[off:])) }
	part := func(off, length uint64) []byte {
		if start := word(4) + off; start+length <= uint64(len(raw)) {
			return raw[start : start+length]
		}
		return nil
	}
	types, strs := part(word(8), word(12)), part(word(16), word(20))
	if types == nil || strs == nil {
		return nil, errors.New("read the kernel's BTF: truncated")
	}
	var names []string
	for _, w := range wanted {
		names = append(names, w.name)
	}
	b := &kernelBTF{types: map[btfName]btfType{}, strings: strs}
	return b, b.walk(types, newNameSet(names))
}

func (b *kernelBTF) walk(types []byte, wanted *nameSet) error {
	for id := uint32(1); len(types) > 0; id++ {
		if len(types) < btfTypeLen {
			return errors.New("read the kernel's BTF: a type is truncated")
		}
		info := binary.NativeEndian.Uint32(types[flagsOffset:])
		kind, vlen := info>>kindShift&kindMask, int(info&vlenMask)
		n := tailLen(kind, vlen)
		if len(types) < btfTypeLen+n {
			return fmt.Errorf("read the kernel's BTF: type %d is truncated", id)
		}
		if k := wantedKinds[kind]; k != "" {
			if name := wanted.at(b.strings, binary.NativeEndian.Uint32(types)); name != "" {
				b.types[btfName{k, name}] = btfType{
					id,
					binary.NativeEndian.Uint32(types[sizeOffset:]),
					vlen,
					types[btfTypeLen : btfTypeLen+n],
				}
			}
		}
		types = types[btfTypeLen+n:]
	}
	return nil
}

// nameSet finds the wanted names in a table of strings. Most other names differ
// from all of them in their first bytes, and are not looked at any further.
type nameSet struct {
	names  map[string]bool
	begins [1 << beginBits]bool
}

const (
	beginLen  = 4 // bytes; no wanted name is shorter
	beginBits = 12
)

func beginOf(s []byte) uint32 {
	const mix = 0x9e3779b1 // spreads the bytes over the upper bits
	return binary.NativeEndian.Uint32(s) * mix >> (32 - beginBits)
}

func newNameSet(names []string) *nameSet {
	n := &nameSet{names: map[string]bool{}}
	for _, name := range names {
		n.names[name] = true
		n.begins[beginOf([]byte(name))] = true
	}
	return n
}

// at returns the name at an offset if it is wanted, else "".
func (n *nameSet) at(table []byte, off uint32) string {
	if int(off)+beginLen > len(table) || !n.begins[beginOf(table[off:])] {
		return ""
	}
	if name := nameAt(table, off); n.names[string(name)] {
		return string(name)
	}
	return ""
}

func (b *kernelBTF) str(off uint32) []byte { return nameAt(b.strings, off) }

func nameAt(table []byte, off uint32) []byte {
	if int(off) >= len(table) {
		return nil
	}
	s := table[off:]
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return s
}

// tailLen is the length of what follows a struct btf_type.
func tailLen(kind uint32, vlen int) int {
	switch kind {
	case btfInt, btfVar, btfDeclTag:
		return int32Len
	case btfArray:
		return arrayLen
	case btfStruct, btfUnion:
		return vlen * memberLen
	case btfEnum:
		return vlen * enumLen
	case btfProto:
		return vlen * paramLen
	case btfDatasec:
		return vlen * datasecLen
	case btfEnum64:
		return vlen * enum64Len
	}
	return 0
}

// typeIDs is what requests need of the kernel's BTF: the agent looks it up
// once and sends it to its actors. A name that the kernel does not have has id 0.
type typeIDs struct {
	IDs, Sizes     map[string]uint32 // by kind and name
	Offsets        map[string]uint32 // of the members that BPF-LSM programs read, by struct and name
	StructOpsIndex uint32
	Unnamed        bool // the kernel has no BTF, and knows no name of a mask's bit
}

func typeKey(kind, name string) string { return kind + " " + name }

// ids returns what requests need; without BTF everything is 0, and the kernel
// refuses requests that name a type.
func (b *kernelBTF) ids() typeIDs {
	out := typeIDs{IDs: map[string]uint32{}, Sizes: map[string]uint32{}, Offsets: map[string]uint32{}}
	if b == nil {
		out.Unnamed = true
		return out
	}
	for n, t := range b.types {
		key := typeKey(n.kind, n.name)
		out.IDs[key], out.Sizes[key] = t.id, t.size
	}
	out.StructOpsIndex, _ = b.member(step.StructOps, step.StructOpsMember)
	for _, m := range hookMembers() {
		if i, ok := b.member(m[0], m[1]); ok {
			of := b.types[btfName{step.KindStruct, m[0]}]
			out.Offsets[typeKey(m[0], m[1])] = binary.NativeEndian.Uint32(of.tail[i*memberLen+memberOffset:]) / bitsPerByte
		}
	}
	return out
}

// hookMembers are the struct members that BPF-LSM programs read.
func hookMembers() [][2]string {
	out := slices.Concat(step.NameMembers(uapi.HookMapFree), step.NameMembers(uapi.HookProgFree))
	for _, m := range step.TokenMembers {
		out = append(out, [2]string{step.TokenStruct, m.Name})
	}
	return out
}

func (t *typeIDs) id(kind, name string) uint32 { return t.IDs[typeKey(kind, name)] }

func (t *typeIDs) offset(of, member string) uint32 { return t.Offsets[typeKey(of, member)] }

func (t *typeIDs) size(name string) uint32 { return t.Sizes[typeKey(step.KindStruct, name)] }

// member returns the index of a struct's member.
func (b *kernelBTF) member(structName, name string) (uint32, bool) {
	t := b.types[btfName{step.KindStruct, structName}]
	for i := range t.vlen {
		if string(b.str(binary.NativeEndian.Uint32(t.tail[i*memberLen:]))) == name {
			return uint32(i), true
		}
	}
	return 0, false
}

// members returns an enumeration's members.
func (b *kernelBTF) members(tag string) []step.Enumerator {
	t := b.types[btfName{"enum", tag}]
	out := make([]step.Enumerator, t.vlen)
	for i := range out {
		e := t.tail[i*enumLen:]
		out[i] = step.Enumerator{
			Name:  string(b.str(binary.NativeEndian.Uint32(e))),
			Value: uint64(binary.NativeEndian.Uint32(e[4:])),
		}
	}
	return out
}

// newHelpers are the helpers that this program does not know. To send the names of all would take some kilobytes.
func newHelpers(all []step.Enumerator) []string {
	var out []string
	for _, m := range all {
		if name, ok := strings.CutPrefix(m.Name, uapi.HelperPrefix); ok && !slices.Contains(uapi.HelperNames, name) {
			out = append(out, m.Name)
		}
	}
	return out
}

// wantedNames lists the vmlinux types that facts and programs need.
func wantedNames() []btfName {
	var out []btfName
	for _, e := range []uapi.Enum{uapi.Cmds, uapi.MapTypes, uapi.ProgTypes, uapi.AttachTypes} {
		out = append(out, btfName{"enum", e.Tag})
	}
	out = append(out, btfName{"enum", uapi.HelperEnum})
	for _, n := range step.BTFNames() {
		out = append(out, btfName{n[0], n[1]})
	}
	for _, o := range slices.Concat(step.Options, step.Opposites) {
		if o.Func != "" {
			out = append(out, btfName{step.KindFunc, o.Func})
		}
	}
	return out
}

package repro

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// insn is struct bpf_insn.
type insn struct {
	code, dst, src byte
	off            int16
	imm            int32
}

func decoded(code []byte) []insn {
	out := make([]insn, len(code)/bodies.Len)
	for i := range out {
		b := code[i*bodies.Len:]
		dst, src := bodies.Registers(b[1])
		out[i] = insn{b[0], dst, src, int16(binary.NativeEndian.Uint16(b[2:])), int32(binary.NativeEndian.Uint32(b[4:]))}
	}
	return out
}

// Classes, operations and so on of an instruction: include/uapi/linux/bpf_common.h and bpf.h.
const (
	classLD, classLDX, classST, classSTX, classALU, classJMP, classJMP32, classALU64 = 0, 1, 2, 3, 4, 5, 6, 7

	sourceReg          = 0x08
	opNeg, opMov       = 0x80, 0xb0
	opJA, opCall       = 0x00, 0x80
	opExit             = 0x90
	modeAtomic         = 0xc0
	pseudoMap          = 1 // BPF_PSEUDO_MAP_FD
	pseudoCall, pseudo = 1, 2
)

var (
	arithmetic = map[byte]string{0x00: "+=", 0x10: "-=", 0x20: "*=", 0x30: "/=", 0x40: "|=", 0x50: "&=", 0x60: "<<=",
		0x70: ">>=", 0x90: "%=", 0xa0: "^=", opMov: "=", 0xc0: "s>>="}
	comparison = map[byte]string{0x10: "==", 0x20: ">", 0x30: ">=", 0x40: "&", 0x50: "!=", 0x60: "s>", 0x70: "s>=",
		0xa0: "<", 0xb0: "<=", 0xc0: "s<", 0xd0: "s<="}
	sizes = map[byte]string{0x00: "u32", 0x08: "u16", 0x10: "u8", 0x18: "u64"}
)

// text is the instruction as the kernel's verifier prints it.
func (i *insn) text() string {
	reg := "r"
	if c := i.code & 7; c == classALU || c == classJMP32 {
		reg = "w"
	}
	right := fmt.Sprint(i.imm)
	if i.code&sourceReg != 0 {
		right = fmt.Sprintf("%s%d", reg, i.src)
	}
	at := fmt.Sprintf("*(%s *)(r%d %+d)", sizes[i.code&0x18], i.dst, i.off)
	switch i.code & 7 {
	case classLD:
		if i.src == pseudoMap {
			return fmt.Sprintf("r%d = map", i.dst)
		}
		return fmt.Sprintf("r%d = a constant of 64 bits", i.dst)
	case classLDX:
		return fmt.Sprintf("r%d = *(%s *)(r%d %+d)", i.dst, sizes[i.code&0x18], i.src, i.off)
	case classST:
		return fmt.Sprintf("%s = %d", at, i.imm)
	case classSTX:
		if i.code&0xe0 == modeAtomic {
			return fmt.Sprintf("lock %s += r%d", at, i.src)
		}
		return fmt.Sprintf("%s = r%d", at, i.src)
	case classJMP, classJMP32:
		return i.jump(reg, right)
	}
	switch op := i.code & 0xf0; {
	case op == opNeg:
		return fmt.Sprintf("%s%d = -%s%d", reg, i.dst, reg, i.dst)
	case op == opMov && i.off != 0:
		return fmt.Sprintf("r%d = (s%d)r%d", i.dst, i.off, i.src)
	default:
		return fmt.Sprintf("%s%d %s %s", reg, i.dst, arithmetic[op], right)
	}
}

func (i *insn) jump(reg, right string) string {
	switch op := i.code & 0xf0; {
	case op == opExit:
		return "exit"
	case op == opCall && i.src == pseudoCall:
		return fmt.Sprintf("call pc%+d", i.imm)
	case op == opCall && i.src == pseudo:
		return "call the function"
	case op == opCall && int(i.imm) < len(uapi.HelperNames):
		return "call bpf_" + uapi.HelperNames[i.imm]
	case op == opCall:
		return fmt.Sprintf("call helper %d", i.imm)
	case op == opJA:
		return fmt.Sprintf("goto pc%+d", i.off)
	default:
		return fmt.Sprintf("if %s%d %s %s goto pc%+d", reg, i.dst, comparison[op], right, i.off)
	}
}

// btfKinds are the numbers of the kinds of types, enum btf_kind of include/uapi/linux/btf.h.
var btfKinds = map[string]int{step.KindStruct: 4, step.KindTypedef: 8, step.KindFunc: 12}

// typeID is the number of a type of the kernel's BTF, as C.
func (w *writer) typeID(kind, name string) string {
	w.use("btf_id")
	return fmt.Sprintf("btf_id(%d /* %s */,"+glue+"%q)", btfKinds[kind], kind, name)
}

// ownProgram is the instructions that a step asks for, as an address, and how many they are; "" if they are the type's
// own. Each program is a macro: the numbers of types and descriptors are known when it runs.
func (w *writer) ownProgram(ret int32) (insns string, length int) {
	n, _ := w.st.Num(step.KeyBody)
	helper, calls := w.st.Num(step.KeyHelper)
	_, uses := w.st.Num(step.KeyMap)
	var ids []string
	const first = 0x7fff0000 // no type has such a number
	id := func(kind, name string) uint32 {
		ids = append(ids, w.typeID(kind, name))
		return uint32(first + len(ids) - 1)
	}
	var code []byte
	name := "PROG"
	switch {
	case uses:
		code = bodies.WithMap(step.Body(n), first-1, ret)
	case calls:
		code = bodies.Helper(uint32(helper))
	default:
		code = bodies.Of(step.Body(n), id)
	}
	if code == nil {
		return "", 0
	}
	switch {
	case n != 0:
		name += "_" + step.Bodies[n]
	case calls:
		name += "_" + uapi.HelperNames[helper]
	case uses:
		name += "_LOOKUP"
	}
	var lines []string
	list := decoded(code)
	for k := 0; k < len(list); k++ {
		i := &list[k]
		imm := fmt.Sprint(i.imm)
		switch {
		case uses && i.imm == first-1:
			imm = "map"
		case i.imm >= first && int(i.imm-first) < len(ids):
			imm = ids[i.imm-first]
		}
		lines = append(lines, "\t"+strings.ReplaceAll(i.c(imm), glue, " ")+"\t/* "+i.text()+" */")
		if i.code&7 == classLD && k+1 < len(list) {
			k++
			lines = append(lines, "\t"+list[k].c(fmt.Sprint(list[k].imm)))
		}
	}
	head := "NAME "
	if uses {
		head = "NAME(map) "
	}
	name = w.named(macroName(name), "#define "+head+"((unsigned long)(struct bpf_insn []) { \\\n"+
		strings.Join(lines, " \\\n")+" \\\n\t})\n")
	if uses {
		name += "(" + w.fd(step.KeyMap) + ")"
	}
	return name, len(list)
}

// c is an initializer of struct bpf_insn.
func (i *insn) c(imm string) string {
	return fmt.Sprintf("{ %#x, %d, %d, %d, %s },", i.code, i.dst, i.src, i.off, strings.TrimSpace(imm))
}

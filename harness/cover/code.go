// Package cover says which functions, lines, branches and permission checks of a kernel the
// cases execute. It needs no other kernel: QEMU's translator logs each block of instructions
// that it translates, which it does before it executes a block for the first time, and the
// debug information of the kernel says what the block belongs to.
//
// It does not run cases; package lab does, with Lab.Trace. Start with Load, then Code.Measure.
package cover

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"tokentest/harness/kernel"
	"tokentest/harness/vm"
)

// Code is the chosen part of a kernel, read from an ELF file with debug information.
type Code struct {
	BuildID string
	Units   []Unit // by name

	names  map[uint64]string // kept.Names
	fields map[int64]string  // of bpf_verifier_env, by their offset
}

// Unit is one source file that was compiled on its own.
type Unit struct {
	Name  string // relative to the kernel's tree
	Funcs []Func
}

// Func is one function symbol. A part that the compiler moved away, such as bpf_map_free.cold, is one of
// its own.
type Func struct {
	Name     string
	From, To uint64
	Insns    []Insn

	code *Code
}

// Insn is one instruction.
type Insn struct {
	x86asm.Inst
	Addr  uint64
	File  string // of the source line; "" is unknown
	Line  int
	Bytes []byte // of the instruction
	In    string // the innermost inlined function; "" if the symbol itself
	// CallFile and CallLine are where the symbol calls the outermost inlined function.
	CallFile string
	CallLine int
}

// Next is the address after the instruction.
func (i *Insn) Next() uint64 { return i.Addr + uint64(i.Len) }

// Target is the address that a relative jump or call goes to; 0 is none.
func (i *Insn) Target() uint64 {
	if rel, ok := i.Args[0].(x86asm.Rel); ok {
		return i.Next() + uint64(int64(rel))
	}
	return 0
}

// Text is the instruction in the form of objdump, with the name of a function that it calls.
func (f *Func) Text(i *Insn) string { return f.decoded(i.Addr, i.Bytes) }

// decoded is the text of instructions at an address. Instructions that do nothing are counted.
func (f *Func) decoded(at uint64, text []byte) string {
	name := func(to uint64) (string, uint64) {
		if f.From <= to && to < f.To {
			return f.Name, f.From
		}
		if f.code == nil {
			return "", 0
		}
		return f.code.names[to], to
	}
	var out []string
	nops := 0
	flush := func() {
		if nops > 0 {
			out = append(out, fmt.Sprintf("%d nop", nops))
		}
		nops = 0
	}
	for len(text) > 0 {
		i := decode(text)
		switch {
		case i.Op == x86asm.NOP:
			nops++
		case i.Op == 0:
			flush()
			out = append(out, fmt.Sprintf("bytes %x", text[:i.Len]))
		default:
			flush()
			out = append(out, x86asm.GNUSyntax(i, at, name))
		}
		text, at = text[i.Len:], at+uint64(i.Len)
	}
	flush()
	return strings.Join(out, "; ")
}

// Patched is the text of other bytes in the place of an instruction.
func (f *Func) Patched(i *Insn, text []byte) string { return f.decoded(i.Addr, text) }

// Conditional reports whether the instruction is a jump with two sides.
func (i *Insn) Conditional() bool {
	return i.Op >= x86asm.JA && i.Op <= x86asm.JS && i.Op != x86asm.JMP && i.Target() != 0
}

// broken are the beginnings of the names of functions that the kernel calls when it is broken itself: the stack
// protector, a reference count that overflows, and UBSAN.
var broken = []string{"__stack_chk_fail", "refcount_warn_saturate", "__ubsan_handle_"}

// ToBroken reports whether a jump goes to code that says that the kernel itself is broken. No request leads there.
func (f *Func) ToBroken(i *Insn) bool {
	if f.code == nil {
		return false
	}
	const soon = 6 // the instructions that load the arguments
	list := f.code.from(i.Target())
	for n := range list[:min(soon, len(list))] {
		to := &list[n]
		if to.Op == x86asm.CALL {
			name := f.code.names[to.Target()]
			return slices.ContainsFunc(broken, func(b string) bool { return strings.HasPrefix(name, b) })
		}
		if to.Op == x86asm.JMP || to.Op == x86asm.RET || to.Conditional() {
			return false
		}
	}
	return false
}

// from are the instructions from an address to the end of its function, nil for an address that is of none.
func (c *Code) from(at uint64) []Insn {
	for _, u := range c.Units {
		for i := range u.Funcs {
			f := &u.Funcs[i]
			if at < f.From || at >= f.To {
				continue
			}
			n, ok := slices.BinarySearchFunc(f.Insns, at, func(i Insn, at uint64) int { return cmp.Compare(i.Addr, at) })
			if !ok {
				return nil
			}
			return f.Insns[n:]
		}
	}
	return nil
}

// Chosen are the source files that decide what BPF may do: Load's default.
var Chosen = []string{"kernel/bpf/*.c", "kernel/trace/bpf_trace.c", "net/core/filter.c"}

// ErrNoLines means that an ELF file has no debug information.
var ErrNoLines = errors.New("no debug information")

// Load reads the units whose names match a pattern of path.Match. file is a vmlinux with debug
// information. Functions that only run while the kernel starts or ends are left out.
func Load(file string, patterns []string) (*Code, error) {
	k, err := load(file, patterns)
	if err != nil {
		return nil, err
	}
	return k.code(), nil
}

func load(file string, patterns []string) (*kept, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's ELF file: %w", err)
	}
	defer f.Close()
	if f.Section(".debug_info") == nil {
		return nil, fmt.Errorf("%s: %w", file, ErrNoLines)
	}
	l := &loader{elf: f, names: map[dwarf.Offset]string{}, out: &kept{BuildID: buildID(f)}}
	if l.dwarf, err = f.DWARF(); err == nil {
		err = l.symbols()
	}
	if err == nil {
		err = l.units(patterns)
	}
	if err != nil {
		return nil, fmt.Errorf("read the debug information of %s: %w", file, err)
	}
	if len(l.out.Units) == 0 {
		return nil, fmt.Errorf("%s has no source file like %s", file, strings.Join(patterns, ", "))
	}
	slices.SortFunc(l.out.Units, func(a, b keptUnit) int { return strings.Compare(a.Name, b.Name) })
	return l.out, nil
}

// units reads the units that match.
func (l *loader) units(patterns []string) error {
	r := l.dwarf.Reader()
	for {
		e, err := r.Next()
		if e == nil || err != nil {
			return err
		}
		if e.Tag == dwarf.TagCompileUnit && matches(unitName(e), patterns) {
			if err := l.unit(e); err != nil {
				return fmt.Errorf("%s: %w", unitName(e), err)
			}
		}
		r.SkipChildren()
	}
}

// code disassembles what is kept.
func (k *kept) code() *Code {
	c := &Code{BuildID: k.BuildID, names: k.Names, fields: k.Fields}
	for i := range k.Units {
		from := &k.Units[i]
		u := Unit{Name: from.Name}
		for _, f := range from.Funcs {
			u.Funcs = append(u.Funcs, Func{f.Name, f.From, f.From + uint64(len(f.Text)), from.disassemble(&f), c})
		}
		c.Units = append(c.Units, u)
	}
	return c
}

// disassemble decodes a function. An instruction that x86asm does not know has the length that
// unknownLen says.
func (u *keptUnit) disassemble(f *keptFunc) []Insn {
	var own []inline
	for _, in := range u.Inlined {
		if in.From < f.From+uint64(len(f.Text)) && f.From < in.To {
			own = append(own, in)
		}
	}
	var out []Insn
	for at := 0; at < len(f.Text); {
		i := Insn{Addr: f.From + uint64(at)}
		i.Inst = decode(f.Text[at:])
		i.Bytes = f.Text[at : at+i.Len]
		at += i.Len
		if r := u.row(i.Addr); r != nil {
			i.File, i.Line = r.File, r.Line
		}
		for _, in := range own {
			if in.From > i.Addr || i.Addr >= in.To {
				continue
			}
			if i.In == "" {
				i.CallFile, i.CallLine = in.File, in.Line
			}
			i.In = in.Name
		}
		out = append(out, i)
	}
	return out
}

func decode(text []byte) x86asm.Inst {
	if i, err := x86asm.Decode(text, 64); err == nil && i.Len > 0 {
		return i
	}
	return x86asm.Inst{Len: unknownLen(text)}
}

// row is the last row of the line table that begins at an address or before it.
func (u *keptUnit) row(at uint64) *row {
	after := func(r row, a uint64) int { return cmp.Compare(r.Addr, a) }
	n, _ := slices.BinarySearchFunc(u.Rows, at+1, after)
	if n == 0 {
		return nil
	}
	return &u.Rows[n-1]
}

// unknownLen is the length of an instruction that x86asm does not know.
func unknownLen(text []byte) int {
	for _, known := range []string{"\xf3\x0f\x1e\xfa", "\x0f\x0b", "\x0f\xb9"} { // endbr64, ud2, ud1
		if strings.HasPrefix(string(text[:min(len(text), len(known))]), known) {
			return len(known)
		}
	}
	return 1
}

func matches(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

func unitName(e *dwarf.Entry) string {
	name, _ := e.Val(dwarf.AttrName).(string)
	return kernel.TreePath(e, name)
}

// Ranges are the addresses of the code, for vm.Machine.Trace.
func (c *Code) Ranges() []vm.Range {
	var all []vm.Range
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			all = append(all, vm.Range{From: f.From, To: f.To})
		}
	}
	return join(all, nil)
}

// join joins ranges with little between them, but not across a range of without.
func join(all, without []vm.Range) []vm.Range {
	slices.SortFunc(all, func(a, b vm.Range) int { return cmp.Compare(a.From, b.From) })
	var out []vm.Range
	for _, r := range all {
		between := func(w vm.Range) bool { return out[len(out)-1].To <= w.From && w.From < r.From }
		if n := len(out); n > 0 && r.From <= out[n-1].To+near && !slices.ContainsFunc(without, between) {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// near joins ranges with little between them: QEMU compares each block with each range.
const near = 4096

func buildID(f *elf.File) string {
	s := f.Section(".notes")
	if s == nil {
		s = f.Section(".note.gnu.build-id")
	}
	if s == nil {
		return ""
	}
	note, err := s.Data()
	for err == nil && len(note) >= 12 {
		name, desc := align(f.ByteOrder.Uint32(note)), align(f.ByteOrder.Uint32(note[4:]))
		kind, size := f.ByteOrder.Uint32(note[8:]), f.ByteOrder.Uint32(note[4:])
		if uint64(len(note)) < 12+uint64(name)+uint64(desc) {
			break
		}
		if kind == gnuBuildID && string(note[12:16]) == "GNU\x00" {
			return fmt.Sprintf("%x", note[12+name:12+name+size])
		}
		note = note[12+name+desc:]
	}
	return ""
}

// gnuBuildID is NT_GNU_BUILD_ID of elf.h.
const gnuBuildID = 3

func align(n uint32) uint32 { return (n + 3) &^ 3 }

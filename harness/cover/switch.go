package cover

import (
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// orders are the jumps that compare which of two values is greater.
var orders = []x86asm.Op{x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE}

// manyCases is from how many constants on, with which a line compares one register, it is a switch.
const manyCases = 3

// Navigates reports whether instruction n is a jump of a switch's compare tree that only leads to other comparisons:
// one by order, on a line that compares the same register with several constants. That a value belongs to a case is
// decided by the jumps of equality.
func (f *Func) Navigates(n int) bool {
	i := &f.Insns[n]
	if !slices.Contains(orders, i.Op) {
		return false
	}
	reg, ok := f.comparedBefore(n)
	if !ok {
		return false
	}
	values := map[x86asm.Imm]bool{}
	for k := range f.Insns {
		o := &f.Insns[k]
		if r, v, ok := compares(o); ok && r == reg && o.Line == i.Line && o.File == i.File && o.In == i.In {
			values[v] = true
		}
	}
	return len(values) >= manyCases
}

// comparedBefore is the register whose comparison with a constant sets the flags of jump n.
func (f *Func) comparedBefore(n int) (x86asm.Reg, bool) {
	for n--; n >= 0; n-- {
		if r, _, ok := compares(&f.Insns[n]); ok {
			return r, true
		}
		if !f.Insns[n].Conditional() {
			return 0, false
		}
	}
	return 0, false
}

// compares reports whether an instruction compares a register with a constant.
func compares(i *Insn) (x86asm.Reg, x86asm.Imm, bool) {
	r, isReg := i.Args[0].(x86asm.Reg)
	v, isImm := i.Args[1].(x86asm.Imm)
	return r, v, i.Op == x86asm.CMP && isReg && isImm
}

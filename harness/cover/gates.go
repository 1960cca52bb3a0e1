package cover

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"tokentest/cases/uapi"
)

// Gate is a place where the kernel asks for a permission and branches on the answer.
type Gate struct {
	Func string `json:"func"`           // the symbol
	In   string `json:"in,omitempty"`   // the function that was inlined there
	File string `json:"file,omitempty"` // of the source line
	Line int    `json:"line,omitempty"`
	Asks string `json:"asks"` // such as ns_capable(CAP_BPF) or env->bpf_capable

	Executed bool `json:"executed"`
	// Branches says that the next branch depends on the answer. Otherwise the answer is a
	// value, or the caller's.
	Branches bool `json:"branches"`
	Allowed  bool `json:"allowed"` // the side for a permission was executed
	Refused  bool `json:"refused"`
	// Reason says why it is right that it was not executed both ways, from a list; "" is none.
	Reason string `json:"reason,omitempty"`

	addr, allow, refuse uint64
}

// Both reports whether the gate was executed both ways, or executed if it does not branch.
func (g *Gate) Both() bool { return g.Executed && (!g.Branches || g.Allowed && g.Refused) }

// asks are the functions that answer whether something is permitted: true means that the
// answer 0 refuses, false that it permits, as an errno does. A capability is the argument with
// this number.
var asks = map[string]struct {
	boolean bool
	capArg  int // from 1; 0 is none
}{
	"capable":                    {true, 1},
	"ns_capable":                 {true, 2},
	"ns_capable_noaudit":         {true, 2},
	"file_ns_capable":            {true, 3},
	"capable_wrt_inode_uidgid":   {true, 3},
	"bpf_token_capable":          {true, 2},
	"bpf_token_allow_cmd":        {true, 0},
	"bpf_token_allow_map_type":   {true, 0},
	"bpf_token_allow_prog_type":  {true, 0},
	"kallsyms_show_value":        {true, 0},
	"security_locked_down":       {false, 0},
	"security_bpf":               {false, 0},
	"security_bpf_map":           {false, 0},
	"security_bpf_prog":          {false, 0},
	"security_bpf_map_create":    {false, 0},
	"security_bpf_prog_load":     {false, 0},
	"security_bpf_token_create":  {false, 0},
	"security_bpf_token_cmd":     {false, 0},
	"security_bpf_token_capable": {false, 0},
	"security_path_mknod":        {false, 0},
	"inode_permission":           {false, 0},
}

// argument are the registers of the first arguments of a call (System V ABI, AMD64).
var argument = []x86asm.Reg{x86asm.EDI, x86asm.ESI, x86asm.EDX}

// variables are those on which permissions depend.
var variables = []string{"sysctl_unprivileged_bpf_disabled", "bpf_jit_harden", "sysctl_perf_event_paranoid"}

// precision are the functions that read env->bpf_capable only to say how exactly the verifier tracks a number
// (__mark_reg_unknown and its like): what they read permits nothing by itself.
var precision = []string{"__mark_reg_unknown", "__mark_reg_const_zero"}

// gates finds the permission checks of the code.
func (c *Code) gates() []*Gate {
	var out []*Gate
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			for n := range f.Insns {
				if g := c.gate(&f, n); g != nil {
					out = append(out, g)
				}
			}
		}
	}
	return out
}

// GateInsns are the addresses of the instructions that are part of a permission check: the
// question, a capability that is its argument, and the branch on the answer.
func (c *Code) GateInsns() map[uint64]bool {
	out := map[uint64]bool{}
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			for n := range f.Insns {
				if c.gate(&f, n) == nil {
					continue
				}
				out[f.Insns[n].Addr] = true
				if j := f.branch(n); j != nil {
					out[j.Addr] = true
				}
				for k := max(0, n-window); k < n; k++ {
					if f.askedBy(k) == n {
						out[f.Insns[k].Addr] = true
					}
				}
			}
		}
	}
	return out
}

// AsksWith reports whether instruction n moves a capability to the argument of a check.
func (f *Func) AsksWith(n int) bool { return f.askedBy(n) >= 0 }

// askedBy is the call whose argument instruction n moves a constant to, or -1.
func (f *Func) askedBy(n int) int {
	to, ok := f.Insns[n].Args[0].(x86asm.Reg)
	if !ok || f.Insns[n].Op != x86asm.MOV || !slices.Contains(argument, to) {
		return -1
	}
	for j := n + 1; j < len(f.Insns) && j <= n+window; j++ {
		i := &f.Insns[j]
		if r, ok := i.Args[0].(x86asm.Reg); ok && r == to && i.Op == x86asm.MOV {
			return -1
		}
		if i.Op == x86asm.CALL || i.Op == x86asm.JMP && i.Target() != 0 {
			how, ok := asks[f.code.names[i.Target()]]
			if ok && how.capArg > 0 && argument[how.capArg-1] == to {
				return j
			}
			return -1
		}
	}
	return -1
}

// gate returns the check that an instruction is, or nil.
func (c *Code) gate(f *Func, n int) *Gate {
	i := &f.Insns[n]
	g := &Gate{Func: f.Name, In: i.In, File: i.File, Line: i.Line, addr: i.Addr}
	if i.In != "" {
		g.File, g.Line = i.CallFile, i.CallLine
	}
	boolean := true
	switch {
	case i.Op == x86asm.CALL || i.Op == x86asm.JMP && i.Target() != 0:
		name := c.names[i.Target()]
		how, ok := asks[name]
		if !ok {
			return nil
		}
		boolean = how.boolean
		g.Asks = name + "()"
		if how.capArg > 0 {
			g.Asks = fmt.Sprintf("%s(%s)", name, f.capability(n, argument[how.capArg-1]))
		}
		if i.Op == x86asm.JMP {
			return g // the caller's answer
		}
	case c.loads(i) != "" && !slices.Contains(precision, cmp.Or(i.In, f.Name)):
		g.Asks = c.loads(i)
		boolean = !strings.Contains(g.Asks, "sysctl") && g.Asks != "bpf_jit_harden"
	default:
		return nil
	}
	if jump := f.branch(n); jump != nil {
		zero, other := jump.Target(), jump.Next()
		if jump.Op == x86asm.JNE || jump.Op == x86asm.JS {
			zero, other = other, zero
		}
		g.Branches, g.allow, g.refuse = true, other, zero
		if !boolean {
			g.allow, g.refuse = zero, other
		}
	}
	return g
}

// loads names the permission that an instruction reads or compares.
func (c *Code) loads(i *Insn) string {
	if i.Op != x86asm.MOVZX && i.Op != x86asm.CMP && i.Op != x86asm.TEST && i.Op != x86asm.MOV {
		return ""
	}
	for at, a := range i.Args {
		m, ok := a.(x86asm.Mem)
		if !ok || i.Op == x86asm.MOV && at == 0 { // a store
			continue
		}
		if m.Base == x86asm.RIP {
			name := c.names[i.Next()+uint64(m.Disp)]
			for _, v := range variables {
				if name == v {
					return v
				}
			}
			return ""
		}
		name, ok := c.fields[m.Disp]
		if ok && i.MemBytes == 1 && m.Index == 0 && m.Base != x86asm.RSP && m.Base != x86asm.RBP {
			return "env->" + name
		}
	}
	return ""
}

// window is how many instructions after a question its branch may be.
const window = 12

// branch is the conditional jump on the answer of instruction n, or nil: the flags that it looks at must be
// those of the answer. The answer of a call is in RAX, that of a load where it goes; it may be copied.
func (f *Func) branch(n int) *Insn {
	of := f.answer(n)
	flags := len(of) == 0 // a comparison in memory sets them itself
	for j := n + 1; j < len(f.Insns) && j <= n+window; j++ {
		switch i := &f.Insns[j]; {
		case i.Conditional():
			if !flags || i.Op != x86asm.JE && i.Op != x86asm.JNE && i.Op != x86asm.JS && i.Op != x86asm.JNS {
				return nil
			}
			return i
		case i.Op == x86asm.CALL, i.Op == x86asm.JMP, i.Op == x86asm.RET:
			return nil
		case i.Op == x86asm.MOV, i.Op == x86asm.MOVZX, i.Op == x86asm.MOVSX, i.Op == x86asm.LEA:
			if to := whole(i.Args[0]); to >= 0 {
				of[to] = of[whole(i.Args[1])]
			}
		case i.Op == x86asm.NOP, i.Op == x86asm.PUSH, i.Op == x86asm.POP:
		default:
			flags = of[whole(i.Args[0])] || of[whole(i.Args[1])]
		}
	}
	return nil
}

// answer is the register with the answer of instruction n; none if the flags are.
func (f *Func) answer(n int) map[int]bool {
	switch i := &f.Insns[n]; i.Op {
	case x86asm.CALL:
		return map[int]bool{whole(x86asm.RAX): true}
	case x86asm.MOV, x86asm.MOVZX:
		return map[int]bool{whole(i.Args[0]): true}
	}
	return map[int]bool{}
}

// whole is the number of the register that an operand is or is a part of, or -1.
func whole(a x86asm.Arg) int {
	r, ok := a.(x86asm.Reg)
	switch {
	case !ok:
	case r >= x86asm.AL && r <= x86asm.BL:
		return int(r - x86asm.AL)
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return 4 + int(r-x86asm.SPB)
	case r >= x86asm.AX && r <= x86asm.R15W:
		return int(r - x86asm.AX)
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return int(r - x86asm.EAX)
	case r >= x86asm.RAX && r <= x86asm.R15:
		return int(r - x86asm.RAX)
	}
	return -1
}

// capability names the constant that was last moved to a register before instruction n.
func (f *Func) capability(n int, to x86asm.Reg) string {
	for j := n - 1; j >= 0 && j >= n-window; j-- {
		i := &f.Insns[j]
		if r, ok := i.Args[0].(x86asm.Reg); ok && r == to {
			if v, ok := i.Args[1].(x86asm.Imm); ok && i.Op == x86asm.MOV {
				return uapi.Cap(v).String()
			}
			return "?"
		}
		if i.Op == x86asm.CALL {
			break
		}
	}
	return "?"
}

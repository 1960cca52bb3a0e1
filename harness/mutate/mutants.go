// Package mutate measures what the cases would notice: it changes one decision of a kernel at a
// time and runs the cases on it. It neither builds nor boots: the bytes of an instruction are
// replaced in the stream from which a saved machine starts, and the saved machine stays as it is.
//
// Start with Run; mutants.go has the changes.
package mutate

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"

	"golang.org/x/arch/x86/x86asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
	"tokentest/harness/cover"
	"tokentest/harness/vm"
)

// Operator is a kind of change.
type Operator string

// The operators.
const (
	Always     Operator = "always"     // a conditional jump is always taken
	Never      Operator = "never"      // a conditional jump is never taken
	Zero       Operator = "zero"       // a call is replaced by the result 0
	One        Operator = "one"        // a call is replaced by the result 1
	Capability Operator = "capability" // another capability is asked for
	Errno      Operator = "errno"      // another errno is returned
)

var operators = []Operator{Always, Never, Zero, One, Capability, Errno}

// Mutant is one change of the kernel.
type Mutant struct {
	ID       string   `json:"id"` // FUNC+0xOFFSET/OPERATOR
	Operator Operator `json:"operator"`
	Func     string   `json:"func"`
	In       string   `json:"in,omitempty"` // the function that was inlined there
	File     string   `json:"file"`         // of the line that is changed, or of the call of what was inlined there
	Line     int      `json:"line"`
	Inner    string   `json:"inner,omitempty"` // FILE:LINE in the inlined function
	Change   string   `json:"change"`          // for people
	Before   string   `json:"before"`          // the instruction, as objdump shows it
	After    string   `json:"after"`

	patch vm.Patch
	// never is an address that is executed only if the change can have an effect: the other side
	// of a jump, which the mutant does not execute any more. 0 is none.
	never uint64
}

// Selection says which mutants to make.
type Selection struct {
	Functions []string       // patterns of functions; none means all
	Gates     bool           // only permission checks
	Patch     []cover.Change // only in the code of these lines; none means all
	Sample    int            // so many of them; 0 means all
	Seed      uint64
}

// mutants lists the changes of the code, those that Selection chooses, by address.
func mutants(c *cover.Code, s *Selection) []*Mutant {
	var out []*Mutant
	gates, lines := c.GateInsns(), c.InsnsOf(s.Patch)
	for _, u := range c.Units {
		for i := range u.Funcs {
			f := &u.Funcs[i]
			if !s.chooses(f.Name) {
				continue
			}
			for n := range f.Insns {
				for _, m := range changes(f, n) {
					if (!s.Gates || gates[f.Insns[n].Addr]) && (lines == nil || lines[f.Insns[n].Addr]) {
						out = append(out, m)
					}
				}
			}
		}
	}
	if s.Sample > 0 && s.Sample < len(out) {
		r := rand.New(rand.NewPCG(s.Seed, 0))
		r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		out = out[:s.Sample]
		slices.SortStableFunc(out, func(a, b *Mutant) int { return int(int64(a.patch.At - b.patch.At)) })
	}
	return out
}

func (s *Selection) chooses(name string) bool {
	return len(s.Functions) == 0 || slices.ContainsFunc(s.Functions, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

// changes are the mutants of instruction n. Left out is what no request can show: a jump to the report of a kernel that
// is broken itself, and whether a file is given back; and a jump that only leads to the comparisons of a switch.
func changes(f *cover.Func, n int) []*Mutant {
	i := &f.Insns[n]
	switch {
	case i.Conditional() && (f.ToBroken(i) || f.Navigates(n) || slices.Contains(closing, i.In)):
		return nil
	case i.Conditional():
		return jumps(f, i)
	case i.Op == x86asm.CALL && i.Len == callLen && i.Target() != 0:
		return []*Mutant{
			mutant(f, i, Zero, "the result of the call is 0", i.Bytes, []byte{0xb8, 0, 0, 0, 0}),
			mutant(f, i, One, "the result of the call is 1", i.Bytes, []byte{0xb8, 1, 0, 0, 0}),
		}
	case i.Op == x86asm.MOV && i.Len == callLen:
		return constants(f, n)
	}
	return nil
}

// closing are inlined functions that give back a descriptor's file, which only matters to a process with threads.
var closing = []string{"fdput", "class_fd_destructor"}

// callLen is the length of a direct call, and of a move of a constant to a register.
const callLen = 5

func mutant(f *cover.Func, i *cover.Insn, o Operator, change string, old, new []byte) *Mutant {
	m := &Mutant{
		ID: fmt.Sprintf("%s+%#x/%s", f.Name, i.Addr-f.From, o), Operator: o, Func: f.Name, In: i.In,
		File: i.File, Line: i.Line, Change: change, Before: f.Text(i), After: f.Patched(i, new),
		patch: vm.Patch{At: i.Addr, Old: old, New: new},
	}
	if i.In != "" {
		m.File, m.Line = i.CallFile, i.CallLine
		m.Inner = fmt.Sprintf("%s:%d", i.File, i.Line)
	}
	return m
}

// jumps are a jump that is always taken and one that never is.
func jumps(f *cover.Func, i *cover.Insn) []*Mutant {
	always, never := slices.Clone(i.Bytes), make([]byte, i.Len)
	for k := range never {
		never[k] = 0x90 // nop
	}
	switch i.Len {
	case 2:
		always[0] = 0xeb // jmp rel8
	case 6: // the distance counts from the end, which stays
		always[0], always[1] = 0x90, 0xe9 // nop; jmp rel32
	default:
		return nil
	}
	a := mutant(f, i, Always, fmt.Sprintf("%s is always taken", i.Op), i.Bytes, always)
	b := mutant(f, i, Never, fmt.Sprintf("%s is never taken", i.Op), i.Bytes, never)
	a.never, b.never = i.Next(), i.Target()
	return []*Mutant{a, b}
}

// capabilities are those that are exchanged with each other.
var capabilities = []uapi.Cap{uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_NET_ADMIN, uapi.CAP_SYS_ADMIN}

// errnos are those that are exchanged with the next one.
var errnos = []uapi.Errno{
	uapi.Errno(unix.EPERM), uapi.Errno(unix.EACCES), uapi.Errno(unix.EINVAL), uapi.Errno(unix.EBADF),
	uapi.Errno(unix.ENOENT), uapi.Errno(unix.EOPNOTSUPP),
}

// constants are other values of a constant that is moved to a register: a capability that is the
// argument of a check, or an errno.
func constants(f *cover.Func, n int) []*Mutant {
	i := &f.Insns[n]
	imm, ok := i.Args[1].(x86asm.Imm)
	if !ok {
		return nil
	}
	with := func(v int32) []byte {
		b := slices.Clone(i.Bytes)
		for k := range 4 {
			b[1+k] = byte(uint32(v) >> (8 * k))
		}
		return b
	}
	if c := slices.Index(capabilities, uapi.Cap(imm)); c >= 0 && f.AsksWith(n) {
		other := capabilities[(c+1)%len(capabilities)]
		return []*Mutant{mutant(f, i, Capability, fmt.Sprintf("%s instead of %s", other, capabilities[c]), i.Bytes,
			with(int32(other)))}
	}
	if e := slices.Index(errnos, uapi.Errno(-int32(imm))); e >= 0 && int32(imm) < 0 {
		other := errnos[(e+1)%len(errnos)]
		return []*Mutant{mutant(f, i, Errno, fmt.Sprintf("%s instead of %s", other, errnos[e]), i.Bytes,
			with(-int32(other)))}
	}
	return nil
}

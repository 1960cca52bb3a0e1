package guest

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/asm"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A hook's map holds a number of slots. Each says whose calls it is about,
// which conditions it has, what they compare with, and what it answers; the
// program counts there how often they held.
const (
	lsmSlots   = 4
	slotPID    = 0  // 32 bits
	slotErrno  = 4  // 32 bits: what the hook returns, at most 0
	slotFlags  = 8  // the conditions
	slotCount  = 16 // how often they held
	slotValues = 24 // what they compare with, 8 bytes each
	slotLen    = slotValues + 8*conditions
)

// The conditions, each a bit of slotFlags.
const (
	ifCmd = iota
	ifCap
	ifGiven
	ifKernel
	ifCmds
	ifMaps
	ifProgs
	ifAttachs
	ifMask
	ifName
	conditions
)

var conditionOf = map[step.Key]int{
	step.KeyHookCmd: ifCmd, step.KeyHookCap: ifCap, step.KeyGiven: ifGiven, step.KeyKernel: ifKernel,
	step.KeyOfCmds: ifCmds, step.KeyOfMaps: ifMaps, step.KeyOfProgs: ifProgs, step.KeyOfAttachs: ifAttachs,
	step.KeyHookMask: ifMask, step.KeyHookName: ifName,
}

// lsmRule is the slot of a step.
func lsmRule(s *step.Step, pid uint32) []byte {
	b := make([]byte, slotLen)
	binary.NativeEndian.PutUint32(b[slotPID:], pid)
	errno, _ := s.Num(step.KeyErrno)
	binary.NativeEndian.PutUint32(b[slotErrno:], -uint32(errno))
	flags := uint64(0)
	for _, a := range s.Args {
		if c, ok := conditionOf[a.Key]; ok {
			flags |= 1 << c
			binary.NativeEndian.PutUint64(b[slotValues+8*c:], a.Num)
			if a.Key == step.KeyHookName {
				copy(b[slotValues+8*c:slotValues+8*c+step.HookNameLen], a.Str)
			}
		}
	}
	binary.NativeEndian.PutUint64(b[slotFlags:], flags)
	return b
}

const (
	argLen   = 8     // of each argument of a hook
	maxErrno = 4095  // a BPF-LSM program returns no less than its negative
	nothing  = "end" // the label after the last slot
)

// lsmBody is a hook's program: the youngest slot whose conditions hold, and
// that has an errno, answers.
//
// In it r6 is the context, r7 the map's value, r8 the process's number, r9 the
// flags of a slot.
func lsmBody(h uapi.Hook, at step.HookArgs, btf *typeIDs, rules int) asm.Instructions {
	insns := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMapValue(asm.R7, rules, 0),
		asm.FnGetCurrentPidTgid.Call(),
		asm.Mov.Reg(asm.R8, asm.R0),
		asm.RSh.Imm(asm.R8, 32),
	}
	if at.Kernel >= 0 {
		// After the last argument is the hook's result so far. If the verifier allows
		// to read it, the kernel argument exists.
		insns = append(insns, asm.LoadMem(asm.R1, asm.R6, int16((at.Kernel+1)*argLen), asm.DWord))
	}
	for i := lsmSlots - 1; i >= 0; i-- {
		s := lsmSlot{hook: h, at: at, base: int16(i * slotLen), next: fmt.Sprintf("slot%d", i-1)}
		if i == 0 {
			s.next = nothing
		}
		body := s.body(btf)
		if i < lsmSlots-1 {
			body[0] = body[0].WithSymbol(fmt.Sprintf("slot%d", i))
		}
		insns = append(insns, body...)
	}
	return append(insns, asm.Mov.Imm(asm.R0, 0).WithSymbol(nothing), asm.Return())
}

// lsmSlot writes the instructions of one slot; next is where the search goes on.
type lsmSlot struct {
	hook  uapi.Hook
	at    step.HookArgs
	base  int16
	next  string
	insns asm.Instructions
}

func (s *lsmSlot) add(insns ...asm.Instruction) { s.insns = append(s.insns, insns...) }

func (s *lsmSlot) value(dst asm.Register, off int, size asm.Size) asm.Instruction {
	return asm.LoadMem(dst, asm.R7, s.base+int16(off), size)
}

func (s *lsmSlot) body(btf *typeIDs) asm.Instructions {
	// A hook that frees an object runs in no process of a case. An empty slot has no process.
	s.add(s.value(asm.R1, slotPID, asm.Word), asm.JEq.Imm(asm.R1, 0, s.next))
	if !s.hook.Frees() {
		s.add(asm.JNE.Reg(asm.R1, asm.R8, s.next))
	}
	s.add(s.value(asm.R9, slotFlags, asm.DWord))
	s.number(ifCmd, s.at.Cmd)
	s.number(ifCap, s.at.Cap)
	s.number(ifKernel, s.at.Kernel)
	s.number(ifMask, s.at.Mask)
	if s.at.Named >= 0 {
		s.name(btf)
	}
	if s.at.Token >= 0 {
		s.token(btf)
	}
	s.add(s.value(asm.R1, slotCount, asm.DWord),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R7, s.base+slotCount, asm.R1, asm.DWord),
		s.value(asm.R0, slotErrno, asm.Word),
		asm.JEq.Imm32(asm.R0, 0, s.next),
		// The verifier needs the bounds.
		asm.JSLT.Imm32(asm.R0, -maxErrno, s.next),
		asm.JSGT.Imm32(asm.R0, 0, s.next),
		asm.Return())
	return s.insns
}

// when has the instructions run only where the slot has the condition.
func (s *lsmSlot) when(condition int, insns ...asm.Instruction) {
	over := fmt.Sprintf("over%d.%d", s.base, condition)
	s.add(asm.Mov.Reg(asm.R1, asm.R9), asm.And.Imm(asm.R1, 1<<condition), asm.JEq.Imm(asm.R1, 0, over))
	s.add(insns...)
	s.add(asm.Mov.Imm(asm.R1, 0).WithSymbol(over))
}

// number compares an argument of 32 bits.
func (s *lsmSlot) number(condition, arg int) {
	if arg < 0 {
		return
	}
	s.when(
		condition,
		asm.LoadMem(asm.R2, asm.R6, int16(arg*argLen), asm.DWord),
		s.value(asm.R3, slotValues+8*condition, asm.Word),
		asm.JNE.Reg32(asm.R2, asm.R3, s.next),
	)
}

// name compares the first bytes of the name of a map or a program.
func (s *lsmSlot) name(btf *typeIDs) {
	load := asm.Instructions{asm.LoadMem(asm.R2, asm.R6, int16(s.at.Named*argLen), asm.DWord)}
	for _, m := range step.NameMembers(s.hook) {
		load = append(load, asm.LoadMem(asm.R2, asm.R2, int16(btf.offset(m[0], m[1])), asm.DWord))
	}
	s.when(ifName, append(load, s.value(asm.R3, slotValues+8*ifName, asm.DWord), asm.JNE.Reg(asm.R2, asm.R3, s.next))...)
}

// token compares the token, which may be NULL although the verifier takes it
// for a valid pointer: it would leave a comparison with 0 out. Of the pointer's
// lower half it knows nothing.
func (s *lsmSlot) token(btf *typeIDs) {
	load := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R6, int16(s.at.Token*argLen), asm.DWord),
		asm.Mov.Reg32(asm.R3, asm.R2),
	}
	given := fmt.Sprintf("given%d", s.base)
	s.when(ifGiven, append(load,
		asm.JEq.Imm32(asm.R3, 0, given), asm.Mov.Imm32(asm.R3, 1),
		s.value(asm.R4, slotValues+8*ifGiven, asm.Word).WithSymbol(given), asm.JNE.Reg32(asm.R3, asm.R4, s.next))...)
	for _, m := range step.TokenMembers {
		c := conditionOf[m.Key]
		s.when(c, append(load,
			asm.JEq.Imm32(asm.R3, 0, s.next),
			asm.LoadMem(asm.R4, asm.R2, int16(btf.offset(step.TokenStruct, m.Name)), asm.DWord),
			s.value(asm.R5, slotValues+8*c, asm.DWord), asm.JNE.Reg(asm.R4, asm.R5, s.next))...)
	}
}

// Package bodies has the instructions of the programs that cases load. The guest agent loads them, and package repro
// writes them as C.
//
// Start with Of and WithMap.
package bodies

import (
	"encoding/binary"
	"strings"

	"github.com/cilium/ebpf/asm"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// IDs says which number a type of the kernel's BTF has, 0 for one that the kernel does not have.
type IDs func(kind, name string) uint32

// Of returns the instructions of a body that uses no map; nil for another.
func Of(b step.Body, id IDs) []byte {
	for _, insns := range [][]byte{bodyOf(b), kernelBody(b, id), plainBody(b)} {
		if insns != nil {
			return insns
		}
	}
	return nil
}

// WithMap returns the instructions of a body that uses the map fd, which the first instruction names. Without such a
// body it is a program that looks up the element under key 0, whatever the answer, and returns ret.
func WithMap(b step.Body, fd int, ret int32) []byte {
	if insns := mapBody(b, fd); insns != nil {
		return insns
	}
	return lookup(fd, ret)
}

// Exit returns r0 = ret; exit.
func Exit(ret int32) []byte {
	return Marshal(asm.Instructions{asm.Mov.Imm(asm.R0, ret), asm.Return()})
}

// Len is the length of an instruction.
const Len = 8

const subprog = "subprog"

// bodyOf returns the instructions of a body, nil for none.
func bodyOf(b step.Body) []byte {
	leave := asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}
	var insns asm.Instructions
	switch b {
	case step.BodyJiffies64:
		insns = append(asm.Instructions{asm.FnJiffies64.Call()}, leave...)
	case step.BodyCurrentTask:
		insns = append(asm.Instructions{asm.FnGetCurrentTask.Call()}, leave...)
	case step.BodyProbeWriteUser: // probe_write_user(0, stack, 8)
		insns = append(asm.Instructions{
			asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord),
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.Mov.Imm(asm.R3, 8), asm.FnProbeWriteUser.Call(),
		}, leave...)
	case step.BodyProbeReadKernel: // probe_read_kernel(stack, 8, 0)
		insns = append(asm.Instructions{
			asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -8), asm.Mov.Imm(asm.R2, 8), asm.Mov.Imm(asm.R3, 0),
			asm.FnProbeReadKernel.Call(),
		}, leave...)
	case step.BodyReturnContext:
		insns = asm.Instructions{asm.Mov.Reg(asm.R0, asm.R1), asm.Return()}
	case step.BodyReadData:
		insns = append(asm.Instructions{asm.LoadMem(asm.R2, asm.R1, int16(uapi.SkBuff_data.Off), asm.Word)}, leave...)
	case step.BodyUninitStack:
		insns = append(asm.Instructions{asm.LoadMem(asm.R2, asm.R10, -8, asm.DWord)}, leave...)
	case step.BodyVarStack: // a stack pointer at an offset that the verifier only knows the range of
		insns = append(asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.And.Imm(asm.R2, 7),
			asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -16), asm.Add.Reg(asm.R3, asm.R2),
		}, leave...)
	case step.BodySubprog:
		insns = append(
			asm.Instructions{asm.Call.Label(subprog)},
			append(leave, leave[0].WithSymbol(subprog), leave[1])...)
	case step.BodySpill:
		insns = append(asm.Instructions{asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord)}, leave...)
	default:
		return nil
	}
	return Marshal(insns)
}

// lookup looks up the element under key 0 of a map, whatever its answer, and
// returns ret.
func lookup(fd int, ret int32) []byte {
	insns := Marshal(asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0), asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(), asm.Mov.Imm(asm.R0, ret), asm.Return(),
	})
	return withMap(insns, fd)
}

// Marshal returns the instructions as the kernel reads them.
func Marshal(insns asm.Instructions) []byte {
	var b strings.Builder
	if err := insns.Marshal(&b, Order); err != nil {
		panic("marshal a constant program: " + err.Error())
	}
	return []byte(b.String())
}

// leave ends a program with the value 1.
func leave(insns ...asm.Instruction) asm.Instructions {
	return append(insns, asm.Mov.Imm(asm.R0, 1), asm.Return())
}

// kfunc calls a function of the kernel.
func kfunc(id IDs, name string) asm.Instruction {
	return asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall,
		Constant: int64(id(step.KindFunc, name))}
}

// mapBody returns the instructions of a body that uses a map, nil for another.
func mapBody(b step.Body, fd int) []byte {
	var insns asm.Instructions
	switch b {
	case step.BodyReadMap:
		insns = leave(asm.LoadMapPtr(asm.R1, 0), asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord))
	case step.BodyBlankKey:
		insns = leave(asm.LoadMapPtr(asm.R1, 0), asm.Mov.Imm(asm.R4, 0), asm.StoreMem(asm.R10, -16, asm.R4, asm.DWord),
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.FnMapLookupElem.Call())
	case step.BodyPointerKey:
		insns = leave(asm.LoadMapPtr(asm.R1, 0), asm.StoreMem(asm.R10, -8, asm.R10, asm.DWord),
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.FnMapLookupElem.Call())
	case step.BodyUseMap:
		insns = leave(asm.LoadMapPtr(asm.R1, 0))
	case step.BodyLinked: // the bounds of r2 are those of r1, which is greater by one
		insns = withElement(asm.LoadMem(asm.R2, asm.R0, 0, asm.Word), asm.Mov.Reg(asm.R1, asm.R2), asm.Add.Imm(asm.R1, 1),
			asm.JGT.Imm(asm.R2, 2, out), asm.Add.Reg(asm.R0, asm.R1), asm.LoadMem(asm.R3, asm.R0, 0, asm.Byte))
	case step.BodyMaskedAdd:
		insns = withElement(asm.LoadMem(asm.R2, asm.R0, 0, asm.Word), asm.And.Imm(asm.R2, 3), asm.Add.Reg(asm.R0, asm.R2),
			asm.LoadMem(asm.R3, asm.R0, 0, asm.Byte))
	case step.BodyStoreValue:
		insns = withElement(asm.StoreMem(asm.R0, 0, asm.R10, asm.Word))
	case step.BodyStoreRecord:
		insns = withRecord(asm.StoreMem(asm.R0, 0, asm.R10, asm.DWord), asm.Mov.Reg(asm.R1, asm.R0),
			asm.Mov.Imm(asm.R2, 0), asm.FnRingbufSubmit.Call())
	case step.BodyStaleRecord:
		insns = withRecord(asm.Mov.Reg(asm.R6, asm.R0), asm.Mov.Reg(asm.R1, asm.R0), asm.Mov.Imm(asm.R2, 0),
			asm.FnRingbufSubmit.Call(), asm.Mov.Reg(asm.R2, asm.R6))
	case step.BodyStaleSlice: // a dynptr of the element's four bytes, at -32
		insns = withElement(asm.Mov.Reg(asm.R1, asm.R0), asm.Mov.Imm(asm.R2, 4), asm.Mov.Imm(asm.R3, 0),
			asm.Mov.Reg(asm.R4, asm.R10), asm.Add.Imm(asm.R4, -32), asm.FnDynptrFromMem.Call(),
			asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -32), asm.Mov.Imm(asm.R2, 0), asm.Mov.Imm(asm.R3, 4),
			asm.FnDynptrData.Call(), asm.JEq.Imm(asm.R0, 0, out), asm.Mov.Reg(asm.R6, asm.R0), asm.Mov.Imm(asm.R2, 0),
			asm.StoreMem(asm.R10, -32, asm.R2, asm.DWord), asm.Mov.Reg(asm.R2, asm.R6))
	case step.BodyTailCall:
		return withMap(Marshal(leave(asm.LoadMapPtr(asm.R2, 0), asm.Mov.Imm(asm.R3, 0), asm.FnTailCall.Call())), fd)
	default:
		return nil
	}
	return withMap(Marshal(insns), fd)
}

// withElement looks the element under key 0 up, and does something with it if it is there.
func withElement(insns ...asm.Instruction) asm.Instructions {
	all := append(asm.Instructions{asm.LoadMapPtr(asm.R1, 0), asm.Mov.Imm(asm.R4, 0),
		asm.StoreMem(asm.R10, -8, asm.R4, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8), asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, out)},
		insns...)
	return append(all, asm.Mov.Imm(asm.R0, 1).WithSymbol(out), asm.Return())
}

// withRecord reserves a record of eight bytes, and does something with it if it is there.
func withRecord(insns ...asm.Instruction) asm.Instructions {
	all := append(asm.Instructions{asm.LoadMapPtr(asm.R1, 0), asm.Mov.Imm(asm.R2, 8), asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(), asm.JEq.Imm(asm.R0, 0, out)}, insns...)
	return append(all, asm.Mov.Imm(asm.R0, 1).WithSymbol(out), asm.Return())
}

// withMap puts a descriptor into the first instruction; asm takes none that cannot be one.
func withMap(insns []byte, fd int) []byte {
	binary.NativeEndian.PutUint32(insns[4:], uint32(fd))
	return insns
}

// kernelBody returns the instructions of a body that names types of the kernel, nil for another.
func kernelBody(b step.Body, id IDs) []byte {
	var insns asm.Instructions
	switch b {
	case step.BodyKfunc:
		insns = leave(kfunc(id, step.FuncLock), kfunc(id, step.FuncUnlock))
	case step.BodyKfuncPerfmon:
		insns = leave(asm.Mov.Imm(asm.R2, int32(id(step.KindStruct, step.StructOfCast))), kfunc(id, step.FuncCast))
	case step.BodyKfuncDestructive: // its argument is struct pt_regs
		insns = append(insns, asm.Mov.Imm(asm.R2, 0))
		for off := int16(registersLen); off > 0; off -= 8 {
			insns = append(insns, asm.StoreMem(asm.R10, -off, asm.R2, asm.DWord))
		}
		insns = append(insns, leave(asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -registersLen),
			kfunc(id, step.FuncCrash))...)
	case step.BodyReadBTF:
		insns = leave(kfunc(id, step.FuncContext), asm.LoadMem(asm.R2, asm.R0, 0, asm.DWord))
	default:
		return nil
	}
	return Marshal(insns)
}

// registersLen is at least sizeof(struct pt_regs) of every architecture: the whole stack.
const registersLen = 512

const (
	back = "back"
	out  = "out"
)

// contextCB is offsetof(struct __sk_buff, cb), which a socket filter may write.
const contextCB = 48

// plainBody returns the instructions of a body that names nothing, nil for another.
func plainBody(b step.Body) []byte {
	var insns asm.Instructions
	switch b {
	case step.BodyLoop:
		insns = leave(asm.Mov.Imm(asm.R0, 0), asm.Add.Imm(asm.R0, 1).WithSymbol(back), asm.JLT.Imm(asm.R0, 2, back))
	case step.BodySubtract:
		insns = leave(asm.Mov.Reg(asm.R2, asm.R1), asm.Sub.Reg(asm.R2, asm.R1))
	case step.BodyCompare:
		insns = asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Mov.Reg(asm.R2, asm.R10), asm.JEq.Reg(asm.R1, asm.R2, out),
			asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol(out)}
	case step.BodyCompareNumber:
		insns = asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Mov.Imm(asm.R2, 1), asm.JGT.Reg(asm.R2, asm.R1, out),
			asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol(out)}
	case step.BodyCompareConst:
		insns = asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.JGT.Imm(asm.R1, 1, out),
			asm.Mov.Imm(asm.R0, 1), asm.Return().WithSymbol(out)}
	case step.BodyAtomicPointer:
		insns = leave(asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
			asm.AddAtomic.Mem(asm.R10, asm.R1, asm.DWord, -8))
	case step.BodySpillNumber:
		insns = leave(asm.Mov.Imm(asm.R2, -8), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
			asm.LoadMem(asm.R2, asm.R10, -8, asm.DWord), asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Reg(asm.R3, asm.R2),
			asm.LoadMem(asm.R4, asm.R3, 0, asm.DWord))
	case step.BodyStoreContext: // skb->cb[0]
		insns = leave(asm.StoreMem(asm.R1, contextCB, asm.R1, asm.Word))
	case step.BodyPassPointer: // skb_load_bytes(skb, stack, stack, 4)
		insns = leave(asm.Mov.Reg(asm.R2, asm.R10), asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -8),
			asm.Mov.Imm(asm.R4, 4), asm.FnSkbLoadBytes.Call())
	case step.BodyHelperSpill: // skb_load_bytes(skb, 0, stack, 4)
		insns = leave(asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord), asm.Mov.Imm(asm.R2, 0), asm.Mov.Reg(asm.R3, asm.R10),
			asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 4), asm.FnSkbLoadBytes.Call())
	case step.BodyZeroSize: // skb_load_bytes(skb, 0, stack, skb->len & 7)
		insns = append(onStack(asm.R3), leave(asm.LoadMem(asm.R4, asm.R1, 0, asm.Word), asm.And.Imm(asm.R4, 7),
			asm.Mov.Imm(asm.R2, 0), asm.FnSkbLoadBytes.Call())...)
	case step.BodyBeforeContext:
		insns = leave(asm.Add.Imm(asm.R1, -8), asm.LoadMem(asm.R2, asm.R1, 8, asm.Word))
	case step.BodyPartialSpill:
		insns = leave(asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord), asm.StoreImm(asm.R10, -8, 1, asm.Byte))
	case step.BodyAddToPointer:
		insns = leave(asm.StoreMem(asm.R10, -8, asm.R1, asm.DWord), asm.Mov.Imm(asm.R2, 1),
			asm.AddAtomic.Mem(asm.R10, asm.R2, asm.DWord, -8))
	case step.BodyMixedRead:
		insns = leave(asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R10, -8, asm.R2, asm.Word),
			asm.LoadMem(asm.R3, asm.R10, -8, asm.DWord))
	case step.BodySubtractHalf:
		insns = leave(asm.Mov.Reg(asm.R2, asm.R1), asm.Mov.Imm(asm.R3, 1), asm.Sub.Reg32(asm.R2, asm.R3))
	case step.BodyWriteTime:
		insns = leave(asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R1, int16(uapi.SkBuff_tstamp.Off), asm.R2, asm.DWord))
	case step.BodyFarStack:
		insns = leave(asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, 8))
	case step.BodySysBpf: // sys_bpf(0, stack, 8)
		insns = append(onStack(asm.R2), leave(asm.Mov.Imm(asm.R1, 0), asm.Mov.Imm(asm.R3, 8), asm.FnSysBpf.Call())...)
	case step.BodyDeadCode: // the number is 0 or 1
		insns = leave(asm.FnGetPrandomU32.Call(), asm.And.Imm(asm.R0, 1), asm.JLT.Imm(asm.R0, 2, out), asm.Mov.Imm(asm.R2, 0))
		insns[4] = insns[4].WithSymbol(out)
	case step.BodyBranches:
		insns = asm.Instructions{asm.FnGetPrandomU32.Call(), asm.JEq.Imm(asm.R0, 0, out), asm.Mov.Imm(asm.R2, 0),
			asm.Mov.Imm(asm.R0, 1).WithSymbol(out), asm.Return()}
	default:
		return guardedBody(b)
	}
	return Marshal(insns)
}

// guardedBody returns the instructions of a body about speculation, lockdown or one type, nil for another.
func guardedBody(b step.Body) []byte {
	var insns asm.Instructions
	switch b {
	case step.BodyNotTaken:
		insns = append(leave(asm.FnGetPrandomU32.Call(), asm.And.Imm(asm.R0, 1), asm.JGT.Imm(asm.R0, 1, out)),
			asm.Mov.Imm(asm.R0, 1).WithSymbol(out), asm.Return())
	case step.BodyBlankSlot:
		insns = leave(asm.Mov.Imm(asm.R4, 0), asm.StoreMem(asm.R10, -16, asm.R4, asm.DWord),
			asm.LoadMem(asm.R2, asm.R10, -8, asm.DWord))
	case step.BodyVarWrite: // to -16 or to -8, where a pointer is
		insns = leave(asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.And.Imm(asm.R2, 8),
			asm.StoreMem(asm.R10, -8, asm.R10, asm.DWord), asm.Mov.Imm(asm.R4, 0), asm.StoreMem(asm.R10, -16, asm.R4, asm.DWord),
			asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -16), asm.Add.Reg(asm.R3, asm.R2),
			asm.StoreMem(asm.R3, 0, asm.R4, asm.DWord))
	case step.BodyStalePacket: // r6 = ctx->data
		insns = leave(asm.LoadMem(asm.R6, asm.R1, 0, asm.Word), asm.Mov.Imm(asm.R2, 0), asm.FnXdpAdjustHead.Call(),
			asm.Mov.Reg(asm.R2, asm.R6))
	case step.BodyProbeRead, step.BodyProbeReadStr: // probe_read(stack, 8, 0)
		read := asm.FnProbeRead
		if b == step.BodyProbeReadStr {
			read = asm.FnProbeReadStr
		}
		insns = leave(asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -8), asm.Mov.Imm(asm.R2, 8),
			asm.Mov.Imm(asm.R3, 0), read.Call())
	case step.BodyTracePrintk: // an empty text
		insns = append(onStack(asm.R1), leave(asm.Mov.Imm(asm.R2, 1), asm.FnTracePrintk.Call())...)
	case step.BodyFindSymbol:
		insns = findSymbol()
	default:
		return pointerBody(b)
	}
	return Marshal(insns)
}

// pointerBody returns the instructions of a body that makes a number of a pointer, nil for another.
func pointerBody(b step.Body) []byte {
	var insns asm.Instructions
	switch b {
	case step.BodyNegate:
		insns = leave(asm.Mov.Reg(asm.R2, asm.R1), asm.Neg.Imm(asm.R2, 0))
	case step.BodyExtendHalf: // r2 = (s32) r1
		insns = leave(asm.MovSX32.Reg(asm.R2, asm.R1))
	case step.BodyCopyHalf:
		insns = leave(asm.Mov.Reg32(asm.R2, asm.R1))
	case step.BodyStorePacket: // ctx->data, ctx->data_end; at 6, which is aligned in check_pkt_ptr_alignment
		insns = asm.Instructions{asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
			asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 14), asm.JGT.Reg(asm.R4, asm.R3, out),
			asm.StoreMem(asm.R2, 6, asm.R10, asm.DWord), asm.Mov.Imm(asm.R0, 1).WithSymbol(out), asm.Return()}
	case step.BodyStoreKeys:
		insns = leave(asm.LoadMem(asm.R2, asm.R1, int16(uapi.SkBuff_flow_keys.Off), asm.DWord),
			asm.StoreMem(asm.R2, 0, asm.R10, asm.Word))
	default:
		return nil
	}
	return Marshal(insns)
}

// findSymbol returns what kallsyms_lookup_name(name, len, 0, &address) says of a function that every kernel with bpf(2)
// has.
func findSymbol() asm.Instructions {
	const name, room = "__sys_bpf\x00", 16
	var insns asm.Instructions
	for i := range name { // byte by byte: a program that is written for elsewhere has any byte order
		insns = append(insns, asm.StoreImm(asm.R10, int16(i-room), int64(name[i]), asm.Byte))
	}
	return append(insns, asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R10, -room-8, asm.R2, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -room), asm.Mov.Imm(asm.R2, int32(len(name))),
		asm.Mov.Imm(asm.R3, 0), asm.Mov.Reg(asm.R4, asm.R10), asm.Add.Imm(asm.R4, -room-8),
		asm.FnKallsymsLookupName.Call(), asm.Return())
}

// onStack points a register to eight zero bytes on the stack. R6 is used.
func onStack(r asm.Register) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R6, 0), asm.StoreMem(asm.R10, -8, asm.R6, asm.DWord),
		asm.Mov.Reg(r, asm.R10), asm.Add.Imm(r, -8)}
}

// Helper calls a helper, with all that it takes if a small program has that; nil for one that uapi.Helpers lacks.
func Helper(id uint32) []byte {
	h := uapi.HelperOf(id)
	if h == nil {
		return nil
	}
	var insns asm.Instructions
	for i, a := range h.Args {
		r := asm.R1 + asm.Register(i)
		switch {
		case !h.Callable() || a == uapi.ArgContext: // the program begins with its context in R1
		case a == uapi.ArgMemory:
			insns = append(insns, onStack(r)...)
		case a == uapi.ArgSize:
			insns = append(insns, asm.Mov.Imm(r, 8))
		default:
			insns = append(insns, asm.Mov.Imm(r, 0))
		}
	}
	return Marshal(append(insns, leave(asm.BuiltinFunc(id).Call())...))
}

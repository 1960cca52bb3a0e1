package guest

import (
	"encoding/binary"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// override replaces members of an attribute by a step's arguments, and sets the token's
// flag again, which they may have cleared.
func (a *attr) override(s *step.Step, c *step.TokenCmd, token tokenArg) {
	for i := range s.Args {
		if f := c.Fields[s.Args[i].Key]; f.Size != 0 {
			a.set(f, uint64(uint32(s.Args[i].Num))) // of map_extra, which is 64 bits, the lower half
		}
	}
	a.set(c.Flags, a.get(c.Flags)|uint64(token.flag()))
}

const (
	tailByte = 151 // the last byte of the smallest attribute of a kernel that has tokens
	hugeAttr = 4096
)

// once makes the call under test, with the attribute itself or with the fault that the
// step names.
func (a *attr) once(cmd uapi.Cmd, s *step.Step) (int, uapi.Errno) {
	if has(s, step.KeyNoFD) || has(s, step.KeyMemlock) {
		defer limited(s)()
	}
	fault, _ := s.Num(step.KeyAttr)
	call := wayOf(s)
	switch step.AttrFault(fault) {
	case step.AttrTail:
		a[tailByte] = 1
	case step.AttrBeyond:
		long := make([]byte, hugeAttr)
		copy(long, a[:])
		long[hugeAttr-1] = 1
		return call(cmd, long, hugeAttr)
	case step.AttrHuge:
		return call(cmd, nil, hugeAttr+1)
	case step.AttrUnreadable:
		return call(cmd, nil, attrSize)
	case step.AttrInsns:
		a.set(uapi.Attr_insns, 0)
	}
	if has(s, step.KeyInside) || has(s, step.KeyCompat) {
		onHeap := *a // a stack may move
		escapes = &onHeap[0]
		fd, errno := call(cmd, onHeap[:], attrSize)
		*a = onHeap
		return fd, errno
	}
	if loader, ok := s.Num(step.KeyFromKernel); ok {
		return bpfFromKernel(int(int64(loader)), cmd, a)
	}
	return bpf(cmd, a)
}

// way makes a call of bpf(2) with an attribute that is said to have a size; nil is an
// invalid address.
type way func(cmd uapi.Cmd, attribute []byte, size uintptr) (int, uapi.Errno)

// wayOf is how a step makes its call.
func wayOf(s *step.Step) way {
	if userns, ok := s.Num(step.KeyInside); ok {
		then, drops := s.Num(step.KeyThen)
		return func(cmd uapi.Cmd, attribute []byte, size uintptr) (int, uapi.Errno) {
			return bpfInside(int(int64(userns)), keeps{drops, then}, cmd, addressOf(attribute), size)
		}
	}
	if has(s, step.KeyCompat) {
		return bpfCompat
	}
	return bpfAt
}

func addressOf(b []byte) uintptr {
	if b == nil {
		return 0
	}
	return uintptr(unsafe.Pointer(&b[0]))
}

func bpfAt(cmd uapi.Cmd, attribute []byte, size uintptr) (int, uapi.Errno) {
	r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), addressOf(attribute), size)
	runtime.KeepAlive(attribute)
	if e != 0 {
		return -1, uapi.Errno(e)
	}
	return int(r), 0
}

// name copies a name argument into its member.
func (a *attr) name(f uapi.Field, s *step.Step) {
	copy(a[f.Off:f.Off+f.Size], str(s, step.KeyName))
}

func has(s *step.Step, k step.Key) bool {
	_, ok := s.Num(k)
	return ok
}

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
	return marshal(insns)
}

// lookup looks up the element under key 0 of a map, whatever its answer, and
// returns ret.
func lookup(fd int, ret int32) []byte {
	insns := marshal(asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0), asm.Mov.Imm(asm.R2, 0), asm.StoreMem(asm.R10, -8, asm.R2, asm.DWord),
		asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -8),
		asm.FnMapLookupElem.Call(), asm.Mov.Imm(asm.R0, ret), asm.Return(),
	})
	return withMap(insns, fd)
}

func marshal(insns asm.Instructions) []byte {
	var b strings.Builder
	if err := insns.Marshal(&b, binary.LittleEndian); err != nil {
		panic("marshal a constant program: " + err.Error())
	}
	return []byte(b.String())
}

// padTo makes a program n instructions long, of the same effect.
func padTo(insns []byte, n uint64) []byte {
	const most = 1 << 14 // beyond it the kernel reads nothing
	if n <= uint64(len(insns)/insnLen) || n > most {
		return insns
	}
	pad := insns[:insnLen:insnLen] // r0 = ret
	out := make([]byte, 0, n*insnLen)
	for uint64(len(out)/insnLen)+uint64(len(insns)/insnLen) < n {
		out = append(out, pad...)
	}
	return append(out, insns...)
}

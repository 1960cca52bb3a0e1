package guest

import (
	"os"
	"runtime"
	"unsafe"

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
)

// hugeAttr is the longest attribute that the kernel takes, a page: bpf_check_uarg_tail_zero.
var hugeAttr = os.Getpagesize()

// once makes the call under test, with the attribute itself or with the fault that the
// step names.
func (a *attr) once(cmd uapi.Cmd, s *step.Step) (int, uapi.Errno) {
	if has(s, step.KeyNoFD) || has(s, step.KeyMemlock) {
		defer limited(s)()
	}
	fault, _ := s.Num(step.KeyAttr)
	call := wayOf(s)
	word, _ := s.Num(step.KeyCommon)
	if word != 0 {
		cmd |= uapi.BPF_COMMON_ATTRS
	}
	common := step.Common(word) > step.CommonEmpty
	if common {
		c := newCommonAttrs(step.Common(word))
		defer c.free()
		c.sayTo(a, cmd)
		call = c.call
		defer func() { wrote = c.written() }()
	}
	switch step.AttrFault(fault) {
	case step.AttrTail:
		a[tailByte] = 1
	case step.AttrBeyond:
		long := make([]byte, hugeAttr)
		copy(long, a[:])
		long[hugeAttr-1] = 1
		return call(cmd, long, uintptr(hugeAttr))
	case step.AttrHuge:
		return call(cmd, nil, uintptr(hugeAttr)+1)
	case step.AttrUnreadable:
		return call(cmd, nil, attrSize)
	case step.AttrInsns:
		a.set(uapi.Attr_insns, 0)
	}
	if has(s, step.KeyInside) || has(s, step.KeyCompat) || common {
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

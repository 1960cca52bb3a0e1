package guest

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// attrSize is sizeof(union bpf_attr) of the newest kernel. A kernel with a
// smaller one takes it as long as the rest is zero, bpf_check_uarg_tail_zero.
const attrSize = 168

// attr is union bpf_attr, filled by offset as include/uapi/linux/bpf.h lays it out.
type attr [attrSize]byte

func (a *attr) u32(off int, v uint32) { binary.LittleEndian.PutUint32(a[off:], v) }
func (a *attr) u64(off int, v uint64) { binary.LittleEndian.PutUint64(a[off:], v) }
func (a *attr) i32(off, v int)        { a.u32(off, uint32(int32(v))) }

// escapes has what the kernel is to read or write live on the heap: a stack
// moves when it grows, and a number that was its address does not.
var escapes *byte

func (a *attr) ptr(off int, p *byte) {
	escapes = p
	a.u64(off, uint64(uintptr(unsafe.Pointer(p))))
}

// bpf is the call under test: one raw bpf(2).
func bpf(cmd uapi.Cmd, a *attr) (fd int, errno uapi.Errno) {
	r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(a)), attrSize)
	if e != 0 {
		return -1, uapi.Errno(e)
	}
	return int(r), 0
}

// badFD is a descriptor number that no process here has open.
const badFD = 1 << 20

// license is the program's licence string with its terminating zero.
var license = []byte("GPL\x00")

// fixtures are objects that the agent makes as root for the requests that
// refer to one: an inner map, a BTF, and an XDP program to replace a function of.
type fixtures struct {
	inner, intBTF, extTarget, funcBTF int
	commands                          commandFixtures
}

// caller makes requests with what it needs to fill them in.
type caller struct {
	btf   typeIDs
	fix   fixtures
	exits map[int32][]byte // programs that were assembled
}

// exitWith assembles r0 = ret; exit once.
func (c *caller) exitWith(ret int32) []byte {
	if c.exits == nil {
		c.exits = map[int32][]byte{}
	}
	if c.exits[ret] == nil {
		c.exits[ret] = exitWith(ret)
	}
	return c.exits[ret]
}

// mapCreate creates a map that is well formed for its type, but for what the
// step's arguments replace.
func (c *caller) mapCreate(t uapi.MapType, token tokenArg, st *step.Step, fds fdArgs) (int, uapi.Errno) {
	s := step.MapShapeOf(t)
	var a attr
	a.u32(0, uint32(t))
	a.u32(4, s.Key)
	a.u32(8, s.Value)
	a.u32(12, s.Max)
	a.u32(16, s.Flags|token.flag())
	if s.Inner {
		a.i32(20, c.fix.inner)
	}
	if s.BTF {
		a.i32(48, c.fix.intBTF)
		a.u32(52, 1)
		a.u32(56, 1)
	}
	if s.Struct != "" {
		a.u32(8, c.btf.size(s.Struct))
		a.i32(48, c.fix.intBTF)
		a.u32(60, c.btf.id(step.KindStruct, s.Struct))
	}
	if fds.inner != nil {
		a.i32(20, *fds.inner)
	}
	if fds.btf != nil {
		a.i32(48, *fds.btf)
	}
	a.i32(76, token.fd)
	a.override(st, &mapFields)
	a.orFlag(16, token)
	a.name(28, st)
	return a.call(uapi.BPF_MAP_CREATE, st)
}

// tokenArg is how a request gives a token: with BPF_F_TOKEN_FD or, where
// given is not set, without. The zero value gives none.
type tokenArg struct {
	given bool
	fd    int
}

// fdArgs are the descriptors that a step replaces; nil for those that it does not.
type fdArgs struct{ inner, btf, attach, uses *int }

func (t tokenArg) flag() uint32 {
	if t.given {
		return uapi.BPF_F_TOKEN_FD
	}
	return 0
}

// exitWith returns r0 = ret; exit.
func exitWith(ret int32) []byte {
	return marshal(asm.Instructions{asm.Mov.Imm(asm.R0, ret), asm.Return()})
}

const insnLen = 8

func (c *caller) progLoad(t uapi.ProgType, at uapi.AttachType, token tokenArg, st *step.Step, fds fdArgs) (int, uapi.Errno) {
	s := step.ProgShapeOf(t, at)
	insns := c.exitWith(s.Return)
	if body, ok := st.Num(step.KeyBody); ok {
		insns = bodyOf(step.Body(body))
	}
	if fds.uses != nil {
		insns = lookup(*fds.uses, s.Return)
	}
	if n, ok := st.Num(step.KeyInsns); ok {
		insns = padTo(insns, n)
	}
	var info []byte
	expected := uint32(at)
	if s.Member != "" {
		expected = c.btf.StructOpsIndex
	}
	var a attr
	a.u32(0, uint32(t))
	a.u32(4, uint32(len(insns)/insnLen))
	a.ptr(8, &insns[0])
	a.ptr(16, &license[0])
	a.u32(44, s.Flags|token.flag())
	a.u32(68, expected)
	if s.BTFName != "" {
		a.u32(108, c.btf.id(s.BTFKind, s.BTFName))
	}
	if s.Ext {
		info = funcInfo()
		a.withFunc(c.fix.funcBTF, info)
		a.u32(108, funcTypeID)
		a.i32(112, c.fix.extTarget)
	}
	if fds.attach != nil {
		a.i32(112, *fds.attach)
	}
	a.i32(144, token.fd)
	a.override(st, &progFields)
	a.orFlag(44, token)
	a.name(48, st)
	fd, errno := a.call(uapi.BPF_PROG_LOAD, st)
	runtime.KeepAlive(insns)
	runtime.KeepAlive(info)
	return fd, errno
}

// withFunc gives the program the func info that makes its function replaceable.
func (a *attr) withFunc(btf int, info []byte) {
	a.i32(72, btf)
	a.u32(76, uint32(len(info)))
	a.ptr(80, &info[0])
	a.u32(88, 1)
}

// funcInfo is one struct bpf_func_info: instruction 0 is funcTypeID.
func funcInfo() []byte {
	b := make([]byte, 8)
	binary.LittleEndian.PutUint32(b[4:], funcTypeID)
	return b
}

func btfLoad(blob []byte, token tokenArg, st *step.Step) (int, uapi.Errno) {
	var a attr
	a.ptr(0, &blob[0])
	a.u32(16, uint32(len(blob)))
	a.u32(32, token.flag())
	a.i32(36, token.fd)
	a.override(st, &btfFields)
	a.orFlag(32, token)
	fd, errno := a.call(uapi.BPF_BTF_LOAD, st)
	runtime.KeepAlive(blob)
	return fd, errno
}

func tokenCreate(flags uint32, bpffs int, st *step.Step) (int, uapi.Errno) {
	var a attr
	a.u32(0, flags)
	a.i32(4, bpffs)
	return a.call(uapi.BPF_TOKEN_CREATE, st)
}

// makeFixtures makes the objects that requests refer to.
func makeFixtures(m *maker) fixtures {
	c, plain := caller{}, &step.Step{}
	blob := func(b []byte) func() (int, uapi.Errno) {
		return func() (int, uapi.Errno) { return btfLoad(b, tokenArg{}, plain) }
	}
	f := fixtures{intBTF: m.make("int BTF", blob(intBlob())), funcBTF: m.make("function BTF", blob(funcBlob()))}
	f.inner = m.make("inner map", func() (int, uapi.Errno) {
		return c.mapCreate(uapi.BPF_MAP_TYPE_ARRAY, tokenArg{}, plain, fdArgs{})
	})
	f.extTarget = m.make("target of ext programs", func() (int, uapi.Errno) { return loadExtTarget(f.funcBTF) })
	return f
}

const xdpPass = 2

// loadExtTarget loads the XDP program whose function an ext program replaces.
func loadExtTarget(btf int) (int, uapi.Errno) {
	insns, info := exitWith(xdpPass), funcInfo()
	var a attr
	a.u32(0, uint32(uapi.BPF_PROG_TYPE_XDP))
	a.u32(4, uint32(len(insns)/insnLen))
	a.ptr(8, &insns[0])
	a.ptr(16, &license[0])
	a.withFunc(btf, info)
	fd, errno := bpf(uapi.BPF_PROG_LOAD, &a)
	runtime.KeepAlive(insns)
	runtime.KeepAlive(info)
	return fd, errno
}

const infoLen = 256

// prove asks an object for its info and compares the type: an fd that is
// something else, or nothing, is no success.
func prove(cmd uapi.Cmd, fd int, wantType uint32) step.Proof {
	info := make([]byte, infoLen)
	var a attr
	a.i32(0, fd)
	a.u32(4, infoLen)
	a.ptr(8, &info[0])
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &a)
	runtime.KeepAlive(info)
	works := errno == 0
	switch cmd {
	case uapi.BPF_MAP_CREATE, uapi.BPF_PROG_LOAD: // struct bpf_map_info and bpf_prog_info begin with the type, then the id
		works = works && binary.LittleEndian.Uint32(info) == wantType && binary.LittleEndian.Uint32(info[4:]) != 0
	case uapi.BPF_BTF_LOAD: // struct bpf_btf_info: a pointer, the size, the id
		works = works && binary.LittleEndian.Uint32(info[12:]) != 0
	}
	if works {
		return step.Works
	}
	return step.DoesNotWork
}

// proveToken reads the four masks that the kernel shows in a token's fdinfo,
// bpf_token_show_fdinfo of kernel/bpf/token.c.
func proveToken(fd int) (step.Proof, []uint64) {
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return step.DoesNotWork, nil
	}
	var values []uint64
	for _, name := range []string{"allowed_cmds", "allowed_maps", "allowed_progs", "allowed_attachs"} {
		v, ok := fdinfoMask(string(text), name)
		if !ok {
			return step.DoesNotWork, nil
		}
		values = append(values, v)
	}
	return step.Works, values
}

// proveNewToken is proveToken of one that the kernel has just made: it is not
// to outlive its holder's program, bpf_token_create.
func proveNewToken(fd int) (step.Proof, []uint64) {
	proof, values := proveToken(fd)
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
		proof = step.SurvivesExec
	}
	return proof, values
}

func fdinfoMask(text, name string) (uint64, bool) {
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, name+":\t")
		if !ok {
			continue
		}
		value = strings.TrimSuffix(value, "\n")
		if value == "any" {
			return ^uint64(0), true
		}
		n, err := strconv.ParseUint(value, 0, 64)
		return n, err == nil
	}
	return 0, false
}

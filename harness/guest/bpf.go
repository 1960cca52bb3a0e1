package guest

import (
	"encoding/binary"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// attrSize is sizeof(union bpf_attr) of the newest kernel. A kernel with a
// smaller one takes it as long as the rest is zero, bpf_check_uarg_tail_zero.
const attrSize = uapi.AttrSize

// attr is union bpf_attr; package uapi says where its members stand.
type attr [attrSize]byte

// set writes a member, as many bytes as it has.
func (a *attr) set(f uapi.Field, v uint64) { set(a[:], f, v) }

func (a *attr) u32(f uapi.Field, v uint32) { a.set(f, uint64(v)) }
func (a *attr) i32(f uapi.Field, v int)    { a.u32(f, uint32(int32(v))) }

func (a *attr) get(f uapi.Field) uint64 { return get(a[:], f) }

// set writes a number of 4 or 8 bytes into a structure of the kernel's.
func set(b []byte, f uapi.Field, v uint64) {
	if f.Size == wordSize {
		binary.NativeEndian.PutUint32(b[f.Off:], uint32(v))
		return
	}
	binary.NativeEndian.PutUint64(b[f.Off:], v)
}

// get reads a number of 4 or 8 bytes.
func get(b []byte, f uapi.Field) uint64 {
	if f.Size == wordSize {
		return uint64(binary.NativeEndian.Uint32(b[f.Off:]))
	}
	return binary.NativeEndian.Uint64(b[f.Off:])
}

const wordSize = 4

// escapes keeps memory that the kernel reads or writes on the heap: a stack moves
// when it grows, but a number that holds its address does not.
var escapes *byte

func (a *attr) ptr(f uapi.Field, p *byte) {
	escapes = p
	a.set(f, uint64(uintptr(unsafe.Pointer(p))))
}

// point is attr.ptr for other memory that the kernel reads, such as what it is asked about an object.
func point(b []byte, f uapi.Field, p unsafe.Pointer) {
	escapes = (*byte)(p)
	set(b, f, uint64(uintptr(p)))
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
	bound []byte           // fd_array of the last request
}

// exitWith assembles r0 = ret; exit once.
func (c *caller) exitWith(ret int32) []byte {
	if c.exits == nil {
		c.exits = map[int32][]byte{}
	}
	if c.exits[ret] == nil {
		c.exits[ret] = bodies.Exit(ret)
	}
	return c.exits[ret]
}

// mapCreate makes the call of mapAttr.
func (c *caller) mapCreate(t uapi.MapType, token tokenArg, st *step.Step, fds fdArgs) (int, uapi.Errno) {
	return c.mapAttr(t, token, st, fds).call(uapi.BPF_MAP_CREATE, st)
}

// mapAttr is the request for a map that is well formed for its type, except for the
// members that the step's arguments replace.
func (c *caller) mapAttr(t uapi.MapType, token tokenArg, st *step.Step, fds fdArgs) *attr {
	s := step.MapShapeOf(t)
	a := &attr{}
	a.u32(uapi.Attr_map_type, uint32(t))
	a.u32(uapi.Attr_key_size, s.Key)
	a.u32(uapi.Attr_value_size, s.Value)
	a.u32(uapi.Attr_max_entries, s.Max)
	a.u32(uapi.Attr_map_flags, s.Flags|token.flag())
	if s.Inner {
		a.i32(uapi.Attr_inner_map_fd, c.fix.inner)
	}
	if s.BTF {
		a.i32(uapi.Attr_btf_fd, c.fix.intBTF)
		a.u32(uapi.Attr_btf_key_type_id, 1)
		a.u32(uapi.Attr_btf_value_type_id, 1)
	}
	if s.Struct != "" {
		a.u32(uapi.Attr_value_size, c.btf.size(s.Struct))
		a.i32(uapi.Attr_btf_fd, c.fix.intBTF)
		a.u32(uapi.Attr_btf_vmlinux_value_type_id, c.btf.id(step.KindStruct, s.Struct))
	}
	if fds.inner != nil {
		a.i32(uapi.Attr_inner_map_fd, *fds.inner)
	}
	if fds.btf != nil {
		a.i32(uapi.Attr_btf_fd, *fds.btf)
	}
	row := step.TokenCmdOf(uapi.BPF_MAP_CREATE)
	a.i32(row.Token, token.fd)
	a.override(st, row, token)
	a.name(uapi.Attr_map_name, st)
	if n, ok := st.Num(step.KeyHash); ok {
		a.ptr(uapi.Attr_excl_prog_hash, &anyHash[0])
		a.u32(uapi.Attr_excl_prog_hash_size, uint32(n))
	}
	if has(st, step.KeyOwnHash) {
		a.ptr(uapi.Attr_excl_prog_hash, &ownHash[0])
		a.u32(uapi.Attr_excl_prog_hash_size, uint32(len(ownHash)))
	}
	return a
}

// ownHash is the hash of the program that is signed, anyHash that of no program, and noSignature what begins as a
// signature does.
var (
	ownHash     = signedHash()
	anyHash     = make([]byte, 32)
	noSignature = append([]byte{0x30, 0x82}, make([]byte, 4094)...)
)

// tokenArg is how a request gives a token: with BPF_F_TOKEN_FD or, where
// given is not set, without. The zero value gives none.
type tokenArg struct {
	given bool
	fd    int
}

// fdArgs are the descriptors that a step replaces; nil for those that it does not.
type fdArgs struct{ inner, btf, attach, uses, bound *int }

func (t tokenArg) flag() uint32 {
	if t.given {
		return uapi.BPF_F_TOKEN_FD
	}
	return 0
}

const insnLen = bodies.Len

// progLoad makes the call of progAttr.
func (c *caller) progLoad(t uapi.ProgType, at uapi.AttachType, token tokenArg, st *step.Step,
	fds fdArgs) (int, uapi.Errno) {
	a, insns, info := c.progAttr(t, at, token, st, fds)
	fd, errno := a.call(uapi.BPF_PROG_LOAD, st)
	runtime.KeepAlive(insns)
	runtime.KeepAlive(info)
	return fd, errno
}

// progAttr is the request for a program that is well formed for its types, except for
// what the step's arguments replace. The kernel reads insns and info, which the
// attribute points to: the caller must keep them alive.
func (c *caller) progAttr(t uapi.ProgType, at uapi.AttachType, token tokenArg, st *step.Step,
	fds fdArgs) (a *attr, insns, info []byte) {
	s := step.ProgShapeOf(t, at)
	insns = c.exitWith(s.Return)
	if own := c.program(st, fds, s.Return); own != nil {
		insns = own
	}
	if n, ok := st.Num(step.KeyInsns); ok {
		insns = padTo(insns, n)
	}
	expected := uint32(at)
	if s.Member != "" {
		expected = c.btf.StructOpsIndex
	}
	a = &attr{}
	a.u32(uapi.Attr_prog_type, uint32(t))
	a.u32(uapi.Attr_insn_cnt, uint32(len(insns)/insnLen))
	a.ptr(uapi.Attr_insns, &insns[0])
	a.ptr(uapi.Attr_license, &license[0])
	a.u32(uapi.Attr_prog_flags, s.Flags|token.flag())
	a.u32(uapi.Attr_expected_attach_type, expected)
	if s.BTFName != "" {
		a.u32(uapi.Attr_attach_btf_id, c.btf.id(s.BTFKind, s.BTFName))
	}
	if has(st, step.KeyLines) {
		info = append(funcInfo(), lineInfo()...)
		a.withFunc(c.fix.funcBTF, info[:funcInfoLen])
		a.u32(uapi.Attr_line_info_rec_size, lineInfoLen)
		a.ptr(uapi.Attr_line_info, &info[funcInfoLen])
		a.u32(uapi.Attr_line_info_cnt, 1)
	}
	if s.Ext {
		info = funcInfo()
		a.withFunc(c.fix.funcBTF, info)
		a.u32(uapi.Attr_attach_btf_id, step.FuncType)
		a.i32(uapi.Attr_attach_prog_fd, c.fix.extTarget)
	}
	if fds.attach != nil {
		a.i32(uapi.Attr_attach_prog_fd, *fds.attach)
	}
	row := step.TokenCmdOf(uapi.BPF_PROG_LOAD)
	a.i32(row.Token, token.fd)
	a.override(st, row, token)
	a.name(uapi.Attr_prog_name, st)
	if n, ok := st.Num(step.KeySign); ok {
		a.ptr(uapi.Attr_signature, &noSignature[0])
		a.u32(uapi.Attr_signature_size, uint32(n))
	}
	if has(st, step.KeySigned) {
		a.sign(fds.bound != nil)
	}
	if fds.bound != nil {
		c.bound = binary.NativeEndian.AppendUint32(nil, uint32(*fds.bound))
		a.ptr(uapi.Attr_fd_array, &c.bound[0])
		a.u32(uapi.Attr_fd_array_cnt, 1)
	}
	if n, ok := st.Num(step.KeyRing); ok {
		a.u32(uapi.Attr_keyring_id, uint32(n))
	}
	return a, insns, info
}

// withFunc gives the program the func info that makes its function replaceable.
func (a *attr) withFunc(btf int, info []byte) {
	a.i32(uapi.Attr_prog_btf_fd, btf)
	a.u32(uapi.Attr_func_info_rec_size, uint32(len(info)))
	a.ptr(uapi.Attr_func_info, &info[0])
	a.u32(uapi.Attr_func_info_cnt, 1)
}

// lineInfo is one struct bpf_line_info: instruction 0 is of line 1 of a file without a name.
func lineInfo() []byte {
	b := make([]byte, lineInfoLen)
	binary.NativeEndian.PutUint32(b[12:], 1<<10|1)
	return b
}

const (
	funcInfoLen = 8
	lineInfoLen = 16
)

// funcInfo is one struct bpf_func_info: instruction 0 is step.FuncType.
func funcInfo() []byte {
	b := make([]byte, funcInfoLen)
	binary.NativeEndian.PutUint32(b[4:], step.FuncType)
	return b
}

func btfLoad(blob []byte, token tokenArg, st *step.Step) (int, uapi.Errno) {
	var a attr
	a.ptr(uapi.Attr_btf, &blob[0])
	a.u32(uapi.Attr_btf_size, uint32(len(blob)))
	row := step.TokenCmdOf(uapi.BPF_BTF_LOAD)
	a.i32(row.Token, token.fd)
	a.override(st, row, token)
	fd, errno := a.call(uapi.BPF_BTF_LOAD, st)
	runtime.KeepAlive(blob)
	return fd, errno
}

func tokenCreate(flags uint32, bpffs int, st *step.Step) (int, uapi.Errno) {
	var a attr
	a.u32(uapi.Attr_token_create_flags, flags)
	a.i32(uapi.Attr_token_create_bpffs_fd, bpffs)
	return a.call(uapi.BPF_TOKEN_CREATE, st)
}

// makeFixtures makes the objects that requests refer to.
func makeFixtures(m *maker) fixtures {
	c, plain := caller{}, &step.Step{}
	blob := func(b []byte) func() (int, uapi.Errno) {
		return func() (int, uapi.Errno) { return btfLoad(b, tokenArg{}, plain) }
	}
	f := fixtures{intBTF: m.make("int BTF", blob(bodies.IntBTF().Bytes())),
		funcBTF: m.make("function BTF", blob(bodies.FuncBTF().Bytes()))}
	f.inner = m.make("inner map", func() (int, uapi.Errno) {
		return c.mapCreate(uapi.BPF_MAP_TYPE_ARRAY, tokenArg{}, plain, fdArgs{})
	})
	f.extTarget = m.make("target of ext programs", func() (int, uapi.Errno) { return loadExtTarget(f.funcBTF) })
	return f
}

const xdpPass = 2

// loadExtTarget loads the XDP program whose function an ext program replaces.
func loadExtTarget(btf int) (int, uapi.Errno) {
	insns, info := bodies.Exit(xdpPass), funcInfo()
	var a attr
	a.u32(uapi.Attr_prog_type, uint32(uapi.BPF_PROG_TYPE_XDP))
	a.u32(uapi.Attr_insn_cnt, uint32(len(insns)/insnLen))
	a.ptr(uapi.Attr_insns, &insns[0])
	a.ptr(uapi.Attr_license, &license[0])
	a.withFunc(btf, info)
	fd, errno := bpf(uapi.BPF_PROG_LOAD, &a)
	runtime.KeepAlive(insns)
	runtime.KeepAlive(info)
	return fd, errno
}

const infoLen = 256

// prove reads an object's info and compares the type: a descriptor of another object
// is no success.
func prove(cmd uapi.Cmd, fd int, wantType uint32) step.Proof {
	info := make([]byte, infoLen)
	var a attr
	a.i32(uapi.Attr_info_bpf_fd, fd)
	a.u32(uapi.Attr_info_info_len, infoLen)
	a.ptr(uapi.Attr_info_info, &info[0])
	_, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &a)
	runtime.KeepAlive(info)
	works := errno == 0
	switch cmd {
	case uapi.BPF_MAP_CREATE:
		works = works && uint32(get(info, uapi.MapInfo_type)) == wantType && get(info, uapi.MapInfo_id) != 0
	case uapi.BPF_PROG_LOAD:
		works = works && uint32(get(info, uapi.ProgInfo_type)) == wantType && get(info, uapi.ProgInfo_id) != 0
	case uapi.BPF_BTF_LOAD:
		works = works && get(info, uapi.BTFInfo_id) != 0
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
	return masksIn(string(text))
}

// masksIn reads the masks in the text of an fdinfo.
func masksIn(text string) (step.Proof, []uint64) {
	var values []uint64
	for _, name := range []string{"allowed_cmds", "allowed_maps", "allowed_progs", "allowed_attachs"} {
		v, ok := fdinfoMask(text, name)
		if !ok {
			return step.DoesNotWork, nil
		}
		values = append(values, v)
	}
	return step.Works, values
}

// proveNewToken is proveToken for a new token, which must be close-on-exec:
// bpf_token_create.
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

// program returns the instructions that a step asks for, nil for the type's own.
func (c *caller) program(st *step.Step, fds fdArgs, ret int32) []byte {
	n, _ := st.Num(step.KeyBody)
	body := step.Body(n)
	if fds.uses != nil {
		return bodies.WithMap(body, *fds.uses, ret)
	}
	if id, ok := st.Num(step.KeyHelper); ok {
		return bodies.Helper(uint32(id))
	}
	return bodies.Of(body, c.btf.id)
}

package guest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
)

// word is the number of 4 bytes at an offset of an attribute. The tests below give
// offsets of union bpf_attr as include/uapi/linux/bpf.h lays it out, not by member.
func (a *attr) word(off int) uint32 { return binary.NativeEndian.Uint32(a[off:]) }

// words are the words of an attribute that are not 0, by offset.
func (a *attr) words() map[int]uint32 {
	out := map[int]uint32{}
	for off := 0; off < attrSize; off += 4 {
		if w := a.word(off); w != 0 {
			out[off] = w
		}
	}
	return out
}

// without leaves out words whose value is an address.
func without(all map[int]uint32, offsets ...int) map[int]uint32 {
	all = maps.Clone(all)
	for _, off := range offsets {
		delete(all, off)
		delete(all, off+4)
	}
	return all
}

func number(k step.Key, n uint64) step.Arg { return step.Arg{Key: k, Num: n} }
func text(k step.Key, s string) step.Arg   { return step.Arg{Key: k, Str: s} }

func stepOf(args ...step.Arg) *step.Step { return &step.Step{Args: args} }

// testCaller has fixtures with numbers that a test recognises.
func testCaller() *caller {
	c := &caller{fix: fixtures{inner: 101, intBTF: 102, extTarget: 103, funcBTF: 104}}
	for i := range c.fix.commands {
		c.fix.commands[i] = 200 + i
	}
	c.btf = typeIDs{IDs: map[string]uint32{}, Sizes: map[string]uint32{}, StructOpsIndex: 6}
	for i, n := range step.BTFNames() {
		c.btf.IDs[typeKey(n[0], n[1])], c.btf.Sizes[typeKey(n[0], n[1])] = uint32(1000+i), uint32(64+i)
	}
	return c
}

// The offsets of BPF_MAP_CREATE.
const (
	mapKey, mapValue, mapMax, mapFlags, mapInner, mapName    = 4, 8, 12, 16, 20, 28
	mapBTF, mapBTFKey, mapBTFValue, mapVmlinux, mapToken     = 48, 52, 56, 60, 76
	progInsns, progCount, progLicense, progFlags, progName   = 8, 4, 16, 44, 48
	progExpected, progBTF, progRecSize, progInfo, progInfoN  = 68, 72, 76, 80, 88
	progAttachBTF, progAttachFD, progToken, tokenFlag, given = 108, 112, 144, 1 << 16, 77
)

// word is four bytes of a name as a number.
func word(text string) uint32 { return binary.NativeEndian.Uint32([]byte(text)) }

// Requests for maps, by what is particular about their types.
func TestMapAttr(t *testing.T) {
	c := testCaller()
	closed := uint32(badFD)
	bad, forty := badFD, 40
	structType := step.MapShapeOf(uapi.BPF_MAP_TYPE_STRUCT_OPS).Struct
	for _, tt := range []struct {
		name  string
		t     uapi.MapType
		token tokenArg
		s     *step.Step
		fds   fdArgs
		want  map[int]uint32
	}{
		{"a hash", uapi.BPF_MAP_TYPE_HASH, tokenArg{}, stepOf(), fdArgs{}, map[int]uint32{0: 1, mapKey: 4, mapValue: 4,
			mapMax: 1}},
		{"a hash with a token", uapi.BPF_MAP_TYPE_HASH, tokenArg{true, given}, stepOf(), fdArgs{},
			map[int]uint32{0: 1, mapKey: 4, mapValue: 4, mapMax: 1, mapFlags: tokenFlag, mapToken: given}},
		{"a token without the flag", uapi.BPF_MAP_TYPE_HASH, tokenArg{false, given}, stepOf(), fdArgs{},
			map[int]uint32{0: 1, mapKey: 4, mapValue: 4, mapMax: 1, mapToken: given}},
		{"a token that is closed", uapi.BPF_MAP_TYPE_HASH, tokenArg{true, badFD}, stepOf(), fdArgs{},
			map[int]uint32{0: 1, mapKey: 4, mapValue: 4, mapMax: 1, mapFlags: tokenFlag, mapToken: closed}},
		{"a map of maps", uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 12, mapKey: 4, mapValue: 4, mapMax: 1, mapInner: 101}},
		{"a map of another's maps", uapi.BPF_MAP_TYPE_ARRAY_OF_MAPS, tokenArg{}, stepOf(), fdArgs{inner: &forty},
			map[int]uint32{0: 12, mapKey: 4, mapValue: 4, mapMax: 1, mapInner: 40}},
		{"a storage", uapi.BPF_MAP_TYPE_SK_STORAGE, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 24, mapKey: 4, mapValue: 4, mapFlags: 1, mapBTF: 102, mapBTFKey: 1, mapBTFValue: 1}},
		{"a storage of a closed BTF", uapi.BPF_MAP_TYPE_SK_STORAGE, tokenArg{}, stepOf(), fdArgs{btf: &bad},
			map[int]uint32{0: 24, mapKey: 4, mapValue: 4, mapFlags: 1, mapBTF: closed, mapBTFKey: 1, mapBTFValue: 1}},
		{"struct_ops", uapi.BPF_MAP_TYPE_STRUCT_OPS, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 26, mapKey: 4, mapValue: c.btf.size(structType), mapMax: 1, mapBTF: 102,
				mapVmlinux: c.btf.id(step.KindStruct, structType)}},
		{"replaced members", uapi.BPF_MAP_TYPE_HASH, tokenArg{true, given}, stepOf(number(step.KeyKeySize, 9),
			number(step.KeyFlags, 2),
			number(step.KeyMaxEntries, 3), number(step.KeyValueSize, 0)), fdArgs{},
			map[int]uint32{0: 1, mapKey: 9, mapMax: 3, mapFlags: tokenFlag | 2, mapToken: given}},
		{"a name", uapi.BPF_MAP_TYPE_HASH, tokenArg{}, stepOf(text(step.KeyName, "abcdef")), fdArgs{},
			map[int]uint32{0: 1, mapKey: 4, mapValue: 4, mapMax: 1, mapName: word("abcd"), mapName + 4: word("ef\x00\x00")}},
	} {
		if got := c.mapAttr(tt.t, tt.token, tt.s, tt.fds).words(); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Every map type has a request of its own, of that type, with its shape.
func TestMapAttrOfEachType(t *testing.T) {
	c := testCaller()
	for _, m := range uapi.MapTypes.Members {
		s := step.MapShapeOf(uapi.MapType(m.Value))
		a := c.mapAttr(uapi.MapType(m.Value), tokenArg{}, stepOf(), fdArgs{})
		if a.word(0) != m.Value || a.word(mapKey) != s.Key || a.word(mapMax) != s.Max || a.word(mapFlags) != s.Flags {
			t.Errorf("%s: %v, want %+v", m.Name, a.words(), s)
		}
		if s.Struct == "" && a.word(mapValue) != s.Value || (a.word(mapInner) == 101) != s.Inner {
			t.Errorf("%s: %v, want %+v", m.Name, a.words(), s)
		}
	}
}

// pointed is the memory that an address of an attribute leads to.
func (a *attr) pointed(off, n int) []byte {
	at := uintptr(binary.NativeEndian.Uint64(a[off:]))
	return unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&at))), n)
}

// Requests for programs, by what is particular about their types.
func TestProgAttr(t *testing.T) {
	c := testCaller()
	forty := 40
	lsm := step.ProgShapeOf(uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC)
	ops := step.ProgShapeOf(uapi.BPF_PROG_TYPE_STRUCT_OPS, 0)
	for _, tt := range []struct {
		name  string
		t     uapi.ProgType
		at    uapi.AttachType
		token tokenArg
		s     *step.Step
		fds   fdArgs
		want  map[int]uint32
	}{
		{"a filter", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(), fdArgs{}, map[int]uint32{0: 1, progCount: 2}},
		{"a filter with a token", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{true, given}, stepOf(), fdArgs{},
			map[int]uint32{0: 1, progCount: 2, progFlags: tokenFlag, progToken: given}},
		{"an attach type", uapi.BPF_PROG_TYPE_XDP, uapi.BPF_XDP, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 6, progCount: 2, progExpected: 37}},
		{"a kernel function", uapi.BPF_PROG_TYPE_LSM, uapi.BPF_LSM_MAC, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 29, progCount: 2, progExpected: 27, progAttachBTF: c.btf.id(lsm.BTFKind, lsm.BTFName)}},
		{"a member of a struct", uapi.BPF_PROG_TYPE_STRUCT_OPS, 0, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 27, progCount: 2, progExpected: 6, progAttachBTF: c.btf.id(ops.BTFKind, ops.BTFName)}},
		{"an ext program", uapi.BPF_PROG_TYPE_EXT, 0, tokenArg{}, stepOf(), fdArgs{},
			map[int]uint32{0: 28, progCount: 2, progBTF: 104, progRecSize: 8, progInfoN: 1, progAttachBTF: step.FuncType,
				progAttachFD: 103}},
		{"an ext program of another target", uapi.BPF_PROG_TYPE_EXT, 0, tokenArg{}, stepOf(), fdArgs{attach: &forty},
			map[int]uint32{0: 28, progCount: 2, progBTF: 104, progRecSize: 8, progInfoN: 1, progAttachBTF: step.FuncType,
				progAttachFD: 40}},
		{"a map", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(), fdArgs{uses: &forty}, map[int]uint32{0: 1,
			progCount: 9}},
		{"many instructions", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(number(step.KeyInsns, 5000)), fdArgs{},
			map[int]uint32{0: 1, progCount: 5000}},
		{"a body", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(number(step.KeyBody, uint64(step.BodySubprog))),
			fdArgs{},
			map[int]uint32{0: 1, progCount: 5}},
		{"a name", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(text(step.KeyName, "main")), fdArgs{},
			map[int]uint32{0: 1, progCount: 2, progName: word("main")}},
	} {
		a, insns, info := c.progAttr(tt.t, tt.at, tt.token, tt.s, tt.fds)
		if got := without(a.words(), progInsns, progLicense, progInfo); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if !bytes.Equal(a.pointed(progInsns, insnLen), insns[:insnLen]) ||
			string(a.pointed(progLicense, 4)) != "GPL\x00" {
			t.Errorf("%s: the instructions or the licence are not what the attribute points to", tt.name)
		}
		if info != nil && binary.NativeEndian.Uint32(a.pointed(progInfo, 8)[4:]) != step.FuncType {
			t.Errorf("%s: function information %v", tt.name, info)
		}
	}
}

// disassembled is a program as cilium/ebpf prints it, an instruction a line.
func disassembled(t *testing.T, code []byte) []string {
	t.Helper()
	insns, err := asm.AppendInstructions(nil, bytes.NewReader(code), bodies.Order, "linux")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range insns {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%v", i)))
	}
	return out
}

// A program is made longer in front, by what it begins with.
func TestPadTo(t *testing.T) {
	insns := bodies.Exit(7)
	for n, want := range map[uint64]int{0: 2, 1: 2, 2: 2, 3: 3, 100: 100, 1 << 14: 1 << 14, 1<<14 + 1: 2, 1 << 40: 2} {
		got := padTo(insns, n)
		if len(got)/insnLen != want {
			t.Errorf("padded to %d: %d instructions, want %d", n, len(got)/insnLen, want)
		}
		if !bytes.Equal(got[:insnLen], insns[:insnLen]) || !bytes.HasSuffix(got, insns) {
			t.Errorf("padded to %d: it begins or ends otherwise", n)
		}
	}
	c := &caller{}
	if a, b := c.exitWith(1), c.exitWith(1); &a[0] != &b[0] || bytes.Equal(a, c.exitWith(2)) {
		t.Error("a program is assembled once for each answer")
	}
}

// The loader's program copies the attribute, and hands the kernel command, attribute and size.
func TestLoaderBody(t *testing.T) {
	lines := disassembled(t, loaderBody())
	n := len(lines)
	tail := []string{
		fmt.Sprintf("LdXMemDW dst: r1 src: r6 off: %d imm: 0", attrSize), "MovReg dst: r2 src: rfp",
		fmt.Sprintf(
			"AddImm dst: r2 imm: %d",
			-attrSize,
		), fmt.Sprintf("MovImm dst: r3 imm: %d", attrSize), "Call FnSysBpf", "Exit",
	}
	if n != 1+2*attrSize/8+len(tail) || !slices.Equal(lines[n-len(tail):], tail) ||
		lines[0] != "MovReg dst: r6 src: r1" {
		t.Errorf("%d instructions: %q", n, lines)
	}
	for i := range attrSize / 8 {
		want := []string{fmt.Sprintf("LdXMemDW dst: r1 src: r6 off: %d imm: 0", 8*i),
			fmt.Sprintf("StXMemDW dst: rfp src: r1 off: %d imm: 0", 8*i-attrSize)}
		if got := lines[1+2*i : 3+2*i]; !slices.Equal(got, want) {
			t.Errorf("word %d: %q, want %q", i, got, want)
		}
	}
}

// fix is the number of a fixture of testCaller.
func fix(n int) uint32 { return uint32(200 + n) }

// Each command's request names its objects where include/uapi/linux/bpf.h has them.
func TestCommandRequests(t *testing.T) {
	a := testActor(map[step.Handle]int{1: given})
	a.caller = *testCaller()
	const id = 42
	byID := stepOf(number(step.KeyID, id), number(step.KeyToken, 1))
	type words = map[int]uint32
	for _, tt := range []struct {
		cmd      uapi.Cmd
		s        *step.Step
		pointers []int
		want     words
		makesFD  bool
	}{
		{uapi.BPF_MAP_LOOKUP_ELEM, stepOf(), []int{8, 16}, words{0: fix(fixHash)}, false},
		{uapi.BPF_MAP_UPDATE_ELEM, stepOf(), []int{8, 16}, words{0: fix(fixHash)}, false},
		{uapi.BPF_MAP_DELETE_ELEM, stepOf(), []int{8}, words{0: fix(fixHash)}, false},
		{uapi.BPF_MAP_GET_NEXT_KEY, stepOf(), []int{16}, words{0: fix(fixHash)}, false},
		{uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM, stepOf(), []int{8, 16}, words{0: fix(fixHash)}, false},
		{uapi.BPF_MAP_LOOKUP_BATCH, stepOf(), []int{8, 16, 24}, words{32: 1, 36: 101}, false},
		{uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH, stepOf(), []int{8, 16, 24}, words{32: 1, 36: fix(fixHash)}, false},
		{uapi.BPF_MAP_UPDATE_BATCH, stepOf(), []int{16, 24}, words{32: 1, 36: 101}, false},
		{uapi.BPF_MAP_DELETE_BATCH, stepOf(), []int{16}, words{32: 1, 36: fix(fixHash)}, false},
		{uapi.BPF_MAP_FREEZE, stepOf(), nil, words{0: fix(fixMapped)}, false},
		{uapi.BPF_OBJ_PIN, stepOf(), []int{0}, words{8: fix(fixHash), 12: pathFD, 16: fix(fixDir)}, false},
		{uapi.BPF_OBJ_GET, stepOf(), []int{0}, words{12: pathFD, 16: fix(fixDir)}, true},
		{uapi.BPF_OBJ_GET, stepOf(number(step.KeyOn, uint64(step.OnPrivate))), []int{0}, words{12: pathFD, 16: fix(fixDir)},
			true},
		{uapi.BPF_PROG_ATTACH, stepOf(), nil, words{0: fix(fixCgroup), 4: fix(fixDevice), 8: 6, 12: allowMulti}, false},
		{uapi.BPF_PROG_DETACH, stepOf(), nil, words{0: fix(fixCgroup), 4: fix(fixDevice), 8: 6}, false},
		{uapi.BPF_PROG_DETACH, stepOf(number(step.KeyOn, uint64(step.OnTCX))), nil, words{0: loopback,
			8: uint32(uapi.BPF_TCX_INGRESS)}, false},
		{uapi.BPF_PROG_ATTACH, stepOf(number(step.KeyOn, uint64(step.OnSkb))), nil, words{0: fix(fixCgroup), 4: fix(fixSkb),
			12: allowMulti}, false},
		{uapi.BPF_LINK_CREATE, stepOf(), nil, words{0: fix(fixDevice), 4: fix(fixCgroup), 8: 6}, true},
		{uapi.BPF_LINK_CREATE, stepOf(number(step.KeyProg, 1)), nil, words{0: given, 4: fix(fixCgroup)}, true},
		{uapi.BPF_PROG_GET_NEXT_ID, byID, nil, words{0: id, 8: tokenFlag, 12: given}, false},
		{uapi.BPF_MAP_GET_FD_BY_ID, byID, nil, words{0: id, 8: tokenFlag, 12: given}, true},
		{uapi.BPF_BTF_GET_FD_BY_ID, stepOf(number(step.KeyID, id)), nil, words{0: id}, true},
		{uapi.BPF_LINK_UPDATE, stepOf(), nil, words{0: fix(fixDeviceLink), 4: fix(fixDevice)}, false},
		{uapi.BPF_ITER_CREATE, stepOf(), nil, words{0: fix(fixIterLink)}, true},
		{uapi.BPF_PROG_TEST_RUN, stepOf(), []int{16}, words{0: fix(fixFilter), 8: packetLen, 32: 1}, false},
		{uapi.BPF_OBJ_GET_INFO_BY_FD, stepOf(), []int{8}, words{0: fix(fixFilter), 4: packetLen}, false},
		{uapi.BPF_PROG_QUERY, stepOf(), nil, words{0: fix(fixCgroup), 4: 6}, false},
		{uapi.BPF_RAW_TRACEPOINT_OPEN, stepOf(), []int{0}, words{8: fix(fixRawTP)}, true},
		{uapi.BPF_ENABLE_STATS, stepOf(), nil, words{}, true},
		{uapi.BPF_PROG_BIND_MAP, stepOf(), nil, words{0: fix(fixFilter), 4: 101}, false},
		{uapi.BPF_PROG_STREAM_READ_BY_FD, stepOf(), []int{0}, words{8: packetLen, 12: 1, 16: fix(fixFilter)}, false},
		{uapi.BPF_PROG_ASSOC_STRUCT_OPS, stepOf(), nil, words{0: fix(fixStructOps), 4: fix(fixFilter)}, false},
	} {
		r := &request{scratch: make([]byte, packetLen+4*8)}
		a.fill(r, tt.cmd, tt.s)
		if got := without(r.words(), tt.pointers...); !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.cmd, got, tt.want)
		}
		for _, off := range tt.pointers {
			if binary.NativeEndian.Uint64(r.attr[off:]) == 0 {
				t.Errorf("%s: no address at %d", tt.cmd, off)
			}
		}
		if r.makesFD != tt.makesFD {
			t.Errorf("%s makes a descriptor: %v", tt.cmd, r.makesFD)
		}
	}
}

// Each way in which an attribute can be wrong is refused by the kernel as such.
func TestAttrFaults(t *testing.T) {
	needTokens(t)
	c := &caller{}
	for fault, want := range map[step.AttrFault]unix.Errno{
		0: 0, step.AttrTail: unix.EINVAL, step.AttrBeyond: unix.E2BIG, step.AttrHuge: unix.E2BIG,
		step.AttrUnreadable: unix.EFAULT,
	} {
		fd, errno := c.mapCreate(
			uapi.BPF_MAP_TYPE_HASH,
			tokenArg{},
			stepOf(number(step.KeyAttr, uint64(fault))),
			fdArgs{},
		)
		closeFD(fd)
		if errno != uapi.Errno(want) {
			t.Errorf("%s: %s, want %s", step.AttrFaults[fault], errno, uapi.Errno(want))
		}
	}
	fd, errno := c.progLoad(
		uapi.BPF_PROG_TYPE_SOCKET_FILTER,
		0,
		tokenArg{},
		stepOf(number(step.KeyAttr, uint64(step.AttrInsns))),
		fdArgs{},
	)
	closeFD(fd)
	if errno != uapi.Errno(unix.EFAULT) {
		t.Errorf("no instructions: %s", errno)
	}
}

// An object is proved by its own type and id: another type is none.
func TestProve(t *testing.T) {
	needTokens(t)
	c := &caller{}
	m, errno := c.mapCreate(uapi.BPF_MAP_TYPE_HASH, tokenArg{}, stepOf(), fdArgs{})
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(m)
	p, errno := c.progLoad(uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0, tokenArg{}, stepOf(), fdArgs{})
	if errno != 0 {
		t.Fatal(errno)
	}
	defer unix.Close(p)
	null, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, tt := range []struct {
		name string
		cmd  uapi.Cmd
		fd   int
		kind uint32
		want step.Proof
	}{
		{"a map", uapi.BPF_MAP_CREATE, m, uint32(uapi.BPF_MAP_TYPE_HASH), step.Works},
		{"a map of another type", uapi.BPF_MAP_CREATE, m, uint32(uapi.BPF_MAP_TYPE_ARRAY), step.DoesNotWork},
		{"a program", uapi.BPF_PROG_LOAD, p, uint32(uapi.BPF_PROG_TYPE_SOCKET_FILTER), step.Works},
		{"a program of another type", uapi.BPF_PROG_LOAD, p, uint32(uapi.BPF_PROG_TYPE_XDP), step.DoesNotWork},
		{"a file", uapi.BPF_MAP_CREATE, null, uint32(uapi.BPF_MAP_TYPE_HASH), step.DoesNotWork},
		{"no descriptor", uapi.BPF_BTF_LOAD, badFD, 0, step.DoesNotWork},
	} {
		if got := prove(tt.cmd, tt.fd, tt.kind); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got, _ := mapInfo(m); got != uapi.BPF_MAP_TYPE_HASH {
		t.Errorf("the map is of type %s", got)
	}
	if got, _ := mapInfo(null); got != uapi.BPF_MAP_TYPE_UNSPEC {
		t.Errorf("a file is of type %s", got)
	}
	if proof, values := proveToken(m); proof != step.DoesNotWork || values != nil {
		t.Errorf("a map is taken for a token: %d, %v", proof, values)
	}
}

// The commands of call steps come to what they must for root, and undo what they change.
func TestCommandsAsRoot(t *testing.T) {
	needTokens(t)
	g := newTestAgent(t)
	a := testActor(nil)
	a.caller = g.caller
	refused := map[string]bool{}
	for _, f := range g.refused {
		refused[f.Name] = true
	}
	for _, s := range step.CmdShapes {
		switch {
		case s.Cmd == uapi.BPF_MAP_FREEZE, s.Cmd == uapi.BPF_LINK_UPDATE:
			continue // they answer EBUSY and EINVAL to everyone
		case s.Config != "" && len(refused) > 0, uint32(s.Cmd) >= g.max[uapi.Cmds.Tag]:
			continue
		case s.Cmd == uapi.BPF_PROG_ASSOC_STRUCT_OPS, s.Cmd == uapi.BPF_PROG_STREAM_READ_BY_FD:
			continue // they depend on the release
		}
		for range 2 { // the second time shows that the first was undone
			_, o := a.command(stepOf(number(step.KeyCmd, uint64(s.Cmd))))
			want := uapi.Errno(0)
			if s.Cmd == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH {
				want = uapi.Errno(unix.ENOENT) // the batch came to the end of the hash
			}
			if o.Errno != want || o.Proof.Fails() {
				t.Errorf("%s: %s, proof %d", s.Cmd, o.Errno, o.Proof)
			}
		}
	}
}

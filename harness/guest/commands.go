package guest

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// The objects that the agent makes as root for the commands of a call step.
const (
	fixHash       = iota
	fixMapped     // an array that is mapped writable for good
	fixStructOps  // a struct_ops map that is not registered
	fixFilter     // a socket_filter program
	fixDevice     // a cgroup_device program
	fixSkb        // a cgroup_skb program
	fixRawTP      // a raw_tracepoint program
	fixRawLink    // it, attached
	fixDeviceLink // the cgroup_device program, attached
	fixIterLink   // a task iterator
	fixCgroup     // the root of the cgroup2 hierarchy
	fixDir        // the root of a bpffs of the initial namespace
	fixLoader     // a program that has the kernel make a command
	fixRing       // a ringbuf
	fixRingProg   // a socket_filter program that writes into it
	fixPerf       // a perf_event_array
	fixPerfProg   // one that writes into that

	fixNetns        // the initial network namespace
	fixAttachCgroup // a cgroup without processes
	fixSockMap      // a sockmap
	fixEvent        // a perf event that is off
	fixProbe        // a perf event that is a kprobe
	fixTraceEvent   // a perf event of a tracepoint
	fixCount
)

// commandFixtures are their descriptors; noFD where the kernel refused one.
type commandFixtures [fixCount]int

// What the bpffs of fixDir holds, and a tracepoint: names as the kernel gets
// them, with their terminating zero.
var (
	pinnedFile  = []byte("pinned\x00")  // everybody may open it
	privateFile = []byte("private\x00") // root alone
	newFile     = []byte("new\x00")     // a call's own
	tracepoint  = []byte("task_rename\x00")
)

const (
	pathFD     = 1 << 14 // BPF_F_PATH_FD
	allowMulti = 1 << 1  // BPF_F_ALLOW_MULTI
	loopback   = 1       // the loopback device's index
	packetLen  = 64
)

// makeCommandFixtures makes them.
func (c *caller) makeCommandFixtures(m *maker) commandFixtures {
	plain := &step.Step{}
	load := func(name string, t uapi.ProgType, at uapi.AttachType) int {
		return m.make(name, func() (int, uapi.Errno) { return c.progLoad(t, at, tokenArg{}, plain, fdArgs{}) })
	}
	create := func(name string, t uapi.MapType) int {
		return m.make(name, func() (int, uapi.Errno) { return c.mapCreate(t, tokenArg{}, plain, fdArgs{}) })
	}
	link := func(name string, prog, target int, at uapi.AttachType) int {
		return m.make(name, func() (int, uapi.Errno) { return linkCreate(prog, target, at) })
	}
	root := func(fs string) int {
		return m.make("root of "+fs, func() (int, uapi.Errno) { return mountRoot(fs) })
	}
	var f commandFixtures
	f[fixHash] = create("hash map", uapi.BPF_MAP_TYPE_HASH)
	f[fixMapped] = m.make("mapped array", mappedArray)
	f[fixStructOps] = create("struct_ops map", uapi.BPF_MAP_TYPE_STRUCT_OPS)
	f[fixFilter] = load("socket_filter program", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0)
	f[fixDevice] = load("cgroup_device program", uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_CGROUP_DEVICE)
	f[fixSkb] = load("cgroup_skb program", uapi.BPF_PROG_TYPE_CGROUP_SKB, 0)
	f[fixRawTP] = load("raw_tracepoint program", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, 0)
	iter := load("iterator", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER)
	defer closeFD(iter)
	f[fixRawLink] = m.make("raw_tracepoint link", func() (int, uapi.Errno) { return openTracepoint(f[fixRawTP]) })
	f[fixCgroup], f[fixDir] = root("cgroup2"), root("bpf")
	f[fixDeviceLink] = link("cgroup_device link", f[fixDevice], f[fixCgroup], uapi.BPF_CGROUP_DEVICE)
	f[fixLoader] = m.make("loader", loadLoader)
	for _, b := range []struct {
		name      string
		of        step.Buffer
		buf, prog int
	}{{"ring buffer", step.BufferRing, fixRing, fixRingProg}, {"perf buffer", step.BufferPerf, fixPerf, fixPerfProg}} {
		f[b.buf] = m.make(b.name, func() (int, uapi.Errno) { return makeBuffer(b.of) })
		f[b.prog] = m.make("program of the "+b.name, func() (int, uapi.Errno) { return loadWriter(b.of, f[b.buf]) })
	}
	f.makeAttachFixtures(m, create)
	f[fixIterLink] = link("iterator link", iter, 0, uapi.BPF_TRACE_ITER)
	pin(f[fixDir], f[fixHash], privateFile)
	pin(f[fixDir], f[fixHash], pinnedFile)
	_ = unix.Fchmodat(f[fixDir], unix.ByteSliceToString(pinnedFile), 0o666, 0)
	return f
}

// mappedArray makes an array that cannot be frozen, because it stays mapped.
func mappedArray() (int, uapi.Errno) {
	var a attr
	a.u32(uapi.Attr_map_type, uint32(uapi.BPF_MAP_TYPE_ARRAY))
	a.u32(uapi.Attr_key_size, 4)
	a.u32(uapi.Attr_value_size, 8)
	a.u32(uapi.Attr_max_entries, 1)
	a.u32(uapi.Attr_map_flags, 1<<10) // BPF_F_MMAPABLE
	fd, errno := bpf(uapi.BPF_MAP_CREATE, &a)
	if errno != 0 {
		return noFD, errno
	}
	if _, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		unix.Close(fd)
		return noFD, errnoOf(err)
	}
	return fd, 0
}

// mountRoot makes a file system and opens its root, which no path leads to.
func mountRoot(fs string) (int, uapi.Errno) {
	context, err := unix.Fsopen(fs, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return noFD, errnoOf(err)
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return noFD, errnoOf(err)
	}
	mnt, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return noFD, errnoOf(err)
	}
	defer unix.Close(mnt)
	dir, err := unix.Openat(mnt, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	return dir, errnoOf(err)
}

func (a *attr) path(dir int, name []byte) {
	a.ptr(uapi.Attr_pathname, &name[0])
	a.u32(uapi.Attr_file_flags, pathFD)
	a.i32(uapi.Attr_path_fd, dir)
}

func pin(dir, fd int, name []byte) {
	var a attr
	a.path(dir, name)
	a.i32(uapi.Attr_bpf_fd, fd)
	bpf(uapi.BPF_OBJ_PIN, &a)
}

func openTracepoint(prog int) (int, uapi.Errno) {
	var a attr
	a.tracepoint(prog)
	return bpf(uapi.BPF_RAW_TRACEPOINT_OPEN, &a)
}

func (a *attr) tracepoint(prog int) {
	a.ptr(uapi.Attr_raw_tracepoint_name, &tracepoint[0])
	a.i32(uapi.Attr_raw_tracepoint_prog_fd, prog)
}

func linkCreate(prog, target int, at uapi.AttachType) (int, uapi.Errno) {
	var a attr
	a.link(prog, target, at)
	return bpf(uapi.BPF_LINK_CREATE, &a)
}

func (a *attr) link(prog, target int, at uapi.AttachType) {
	a.i32(uapi.Attr_link_create_prog_fd, prog)
	a.i32(uapi.Attr_link_create_target_fd, target)
	a.u32(uapi.Attr_link_create_attach_type, uint32(at))
}

// attach fills in BPF_PROG_ATTACH, and BPF_PROG_DETACH except for the flags.
func (a *attr) attach(target, prog int, at uapi.AttachType, flags uint32) {
	a.i32(uapi.Attr_target_fd, target)
	a.i32(uapi.Attr_attach_bpf_fd, prog)
	a.u32(uapi.Attr_attach_type, uint32(at))
	a.u32(uapi.Attr_attach_flags, flags)
}

// request is a call under test: what it needs, what it changes, and what shows
// that it worked.
type request struct {
	attr
	scratch      []byte
	before, undo func()
	works        func() bool
	makesFD      bool
	worksFD      func(fd int) bool
}

// command makes the call of a step, on the objects that root made. What it
// changes is undone in the same step, by the same thread.
func (a *actor) command(s *step.Step) (int, step.Observation) {
	n, _ := s.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	r := &request{scratch: make([]byte, packetLen+4*8)}
	a.fill(r, cmd&^uapi.BPF_COMMON_ATTRS, s)
	r.placeToken(a, s)
	if r.before != nil {
		r.before()
	}
	fd, errno := r.call(cmd, s)
	runtime.KeepAlive(r)
	o := step.Observation{Errno: errno, Text: inCommon(s)}
	if errno == 0 {
		o.Proof = step.Works
		if r.works != nil && !r.works() || r.makesFD && (fd <= 2 || r.worksFD != nil && !r.worksFD(fd)) {
			o.Proof = step.DoesNotWork
		}
		if r.makesFD && s.Out == 0 {
			closeFD(fd)
		}
	}
	if r.undo != nil {
		r.undo()
	}
	if s.Out == 0 || !r.makesFD || errno != 0 {
		fd = noFD
	}
	return fd, o
}

// succeedsWithoutRoom repeats a BPF_TASK_FD_QUERY whose buffer has no length: bpf_task_fd_query_copy leaves it out.
func (r *request) succeedsWithoutRoom() bool {
	r.u32(uapi.Attr_task_fd_query_buf_len, 0)
	_, errno := bpf(uapi.BPF_TASK_FD_QUERY, &r.attr)
	return errno == 0 && r.get(uapi.Attr_task_fd_query_buf_len) == uint64(len(tracepoint)-1)
}

// at is a place of the request's own memory.
func (r *request) at(i int) *byte { return &r.scratch[i] }

// fill makes the request of a command well formed.
func (a *actor) fill(r *request, cmd uapi.Cmd, s *step.Step) {
	on, _ := s.Num(step.KeyOn)
	switch cmd {
	case uapi.BPF_MAP_LOOKUP_ELEM,
		uapi.BPF_MAP_UPDATE_ELEM,
		uapi.BPF_MAP_DELETE_ELEM,
		uapi.BPF_MAP_GET_NEXT_KEY,
		uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM:
		a.fillElem(r, cmd)
	case uapi.BPF_MAP_LOOKUP_BATCH,
		uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH,
		uapi.BPF_MAP_UPDATE_BATCH,
		uapi.BPF_MAP_DELETE_BATCH:
		a.fillBatch(r, cmd)
	case uapi.BPF_MAP_FREEZE:
		r.i32(uapi.Attr_map_fd, a.fix.commands[fixMapped])
	case uapi.BPF_OBJ_PIN, uapi.BPF_OBJ_GET:
		a.fillPath(r, cmd, step.On(on))
	case uapi.BPF_PROG_ATTACH, uapi.BPF_PROG_DETACH, uapi.BPF_LINK_CREATE:
		a.fillAttach(r, cmd, s)
	case uapi.BPF_PROG_GET_NEXT_ID, uapi.BPF_MAP_GET_NEXT_ID, uapi.BPF_BTF_GET_NEXT_ID, uapi.BPF_LINK_GET_NEXT_ID:
		a.fillNextID(r, cmd, s)
	case uapi.BPF_PROG_GET_FD_BY_ID, uapi.BPF_MAP_GET_FD_BY_ID, uapi.BPF_BTF_GET_FD_BY_ID, uapi.BPF_LINK_GET_FD_BY_ID:
		a.fillByID(r, cmd, s)
	case uapi.BPF_LINK_UPDATE, uapi.BPF_LINK_DETACH, uapi.BPF_ITER_CREATE:
		a.fillLink(r, cmd)
	default:
		a.fillProg(r, cmd)
	}
}

// store puts an element under key 0 into the hash.
func (a *actor) store() {
	var b attr
	var element [8]byte
	b.i32(uapi.Attr_map_fd, a.fix.commands[fixHash])
	b.ptr(uapi.Attr_key, &element[0])
	b.ptr(uapi.Attr_value, &element[4])
	bpf(uapi.BPF_MAP_UPDATE_ELEM, &b)
	runtime.KeepAlive(&element)
}

func (a *actor) fillElem(r *request, cmd uapi.Cmd) {
	const filled = 0xa5
	r.i32(uapi.Attr_map_fd, a.fix.commands[fixHash])
	r.ptr(uapi.Attr_key, r.at(0))
	r.ptr(uapi.Attr_value, r.at(8))
	r.scratch[8] = filled
	r.before = a.store
	overwritten := func() bool { return r.scratch[8] == 0 }
	switch cmd {
	case uapi.BPF_MAP_UPDATE_ELEM:
		r.scratch[8], r.before = 0, nil
	case uapi.BPF_MAP_DELETE_ELEM:
		r.set(uapi.Attr_value, 0)
	case uapi.BPF_MAP_GET_NEXT_KEY:
		r.set(uapi.Attr_key, 0) // the first
		r.works = overwritten
	default:
		r.works = overwritten
	}
}

func (a *actor) fillBatch(r *request, cmd uapi.Cmd) {
	const one, out, keys, values = 1, 8, 16, 24
	r.ptr(uapi.Attr_batch_keys, r.at(keys))
	r.ptr(uapi.Attr_batch_values, r.at(values))
	r.u32(uapi.Attr_batch_count, one)
	r.i32(uapi.Attr_batch_map_fd, a.fix.inner)
	switch cmd {
	case uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH:
		r.ptr(uapi.Attr_batch_out_batch, r.at(out))
		r.i32(uapi.Attr_batch_map_fd, a.fix.commands[fixHash])
		r.before = a.store
	case uapi.BPF_MAP_LOOKUP_BATCH:
		r.ptr(uapi.Attr_batch_out_batch, r.at(out))
	case uapi.BPF_MAP_DELETE_BATCH:
		r.set(uapi.Attr_batch_values, 0)
		r.i32(uapi.Attr_batch_map_fd, a.fix.commands[fixHash])
		r.before = a.store
	}
	r.works = func() bool { return r.get(uapi.Attr_batch_count) == one }
}

func (a *actor) fillPath(r *request, cmd uapi.Cmd, on step.On) {
	dir := a.fix.commands[fixDir]
	switch {
	case cmd == uapi.BPF_OBJ_PIN:
		r.path(dir, newFile)
		r.i32(uapi.Attr_bpf_fd, a.fix.commands[fixHash])
		name := unix.ByteSliceToString(newFile)
		r.undo = func() { _ = unix.Unlinkat(dir, name, 0) }
		r.works = func() bool {
			var st unix.Stat_t
			return unix.Fstatat(dir, name, &st, 0) == nil
		}
	case on == step.OnPrivate:
		r.path(dir, privateFile)
		r.makesFD = true
	default:
		r.path(dir, pinnedFile)
		r.makesFD, r.worksFD = true, a.isFixture(uapi.BPF_MAP_GET_FD_BY_ID)
	}
}

// fillAttach fills requests about the cgroup_device program on the root cgroup, or
// another program that the step names.
func (a *actor) fillAttach(r *request, cmd uapi.Cmd, s *step.Step) {
	cgroup, prog, at := a.fix.commands[fixCgroup], a.fix.commands[fixDevice], uapi.BPF_CGROUP_DEVICE
	on, _ := s.Num(step.KeyOn)
	switch {
	case has(s, step.KeyProg):
		prog, at = a.fd(s, step.KeyProg), uapi.BPF_CGROUP_INET_INGRESS
	case step.On(on) == step.OnSkb:
		prog, at = a.fix.commands[fixSkb], uapi.BPF_CGROUP_INET_INGRESS
	case step.On(on) == step.OnTCX:
		r.attach(loopback, 0, uapi.BPF_TCX_INGRESS, 0)
		return
	}
	var other attr
	switch cmd {
	case uapi.BPF_LINK_CREATE:
		r.link(prog, cgroup, at)
		r.makesFD = true
	case uapi.BPF_PROG_ATTACH:
		r.attach(cgroup, prog, at, allowMulti)
		other.attach(cgroup, prog, at, 0)
		r.undo = func() { bpf(uapi.BPF_PROG_DETACH, &other) }
	case uapi.BPF_PROG_DETACH:
		r.attach(cgroup, prog, at, 0)
		other.attach(cgroup, prog, at, allowMulti)
		r.before = func() { bpf(uapi.BPF_PROG_ATTACH, &other) }
		again := r.attr
		r.undo = func() { bpf(uapi.BPF_PROG_DETACH, &again) }
	}
}

// idFields say where an object's info has its id, by the command that finds one by it.
var idFields = map[uapi.Cmd]uapi.Field{
	uapi.BPF_MAP_GET_FD_BY_ID:  uapi.MapInfo_id,
	uapi.BPF_PROG_GET_FD_BY_ID: uapi.ProgInfo_id,
	uapi.BPF_BTF_GET_FD_BY_ID:  uapi.BTFInfo_id,
	uapi.BPF_LINK_GET_FD_BY_ID: uapi.LinkInfo_id,
}

// id asks an object for its id.
func (a *actor) id(cmd uapi.Cmd, fd int) uint32 {
	info := make([]byte, infoLen)
	var b attr
	b.i32(uapi.Attr_info_bpf_fd, fd)
	b.u32(uapi.Attr_info_info_len, infoLen)
	b.ptr(uapi.Attr_info_info, &info[0])
	if _, errno := bpf(uapi.BPF_OBJ_GET_INFO_BY_FD, &b); errno != 0 {
		return 0
	}
	runtime.KeepAlive(info)
	return uint32(get(info, idFields[cmd]))
}

// fixtureOf returns the object that a command asks for by its id.
func (a *actor) fixtureOf(cmd uapi.Cmd) int {
	switch cmd {
	case uapi.BPF_PROG_GET_FD_BY_ID:
		return a.fix.commands[fixFilter]
	case uapi.BPF_MAP_GET_FD_BY_ID:
		return a.fix.commands[fixHash]
	case uapi.BPF_BTF_GET_FD_BY_ID:
		return a.fix.intBTF
	}
	return a.fix.commands[fixDeviceLink]
}

// isFixture says whether a descriptor is of the object that the command's fixture is.
func (a *actor) isFixture(cmd uapi.Cmd) func(int) bool {
	return func(fd int) bool {
		id := a.id(cmd, fd)
		return id != 0 && id == a.id(cmd, a.fixtureOf(cmd))
	}
}

// withToken puts a token where the command looks, or may look, for one.
func (r *request) withToken(cmd uapi.Cmd, t tokenArg) {
	row := step.TokenCmdOf(cmd)
	r.u32(row.Flags, t.flag())
	r.i32(row.Token, t.fd)
}

// placeToken puts a token where the step says that the command might look for one.
func (r *request) placeToken(a *actor, s *step.Step) {
	at, ok := s.Num(step.KeyTokenAt)
	if !ok {
		return
	}
	r.i32(uapi.Field{Off: uint16(at), Size: wordSize}, a.fd(s, step.KeyToken))
	if at, ok := s.Num(step.KeyFlagAt); ok {
		flags := uapi.Field{Off: uint16(at), Size: wordSize}
		r.u32(flags, uint32(r.get(flags))|uapi.BPF_F_TOKEN_FD)
	}
}

func (a *actor) fillNextID(r *request, cmd uapi.Cmd, s *step.Step) {
	n, _ := s.Num(step.KeyID)
	r.u32(uapi.Attr_start_id, uint32(n))
	r.withToken(cmd, a.token(s))
	r.works = func() bool { return r.get(uapi.Attr_next_id) > n }
}

func (a *actor) fillByID(r *request, cmd uapi.Cmd, s *step.Step) {
	id := a.id(cmd, a.fixtureOf(cmd))
	if n, ok := s.Num(step.KeyID); ok {
		id = uint32(n)
	}
	r.u32(uapi.Attr_start_id, id)
	r.withToken(cmd, a.token(s))
	r.makesFD, r.worksFD = true, a.isFixture(cmd)
}

func (a *actor) fillLink(r *request, cmd uapi.Cmd) {
	switch cmd {
	case uapi.BPF_LINK_UPDATE:
		r.i32(uapi.Attr_link_update_link_fd, a.fix.commands[fixDeviceLink])
		r.i32(uapi.Attr_link_update_new_prog_fd, a.fix.commands[fixDevice])
	case uapi.BPF_LINK_DETACH:
		link, _ := linkCreate(a.fix.commands[fixDevice], a.fix.commands[fixCgroup], uapi.BPF_CGROUP_DEVICE)
		r.i32(uapi.Attr_link_detach_link_fd, link)
		r.undo = func() { closeFD(link) }
	case uapi.BPF_ITER_CREATE:
		r.i32(uapi.Attr_iter_create_link_fd, a.fix.commands[fixIterLink])
		r.makesFD = true
	}
}

// fillProg fills requests about a program, or about no object.
func (a *actor) fillProg(r *request, cmd uapi.Cmd) {
	const stdout = 1 // BPF_STREAM_STDOUT
	f := &a.fix.commands
	switch cmd {
	case uapi.BPF_PROG_TEST_RUN:
		r.i32(uapi.Attr_test_prog_fd, f[fixFilter])
		r.u32(uapi.Attr_test_data_size_in, packetLen)
		r.ptr(uapi.Attr_test_data_in, r.at(0))
		r.u32(uapi.Attr_test_repeat, 1) // once
	case uapi.BPF_OBJ_GET_INFO_BY_FD:
		r.i32(uapi.Attr_info_bpf_fd, f[fixFilter])
		r.u32(uapi.Attr_info_info_len, packetLen)
		r.ptr(uapi.Attr_info_info, r.at(0))
		r.works = func() bool {
			return uapi.ProgType(binary.NativeEndian.Uint32(r.scratch)) == uapi.BPF_PROG_TYPE_SOCKET_FILTER
		}
	case uapi.BPF_PROG_QUERY:
		r.i32(uapi.Attr_query_target_fd, f[fixCgroup])
		r.u32(uapi.Attr_query_attach_type, uint32(uapi.BPF_CGROUP_DEVICE))
		r.works = func() bool { return r.get(uapi.Attr_query_prog_cnt) >= 1 }
	case uapi.BPF_RAW_TRACEPOINT_OPEN:
		r.tracepoint(f[fixRawTP])
		r.makesFD = true
	case uapi.BPF_TASK_FD_QUERY:
		r.i32(uapi.Attr_task_fd_query_pid, os.Getpid())
		r.i32(uapi.Attr_task_fd_query_fd, f[fixRawLink])
		r.ptr(uapi.Attr_task_fd_query_buf, r.at(0))
		r.u32(uapi.Attr_task_fd_query_buf_len, packetLen)
		r.works = func() bool {
			return uint32(r.get(uapi.Attr_task_fd_query_prog_id)) == a.id(uapi.BPF_PROG_GET_FD_BY_ID, f[fixRawTP]) &&
				bytes.HasPrefix(r.scratch, tracepoint) && r.succeedsWithoutRoom()
		}
	case uapi.BPF_ENABLE_STATS:
		r.makesFD = true
	case uapi.BPF_PROG_BIND_MAP:
		r.i32(uapi.Attr_prog_bind_map_prog_fd, f[fixFilter])
		r.i32(uapi.Attr_prog_bind_map_map_fd, a.fix.inner)
	case uapi.BPF_PROG_STREAM_READ_BY_FD:
		r.ptr(uapi.Attr_prog_stream_read_stream_buf, r.at(0))
		r.u32(uapi.Attr_prog_stream_read_stream_buf_len, packetLen)
		r.u32(uapi.Attr_prog_stream_read_stream_id, stdout)
		r.i32(uapi.Attr_prog_stream_read_prog_fd, f[fixFilter])
	case uapi.BPF_PROG_ASSOC_STRUCT_OPS:
		r.i32(uapi.Attr_prog_assoc_struct_ops_map_fd, f[fixStructOps])
		r.i32(uapi.Attr_prog_assoc_struct_ops_prog_fd, f[fixFilter])
	}
}

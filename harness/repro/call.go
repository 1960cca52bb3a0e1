package repro

import (
	"fmt"
	"slices"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// The layouts of commands that the operation call makes.
var (
	elemAttr  = &layout{"elem", join(u32s("map_fd pad"), u64s("key value flags"))}
	batchAttr = &layout{"batch", join(u64s("in_batch out_batch keys values"), u32s("count map_fd"),
		u64s("elem_flags flags"))}
	objAttr    = &layout{"obj", join(u64s("pathname"), u32s("bpf_fd file_flags"), s32s("path_fd"))}
	attachAttr = &layout{"attach", u32s("target_fd attach_bpf_fd attach_type attach_flags")}
	testAttr   = &layout{"test", join(u32s("prog_fd retval data_size_in data_size_out"), u64s("data_in data_out"),
		u32s("repeat"))}
	idAttr    = &layout{"id", join(u32s("start_id next_id open_flags"), s32s("token_fd"))}
	infoAttr  = &layout{"info", join(u32s("bpf_fd info_len"), u64s("info"))}
	queryAttr = &layout{"query", join(u32s("target_fd attach_type query_flags attach_flags"), u64s("prog_ids"),
		u32s("prog_cnt pad"), u64s("prog_attach_flags link_ids link_attach_flags revision"))}
	rawTPAttr = &layout{"raw_tracepoint", join(u64s("name"), u32s("prog_fd"))}
	taskAttr  = &layout{"task_fd_query", join(u32s("pid fd flags buf_len"), u64s("buf"),
		u32s("prog_id fd_type"), u64s("probe_offset probe_addr"))}
	linkAttr    = &layout{"link_create", u32s("prog_fd target_fd attach_type")}
	updateAttr  = &layout{"link_update", u32s("link_fd new_prog_fd")}
	linkFDAttr  = &layout{"link", u32s("link_fd")}
	statsAttr   = &layout{"enable_stats", u32s("type")}
	bindAttr    = &layout{"prog_bind_map", u32s("prog_fd map_fd")}
	streamAttr  = &layout{"stream_read", join(u64s("stream_buf"), u32s("stream_buf_len stream_id prog_fd"))}
	assocAttr   = &layout{"assoc_struct_ops", u32s("map_fd prog_fd")}
	callLayouts = []*layout{elemAttr, batchAttr, objAttr, attachAttr, testAttr, idAttr, infoAttr, queryAttr, rawTPAttr,
		taskAttr, linkAttr, updateAttr, linkFDAttr, statsAttr, bindAttr, streamAttr, assocAttr}
)

// The objects that root makes for the operation call, as the guest agent's makeCommandFixtures does.

func (w *writer) mapOf(name string, t uapi.MapType, value, flags int) string {
	r := &request{layout: mapCreateAttr}
	r.set("map_type", "%s", w.enum(&uapi.MapTypes, uint32(t)))
	r.set("key_size", "4")
	r.set("value_size", "%d", value)
	r.set("max_entries", "1")
	r.set("map_flags", "%s", num(uint64(flags)))
	return w.fixture(name, w.must(uapi.BPF_MAP_CREATE, r, "make a map"))
}

func (w *writer) hash() string  { return w.mapOf("hash_fd", uapi.BPF_MAP_TYPE_HASH, 4, 0) }
func (w *writer) array() string { return w.mapOf("array_fd", uapi.BPF_MAP_TYPE_ARRAY, 4, 0) }

func (w *writer) prog(name string, t uapi.ProgType, at uapi.AttachType) string {
	s := step.ProgShapeOf(t, at)
	r := w.smallProg(t, s.Return)
	if at != 0 {
		r.set("expected_attach_type", "%s", w.enum(&uapi.AttachTypes, uint32(at)))
	}
	if s.BTFName != "" {
		r.set("attach_btf_id", "%s", w.typeID(s.BTFKind, s.BTFName))
	}
	return w.fixture(name, w.must(uapi.BPF_PROG_LOAD, r, "load a program"))
}

func (w *writer) filter() string { return w.prog("filter_fd", uapi.BPF_PROG_TYPE_SOCKET_FILTER, 0) }
func (w *writer) skb() string    { return w.prog("skb_fd", uapi.BPF_PROG_TYPE_CGROUP_SKB, 0) }
func (w *writer) device() string {
	return w.prog("device_fd", uapi.BPF_PROG_TYPE_CGROUP_DEVICE, uapi.BPF_CGROUP_DEVICE)
}
func (w *writer) tracepoint() string {
	return w.prog("raw_tp_fd", uapi.BPF_PROG_TYPE_RAW_TRACEPOINT, 0)
}

// cgroupFD is the fixture of a cgroup's directory.
const cgroupFD = "cgroup_fd"

func (w *writer) root(fs string) string {
	w.use("open_root")
	return w.fixture(map[string]string{"cgroup2": cgroupFD, "bpf": "dir_fd"}[fs], fmt.Sprintf("open_root(%q)", fs))
}

// link is a call that attaches a program.
func (w *writer) link(prog, target string, at uapi.AttachType) string {
	r := &request{layout: linkAttr}
	r.set("prog_fd", "%s", prog)
	r.set("target_fd", "%s", target)
	r.set("attach_type", "%s", w.enum(&uapi.AttachTypes, uint32(at)))
	return w.must(uapi.BPF_LINK_CREATE, r, "make a link")
}

func (w *writer) linkDevice() string {
	return w.link(w.device(), w.root("cgroup2"), uapi.BPF_CGROUP_DEVICE)
}

func (w *writer) deviceLink() string { return w.fixture("device_link_fd", w.linkDevice()) }

// pinned is the directory in which the hash has a file.
func (w *writer) pinned(name string, mode int) string {
	dir := w.root("bpf")
	a := &asked{}
	a.of(objAttr, "pathname", fmt.Sprintf("PTR(%q)", name), "bpf_fd", w.hash(), "file_flags", pathFD, "path_fd", dir)
	w.use("PTR")
	w.once(w.must(uapi.BPF_OBJ_PIN, a.request, "pin a map"))
	w.once(fmt.Sprintf("fchmodat(%s, %q, %#o, 0)", dir, name, mode))
	return dir
}

func lastOf(l *layout, member string) int {
	_, i := l.offset(member)
	return i
}

// asked is a call of a command: what comes before it and after it.
type asked struct {
	*request
	before, after []string
}

// call writes a command on objects that root made.
func (w *writer) call() error {
	n, _ := w.st.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	for _, k := range []step.Key{step.KeyTokenAt, step.KeyFlagAt} {
		if _, ok := w.st.Num(k); ok {
			return w.refuse("%s= cannot be written yet", w.st.Op.Row().Of(k).Name)
		}
	}
	a := &asked{}
	fill := calls[cmd&^uapi.BPF_COMMON_ATTRS]
	if fill == nil {
		return w.zeros(cmd)
	}
	fill(w, a)
	a.cmd = cmd
	if w.st.Out != 0 && w.want != "0" {
		return w.refuse("a descriptor of a refused command is used")
	}
	w.ask(a)
	return nil
}

// zeros writes a command with an attribute of zeros: an unknown one, or one with BPF_COMMON_ATTRS.
func (w *writer) zeros(cmd uapi.Cmd) error {
	for _, k := range []step.Key{step.KeyToken, step.KeyAttr} {
		if _, ok := w.st.Num(k); ok {
			return w.refuse("the command %s with %s= cannot be written yet", cmd, w.st.Op.Row().Of(k).Name)
		}
	}
	w.use("bpf")
	w.step(nil, fmt.Sprintf("bpf(%s, (char [%d]) { 0 }, %[2]d)", w.command(cmd), wholeAttr))
	return nil
}

// wholeAttr is the size of union bpf_attr in newer kernels.
const wholeAttr = 168

// command is a command as C.
func (w *writer) command(cmd uapi.Cmd) string {
	_, ok := w.st.Num(step.KeyCommon)
	plain := cmd &^ uapi.BPF_COMMON_ATTRS
	if plain > 1<<16 {
		return fmt.Sprint(int32(cmd))
	}
	out := w.enum(&uapi.Cmds, uint32(plain))
	if ok || plain != cmd {
		out += " | " + w.define("BPF_COMMON_ATTRS", "(1U << 16)")
	}
	return out
}

// calls fill in the smallest request of each command.
var calls = map[uapi.Cmd]func(*writer, *asked){
	uapi.BPF_MAP_LOOKUP_ELEM:             (*writer).elem,
	uapi.BPF_MAP_UPDATE_ELEM:             (*writer).elem,
	uapi.BPF_MAP_DELETE_ELEM:             (*writer).elem,
	uapi.BPF_MAP_GET_NEXT_KEY:            (*writer).elem,
	uapi.BPF_MAP_LOOKUP_AND_DELETE_ELEM:  (*writer).elem,
	uapi.BPF_MAP_LOOKUP_BATCH:            (*writer).batch,
	uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH: (*writer).batch,
	uapi.BPF_MAP_UPDATE_BATCH:            (*writer).batch,
	uapi.BPF_MAP_DELETE_BATCH:            (*writer).batch,
	uapi.BPF_MAP_FREEZE: func(w *writer, a *asked) {
		const mmapable = 1 << 10
		w.use("must", "map_memory")
		fd := w.mapOf("mapped_fd", uapi.BPF_MAP_TYPE_ARRAY, 8, mmapable)
		w.once("must(map_memory(" + fd + ", PROT_READ | PROT_WRITE), \"map a map\")") // it cannot be frozen then
		a.of(elemAttr, "map_fd", fd)
	},
	uapi.BPF_OBJ_PIN: func(w *writer, a *asked) {
		w.use("PTR")
		dir := w.root("bpf")
		a.of(objAttr, "pathname", `PTR("new")`, "bpf_fd", w.hash(), "file_flags", pathFD, "path_fd", dir)
		a.after = []string{fmt.Sprintf("unlinkat(%s, \"new\", 0)", dir)}
	},
	uapi.BPF_OBJ_GET: func(w *writer, a *asked) {
		name, mode := "pinned", 0o666
		if on, _ := w.st.Num(step.KeyOn); step.On(on) == step.OnPrivate {
			name, mode = "private", 0o600
		}
		w.use("PTR")
		a.of(objAttr, "pathname", fmt.Sprintf("PTR(%q)", name), "file_flags", pathFD,
			"path_fd", w.pinned(name, mode))
	},
	uapi.BPF_PROG_ATTACH:       (*writer).attach,
	uapi.BPF_PROG_DETACH:       (*writer).attach,
	uapi.BPF_LINK_CREATE:       (*writer).attach,
	uapi.BPF_PROG_GET_NEXT_ID:  (*writer).nextID,
	uapi.BPF_MAP_GET_NEXT_ID:   (*writer).nextID,
	uapi.BPF_BTF_GET_NEXT_ID:   (*writer).nextID,
	uapi.BPF_LINK_GET_NEXT_ID:  (*writer).nextID,
	uapi.BPF_PROG_GET_FD_BY_ID: func(w *writer, a *asked) { w.byID(a, w.filter(), uapi.ProgInfo_id) },
	uapi.BPF_MAP_GET_FD_BY_ID:  func(w *writer, a *asked) { w.byID(a, w.hash(), uapi.MapInfo_id) },
	uapi.BPF_BTF_GET_FD_BY_ID:  func(w *writer, a *asked) { w.byID(a, w.intBTF(), uapi.BTFInfo_id) },
	uapi.BPF_LINK_GET_FD_BY_ID: func(w *writer, a *asked) { w.byID(a, w.deviceLink(), uapi.LinkInfo_id) },
	uapi.BPF_LINK_UPDATE: func(w *writer, a *asked) {
		a.of(updateAttr, "link_fd", w.deviceLink(), "new_prog_fd", w.device())
	},
	uapi.BPF_LINK_DETACH: func(w *writer, a *asked) {
		fd := w.variableOf("detached_fd")
		a.before, a.after = []string{fd + " = " + w.linkDevice()}, []string{"close(" + fd + ")"}
		a.of(linkFDAttr, "link_fd", fd)
	},
	uapi.BPF_ITER_CREATE: func(w *writer, a *asked) {
		iter := w.prog("iter_fd", uapi.BPF_PROG_TYPE_TRACING, uapi.BPF_TRACE_ITER)
		a.of(linkFDAttr, "link_fd", w.fixture("iter_link_fd", w.link(iter, "0", uapi.BPF_TRACE_ITER)))
	},
	uapi.BPF_PROG_TEST_RUN: func(w *writer, a *asked) {
		w.use("PTR")
		a.of(testAttr, "prog_fd", w.filter(), "data_size_in", "64", "data_in", room, "repeat", "1")
	},
	uapi.BPF_OBJ_GET_INFO_BY_FD: func(w *writer, a *asked) {
		w.use("PTR")
		a.of(infoAttr, "bpf_fd", w.filter(), "info_len", "64", "info", room)
	},
	uapi.BPF_PROG_QUERY: func(w *writer, a *asked) {
		w.deviceLink()                                    // a program to find
		w.last[queryAttr] = lastOf(queryAttr, "revision") // the kernel writes the members after prog_ids
		a.of(queryAttr, "target_fd", w.root("cgroup2"),
			"attach_type", w.enum(&uapi.AttachTypes, uint32(uapi.BPF_CGROUP_DEVICE)))
	},
	uapi.BPF_RAW_TRACEPOINT_OPEN: func(w *writer, a *asked) {
		w.tracepointRequest(a)
	},
	uapi.BPF_TASK_FD_QUERY: func(w *writer, a *asked) {
		open := &asked{}
		w.tracepointRequest(open)
		fd := w.fixture("raw_link_fd", w.must(uapi.BPF_RAW_TRACEPOINT_OPEN, open.request, "open a tracepoint"))
		w.last[taskAttr] = lastOf(taskAttr, "probe_addr") // the kernel writes all after pid, whatever the size
		a.of(taskAttr, "pid", "getpid()", "fd", fd)
	},
	uapi.BPF_ENABLE_STATS: func(_ *writer, a *asked) { a.of(statsAttr, "type", "0 /* BPF_STATS_RUN_TIME */") },
	uapi.BPF_PROG_BIND_MAP: func(w *writer, a *asked) {
		a.of(bindAttr, "prog_fd", w.filter(), "map_fd", w.array())
	},
	uapi.BPF_PROG_STREAM_READ_BY_FD: func(w *writer, a *asked) {
		w.use("PTR")
		a.of(streamAttr, "stream_buf", room, "stream_buf_len", "64",
			"stream_id", "1 /* BPF_STREAM_STDOUT */", "prog_fd", w.filter())
	},
	uapi.BPF_PROG_ASSOC_STRUCT_OPS: func(w *writer, a *asked) {
		const links = "bpf_struct_ops_tcp_congestion_ops"
		w.use("btf_size")
		r := &request{layout: mapCreateAttr}
		r.set("map_type", "%s", w.enum(&uapi.MapTypes, uint32(uapi.BPF_MAP_TYPE_STRUCT_OPS)))
		r.set("key_size", "4")
		r.set("value_size", "btf_size(%q)", links)
		r.set("max_entries", "1")
		r.set("btf_fd", "%s", w.intBTF())
		r.set("btf_vmlinux_value_type_id", "%s", w.typeID(step.KindStruct, links))
		fd := w.fixture("struct_ops_fd", w.must(uapi.BPF_MAP_CREATE, r, "make a struct_ops map"))
		a.of(assocAttr, "map_fd", fd, "prog_fd", w.filter())
	},
}

// room is memory that a request points to.
const room = "PTR((char [64]) { 0 })"

func (w *writer) tracepointRequest(a *asked) {
	w.use("PTR")
	a.of(rawTPAttr, "name", `PTR("task_rename")`, "prog_fd", w.tracepoint())
}

const pathFD = "1 << 14 /* BPF_F_PATH_FD */"

// byCommand has the command name the macro for members that several requests have.
const byCommand = "?"

// of sets the members of a request: name and value by turns.
func (a *asked) of(l *layout, members ...string) {
	a.request = &request{layout: l}
	for i := 0; i < len(members); i += 2 {
		a.set(members[i], "%s", members[i+1])
		a.values[i/2].own = slices.Contains([]string{"map_fd", "prog_fd", "attach_bpf_fd"}, members[i])
	}
	a.isShape(byCommand)
}

func (w *writer) elem(a *asked) {
	n, _ := w.st.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	members := []string{"map_fd", w.hash(), "key", zero, "value", zero}
	switch cmd {
	case uapi.BPF_MAP_DELETE_ELEM:
		members = members[:4]
	case uapi.BPF_MAP_GET_NEXT_KEY: // the first
		members = append(members[:2:2], members[4:]...)
	}
	w.use("PTR")
	a.of(elemAttr, members...)
	if cmd != uapi.BPF_MAP_UPDATE_ELEM {
		w.store(a)
	}
}

// zero is a key, or a value.
const zero = "PTR(&(__u32) { 0 })"

// store puts an element under key 0 of the hash before the call.
func (w *writer) store(a *asked) {
	w.use("PTR")
	put := &asked{}
	put.of(elemAttr, "map_fd", w.hash(), "key", zero, "value", zero)
	a.before = append(a.before, w.request("BPF", "BPF_MAP_UPDATE_ELEM", put.request))
}

func (w *writer) batch(a *asked) {
	n, _ := w.st.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	of := w.array
	if cmd == uapi.BPF_MAP_DELETE_BATCH || cmd == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH {
		of = w.hash
		w.store(a)
	}
	w.batchRequest(a, cmd, of())
}

// batchRequest fills in a batch command about the element under key 0 of a map.
func (w *writer) batchRequest(a *asked, cmd uapi.Cmd, fd string) {
	w.use("PTR")
	members := []string{"keys", room, "count", "1"}
	if cmd != uapi.BPF_MAP_DELETE_BATCH {
		members = append(members, "values", "PTR((char [4096]) { 0 })")
	}
	if cmd == uapi.BPF_MAP_LOOKUP_BATCH || cmd == uapi.BPF_MAP_LOOKUP_AND_DELETE_BATCH {
		members = append(members, "out_batch", room)
	}
	a.of(batchAttr, append(members, "map_fd", fd)...)
}

func (w *writer) attach(a *asked) {
	n, _ := w.st.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	on, _ := w.st.Num(step.KeyOn)
	if step.On(on) == step.OnTCX {
		const loopback = "1"
		a.of(attachAttr, "target_fd", loopback, "attach_type", w.enum(&uapi.AttachTypes, uint32(uapi.BPF_TCX_INGRESS)))
		return
	}
	prog, at := "", uapi.BPF_CGROUP_INET_INGRESS
	switch _, own := w.st.Num(step.KeyProg); {
	case own:
		prog = w.fd(step.KeyProg)
	case step.On(on) == step.OnSkb:
		prog = w.skb()
	default:
		prog, at = w.device(), uapi.BPF_CGROUP_DEVICE
	}
	to, cgroup := w.enum(&uapi.AttachTypes, uint32(at)), w.root("cgroup2")
	if cmd == uapi.BPF_LINK_CREATE {
		a.of(linkAttr, "prog_fd", prog, "target_fd", cgroup, "attach_type", to)
		return
	}
	var attach, detach asked
	members := []string{"target_fd", cgroup, "attach_bpf_fd", prog, "attach_type", to}
	attach.of(attachAttr, append(members, "attach_flags", "2 /* BPF_F_ALLOW_MULTI */")...)
	detach.of(attachAttr, members...)
	a.request = attach.request
	if cmd == uapi.BPF_PROG_DETACH {
		a.request = detach.request
		a.before = []string{w.request("BPF", "BPF_PROG_ATTACH", attach.request)}
	}
	w.use("detach")
	a.after = []string{fmt.Sprintf("detach(%s, %s, %s)", cgroup, prog, to)}
}

func (w *writer) nextID(a *asked) {
	n, _ := w.st.Num(step.KeyID)
	a.of(idAttr, "start_id", fmt.Sprint(uint32(n)))
	w.token(a.request, "token_fd", "open_flags", 0)
}

// variableOf declares a variable.
func (w *writer) variableOf(name string) string {
	if !slices.ContainsFunc(w.fixed, func(f fixture) bool { return f.name == name }) {
		w.fixed = append(w.fixed, fixture{name: name})
	}
	return name
}

// byID asks for an object by its id, which is at a place of its information.
func (w *writer) byID(a *asked, fd string, at uapi.Field) {
	n, given := w.st.Num(step.KeyID)
	id := num(n)
	if !given {
		w.use("obj_id")
		w.last[infoAttr] = max(w.last[infoAttr], lastOf(infoAttr, "info"))
		id = fmt.Sprintf("obj_id(%s, %d)", fd, at.Off)
	}
	a.of(idAttr, "start_id", id)
	w.token(a.request, "token_fd", "open_flags", 0)
}

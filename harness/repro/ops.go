package repro

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// writers is the table of the operations that can be written.
var writers = [step.Ops]func(*writer) error{
	step.OpBPFFS:       (*writer).bpffs,
	step.OpCall:        (*writer).call,
	step.OpTokenCreate: (*writer).tokenCreate,
	step.OpMapCreate:   (*writer).mapCreate,
	step.OpProgLoad:    (*writer).progLoad,
	step.OpBTFLoad:     (*writer).btfLoad,
	step.OpSend:        (*writer).send,
	step.OpClose:       (*writer).close,
	step.OpSysctl:      (*writer).sysctl,
	step.OpPin:         (*writer).pin,
}

// add adds lines to the steps.
func (w *writer) add(format string, args ...any) { fmt.Fprintf(&w.steps, format+"\n", args...) }

// quoted is the step as a string of C.
func (w *writer) quoted() string { return fmt.Sprintf("%q", w.info.Text) }

// keeps is the assignment of the descriptor that the step makes: where the call must fail there is none.
func (w *writer) keeps() string {
	if w.st.Out != 0 && w.want == "0" {
		return w.names[w.st.Out] + " = "
	}
	return ""
}

// step writes a step of the actor: declarations, other lines, and the call.
func (w *writer) step(declared, before []string, call string, after ...string) {
	w.use("turn")
	w.add("\tif (turn(%s, %s)) {", w.actor(uint64(w.st.Actor)), w.caps(w.st.Caps))
	for _, d := range declared {
		w.add("%s", d)
	}
	if len(declared) > 0 {
		w.add("")
	}
	for _, b := range before {
		w.add("\t\t%s", b)
	}
	w.add("\t\t%scheck(%s, %s,\n\t\t      %s);", w.keeps(), call, w.want, w.quoted())
	for _, a := range after {
		w.add("\t\t%s", a)
	}
	w.add("\t}\n")
}

func (w *writer) bpffs() error {
	w.use("bpffs")
	at := "NULL"
	if n, ok := w.st.Num(step.KeyAt); ok {
		place := w.text(step.KeyAt)
		if place == "" && n < uint64(len(step.Places)) {
			place = step.Places[n]
		}
		if !strings.HasPrefix(place, "/mnt/") || strings.Count(place, "/") != 2 {
			return w.refuse("a mount outside /mnt cannot be written yet")
		}
		w.use("places")
		at = fmt.Sprintf("%q", place)
	}
	w.add("\t{\n\t\tstatic const char *const opts[] = {")
	for _, a := range w.st.Args {
		if o := a.Key.MountOption(); o != "" {
			w.add("\t\t\t%q, %q,", o, a.Str)
		}
	}
	actor := w.actor(uint64(w.st.Actor))
	w.add("\t\t\tNULL\n\t\t};\n")
	w.add("\t\t%smake_bpffs(%s, %s, opts, %s,\n\t\t      %s);\n\t}\n", w.keeps(), actor, at, w.want, w.quoted())
	return nil
}

func (w *writer) text(k step.Key) string {
	for _, a := range w.st.Args {
		if a.Key == k {
			return a.Str
		}
	}
	return ""
}

func (w *writer) send() error {
	to, _ := w.st.Num(step.KeyTo)
	w.use("pass")
	fd := w.fd(step.KeyHandle)
	if fd == "-1" {
		return w.refuse("a descriptor that no step makes cannot be passed")
	}
	w.add("\tpass(%s, %s, &%s, %s,\n\t     %s);\n", w.actor(uint64(w.st.Actor)), w.actor(to), fd, w.want, w.quoted())
	return nil
}

func (w *writer) close() error {
	fd := w.fd(step.KeyHandle)
	after := ""
	if fd != "-1" {
		after = fd + " = -1;"
	}
	w.step(nil, nil, "close("+fd+")", slices.DeleteFunc([]string{after}, func(s string) bool { return s == "" })...)
	return nil
}

func (w *writer) sysctl() error {
	v, _ := w.st.Num(step.KeyValue)
	if v == 1 {
		return w.refuse("the value 1 would stay until the next boot")
	}
	w.use("sysctl")
	w.add("\tif (turn(BROKER, ALL_CAPS)) {\n\t\twrite_file(SYSCTL, \"%d\");", v)
	w.add("\t\tcheck(0, %s, %s);\n\t}\n", w.want, w.quoted())
	return nil
}

// num writes a number as C: large ones are masks.
func num(v uint64) string {
	if v < 10000 {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%#x", v)
}

// bpf writes a step that is a call of bpf(2).
func (w *writer) bpf(r *request, declared []string) { w.ask(&asked{request: r, declared: declared}) }

// ask writes a step that is a call of bpf(2), with what comes before it and after it.
func (w *writer) ask(a *asked) {
	cmd := w.enum(&uapi.Cmds, uint32(a.cmd))
	if n, ok := w.st.Num(step.KeyCommon); ok && n != 0 {
		cmd += " | " + w.define("BPF_COMMON_ATTRS", "(1U << 16)")
	}
	attr, last := a.attribute()
	w.last[a.layout] = max(w.last[a.layout], last)
	fault, _ := w.st.Num(step.KeyAttr)
	call, declared := fmt.Sprintf("(%s, &attr, sizeof(attr))", cmd), a.declared
	before, after := a.before, a.after
	switch step.AttrFault(fault) {
	case step.AttrTail:
		call = "bpf_tail" + call
	case step.AttrBeyond:
		call = "bpf_beyond" + call
	case step.AttrHuge, step.AttrUnreadable:
		size := map[step.AttrFault]int{step.AttrHuge: 4097, step.AttrUnreadable: 168}[step.AttrFault(fault)]
		call, attr, declared = fmt.Sprintf("sys_bpf(%s, NULL, %d)", cmd, size), nil, nil
		before, after = nil, nil
	default:
		call = "sys_bpf" + call
	}
	name, _, _ := strings.Cut(call, "(")
	w.use(name)
	if n, ok := w.st.Num(step.KeyNoFD); ok && n != 0 {
		w.use("few_files")
		before, after = append(before, "few_files(1);"), append([]string{"few_files(0);"}, after...)
	}
	w.step(append(declared, attr...), before, call, after...)
}

// attribute writes the attribute's declaration; last is the last member that it has.
func (r *request) attribute() (lines []string, last int) {
	out := []string{fmt.Sprintf("\t\tstruct %s_attr attr = {", r.name)}
	slices.SortStableFunc(r.values, func(a, b value) int {
		x, _ := r.offset(a.name)
		y, _ := r.offset(b.name)
		return x - y
	})
	for _, v := range r.values {
		_, i := r.offset(v.name)
		if i < 0 {
			panic("no member " + v.name)
		}
		last = max(last, i)
		if v.c != "0" {
			out = append(out, fmt.Sprintf("\t\t\t.%s = %s,", v.name, v.c))
		}
	}
	return append(out, "\t\t};"), last
}

// token sets what a request has of a token, and its flags.
func (w *writer) token(r *request, member, flags string, value uint64) {
	if n, ok := w.st.Num(step.KeyFlags); ok {
		value = n
	}
	c := ""
	if value != 0 {
		c = num(uint64(uint32(value)))
	}
	if _, ok := w.st.Num(step.KeyToken); ok {
		flag := w.define("BPF_F_TOKEN_FD", "(1U << 16)")
		if c = strings.Join(slices.DeleteFunc([]string{c, flag}, func(s string) bool { return s == "" }), " | "); true {
			r.set(member, "%s", w.fd(step.KeyToken))
		}
	} else if _, ok := w.st.Num(step.KeyTokenFD); ok {
		r.set(member, "%s", w.fd(step.KeyTokenFD))
	}
	if c != "" {
		r.set(flags, "%s", c)
	}
}

// numbers sets the members that arguments replace.
func (w *writer) numbers(r *request, members map[step.Key]string) {
	for _, a := range w.st.Args {
		if m := members[a.Key]; m != "" {
			r.set(m, "%s", num(uint64(uint32(a.Num))))
		}
	}
}

func (w *writer) pin() error {
	if _, ok := w.st.Num(step.KeySandbox); ok {
		return w.refuse("a Landlock domain cannot be written yet")
	}
	r := &request{layout: objAttr, cmd: uapi.BPF_OBJ_PIN}
	r.set("pathname", "(unsigned long)%q", w.text(step.KeyPath))
	r.set("bpf_fd", "%s", w.fd(step.KeyHandle))
	r.set("file_flags", pathFD)
	r.set("path_fd", "%s", w.fd(step.KeyIn))
	w.bpf(r, nil)
	return nil
}

func (w *writer) tokenCreate() error {
	r := &request{layout: tokenCreateAttr, cmd: uapi.BPF_TOKEN_CREATE}
	n, _ := w.st.Num(step.KeyFlags)
	r.set("flags", "%s", num(n))
	r.set("bpffs_fd", "%s", w.fd(step.KeyBPFFS))
	w.bpf(r, nil)
	return nil
}

func (w *writer) mapCreate() error {
	t, _ := w.st.Num(step.KeyType)
	r, err := w.mapRequest(uapi.MapType(t))
	if err != nil {
		return err
	}
	var declared []string
	if name := w.text(step.KeyName); name != "" {
		r.set("map_name", "%.16q", name)
	}
	if n, ok := w.st.Num(step.KeyHash); ok {
		declared = append(declared, "\t\tstatic const char hash[32];")
		r.set("excl_prog_hash", "(unsigned long)hash")
		r.set("excl_prog_hash_size", "%s", num(n))
	}
	w.bpf(r, declared)
	return nil
}

// mapRequest is what the guest's mapAttr is.
func (w *writer) mapRequest(t uapi.MapType) (*request, error) {
	s := step.MapShapeOf(t)
	r := &request{layout: mapCreateAttr, cmd: uapi.BPF_MAP_CREATE}
	r.set("map_type", "%s", w.enum(&uapi.MapTypes, uint32(t)))
	r.set("key_size", "%d", s.Key)
	r.set("value_size", "%d", s.Value)
	r.set("max_entries", "%d", s.Max)
	if s.Inner {
		r.set("inner_map_fd", "%s", w.innerMap())
	}
	if s.BTF {
		r.set("btf_fd", "%s", w.intBTF())
		r.set("btf_key_type_id", "1")
		r.set("btf_value_type_id", "1")
	}
	if s.Struct != "" {
		w.use("btf_size")
		r.set("btf_fd", "%s", w.intBTF())
		r.set("btf_vmlinux_value_type_id", "%s", w.typeID(step.KindStruct, s.Struct))
		r.set("value_size", "btf_size(%q)", s.Struct)
	}
	for k, m := range map[step.Key]string{step.KeyInner: "inner_map_fd", step.KeyBTF: "btf_fd"} {
		if _, ok := w.st.Num(k); ok {
			r.set(m, "%s", w.fd(k))
		}
	}
	w.numbers(r, map[step.Key]string{
		step.KeyKeySize: "key_size", step.KeyValueSize: "value_size", step.KeyMaxEntries: "max_entries",
		step.KeyNUMA: "numa_node", step.KeyIfindex: "map_ifindex", step.KeyBTFKey: "btf_key_type_id",
		step.KeyBTFValue: "btf_value_type_id", step.KeyVmlinux: "btf_vmlinux_value_type_id", step.KeyExtra: "map_extra",
	})
	w.token(r, "map_token_fd", "map_flags", uint64(s.Flags))
	return r, nil
}

func (w *writer) innerMap() string {
	w.use("inner_map")
	w.last[mapCreateAttr] = max(w.last[mapCreateAttr], 3)
	w.define("BPF_MAP_TYPE_ARRAY", "2")
	w.enum(&uapi.Cmds, uint32(uapi.BPF_MAP_CREATE))
	return w.fixture("inner_map_fd", "", "make_inner_map()")
}

func (w *writer) intBTF() string {
	w.use("int_btf")
	w.last[btfLoadAttr] = max(w.last[btfLoadAttr], 2)
	w.enum(&uapi.Cmds, uint32(uapi.BPF_BTF_LOAD))
	return w.fixture("int_btf_fd", "", "load_int_btf()")
}

func (w *writer) btfLoad() error {
	for _, k := range []step.Key{step.KeyField, step.KeyLock} {
		if _, ok := w.st.Num(k); ok {
			return w.refuse("a BTF with a special field cannot be written yet")
		}
	}
	w.use("struct int_btf")
	name, declared := "int_btf", []string(nil)
	if _, ok := w.st.Num(step.KeyJunk); ok {
		name, declared = "junk", []string{"\t\tstruct btf_blob junk = { 0xeba0 };"}
	}
	r := &request{layout: btfLoadAttr, cmd: uapi.BPF_BTF_LOAD}
	r.set("btf", "(unsigned long)&%s", name)
	r.set("btf_size", "BTF_SIZE")
	w.numbers(r, map[step.Key]string{step.KeyLog: "btf_log_level"})
	w.token(r, "btf_token_fd", "btf_flags", 0)
	w.bpf(r, declared)
	return nil
}

// mostInsns is the length beyond which the kernel reads no instructions.
const mostInsns = 1 << 14

func (w *writer) progLoad() error {
	t, _ := w.st.Num(step.KeyType)
	at, _ := w.st.Num(step.KeyAttach)
	s := step.ProgShapeOf(uapi.ProgType(t), uapi.AttachType(at))
	for _, k := range []step.Key{step.KeySign, step.KeyLines} {
		if _, ok := w.st.Num(k); ok {
			return w.refuse("%s= cannot be written yet", w.st.Op.Row().Of(k).Name)
		}
	}
	r := &request{layout: progLoadAttr, cmd: uapi.BPF_PROG_LOAD}
	r.set("prog_type", "%s", w.enum(&uapi.ProgTypes, uint32(t)))
	insns, own := w.ownProgram(s.Return)
	if _, long := w.st.Num(step.KeyInsns); own && long {
		return w.refuse("a program of another length with prog= cannot be written yet")
	}
	if !own {
		insns = w.instructions(s.Return)
	}
	r.set("insn_cnt", "2")
	if own {
		r.set("insn_cnt", "sizeof(insns) / sizeof(*insns)")
	}
	r.set("insns", "(unsigned long)insns")
	r.set("license", "(unsigned long)\"GPL\"")
	if at != 0 {
		r.set("expected_attach_type", "%s", w.enum(&uapi.AttachTypes, uint32(at)))
	}
	if s.BTFName != "" {
		r.set("attach_btf_id", "%s", w.typeID(s.BTFKind, s.BTFName))
	}
	if s.Member != "" {
		w.use("btf_member")
		r.set("expected_attach_type", "btf_member(%q, %q)", s.BTFName, s.Member)
	}
	if s.Ext {
		w.use("load_target")
		btf := w.fixture("func_btf_fd", "", "load_func_btf()")
		w.last[btfLoadAttr] = max(w.last[btfLoadAttr], lastOf(btfLoadAttr, "btf_size"))
		r.set("prog_btf_fd", "%s", btf)
		r.set("func_info_rec_size", "sizeof(func_info)")
		r.set("func_info", "(unsigned long)func_info")
		r.set("func_info_cnt", "1")
		r.set("attach_btf_id", "%d /* the function */", step.FuncType)
		r.set("attach_prog_fd", "%s", w.fixture("target_fd", "", "load_target("+btf+")"))
	}
	if _, ok := w.st.Num(step.KeyAttachFD); ok {
		r.set("attach_prog_fd", "%s", w.fd(step.KeyAttachFD))
	}
	w.numbers(r, map[step.Key]string{
		step.KeyInsns: "insn_cnt", step.KeyLog: "log_level", step.KeyIfindex: "prog_ifindex",
		step.KeyAttachBTFID: "attach_btf_id", step.KeyRing: "keyring_id",
	})
	w.token(r, "prog_token_fd", "prog_flags", uint64(s.Flags))
	if name := w.text(step.KeyName); name != "" {
		r.set("prog_name", "%.16q", name)
	}
	if fault, _ := w.st.Num(step.KeyAttr); step.AttrFault(fault) == step.AttrInsns {
		r.set("insns", "0")
		w.bpf(r, nil)
		return nil
	}
	w.bpf(r, insns)
	return nil
}

// instructions declares "r0 = ret; exit", as long as the step says.
func (w *writer) instructions(ret int32) []string {
	move := fmt.Sprintf("{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = %d },", ret)
	leave := "{ .code = BPF_JMP | BPF_EXIT },"
	if n, ok := w.st.Num(step.KeyInsns); ok && n > 2 && n <= mostInsns {
		return []string{
			fmt.Sprintf("\t\tstatic const struct bpf_insn insns[%d] = {", n),
			fmt.Sprintf("\t\t\t[0 ... %d] = %s", n-2, move),
			fmt.Sprintf("\t\t\t[%d] = %s", n-1, leave), "\t\t};",
		}
	}
	return []string{"\t\tstruct bpf_insn insns[] = {", fmt.Sprintf("\t\t\t%s\t/* r0 = %d */", move, ret),
		"\t\t\t" + leave + "\t/* exit */", "\t\t};"}
}

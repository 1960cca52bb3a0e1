package repro

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/bodies"
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
	step.OpReopen:      (*writer).reopen,
	step.OpFreeze:      (*writer).freeze,
	step.OpMmap:        (*writer).mmap,
	step.OpElement:     (*writer).element,
	step.OpBatch:       (*writer).batchOf,
	step.OpRunProg:     (*writer).runProg,
}

// add adds lines to the steps.
func (w *writer) add(format string, args ...any) { fmt.Fprintf(w.out, format+"\n", args...) }

func (w *writer) bpffs() error {
	at := ""
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
	opts, line := "\t\tstatic const char *const opts[] = {\n", "\t\t\t"
	for _, a := range w.st.Args {
		o := a.Key.MountOption()
		if o == "" {
			continue
		}
		if line += fmt.Sprintf("%q, %s, ", o, strconv.Quote(a.Str)); len(line) > 36 {
			opts, line = opts+strings.TrimRight(line, " ")+"\n", "\t\t\t"
		}
	}
	opts += line + "NULL\n\t\t};\n"
	if w.kselftest != nil && !w.c.Scenario() {
		w.use("configure variant")
		opts = w.variantOptions()
	} else {
		w.use("configure")
	}
	w.add("")
	if w.frame == turns {
		w.mountInTurns(opts, at)
		return nil
	}
	w.mountAlone(opts, at)
	return nil
}

// mountInTurns makes a bpffs in three turns.
func (w *writer) mountInTurns(opts, at string) {
	w.fsInTurns = true
	actor := w.actor(uint64(w.st.Actor))
	w.startTurn(actor, uapi.AllCaps)
	w.add("\t\tshared->fs = syscall(SYS_fsopen, \"bpf\", 0);")
	w.endTurn()
	w.startTurn(root, uapi.AllCaps)
	w.add("%s\n%s\n\t}", opts, w.checked("\t\t", "", "configure(shared->fs, opts)"))
	if keeps := w.keeps(); keeps != "" {
		w.startTurn(actor, uapi.AllCaps)
		w.mounted("\t\t", "shared->fs", at, keeps)
		w.endTurn()
	}
}

// mountAlone makes a bpffs with at most one process besides root's.
func (w *writer) mountAlone(opts, at string) {
	child := !isRoot(&w.actors[w.st.Actor])
	w.use("FS")
	w.enter(child)
	w.has(uapi.AllCaps)
	w.add("\tdup2(syscall(SYS_fsopen, \"bpf\", 0), FS);")
	w.enter(false)
	w.has(uapi.AllCaps)
	w.add("\t{\n%s\n%s\n\t}", opts, w.checked("\t\t", "", "configure(FS, opts)"))
	if keeps := w.keeps(); keeps != "" {
		w.enter(child)
		w.mounted("\t", "FS", at, keeps)
	}
}

// mounted keeps the root directory of what a context makes.
func (w *writer) mounted(in, fs, at, keeps string) {
	if w.inChild {
		w.childLocal("int mnt;")
	} else {
		w.local("int mnt;")
	}
	w.add("%smnt = syscall(SYS_fsmount, %s, 0, 0);", in, fs)
	if at != "" {
		w.add("%sif (syscall(SYS_move_mount, mnt, \"\", AT_FDCWD, %s,\n%[1]s\t    4 /* MOVE_MOUNT_F_EMPTY_PATH */))", in, at)
		w.add("%s\terr(4, \"move_mount\");", in)
	}
	w.add("%s%s = openat(mnt, \".\", O_DIRECTORY);\n%[1]sclose(mnt);", in, keeps)
}

func (w *writer) text(k step.Key) string {
	for _, a := range w.st.Args {
		if a.Key == k {
			return a.Str
		}
	}
	return ""
}

// send has another process hold the descriptor, too: all share one table of descriptors.
func (w *writer) send() error {
	to, _ := w.st.Num(step.KeyTo)
	n, _ := w.st.Num(step.KeyHandle)
	fd := w.fd(step.KeyHandle)
	if fd == "-1" {
		return w.refuse("a descriptor that no step makes cannot be passed")
	}
	keeps := ""
	if h := (holding{to, step.Handle(n)}); w.want == "0" {
		keeps = w.variable(h, strings.TrimSuffix(strings.TrimPrefix(fd, w.prefix()), "_fd")) + " = "
		w.held[h] = true
	}
	w.step(nil, nil, keeps+"dup("+fd+")")
	return nil
}

func (w *writer) close() error {
	n, _ := w.st.Num(step.KeyHandle)
	w.step(nil, nil, "close("+w.fd(step.KeyHandle)+")")
	if w.want == "0" {
		delete(w.held, holding{uint64(w.st.Actor), step.Handle(n)})
	}
	return nil
}

func (w *writer) sysctl() error {
	v, _ := w.st.Num(step.KeyValue)
	if v == 1 {
		return w.refuse("the value 1 would stay until the next boot")
	}
	call := fmt.Sprintf("dprintf(open(SYSCTL, O_WRONLY), \"%d\")", v)
	w.add("")
	if w.frame == turns {
		w.use("turn", "ALL_CAPS")
		w.add("\tif (turn(%s, ALL_CAPS)) {\n%s\n\t}", root, w.checked("\t\t", "", call))
		return nil
	}
	w.enter(false)
	w.has(uapi.AllCaps)
	w.add("%s", w.checked("\t", "", call))
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
	cmd := w.command(a.cmd)
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
		size := map[step.AttrFault]int{step.AttrHuge: 4097, step.AttrUnreadable: wholeAttr}[step.AttrFault(fault)]
		call, attr, declared = fmt.Sprintf("bpf(%s, NULL, %d)", cmd, size), nil, nil
		before, after = nil, nil
	default:
		call = "bpf" + call
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
	if len(out) == 1 {
		return []string{strings.TrimSuffix(out[0], "{") + "{ 0 };"}, last
	}
	if short := strings.Join(append(slices.Clone(out), "\t\t};"), " "); len(out) < 4 {
		short = strings.ReplaceAll(strings.ReplaceAll(short, "\t\t\t", ""), ", \t\t};", " };")
		if len(short) < 62 {
			return []string{short}, last
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
	if _, own := w.st.Num(step.KeyOwnHash); own {
		return w.refuse("excl_signed= cannot be written yet")
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
	name, size, declared := "int_btf", "BTF_SIZE", []string(nil)
	var special *bodies.BTF
	if f, ok := w.st.Num(step.KeyField); ok {
		special = bodies.FieldBTF(step.Field(f))
	}
	if _, ok := w.st.Num(step.KeyLock); ok {
		special = bodies.LockBTF()
	}
	_, junk := w.st.Num(step.KeyJunk)
	switch {
	case special != nil && junk:
		return w.refuse("junk=1 with a special field cannot be written yet")
	case special != nil:
		name, declared = "btf", specialBTF(special)
		size = fmt.Sprint(len(special.Bytes()))
	default:
		w.use("struct int_btf")
	}
	if junk {
		name, declared = "junk", []string{"\t\tstruct btf_blob junk = { .magic = 0xeba0 };"}
	}
	r := &request{layout: btfLoadAttr, cmd: uapi.BPF_BTF_LOAD}
	r.set("btf", "(unsigned long)&%s", name)
	r.set("btf_size", "%s", size)
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
	for _, k := range []step.Key{step.KeySign, step.KeyLines, step.KeySigned, step.KeyBound} {
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

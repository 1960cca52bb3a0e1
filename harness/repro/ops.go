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
	step.OpRaw:         (*writer).raw,
}

// add adds lines to the steps.
func (w *writer) add(format string, args ...any) { fmt.Fprintf(w.out, format+"\n", args...) }

func (w *writer) bpffs() error {
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
		at = strconv.Quote(place)
	}
	var opts []string
	for _, a := range w.st.Args {
		if o := a.Key.MountOption(); o != "" {
			opts = append(opts, fmt.Sprintf("%q,"+glue+"%q", o, a.Str))
		}
	}
	with := "OPTS(" + strings.Join(opts, ", ") + ")"
	if len(opts) == 0 {
		with = "((const char *[]) { NULL })"
	} else {
		w.use("OPTS")
	}
	if w.kselftest != nil && !w.c.Scenario() {
		w.use("configure variant")
		w.use("OPTS")
		with = "OPTS(" + w.variantOptions() + ")"
	} else {
		w.use("configure")
	}
	if w.frame == turns {
		w.mountInTurns(with, at)
	} else {
		w.mountAlone(with, at)
	}
	return nil
}

// mountInTurns makes a bpffs in three turns.
func (w *writer) mountInTurns(opts, at string) {
	w.use("turn", "ALL_CAPS")
	w.bpffsInTurns = true
	dir := "NULL"
	if keeps := w.keeps(); keeps != "" {
		dir = "&" + keeps
	}
	if w.usesPlaces {
		dir += ", " + at
	}
	w.number++
	want, text, first := w.want, w.info.Text, fmt.Sprint(w.number)
	if w.kselftest != nil {
		want, text = w.variantErrno()
		first = "_metadata"
		w.use("errno_of")
	} else {
		w.useCheck()
	}
	w.add("%s", fill("\t", fmt.Sprintf("bpffs(%s, %s, %s, %q,\n%s, %s);", first, w.actor(uint64(w.st.Actor)), want, text,
		dir, opts)))
}

// bpffsFunction makes a bpffs in three turns.
func (w *writer) bpffsFunction() string {
	first, check, at, move := "int step", "check(step, want, text, configure(shared->fs, opts));", "", ""
	if w.kselftest != nil {
		first = "struct __test_metadata *_metadata"
		check = "EXPECT_EQ(want, errno_of(configure(shared->fs, opts)))\n\t\t\tTH_LOG(\"%s\", text);"
	}
	if w.usesPlaces {
		at = " const char *at,"
		move = "\t\tif (at && syscall(SYS_move_mount, mnt, \"\", AT_FDCWD, at,\n" +
			"\t\t\t\t  4 /* MOVE_MOUNT_F_EMPTY_PATH */))\n" +
			"\t\t\terr(4, \"move_mount\");\n"
	}
	return "/* Make a bpffs of @actor, and open its root directory. Only root may delegate. */\n" +
		fill("", "static void bpffs("+first+", int actor, int want, const char *text, int *dir,"+at+
			" const char *const *opts)") + `
{
	int mnt;

	if (turn(actor, ALL_CAPS)) {
		shared->fs = syscall(SYS_fsopen, "bpf", 0);
		done();
	}
	if (turn(ROOT, ALL_CAPS)) {
		` + check + `
		done();
	}
	if (dir && turn(actor, ALL_CAPS)) {
		mnt = syscall(SYS_fsmount, shared->fs, 0, 0);
` + move + `		*dir = openat(mnt, ".", O_DIRECTORY);
		close(mnt);
		done();
	}
}
`
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
	w.add("%s", w.checked("\t", "", "configure(FS, "+opts+")"))
	keeps := w.keeps()
	if keeps == "" {
		return
	}
	w.enter(child)
	if w.inChild {
		w.childLocal("int mnt;")
	} else {
		w.local("int mnt;")
	}
	w.add("\tmnt = syscall(SYS_fsmount, FS, 0, 0);")
	if at != "NULL" {
		w.add("\tif (syscall(SYS_move_mount, mnt, \"\", AT_FDCWD, %s,\n\t\t    4 /* MOVE_MOUNT_F_EMPTY_PATH */))", at)
		w.add("\t\terr(4, \"move_mount\");")
	}
	w.add("\t%s = openat(mnt, \".\", O_DIRECTORY);\n\tclose(mnt);", keeps)
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
	w.step(nil, keeps+"dup("+fd+")")
	return nil
}

func (w *writer) close() error {
	n, _ := w.st.Num(step.KeyHandle)
	w.step(nil, "close("+w.fd(step.KeyHandle)+")")
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
	if w.frame == turns {
		w.stepInTurns(root, uapi.AllCaps, nil, call, nil)
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
func (w *writer) bpf(r *request) { w.ask(&asked{request: r}) }

// ask writes a step that is a call of bpf(2), with what comes before it and after it.
func (w *writer) ask(a *asked) {
	before, after, macro := a.before, a.after, "BPF"
	fault, _ := w.st.Num(step.KeyAttr)
	size := 0
	switch step.AttrFault(fault) {
	case step.AttrTail:
		macro = "BPF_TAIL"
	case step.AttrBeyond:
		macro = "BPF_BEYOND"
	case step.AttrHuge:
		size = 4097
	case step.AttrUnreadable:
		size = wholeAttr
	}
	var call string
	if cmd := w.command(a.cmd); size > 0 {
		w.use("bpf")
		call, before, after = fmt.Sprintf("bpf(%s, NULL, %d)", cmd, size), nil, nil
	} else {
		call = w.request(macro, cmd, a.request)
	}
	if n, ok := w.st.Num(step.KeyNoFD); ok && n != 0 {
		w.use("few_files")
		before, after = append(before, "few_files(1)"), append([]string{"few_files(0)"}, after...)
	}
	w.step(before, call, after...)
}

// request writes a call of bpf(2).
func (w *writer) request(macro, cmd string, r *request) string {
	w.use(macro)
	if r.shape == byCommand {
		name, _, _ := strings.Cut(cmd, " ")
		r.shape = strings.TrimPrefix(name, "BPF_") + "_ARGS"
	}
	members, last := w.members(r)
	w.last[r.layout] = max(w.last[r.layout], last)
	return fmt.Sprintf("%s(%s, %s, %s)", macro, cmd, r.name, members)
}

// members writes what a request sets; last is the last member that its struct must have. What several steps ask for is
// a macro of its own.
func (w *writer) members(r *request) (list string, last int) {
	slices.SortStableFunc(r.values, func(a, b value) int {
		x, _ := r.offset(a.name)
		y, _ := r.offset(b.name)
		return x - y
	})
	var shape, own []string
	for i := range r.values {
		v := &r.values[i]
		_, at := r.offset(v.name)
		if at < 0 {
			panic("no member " + v.name)
		}
		last = max(last, at)
		switch text := fmt.Sprintf(".%s = %s", v.name, v.c); {
		case v.c == "0":
		case v.shape:
			shape = append(shape, text)
		default:
			own = append(own, text)
		}
	}
	if len(shape) > 1 && r.shape != "" {
		lines := strings.Split(fill("\t", strings.Join(shape, ", ")), "\n\t\t")
		text := "#define NAME \\\n" + strings.Join(lines, " \\\n\t") + "\n"
		if name := w.shared(r.shape, text); name != "" {
			own, shape = append([]string{name}, own...), nil
		}
	}
	if own = w.shortened(append(shape, own...)); len(own) == 0 {
		return "0", last
	}
	return strings.Join(own, ", "), last
}

// shared counts a macro for members that a request begins with. It returns its name if several requests have them.
func (w *writer) shared(base, text string) string {
	if w.shapes[text]++; w.common[text] < commonUses {
		return ""
	}
	return w.named(base, text)
}

// shortened has a macro for the members of a program that only returns.
func (w *writer) shortened(members []string) []string {
	i := slices.IndexFunc(members, func(m string) bool { return strings.HasPrefix(m, ".insns = INSNS(") })
	if i < 1 || i+1 == len(members) || members[i-1] != ".insn_cnt = 2" || members[i+1] != `.license = PTR("GPL")` {
		return members
	}
	name := w.shared("RETURN", "#define NAME(n) \\\n\t.insn_cnt = 2, .insns = INSNS(n), .license = PTR(\"GPL\")\n")
	if name == "" {
		return members
	}
	_, ret, _ := strings.Cut(members[i], "INSNS")
	return slices.Replace(members, i-1, i+2, name+ret)
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
	w.use("PTR")
	r.set("pathname", "PTR(%q)", w.text(step.KeyPath))
	r.set("bpf_fd", "%s", w.fd(step.KeyHandle))
	r.set("file_flags", pathFD)
	r.set("path_fd", "%s", w.fd(step.KeyIn))
	w.bpf(r)
	return nil
}

func (w *writer) tokenCreate() error {
	r := &request{layout: tokenCreateAttr, cmd: uapi.BPF_TOKEN_CREATE}
	n, _ := w.st.Num(step.KeyFlags)
	r.set("flags", "%s", num(n))
	r.set("bpffs_fd", "%s", w.fd(step.KeyBPFFS))
	w.bpf(r)
	return nil
}

func (w *writer) mapCreate() error {
	t, _ := w.st.Num(step.KeyType)
	r, err := w.mapRequest(uapi.MapType(t))
	if err != nil {
		return err
	}
	if name := w.text(step.KeyName); name != "" {
		r.set("map_name", "%.16q", name)
	}
	if _, own := w.st.Num(step.KeyOwnHash); own {
		return w.refuse("excl_signed= cannot be written yet")
	}
	if n, ok := w.st.Num(step.KeyHash); ok {
		w.use("PTR")
		r.set("excl_prog_hash", "PTR((char [32]) { 0 })")
		r.set("excl_prog_hash_size", "%s", num(n))
	}
	w.bpf(r)
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
	r.isShape(macroName(strings.TrimPrefix(r.get("map_type"), "BPF_MAP_TYPE_") + "_MAP"))
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
	return w.mapOf("inner_map_fd", uapi.BPF_MAP_TYPE_ARRAY, 4, 0)
}

func (w *writer) intBTF() string {
	w.use("int_btf", "PTR")
	r := &request{layout: btfLoadAttr}
	r.set("btf", "PTR(&int_btf)")
	r.set("btf_size", "BTF_SIZE")
	return w.fixture("int_btf_fd", w.must(uapi.BPF_BTF_LOAD, r, "load a BTF"))
}

// must is a call that makes what the steps need.
func (w *writer) must(cmd uapi.Cmd, r *request, what string) string {
	w.use("must")
	return fmt.Sprintf("must(%s,\n%q)", w.request("BPF", w.enum(&uapi.Cmds, uint32(cmd)), r), what)
}

func (w *writer) btfLoad() error {
	at, size := "&int_btf", "BTF_SIZE"
	var special *bodies.BTF
	if f, ok := w.st.Num(step.KeyField); ok {
		special = bodies.FieldBTF(step.Field(f))
	}
	if _, ok := w.st.Num(step.KeyLock); ok {
		special = bodies.LockBTF()
	}
	if _, ok := w.st.Num(step.KeyLoop); ok {
		special = bodies.LoopBTF()
	}
	_, junk := w.st.Num(step.KeyJunk)
	switch {
	case special != nil:
		at, size = "&"+w.specialBTF(special, junk), fmt.Sprint(len(special.Bytes()))
	case junk:
		w.use("struct btf_blob")
		at = "(&(struct btf_blob) { .magic = 0xeba0 })"
	default:
		w.use("int_btf")
	}
	w.use("PTR")
	r := &request{layout: btfLoadAttr, cmd: uapi.BPF_BTF_LOAD}
	r.set("btf", "PTR(%s)", at)
	r.set("btf_size", "%s", size)
	w.numbers(r, map[step.Key]string{step.KeyLog: "btf_log_level"})
	w.token(r, "btf_token_fd", "btf_flags", 0)
	w.bpf(r)
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
	fault, _ := w.st.Num(step.KeyAttr)
	if f := step.AttrFault(fault); f == step.AttrHuge || f == step.AttrUnreadable { // the kernel reads no member
		w.bpf(r)
		return nil
	}
	r.set("prog_type", "%s", w.enum(&uapi.ProgTypes, uint32(t)))
	insns, length := w.ownProgram(s.Return)
	_, long := w.st.Num(step.KeyInsns)
	if insns != "" && long {
		return w.refuse("a program of another length with prog= cannot be written yet")
	}
	own := insns != ""
	switch {
	case step.AttrFault(fault) == step.AttrInsns:
		insns, length = "0", max(length, 2)
	case !own:
		insns, length = w.instructions(s.Return), 2
	}
	w.use("PTR")
	r.set("insn_cnt", "%d", length)
	r.set("insns", "%s", insns)
	r.set("license", `PTR("GPL")`)
	if at != 0 {
		r.set("expected_attach_type", "%s", w.enum(&uapi.AttachTypes, uint32(at)))
	}
	if s.BTFName != "" {
		r.set("attach_btf_id", "%s", w.typeID(s.BTFKind, s.BTFName))
	}
	if s.Member != "" {
		w.use("btf_member")
		r.set("expected_attach_type", "btf_member(%q,"+glue+"%q)", s.BTFName, s.Member)
	}
	if s.Ext {
		w.withFunction(r)
		r.set("attach_btf_id", "%d /* the function */", step.FuncType)
		r.set("attach_prog_fd", "%s", w.target())
	}
	r.isShape(shapeName(r, own))
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
	w.bpf(r)
	return nil
}

// shapeName is what the macro for programs of a type is called.
func shapeName(r *request, own bool) string {
	name := strings.TrimPrefix(r.get("prog_type"), "BPF_PROG_TYPE_")
	if at := strings.TrimPrefix(r.get("expected_attach_type"), "BPF_"); at != "" && at != name {
		name = strings.TrimSuffix(name, "_") + "_" + at
	}
	if own {
		for i := range r.values {
			r.values[i].own = strings.HasPrefix(r.values[i].name, "insn")
		}
	}
	return macroName(name + "_PROG")
}

// macroName makes a name of a macro. Types that no kernel knows are numbers.
func macroName(s string) string {
	if s[0] >= '0' && s[0] <= '9' {
		s = "TYPE_" + s
	}
	return strings.ToUpper(identifier(s))
}

// withFunction gives a program the BTF of a function.
func (w *writer) withFunction(r *request) {
	w.use("func_btf", "PTR")
	b := &request{layout: btfLoadAttr}
	b.set("btf", "PTR(&func_btf)")
	b.set("btf_size", "24 + 72 + 21")
	r.set("prog_btf_fd", "%s", w.fixture("func_btf_fd", w.must(uapi.BPF_BTF_LOAD, b, "load a BTF")))
	r.set("func_info_rec_size", "sizeof(func_info)")
	r.set("func_info", "PTR(func_info)")
	r.set("func_info_cnt", "1")
}

// target is an XDP program whose function another program replaces.
func (w *writer) target() string {
	r := w.smallProg(uapi.BPF_PROG_TYPE_XDP, 2)
	w.withFunction(r)
	return w.fixture("target_fd", w.must(uapi.BPF_PROG_LOAD, r, "load a program"))
}

// smallProg loads a program that only returns.
func (w *writer) smallProg(t uapi.ProgType, ret int32) *request {
	w.use("PTR")
	r := &request{layout: progLoadAttr}
	r.set("prog_type", "%s", w.enum(&uapi.ProgTypes, uint32(t)))
	r.set("insn_cnt", "2")
	r.set("insns", "%s", w.insnsOf(ret))
	r.set("license", `PTR("GPL")`)
	return r
}

// insnsOf is the program that only returns.
func (w *writer) insnsOf(ret int32) string {
	w.use("INSNS")
	return fmt.Sprintf("INSNS(%d)", ret)
}

// instructions are "r0 = ret; exit", as long as the step says.
func (w *writer) instructions(ret int32) string {
	if n, ok := w.st.Num(step.KeyInsns); ok && n > 2 && n <= mostInsns {
		return "PTR(" + w.named("long_prog", fmt.Sprintf("static const struct bpf_insn NAME[%d] = {\n"+
			"\t[0 ... %d] = { .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = %d },\n"+
			"\t[%d] = { .code = BPF_JMP | BPF_EXIT },\n};\n", n, n-2, ret, n-1)) + ")"
	}
	return w.insnsOf(ret)
}

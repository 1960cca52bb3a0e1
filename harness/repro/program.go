package repro

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// headers are what programs include, with what a program has that needs one. <linux/bpf.h> of any year has struct
// bpf_insn.
var headers = []struct{ name, needed string }{
	{"err.h", `errx?\(`}, {"errno.h", `errno|\bE[A-Z]`}, {"fcntl.h", `O_[A-Z]|AT_FDCWD`}, {"grp.h", `setgroups\(`},
	{"sched.h", `CLONE_`}, {"signal.h", `SIG[A-Z]`}, {"stddef.h", `offsetof`}, {"stdio.h", `printf\(`},
	{"stdlib.h", `\bexit\(|malloc|atexit`}, {"string.h", `str[a-z]+\(|memcpy`}, {"unistd.h", `.`},
	{"sys/mman.h", `mmap\(`}, {"sys/mount.h", `\bmount\(`}, {"sys/prctl.h", `prctl\(`},
	{"sys/resource.h", `rlimit`}, {"sys/stat.h", `mkdir\(|fchmodat`}, {"sys/syscall.h", `.`},
	{"sys/utsname.h", `utsname`}, {"sys/wait.h", `wait(pid)?\(`}, {"linux/bpf.h", `.`},
	{"linux/capability.h", `CAP\(|cap_header`},
}

// syscallNumbers are of the system calls that old headers lack, in groups that came in one release. They are the
// same on all architectures but alpha.
var syscallNumbers = [][]struct {
	name   string
	number int
}{{{"fsopen", 430}, {"fsconfig", 431}, {"fsmount", 432}, {"move_mount", 429}}, {{"clone3", 435}}}

// frame is how the processes of a program work together.
type frame int

const (
	single frame = iota // one process
	pair                // root, and a child that root lets go on
	turns               // several, which take turns
)

// program puts the parts together.
func (w *writer) program() string {
	var b strings.Builder
	w.title(&b)
	body := w.parts()
	b.WriteString("#define _GNU_SOURCE\n")
	for _, h := range headers {
		if regexp.MustCompile(h.needed).MatchString(body) {
			fmt.Fprintf(&b, "#include <%s>\n", h.name)
		}
	}
	if w.kselftest != nil {
		b.WriteString("\n#include \"../kselftest_harness.h\"\n")
	}
	if lacks := w.lacks(body); lacks != "" {
		b.WriteString("\n/* what old headers lack */\n" + lacks)
	}
	b.WriteString(body)
	return b.String()
}

// lacks defines what old headers do not.
func (w *writer) lacks(body string) string {
	slices.Sort(w.defines)
	out := strings.Join(w.defines, "")
	for _, group := range syscallNumbers {
		text := ""
		for _, c := range group {
			if strings.Contains(body, "SYS_"+c.name+",") {
				text += fmt.Sprintf("#define SYS_%s\t%d\n", c.name, c.number)
			}
		}
		if text != "" {
			out += fmt.Sprintf("#ifndef SYS_%s\n%s#endif\n", group[0].name, text)
		}
	}
	return out
}

// parts are all parts of a program behind what it includes.
func (w *writer) parts() string {
	main := ""
	if w.kselftest != nil {
		main = w.selftest()
	} else {
		main = w.main()
	}
	var b strings.Builder
	w.definitions(&b)
	if w.frame == turns {
		b.WriteString(w.together())
	} else if names := w.variables(); names != "" {
		b.WriteString("\n" + fill("", "static int "+names+";") + "\n")
	}
	for i := range blocks {
		if w.uses[blocks[i].name] {
			b.WriteString("\n" + blocks[i].text)
		}
	}
	if w.bpffsInTurns {
		b.WriteString("\n" + w.bpffsFunction())
	}
	b.WriteString(main)
	return b.String()
}

// definitions are the types and the macros.
func (w *writer) definitions(b *strings.Builder) {
	above := "\n/* parts of union bpf_attr */\n"
	for _, l := range layouts {
		if last, ok := w.last[l]; ok {
			b.WriteString(above + l.define(last))
			above = "\n"
		}
	}
	above = "\n"
	for _, m := range macros {
		if !w.uses[m.name] {
			continue
		}
		if strings.Count(m.text, "\n") > 1 {
			above = "\n"
		}
		b.WriteString(above + m.text)
		above = ""
	}
	for _, d := range w.data {
		b.WriteString("\n" + strings.Replace(d.text, "NAME", d.name, 1))
	}
}

// together declares what the processes of a program that takes turns share.
func (w *writer) together() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nenum { %s };\n", strings.Join(w.cast(), ", "))
	if names := w.variables(); names != "" {
		fmt.Fprintf(&b, "\n/* the descriptors, which the processes share */\nstatic struct {\n%s\n} *fd;\n",
			fill("\t", "int "+names+";"))
	}
	b.WriteString("\nstatic struct {\n\tint turns, differ")
	if w.bpffsInTurns {
		b.WriteString(", fs")
	}
	b.WriteString(";\n")
	b.WriteString("} *shared;\n\nstatic int me, turns")
	for _, f := range w.fixed {
		if f.name != "" {
			b.WriteString(", " + f.name)
		}
	}
	b.WriteString(";\n")
	return b.String()
}

// variables are the names of the descriptors' variables; those of a program that takes turns are members of what the
// processes share.
func (w *writer) variables() string {
	var names []string
	for _, name := range w.names {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if w.frame != turns {
		for _, f := range w.fixed {
			if f.name != "" {
				names = append(names, f.name)
			}
		}
		if w.kselftest == nil {
			names = append(names, "differ")
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// cast is the names of the processes.
func (w *writer) cast() []string {
	out := []string{root}
	for i := range w.actors {
		if w.acts[i] && !isRoot(&w.actors[i]) {
			out = append(out, w.actor(uint64(i)))
		}
	}
	return out
}

func (w *writer) title(b *strings.Builder) {
	id := w.c.ID
	if w.kselftest != nil {
		id = titleMark
	}
	fmt.Fprintf(b, "// SPDX-License-Identifier:\n/*\n * %s\n *\n%s *\n", id, wrapped(w.c.Group.About))
	if w.kselftest == nil {
		b.WriteString(wrapped(fmt.Sprintf("Expected are the answers of Linux %s. Run it as root. It exits with 0 if each "+
			"step gives the expected errno, 1 if one differs, and 4 if the steps cannot be asked here. Nothing is left behind.",
			w.facts.Release)))
	} else {
		b.WriteString(wrapped(fmt.Sprintf("Expected are the answers of Linux %s.", w.facts.Release)))
	}
	for _, k := range w.c.Group.Known {
		fmt.Fprintf(b, " *\n%s", wrapped(knownText(&k)))
	}
	if needs := w.needs(); len(needs) > 0 {
		b.WriteString(" *\n" + wrapped("The kernel needs "+strings.Join(needs, ", ")+"."))
	}
	if w.has32() {
		b.WriteString(" *\n" + wrapped("The case is about a program of 32 bits: compile it so, with -m32."))
	}
	b.WriteString(" */\n")
}

// has32 reports whether the actors are programs of 32 bits.
func (w *writer) has32() bool {
	for i := range w.actors {
		if w.acts[i] && w.actors[i].Compat {
			return true
		}
	}
	return false
}

// knownText says what a kernel with a defect does.
func knownText(k *cases.Known) string {
	since := "since Linux " + k.Since.String()
	if k.Until != nil {
		since += " until " + k.Until.String()
	}
	if k.Link != "" {
		since += " (" + k.Link + ")"
	}
	if len(k.Titles) == 0 {
		return "A known defect " + since + "."
	}
	return fmt.Sprintf("A known defect %s: the machine is %s, and the kernel's log has: %s", since, k.Fate,
		strings.Join(k.Titles, "; "))
}

// needs are what the kernel must have, in words.
func (w *writer) needs() []string {
	var out []string
	for _, n := range w.c.Needs() {
		switch n.Kind {
		case cases.NeedConfig:
			out = append(out, "CONFIG_"+n.Name)
		case cases.NeedEnum:
			if oldest.Less(n.Since) {
				out = append(out, fmt.Sprintf("%s (Linux %s)", n.Name, n.Since))
			}
		case cases.NeedRelease:
			out = append(out, fmt.Sprintf("Linux %s", n.Since))
		case cases.NeedToken:
			out = append(out, "BPF_TOKEN_CREATE (Linux 6.9)")
		}
	}
	return out
}

// wrapped writes a text as lines of a comment.
func wrapped(text string) string {
	const width = 78
	var out strings.Builder
	line := " *"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			out.WriteString(line + "\n")
			line = " *"
		}
		line += " " + word
	}
	return out.String() + line + "\n"
}

// condition is what ends a program where its question makes no sense.
type condition struct{ unless, why string }

// conditions are those of the case. A step that reads a variable declares it with w.local.
func (w *writer) conditions() []condition {
	var out []condition
	for _, n := range w.c.Needs() {
		switch n.Kind {
		case cases.NeedToken:
			r := &request{layout: tokenCreateAttr}
			r.set("bpffs_fd", "-1")
			call := w.request("BPF", w.enum(&uapi.Cmds, uint32(uapi.BPF_TOKEN_CREATE)), r)
			w.local("int none = " + strings.ReplaceAll(call, "\n", " ") + ";")
			out = append(out, condition{"none && errno != EBADF", "no BPF_TOKEN_CREATE (Linux 6.9)"})
		case cases.NeedEnum, cases.NeedRelease:
			if oldest.Less(n.Since) {
				w.use("older")
				out = append(out, condition{fmt.Sprintf("older(%d, %d)", n.Since.Major, n.Since.Minor),
					strings.TrimSpace(fmt.Sprintf("%s needs Linux %s", n.Name, n.Since))})
			}
		}
	}
	w.use("SYSCTL")
	if w.writesSysctl {
		return append(out, condition{"read(open(SYSCTL, O_RDONLY), &" + w.before() + ", 1) != 1 || " + w.before() + " == '1'",
			"kernel.unprivileged_bpf_disabled is 1 until the next boot"})
	}
	w.local("char value;")
	return append(out, condition{"read(open(SYSCTL, O_RDONLY), &value, 1) != 1 || value != '2'",
		"kernel.unprivileged_bpf_disabled is not 2"})
}

// before is where a program keeps the value of the sysctl.
func (w *writer) before() string {
	switch {
	case w.kselftest != nil:
		return "self->sysctl"
	case w.frame == turns:
		w.use("restore")
		return "sysctl_before"
	}
	w.local("char before;")
	return "before"
}

// local declares a variable of the function main.
func (w *writer) local(declaration string) {
	if !slices.Contains(w.locals, declaration) {
		w.locals = append(w.locals, declaration)
	}
}

// oldest is the oldest kernel that programs are for, and whose header has all older enumerators.
var oldest = uapi.Release{Major: 5, Minor: 10}

// unbound is the first release that counts the memory of BPF objects to the control group and not to RLIMIT_MEMLOCK.
var unbound = uapi.Release{Major: 5, Minor: 11}

// main writes the function main, and what stands above it.
func (w *writer) main() string {
	body := w.prologue() + w.rootSteps.String() + w.epilogue()
	conditions := ""
	for _, c := range w.conditions() {
		conditions += fmt.Sprintf("\tif (%s)\n\t\terrx(4, %q);\n", c.unless, c.why)
	}
	var b strings.Builder
	if w.frame == pair {
		fmt.Fprintf(&b, "\nstatic int as_%s(void *arg)\n{\n%s\t(void)arg;\n%s\treturn differ;\n}\n",
			identifier(w.child().Name), declarations(w.childLocals), w.childSteps.String())
	}
	b.WriteString("\nint main(void)\n{\n" + declarations(w.locals))
	fmt.Fprintf(&b, "%s\tdprintf(1, \"TAP version 13\\n1..%d\\n\");\n%s}\n", conditions, w.count, body)
	return b.String()
}

func declarations(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	slices.SortStableFunc(lines, func(a, b string) int { return len(b) - len(a) })
	return "\t" + strings.Join(lines, "\n\t") + "\n\n"
}

// prologue is what comes before the first step.
func (w *writer) prologue() string {
	var b strings.Builder
	if w.facts.Version().Less(unbound) {
		w.local("struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };")
		b.WriteString("\tsetrlimit(RLIMIT_MEMLOCK, &all);\n")
	}
	if w.writesSysctl && w.kselftest == nil {
		if w.frame == turns {
			b.WriteString("\tatexit(restore_sysctl);\n")
		}
		if !w.sysctlFirst {
			b.WriteString("\tif (dprintf(open(SYSCTL, O_WRONLY), \"2\") < 0)\n\t\terr(4, SYSCTL);\n")
		}
	}
	if w.frame == turns {
		b.WriteString("\tshared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);\n")
		if len(w.names) > 0 {
			b.WriteString("\tfd = (void *)(shared + 1);\n")
		}
	}
	if w.uses["places"] {
		b.WriteString("\tmake_places();\n")
	}
	for _, f := range w.fixed {
		if f.make != "" {
			b.WriteString(fill("\t", f.make+";") + "\n")
		}
	}
	b.WriteString("\n")
	if w.frame != turns {
		return b.String()
	}
	for i := range w.actors {
		if w.actors[i].Parent < 0 && w.acts[i] && !isRoot(&w.actors[i]) {
			w.start(&b, i, root, 1)
		}
	}
	return b.String() + "\n"
}

// epilogue is what comes after the last step.
func (w *writer) epilogue() string {
	if w.frame == turns {
		return w.endTurns()
	}
	out := ""
	if w.stopped {
		out += "\tkill(pid, SIGCONT);\n"
	}
	if w.frame == pair {
		w.local("int status;")
		out += "\twaitpid(pid, &status, 0);\n"
	}
	if w.writesSysctl && w.caps[false] != uapi.AllCaps {
		out += "\tset_caps(" + w.capsOf(uapi.AllCaps) + ");\n"
	}
	switch {
	case w.kselftest != nil && w.frame == pair:
		return out + "\tEXPECT_EQ(0, status);\n"
	case w.kselftest != nil:
		return out
	}
	if w.writesSysctl {
		out += "\tdprintf(open(SYSCTL, O_WRONLY), \"%c\", before);\n"
	}
	if w.frame == single {
		return out + "\treturn differ;\n"
	}
	return out + "\treturn WIFEXITED(status) ? WEXITSTATUS(status) ?: differ : 1;\n"
}

// endTurns has every process live until the last turn is over.
func (w *writer) endTurns() string {
	if w.kselftest == nil {
		w.use("end")
		return "\treturn end();\n"
	}
	w.use("turn", "ALL_CAPS")
	w.local("int status;")
	return "\tturn(me, ALL_CAPS);\n\tif (me != ROOT)\n\t\t_exit(0);\n" +
		"\twhile (wait(&status) > 0)\n\t\tEXPECT_EQ(0, status);\n"
}

// start writes how an actor's process begins, and those that it starts.
func (w *writer) start(b *strings.Builder, i int, parent string, depth int) {
	a := &w.actors[i]
	in := strings.Repeat("\t", depth)
	var lines []string
	for _, l := range w.identity(a) {
		lines = append(lines, in+"\t"+l)
	}
	var children strings.Builder
	for j := range w.actors {
		if w.actors[j].Parent == i && w.acts[j] {
			w.start(&children, j, w.actor(uint64(i)), depth+1)
		}
	}
	w.use("start")
	where := "in the initial namespaces"
	if a.Kind == step.Joins {
		where = "in the namespaces of " + w.actors[a.Parent].Name
	}
	call := fmt.Sprintf("me == %s && start(%s)", parent, w.actor(uint64(i)))
	switch {
	case len(lines) == 0 && children.Len() == 0:
		fmt.Fprintf(b, "%sif (me == %s)\n%s\tstart(%s);\t/* %s */\n", in, parent, in, w.actor(uint64(i)), where)
	case len(lines) == 1 && children.Len() == 0:
		fmt.Fprintf(b, "%sif (%s)\n%s\n", in, call, lines[0])
	default:
		fmt.Fprintf(b, "%sif (%s) {\n%s\n%s%s}\n", in, call, strings.Join(lines, "\n"), children.String(), in)
	}
}

// identity is how a process becomes an actor.
func (w *writer) identity(a *step.Actor) []string {
	var out []string
	switch uid := a.As; {
	case a.Kind == step.Userns:
		if a.Mounts == step.MountsBefore {
			out = append(out, "if (unshare(CLONE_NEWNS))", "\terr(4, \"unshare\");")
		}
		if w.frame == turns {
			w.use("new_userns")
			if uid = a.UID; a.Parent >= 0 {
				uid = 0
			}
			out = append(out, fmt.Sprintf("new_userns(%d, %s);", uid, namespaces(a)))
			break
		}
		out = append(out, onlyUserns(a.UID, namespaces(a))...)
	case a.Kind == step.Init && a.UID != 0:
		w.use("become")
		out = append(out, fmt.Sprintf("become(%d);", a.UID))
	case a.As != 0:
		w.use("become")
		out = append(out, fmt.Sprintf("become(%d);", uid), "prctl(PR_SET_DUMPABLE, 1);")
	}
	return out
}

// onlyUserns has the only process besides root's become root of a new user namespace.
func onlyUserns(uid uint32, flags string) []string {
	var out []string
	user := ""
	if uid != 0 {
		user = fmt.Sprintf("setgroups(0, NULL) || setresgid(%d, %[1]d, %[1]d) || "+
			"setresuid(%[1]d, %[1]d, %[1]d) ||\n\t    ", uid)
	}
	out = append(out, "if ("+user+"prctl(PR_SET_DUMPABLE, 1) ||", "    unshare("+flags+") ||",
		`    dprintf(open("/proc/self/setgroups", O_WRONLY), "deny") < 0 ||`)
	for _, m := range []string{"uid", "gid"} {
		out = append(out, fmt.Sprintf(`    dprintf(open("/proc/self/%s_map", O_WRONLY), "0 %d 1") < 0 ||`, m, uid))
	}
	out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], " ||") + ")"
	return append(out, "\terr(4, \"make a user namespace\");", "prctl(PR_SET_PDEATHSIG, SIGKILL);")
}

func namespaces(a *step.Actor) string {
	out := []string{"CLONE_NEWUSER"}
	if a.Mounts == step.MountsOwn {
		out = append(out, "CLONE_NEWNS")
	}
	if a.Apart&step.ApartNet != 0 {
		out = append(out, "CLONE_NEWNET")
	}
	if a.Apart&step.ApartCgroup != 0 {
		out = append(out, "CLONE_NEWCGROUP")
	}
	return strings.Join(out, " | ")
}

// checkActors refuses processes that cannot be written.
func (w *writer) checkActors() error {
	for i := range w.actors {
		a := &w.actors[i]
		if !w.acts[i] {
			continue
		}
		why := ""
		switch {
		case a.Kind == step.Child:
			why = "is started by a step"
		case len(a.Map.Lines()) > 0:
			why = "maps a range of ids"
		case !a.Compat && a.UID+a.As != 0 && w.has32():
			why = "is a program of 64 bits among those of 32"
		case a.Bits != 0:
			why = "has securebits"
		case a.Apart&step.ApartPID != 0:
			why = "has a pid namespace of its own"
		}
		if why != "" {
			return &RefusedError{Case: w.c.ID, Why: fmt.Sprintf("actor %s %s, which cannot be written yet", a.Name, why)}
		}
	}
	return nil
}

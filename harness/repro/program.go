package repro

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// headers are what programs include, with the blocks that need one that not all do. <linux/bpf.h> of any year
// has struct bpf_insn.
var headers = []struct {
	name  string
	needs []string // one of these blocks; none: all programs
}{
	{name: "errno.h"}, {name: "fcntl.h"}, {"grp.h", []string{"new_userns"}}, {name: "sched.h"}, {name: "signal.h"},
	{"stddef.h", []string{"struct int_btf"}}, {name: "stdio.h"}, {name: "stdlib.h"}, {name: "string.h"},
	{name: "unistd.h"}, {name: "sys/mman.h"}, {"sys/mount.h", []string{"places"}}, {name: "sys/prctl.h"},
	{name: "sys/resource.h"}, {"sys/socket.h", []string{"send_fd"}}, {"sys/stat.h", []string{"places", "pin"}},
	{name: "sys/syscall.h"}, {"sys/utsname.h", []string{"need_release"}}, {name: "sys/wait.h"},
	{name: "linux/bpf.h"}, {name: "linux/capability.h"},
}

// syscallNumbers are of the system calls that old headers lack, in groups that came in one release. They are the
// same on all architectures but alpha.
var syscallNumbers = []struct{ names, define string }{
	{"fsopen fsconfig fsmount move_mount", `#ifndef SYS_fsopen
#define SYS_move_mount	429
#define SYS_fsopen	430
#define SYS_fsconfig	431
#define SYS_fsmount	432
#endif
`},
	{"pidfd_open pidfd_getfd", `#ifndef SYS_pidfd_getfd
#define SYS_pidfd_open	434
#define SYS_pidfd_getfd	438
#endif
`},
}

// program puts the parts together.
func (w *writer) program() string {
	var b strings.Builder
	w.title(&b)
	body := w.main()
	b.WriteString("#define _GNU_SOURCE\n")
	for _, h := range headers {
		if h.needs == nil || slices.ContainsFunc(h.needs, func(n string) bool { return w.uses[n] }) {
			fmt.Fprintf(&b, "#include <%s>\n", h.name)
		}
	}
	slices.Sort(w.defines)
	b.WriteString("\n/* what old headers lack */\n" + strings.Join(w.defines, ""))
	for _, g := range syscallNumbers {
		if slices.ContainsFunc(strings.Fields(g.names), func(n string) bool { return w.calls[n] }) {
			b.WriteString(g.define)
		}
	}
	for _, l := range layouts {
		if last, ok := w.last[l]; ok {
			b.WriteString("\n" + l.define(last))
		}
	}
	fmt.Fprintf(&b, "\nenum { %s, NR_ACTORS };\n", strings.Join(w.cast(), ", "))
	for i := range blocks {
		if w.uses[blocks[i].name] {
			b.WriteString("\n" + blocks[i].text)
		}
	}
	b.WriteString(body)
	return b.String()
}

// cast is the names of the processes.
func (w *writer) cast() []string {
	out := []string{"BROKER"}
	for i := range w.actors {
		if w.acts[i] {
			out = append(out, w.actor(uint64(i)))
		}
	}
	return out
}

func (w *writer) title(b *strings.Builder) {
	fmt.Fprintf(b, "// SPDX-License-Identifier:\n/*\n * %s\n *\n%s", w.c.ID, wrapped(w.c.Group.About))
	fmt.Fprintf(b, ` *
 * Expected are the answers of Linux %s. Run it as root:
 *
 *	cc -Wall repro.c && ./a.out
 *
 * It exits with 0 if each step gives the expected errno, 1 if one differs, and
 * 4 if the step cannot be asked here; it says why. Nothing is left behind.
`, w.facts.Release)
	for _, k := range w.c.Group.Known {
		fmt.Fprintf(b, " *\n%s", wrapped(knownText(&k)))
	}
	if needs := w.needs(); len(needs) > 0 {
		b.WriteString(" *\n * The kernel needs:\n")
		for _, n := range needs {
			fmt.Fprintf(b, " * - %s\n", n)
		}
	}
	b.WriteString(" */\n")
}

// knownText says what a kernel with a defect does.
func knownText(k *cases.Known) string {
	since := "since Linux " + k.Since.String()
	if k.Until != nil {
		since += " until " + k.Until.String()
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
	const width = 76
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

// main writes the variables and the function main.
func (w *writer) main() string {
	var b strings.Builder
	var names []string
	for _, name := range w.names {
		if !slices.Contains(names, name+" = -1") {
			names = append(names, name+" = -1")
		}
	}
	for _, f := range w.fixed {
		names = append(names, f.name)
	}
	slices.Sort(names)
	if len(names) > 0 {
		fmt.Fprintf(&b, "\n/* The descriptors; each process has its own. */\nstatic int %s;\n", strings.Join(names, ", "))
	}
	b.WriteString("\nint main(void)\n{\n\tbegin();\n")
	w.conditions(&b)
	if w.uses["sysctl"] {
		b.WriteString("\tkeep_sysctl();\n\twrite_file(SYSCTL, \"2\");\n")
	} else {
		w.use("need_sysctl")
		b.WriteString("\tneed_sysctl();\n")
	}
	fmt.Fprintf(&b, "\tprintf(\"TAP version 13\\n1..%d\\n\");\n", w.count)
	if w.uses["send_fd"] {
		b.WriteString("\tmake_sockets();\n")
	}
	if w.uses["places"] {
		b.WriteString("\tmake_places();\n")
	}
	for _, f := range w.fixed {
		fmt.Fprintf(&b, "\t%s = %s;\n", f.name, f.make)
	}
	b.WriteString("\n")
	for i := range w.actors {
		if w.actors[i].Parent < 0 && w.acts[i] {
			w.start(&b, i, "BROKER", 1)
		}
	}
	b.WriteString("\tif (me != BROKER)\n\t\tprctl(PR_SET_PDEATHSIG, SIGKILL);\n\n")
	b.WriteString(w.steps.String())
	b.WriteString("\treturn end();\n}\n")
	return b.String()
}

// conditions ends the program where the question makes no sense.
func (w *writer) conditions(b *strings.Builder) {
	for _, n := range w.c.Needs() {
		switch n.Kind {
		case cases.NeedToken:
			w.use("need_token")
			w.enum(&uapi.Cmds, uint32(uapi.BPF_TOKEN_CREATE))
			b.WriteString("\tneed_token();\n")
		case cases.NeedEnum, cases.NeedRelease:
			if !oldest.Less(n.Since) {
				continue
			}
			w.use("need_release")
			why := strings.TrimSpace(fmt.Sprintf("%s needs Linux %s", n.Name, n.Since))
			fmt.Fprintf(b, "\tneed_release(%d, %d, %q);\n", n.Since.Major, n.Since.Minor, why)
		}
	}
}

// oldest is the oldest kernel that programs are for, and whose header has all older enumerators.
var oldest = uapi.Release{Major: 5, Minor: 10}

// start writes how an actor's process begins, and those that it starts.
func (w *writer) start(b *strings.Builder, i int, parent string, depth int) {
	a := &w.actors[i]
	in := strings.Repeat("\t", depth)
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, in+"\t"+fmt.Sprintf(format, args...)) }
	switch uid := a.As; {
	case a.Kind == step.Userns:
		w.use("new_userns")
		if uid = a.UID; a.Parent >= 0 {
			uid = 0
		}
		if a.Mounts == step.MountsBefore {
			add("if (unshare(CLONE_NEWNS))")
			add("\tfail(\"unshare\");")
		}
		add("new_userns(%d, %s);", uid, namespaces(a))
	case a.Kind == step.Init && a.UID != 0:
		w.use("become")
		add("become(%d);", a.UID)
	case a.As != 0:
		w.use("become")
		add("become(%d);", uid)
		add("prctl(PR_SET_DUMPABLE, 1);")
	}
	var children strings.Builder
	for j := range w.actors {
		if w.actors[j].Parent == i && w.acts[j] {
			w.start(&children, j, w.actor(uint64(i)), depth+1)
		}
	}
	where := "in the initial namespaces"
	if a.Kind == step.Joins {
		where = "in the namespaces of " + w.actors[a.Parent].Name
	}
	call := fmt.Sprintf("me == %s && start(%s)", parent, w.actor(uint64(i)))
	switch {
	case len(lines) == 0 && children.Len() == 0:
		fmt.Fprintf(b, "%sif (%s)\n%s\t; /* %s */\n", in, call, in, where)
	case len(lines) == 1 && children.Len() == 0:
		fmt.Fprintf(b, "%sif (%s)\n%s\n", in, call, lines[0])
	default:
		fmt.Fprintf(b, "%sif (%s) {\n%s\n%s%s}\n", in, call, strings.Join(lines, "\n"), children.String(), in)
	}
}

func namespaces(a *step.Actor) string {
	var out []string
	if a.Mounts == step.MountsOwn {
		out = append(out, "CLONE_NEWNS")
	}
	if a.Apart&step.ApartNet != 0 {
		out = append(out, "CLONE_NEWNET")
	}
	if a.Apart&step.ApartCgroup != 0 {
		out = append(out, "CLONE_NEWCGROUP")
	}
	if len(out) == 0 {
		return "0"
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
		case a.IDs > 1:
			why = "maps a range of ids"
		case a.Apart&step.ApartPID != 0:
			why = "has a pid namespace of its own"
		}
		if why != "" {
			return &RefusedError{Case: w.c.ID, Why: fmt.Sprintf("actor %s %s, which cannot be written yet", a.Name, why)}
		}
	}
	return nil
}

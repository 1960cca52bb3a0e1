package draw

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// acts draw the steps of a set-up: everything that a container, its broker and a process
// that gets a token could do with descriptors. The weight of each is in the table of
// operations.
var acts = [step.Ops]func(d *drawer){
	step.OpBPFFS:       (*drawer).mountedBPFFS,
	step.OpTokenCreate: (*drawer).token,
	step.OpProgLoad:    (*drawer).program,
	step.OpSend:        (*drawer).pass,
	step.OpClose:       (*drawer).closes,
	step.OpFsopen:      (*drawer).callByCall,
	step.OpFspick:      (*drawer).reconfigures,
	step.OpMoveMount:   (*drawer).moves,
	step.OpMount:       (*drawer).mounts,
	step.OpRemount:     (*drawer).remounts,
	step.OpBind:        (*drawer).binds,
	step.OpCloneMount:  (*drawer).clones,
	step.OpShare:       (*drawer).shares,
	step.OpUmount:      (*drawer).unmounts,
	step.OpOpen:        (*drawer).opens,
	step.OpMkdir:       (*drawer).makesDir,
	step.OpChmod:       (*drawer).modes,
	step.OpPin:         (*drawer).pins,
	step.OpLink:        (*drawer).links,
	step.OpDup:         (*drawer).copies,
	step.OpExec:        (*drawer).execs,
	step.OpUserns:      (*drawer).enterable,
	step.OpNetns:       (*drawer).netns,
	step.OpElement:     (*drawer).elements,
	step.OpObjGet:      (*drawer).getsPinned,
	step.OpBarriers:    (*drawer).counts,
	step.OpMemory:      (*drawer).bounds,
	step.OpLinkCreate:  (*drawer).attaches,
	step.OpProgAttach:  (*drawer).attachesProg,
	step.OpProgDetach:  (*drawer).detachesProg,
	step.OpLinkUpdate:  (*drawer).updatesLink,
	step.OpLinkDetach:  (*drawer).detachesLink,
	step.OpLinkInfo:    (*drawer).looksAtLink,
	step.OpIterCreate:  (*drawer).iterates,
	step.OpQueryEvent:  (*drawer).asksEvent,
	step.OpFreeze:      (*drawer).freezes,
	step.OpBatch:       (*drawer).batches,
	step.OpMmap:        (*drawer).mapsMemory,
	step.OpProgInfo:    (*drawer).looksAtProgram,
	step.OpWriteSysctl: (*drawer).writesSysctl,
	step.OpKernelBTF:   (*drawer).opensKernelBTF,
	step.OpPidfdGetfd:  func(d *drawer) { d.takes(step.OpPidfdGetfd) },
	step.OpProcOpen:    func(d *drawer) { d.takes(step.OpProcOpen) },
	step.OpMountAttr:   (*drawer).mountAttrs,
	step.OpXattr:       (*drawer).labels,
	step.OpTranslated:  (*drawer).looksAtInstructions,
	step.OpRunProg:     (*drawer).runs,
	step.OpSymlink:     (*drawer).symlinks,
}

// drawOp draws an operation by its weight.
func (d *drawer) drawOp(weight func(step.Drawn) int) step.Op {
	sum := 0
	for o := range step.Ops {
		sum += weight(o.Row().Drawn)
	}
	n := d.IntN(sum)
	for o := range step.Ops {
		if n -= weight(o.Row().Drawn); n < 0 {
			return o
		}
	}
	return 0 // the weights sum up to more than n
}

func (d *drawer) act() { acts[d.drawOp(func(w step.Drawn) int { return w.Setup })](d) }

// made adds a step that makes a descriptor, and returns its name.
func (d *drawer) made(kind, format string, args ...any) string {
	d.count++
	name := fmt.Sprintf("%s%d", kind, d.count)
	d.step("%s -> %s", fmt.Sprintf(format, args...), name)
	return name
}

// forks starts the actors that are declared as a child of another actor. A child gets
// the descriptors of its parent that have no FD_CLOEXEC.
func (d *drawer) forks() {
	for i := range d.actors {
		a := &d.actors[i]
		if a.parent == "" {
			continue
		}
		for _, h := range d.all() {
			if d.in(3) {
				d.step("%s cloexec %s 0", a.parent, h)
			}
		}
		d.step("%s fork %s", a.parent, a.name)
		a.absent = false
	}
}

// all returns the names of all descriptors.
func (d *drawer) all() []string {
	out := slices.Concat(d.tokens, d.others, d.namespaces)
	for _, b := range d.bpffs {
		out = append(out, b.name)
	}
	return out
}

// any draws a descriptor of any kind, or one that is not open.
func (d *drawer) any() string { return pick(d, append(d.all(), cases.ClosedName)...) }

// enterable makes a descriptor of a user namespace and passes it to an actor,
// which may or may not enter it.
func (d *drawer) enterable() {
	who := d.inUserns()
	n := d.made("n", "%s userns", who)
	d.namespaces = append(d.namespaces, n)
	d.step("%s send %s %s", who, n, d.other(who))
}

// netns makes a descriptor that no call asks for.
func (d *drawer) netns() { d.others = append(d.others, d.made("w", "%s netns", d.actor())) }

// other draws an actor other than who, most often root.
func (d *drawer) other(who string) string {
	if who != "root" && d.in(2) {
		return "root"
	}
	for {
		if a := d.actor(); a != who {
			return a
		}
	}
}

// callByCall makes a bpffs call by call. The actor of each call may lack the permission.
func (d *drawer) callByCall() {
	opener := d.inUserns()
	x := d.made("x", "%s fsopen%s", opener, d.mountCaps())
	setter := d.other(opener)
	d.step("%s send %s %s", opener, x, setter)
	if d.in(8) {
		setter = opener
	}
	for range 1 + d.IntN(3) {
		o := d.options() + d.rootOptions()
		if d.in(8) {
			o += pick(d, " flag=delegate_cmds", " flag=foo", " source=x")
		}
		if o != "" && d.in(8) {
			o += " as=" + pick(d, step.Forms[1:]...)
		}
		if o != "" {
			d.step("%s fsconfig %s%s%s", setter, x, o, d.mountCaps())
		}
	}
	d.step("%s fscreate %s%s%s", setter, x, pick(d, "", "", "", " excl=1"), d.mountCaps())
	if d.in(4) {
		d.step("%s fsconfig %s cmds=any", setter, x)
	}
	mounter := pick(d, opener, opener, opener, setter)
	m := d.made("m", "%s fsmount %s%s%s", mounter, x, pick(d, "", "", "", " readonly=1"), d.mountCaps())
	d.detached = append(d.detached, drawnHandle{m, mounter})
	if d.in(4) {
		d.step("%s fsmount %s", mounter, x)
	}
	b := d.made("r", "%s open of=%s%s", mounter, m, pick(d, "", "", "", " how=path", " how=dir"))
	d.bpffs = append(d.bpffs, drawnHandle{b, mounter})
	if d.in(3) {
		d.step("%s move_mount %s at=%s", mounter, m, d.place())
	}
	if !d.in(4) {
		d.makeToken(mounter, b, d.withCaps())
	}
}

// mountCaps draws the capabilities of a step around a mount; most often the
// actor's own.
func (d *drawer) mountCaps() string {
	if d.in(6) {
		return d.withCaps()
	}
	return ""
}

// rootOptions draws options for a bpffs's root directory.
func (d *drawer) rootOptions() string {
	if !d.in(4) {
		return ""
	}
	return pick(d, " mode=700", " mode=0", " mode=755", " mode=9", " uid=0", " uid=1000", " gid=0", " gid=x", " unknown=1")
}

func (d *drawer) place() string { return pick(d, "/mnt/a", "/mnt/b", "/mnt/c", "/run/d") }

// actorAndPlace draws a place, and an actor that acts on its mount.
func (d *drawer) actorAndPlace() (who, at string) { return pick(d, d.actor(), d.inUserns()), d.place() }

func (d *drawer) mountedBPFFS() {
	who := d.inUserns()
	d.keep(who, d.made("r", "%s bpffs%s%s at=%s", who, d.options(), d.rootOptions(), d.place()))
}

func (d *drawer) mounts() {
	who, at := d.actorAndPlace()
	options := d.rootOptions()
	if d.in(4) {
		options += d.options() + pick(d, "", " unknown=1")
	}
	d.step("%s mount at=%s%s%s", who, at, options, d.mountCaps())
}

func (d *drawer) remounts() {
	who, at := d.actorAndPlace()
	d.step("%s remount at=%s%s%s%s", who, at, d.options(), d.rootOptions(), d.mountCaps())
}

func (d *drawer) binds() {
	who, at := d.actorAndPlace()
	if d.in(4) {
		d.step("%s bind of=%s at=%s%s", who, d.any(), at, d.mountCaps())
		return
	}
	d.step("%s bind from=%s at=%s%s%s", who, at, d.place(), pick(d, "", "", " ro=1"), d.mountCaps())
}

func (d *drawer) clones() {
	who, at := d.actorAndPlace()
	from := "at=" + at
	if d.in(4) {
		b := pick(d, d.bpffs...)
		who, from = b.owner, "of="+pick(d, b.name, d.any())
	}
	m := d.made("m", "%s clone_mount %s%s", who, from, d.mountCaps())
	d.detached = append(d.detached, drawnHandle{m, who})
	d.keep(who, d.made("r", "%s open of=%s", who, m))
}

func (d *drawer) unmounts() {
	who, at := d.actorAndPlace()
	d.step("%s umount at=%s%s%s", who, at, pick(d, "", " lazy=1"), d.mountCaps())
}

func (d *drawer) reconfigures() {
	who, at := d.actorAndPlace()
	x := d.made("x", "%s fspick at=%s%s", who, at, d.mountCaps())
	d.step("%s fsconfig %s cmds=any%s", who, x, d.mountCaps())
	d.step("%s fsreconfigure %s%s", who, x, d.mountCaps())
}

func (d *drawer) shares() {
	who, at := d.actorAndPlace()
	d.step("%s share at=%s%s", who, at, d.mountCaps())
}

// mountAttrs makes a mount read-only or writable again, or asks for an id mapping.
func (d *drawer) mountAttrs() {
	h := pick(d, append(d.detached, d.bpffs...)...)
	set := pick(d, "readonly=1", "readonly=1", "readonly=0")
	if d.in(4) {
		set = "idmap=" + d.any()
	}
	d.step("%s mount_attr %s %s%s", pick(d, h.owner, h.owner, d.actor()), h.name, set, d.mountCaps())
}

// labels sets or reads an extended attribute.
func (d *drawer) labels() {
	b := d.directory()
	what := b.name
	if len(d.tokens) > 0 && d.in(3) {
		what = pick(d, d.tokens...)
	}
	d.step("%s xattr %s %s %s%s", pick(d, b.owner, d.actor()), what, pick(d, step.XattrDos[1:]...),
		pick(d, step.Xattrs[1:]...), d.mountCaps())
}

func (d *drawer) moves() {
	who, at := d.actorAndPlace()
	m, to := d.made("m", "%s clone_mount at=%s", who, at), d.other(who)
	d.step("%s send %s %s", who, m, to)
	d.step("%s move_mount %s at=%s%s", to, m, d.place(), d.mountCaps())
}

func (d *drawer) opens() {
	who, at := d.actorAndPlace()
	d.keep(who, d.made("r", "%s open at=%s%s%s", who, at, pick(d, "", "", " how=path", " path=pin1"), d.mountCaps()))
}

// keep adds a descriptor to those that later steps use as a bpffs.
func (d *drawer) keep(owner, name string) { d.bpffs = append(d.bpffs, drawnHandle{name, owner}) }

// naming draws a bpffs, an actor that makes a name in its root, and the name.
func (d *drawer) naming() (who string, b drawnHandle, name string) {
	b = d.directory()
	name = fmt.Sprintf("pin%d", d.IntN(3))
	if d.in(6) {
		name = pick(d, oddNames...)
	}
	return pick(d, b.owner, b.owner, d.actor()), b, name
}

func (d *drawer) makesDir() {
	who, b, name := d.naming()
	d.step("%s mkdir in=%s name=%s%s", who, b.name, name, d.withFileCaps())
	if d.in(2) {
		e := drawnHandle{d.made("e", "%s open of=%s path=%s%s", who, b.name, name, pick(d, "", "", " how=path")), who}
		d.dirs, d.others = append(d.dirs, e), append(d.others, e.name)
	}
}

// directory draws the root of a bpffs, or a directory below one.
func (d *drawer) directory() drawnHandle {
	if len(d.dirs) > 0 && d.in(3) {
		return pick(d, d.dirs...)
	}
	return pick(d, d.bpffs...)
}

// oddNames are names that a bpffs reserves, paths, and names that no directory takes.
var oddNames = []string{"a.b", ".", "..", "pin0/pin1", "pin1/../pin0", "none/pin0", strings.Repeat("n", 256)}

func (d *drawer) links() {
	who, b, name := d.naming()
	if len(d.tokens) > 0 {
		d.step("%s link %s in=%s name=%s", who, pick(d, d.tokens...), b.name, name)
	}
}

func (d *drawer) pins() {
	who, b, name := d.naming()
	what := d.any()
	if len(d.maps) > 0 && d.in(2) {
		m := pick(d, d.maps...)
		who, what = m.owner, m.name
		d.step("%s send %s %s", b.owner, b.name, who)
	}
	d.step("%s pin %s in=%s name=%s%s", who, what, b.name, name, d.withFileCaps())
	if d.in(2) {
		d.getPinned(who, b, name)
	}
}

func (d *drawer) getsPinned() {
	who, b, name := d.naming()
	d.getPinned(who, b, name)
}

func (d *drawer) getPinned(who string, b drawnHandle, name string) {
	flags := pick(d, "", "", "", " flags=0x8", " flags=0x10", " flags=0x18")
	g := d.made("g", "%s get_pinned in=%s name=%s%s%s", who, b.name, name, flags, d.withFileCaps())
	d.maps, d.others = append(d.maps, drawnHandle{g, who}), append(d.others, g)
}

// objects makes maps of several kinds and BTFs through tokens, for the steps that use one.
func (d *drawer) objects() {
	if len(d.tokens) == 0 {
		return
	}
	for range d.IntN(4) {
		who, t := pick(d, d.present()...).owner, pick(d, d.tokens...)
		flags := pick(d, "", "", "", " flags=0x8", " flags=0x10")
		kind := pick(d, "hash", "array", "percpu_hash", "prog_array", "hash key=16", "queue", "array_of_maps", "lru_hash",
			"array excl_signed=1", d.mapType())
		m := d.made("k", "%s map_create type=%s%s token=%s", who, kind, flags, t)
		d.maps, d.others = append(d.maps, drawnHandle{m, who}), append(d.others, m)
	}
	if d.in(2) {
		who := pick(d, d.present()...).owner
		f := d.made("f", "%s btf_load%s token=%s", who, d.field(), pick(d, d.tokens...))
		d.btfs, d.others = append(d.btfs, f), append(d.others, f)
	}
	if d.in(3) {
		d.fieldMap()
	}
}

// fieldMap makes a map whose values have a special field, and has programs use it. No other step uses it: what the
// kernel shows of such an element is not what was put there.
func (d *drawer) fieldMap() {
	who, t := pick(d, d.present()...).owner, pick(d, d.tokens...)
	f := step.Field(1 + d.IntN(len(step.Fields)-1))
	b := d.made("f", "%s btf_load field=%s token=%s", who, step.Fields[f], t)
	kind := pick(d, "hash", "hash", "array", "array", "lru_hash", "percpu_hash", "task_storage", "sk_storage")
	m := d.made("k", "%s map_create type=%s btf=%s btf_key=1 btf_value=3 value=%d token=%s%s", who, kind, b,
		f.Sizes()[2], t, d.withCaps())
	for range d.IntN(3) {
		d.step("%s prog_load type=%s map=%s token=%s", who, pick(d, "socket_filter", "xdp", "kprobe", "perf_event"), m, t)
	}
	if d.in(3) {
		d.step("%s freeze %s", who, m)
	}
}

// elements makes a call about the element of a map.
func (d *drawer) elements() {
	who, m := d.actor(), d.any()
	if len(d.maps) > 0 && !d.in(6) {
		h := pick(d, d.maps...)
		who, m = h.owner, h.name
		if d.in(4) {
			who = d.other(h.owner)
			d.step("%s send %s %s", h.owner, m, who)
		}
	}
	if d.isAbsent(who) {
		return
	}
	d.step("%s element %s %s%s", who, m, pick(d, step.Dos[1:]...), d.withCaps())
}

// counts has root count the barriers in a program that spills a pointer, or does not.
func (d *drawer) counts() {
	who := pick(d, d.present()...).owner
	body := pick(d, "", " prog=spill", " prog=spill")
	p := d.made("s", "%s prog_load type=socket_filter%s%s%s", who, body, d.withToken(), d.withCaps())
	if who != "root" {
		d.step("%s send %s root", who, p)
	}
	d.step("root barriers %s", p)
}

// looksAtInstructions has root look at what the verifier made of a program.
func (d *drawer) looksAtInstructions() {
	who := pick(d, d.present()...).owner
	body := pick(d, "", " prog=dead_code", " prog=not_taken", " prog=branches", " prog=branches flags=0x8")
	if len(d.maps) > 0 && d.in(3) {
		m := pick(d, d.maps...)
		who, body = m.owner, pick(d, " prog=masked_add", " prog=tail_call")+" map="+m.name
	}
	p := d.made("s", "%s prog_load type=socket_filter%s%s%s", who, body, d.withToken(), d.withCaps())
	if who != "root" {
		d.step("%s send %s root", who, p)
	}
	d.step("root translated %s", p)
}

// runs has an actor run a program.
func (d *drawer) runs() {
	who, p := d.actor(), d.any()
	if len(d.programs) > 0 && !d.in(4) {
		h := pick(d, d.programs...)
		who, p = h.owner, h.name
	}
	if !d.isAbsent(who) {
		d.step("%s run_prog %s%s", who, p, d.withCaps())
	}
}

func (d *drawer) symlinks() {
	who, b, name := d.naming()
	d.step("%s symlink in=%s name=%s%s", who, b.name, name, d.withFileCaps())
}

// bounds puts a process into a memory cgroup, once, which large arrays do not fit into.
func (d *drawer) bounds() {
	who := d.inUserns()
	if !slices.ContainsFunc(d.steps, func(s string) bool { return strings.HasPrefix(s, "root memory ") }) {
		d.step("root memory %s max=0x400000", who)
	}
}

// closes closes a descriptor, sometimes in an actor that does not have it.
func (d *drawer) closes() {
	b := pick(d, d.bpffs...)
	d.step("%s close %s", pick(d, d.actor(), b.owner), pick(d, append(d.all(), b.name)...))
}

func (d *drawer) modes() {
	b := d.directory()
	what, name := b.name, pick(d, "", "", " name=pin0", " name=pin1")
	if len(d.tokens) > 0 && d.in(3) {
		what, name = pick(d, d.tokens...), ""
	}
	d.step("%s chmod %s mode=%s%s%s", pick(d, b.owner, d.actor()), what,
		pick(d, "0", "500", "700", "711", "755", "777"), name, d.withFileCaps())
}

// withFileCaps draws capabilities that file permission checks use.
func (d *drawer) withFileCaps() string {
	if d.in(2) {
		return ""
	}
	return " caps=" + pick(d, "none", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_SYS_ADMIN", "all")
}

func (d *drawer) copies() {
	who, h := d.actor(), d.any()
	if d.in(2) {
		b := pick(d, d.bpffs...)
		who, h = b.owner, b.name
	}
	d.alike(h, d.made("d", "%s dup %s", who, h))
	if d.in(3) {
		d.step("%s cloexec %s %d", who, h, d.IntN(2))
	}
}

// alike adds a descriptor that refers to the same file as h.
func (d *drawer) alike(h, name string) {
	if slices.Contains(d.tokens, h) {
		d.tokens = append(d.tokens, name)
		return
	}
	d.others = append(d.others, name)
}

// takes lets a process take a descriptor of another process.
func (d *drawer) takes(op step.Op) {
	who, h := d.actor(), pick(d, d.all()...)
	for op == step.OpPidfdGetfd && d.named(who).pid { // others have no number there
		who = d.actor()
	}
	caps := pick(d, "", "", " caps=none", " caps=all", " caps=CAP_SYS_PTRACE")
	d.alike(h, d.made("g", "%s %s %s from=%s%s", who, op, h, d.other(who), caps))
}

func (d *drawer) execs() {
	who := d.inUserns()
	for _, h := range d.all() {
		if d.in(2) {
			d.step("%s cloexec %s 0", who, h)
		}
	}
	d.step("%s exec", who)
}

// program loads a program, which keeps its token, for a command that attaches it.
func (d *drawer) program() {
	who := pick(d, d.bpffs...).owner
	kind := pick(d, "cgroup_skb", "cgroup_skb", "cgroup_skb attach=cgroup_inet_egress", "xdp attach=xdp", "socket_filter",
		"tracing attach=trace_fentry")
	p := d.made("p", "%s prog_load type=%s%s%s", who, kind, d.withToken(), d.withCaps())
	d.programs, d.others = append(d.programs, drawnHandle{p, who}), append(d.others, p)
}

// hooks attaches BPF-LSM programs that check the calls of actors, in some worlds.
func (d *drawer) hooks() {
	if !d.in(4) {
		return
	}
	var made, lines []string
	for range 1 + d.IntN(3) {
		lines = append(lines, d.hook())
		made = append(made, d.made("l", "%s", lines[len(lines)-1]))
	}
	for range d.IntN(3) {
		d.step("%s map_create type=hash%s", d.inUserns(), d.withToken())
	}
	if d.in(2) {
		times := ""
		l := d.IntN(len(made))
		if strings.Contains(lines[l], "_free ") && d.in(2) {
			times = " times=1"
		}
		d.step("root lsm_ran %s%s", made[l], times)
	}
	if d.in(4) {
		d.step("root lsm_off %s", pick(d, made...))
	}
}

func (d *drawer) hook() string {
	h := 1 + d.IntN(len(uapi.Hooks)-1)
	at := step.ArgsOf(uapi.Hook(h))
	errno := pick(d, "EACCES", "EACCES", "EPERM", "ENOENT", "ok")
	if uapi.Hook(h).Frees() {
		errno = "ok"
	}
	line := fmt.Sprintf("root lsm of=%s hook=%s errno=%s", d.inUserns(), uapi.Hooks[h], errno)
	if at.Cmd >= 0 && d.in(2) {
		line += " cmd=" + pick(d, "map_create", "prog_load", "btf_load", "token_create", "btf_get_fd_by_id", "prog_query")
	}
	if at.Cap >= 0 && (uapi.Hook(h) == uapi.HookCapable || d.in(2)) {
		line += " cap=" + pick(d, "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_ADMIN")
	}
	if at.Token >= 0 && d.in(3) {
		line += fmt.Sprintf(" token=%d", d.IntN(2))
	}
	if at.Mask >= 0 {
		line += " mask=" + pick(d, "1", "2", "3", "6", "16")
	}
	if at.Named >= 0 {
		line += " name=" + pick(d, "a", "b")
	}
	if uapi.Hook(h) == uapi.HookTokenFree {
		return line + " cmds=" + pick(d, "0x1", "0x21", "0xffffffffffffffff")
	}
	if at.Token >= 0 && d.in(4) {
		line += " " + pick(d, "cmds", "maps", "progs", "attachs") + "=0xffffffffffffffff"
	}
	if at.Kernel >= 0 && d.in(6) {
		line += fmt.Sprintf(" kernel=%d", d.IntN(2))
	}
	return line
}

// exits ends an actor in some worlds; it does no further step.
func (d *drawer) exits() {
	a := &d.actors[1+d.IntN(len(d.actors)-1)]
	if !d.in(5) || a.line == "" || a.absent || a.first {
		return
	}
	if a.absent = true; len(d.present()) == 0 {
		a.absent = false
		return
	}
	d.step("%s exit", a.name)
}

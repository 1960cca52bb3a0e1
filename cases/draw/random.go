// Package draw generates random scenarios as the text of case files, the same for
// the same seed, and shrinks a scenario on which a kernel and the oracle disagree.
//
// It judges nothing: the oracle alone says what a generated step must do. It boots
// nothing: the caller runs each smaller scenario.
//
// Start with Random. The weights are in the table of operations (package step);
// the tables acts and calls have a function for each operation. shrink.go removes
// parts of a scenario.
package draw

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Name is the group of one world of a seed.
func Name(seed uint64, i int) string { return fmt.Sprintf("random_%d_%d", seed, i) }

// Random draws one world as the text of a case file: the same seed and number
// give the same text. The set-up and the cells have no expectations; the oracle alone
// decides.
func Random(ctx context.Context, seed uint64, i int) (string, error) {
	o := Origin{Seed: seed, World: uint64(i)}
	text, _, err := o.Draw(ctx, Name(seed, i), fmt.Sprintf("World %d of seed %d.", i, seed))
	return text, err
}

// withoutLines removes lines, and every line that refers to a descriptor which a removed
// line made. It repeats the search because the cells are above the set-up.
func withoutLines(text string, bad map[int]bool) string {
	lines := strings.SplitAfter(text, "\n")
	gone := map[string]bool{}
	for more := true; more; {
		more = false
		for n, line := range lines {
			words := strings.Fields(line)
			if line == "\n" || !bad[n+1] && !slices.ContainsFunc(words,
				func(w string) bool { return gone[w] || gone[valueOf(w)] }) {
				continue
			}
			if at := slices.Index(words, "->"); at >= 0 {
				gone[words[at+1]] = true
			}
			lines[n], more = "\n", true
		}
	}
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "\n" }), "")
}

func valueOf(word string) string {
	_, value, _ := strings.Cut(word, "=")
	return value
}

// Add draws worlds into the corpus. It returns the texts by group.
func Add(ctx context.Context, c *cases.Corpus, seed uint64, n int) (
	names []string, texts map[string]string, err error) {
	texts = map[string]string{}
	for i := range n {
		name := Name(seed, i)
		if texts[name], err = Random(ctx, seed, i); err != nil {
			return nil, nil, err
		}
		if err := c.Add(ctx, name+".txt", texts[name]); err != nil {
			return nil, nil, fmt.Errorf("draw a world: %w", err)
		}
		names = append(names, name)
	}
	return names, texts, nil
}

// unplayable returns the lines that the oracle does not model on some kernel with tokens,
// and the lines that pass or close a descriptor which that kernel does not make: a mask
// may hold a name that is newer than the kernel. Such a line tests the harness, not the kernel.
func unplayable(ctx context.Context, name, text string) (map[int]bool, error) {
	f, err := cases.Parse(ctx, name+".txt", name, text)
	if err != nil {
		return nil, err
	}
	g, err := f.Expand(ctx)
	if err != nil {
		return nil, err
	}
	bad := map[int]bool{}
	w := g.Worlds[0]
	line := cellLines(text)
	for _, r := range playableOn() {
		facts := cases.FactsAt(r)
		play := sim.New(facts, &w.Program, false)
		for i := range w.Program.Setup {
			s := &w.Program.Setup[i]
			known, err := knows(play, s)
			if err != nil {
				return nil, err
			}
			if !known {
				bad[w.Info[i].Line] = true
			}
		}
		for _, c := range g.Cases {
			at := line[c.ID[strings.LastIndexByte(c.ID, '/')+1:]]
			if unmet, _ := c.Unmet(facts); unmet != nil || at == 0 {
				continue
			}
			for i := range c.Cell() {
				e, err := play.Step(&c.Cell()[i])
				if err != nil {
					return nil, err
				}
				if !e.Verdict.Known {
					bad[at] = true
				}
			}
		}
	}
	return bad, nil
}

// knows plays a step. It reports whether the answer is known and the descriptor that the step passes or closes exists.
func knows(s *sim.Sim, st *step.Step) (bool, error) {
	if !s.Holds(st) {
		return false, nil
	}
	e, err := s.Step(st)
	return e.Verdict.Known, err
}

// cellLines returns the line number of each cell, by the cell's name.
func cellLines(text string) map[string]int {
	out := map[string]int{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		if words := strings.Fields(line); strings.HasPrefix(line, "  s") && len(words) > 1 {
			out[words[0]] = n
		}
	}
	return out
}

// playableOn are the kernels on which every step of a world must have an
// answer: those where something that the rules look at changed.
func playableOn() []uapi.Release {
	out := tokenReleases()
	for _, r := range []uapi.Release{{Major: 6, Minor: 15}, {Major: 6, Minor: 16}, {Major: 6, Minor: 17}, {Major: 7,
		Minor: 3}} {
		if !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	return out
}

// tokenReleases are the releases with tokens at which an enumeration grew.
func tokenReleases() []uapi.Release {
	out := []uapi.Release{cases.TokenRelease}
	for _, o := range oracle.DelegateOptions {
		for _, m := range o.Enum.Members {
			if cases.TokenRelease.Less(m.Since) && !slices.Contains(out, m.Since) {
				out = append(out, m.Since)
			}
		}
	}
	slices.SortFunc(out, func(a, b uapi.Release) int {
		switch {
		case a.Less(b):
			return -1
		case b.Less(a):
			return 1
		}
		return 0
	})
	return out
}

// drawer draws the parts of one world.
type drawer struct {
	*rand.Rand
	actors   []drawnActor
	steps    []string
	values   []string // the cells
	bpffs    []drawnHandle
	tokens   []string
	others   []string // other descriptors
	maps     []drawnHandle
	btfs     []string
	detached []drawnHandle // mounts that were detached when they were made
	dirs     []drawnHandle // directories below the root of a bpffs

	namespaces []string
	programs   []drawnHandle
	attachable []drawnProgram
	bonds      []drawnHandle // links
	count      int           // of the descriptors that the acts made
}

// draw draws the actors, the set-up and the cells.
func (d *drawer) draw() {
	d.cast()
	d.setup()
	d.cells()
}

type drawnActor struct {
	name, line string
	init       bool     // in the initial namespaces
	parent     string   // the actor that forks it in a step
	absent     bool     // not forked yet, or exited
	ids        []uint32 // some that its user namespace maps; nil is 0 alone
	noMounts   bool     // it may not mount
	pid        bool     // in a pid namespace
	first      bool     // of the pid namespace
}

type drawnHandle struct{ name, owner string }

func pick[T any](d *drawer, list ...T) T { return list[d.IntN(len(list))] }

// in reports true once in n times.
func (d *drawer) in(n int) bool { return d.IntN(n) == 0 }

// cast draws the actors; the first has a user namespace of its own.
func (d *drawer) cast() {
	for i := range 2 + d.IntN(5) {
		kind := d.IntN(7)
		if i == 0 {
			kind = 0
		}
		d.actors = append(d.actors, d.drawActor(fmt.Sprintf("a%d", i), kind))
	}
	d.actors = append(d.actors, drawnActor{name: "root", init: true}, drawnActor{name: "nobody", init: true})
}

func (d *drawer) drawActor(name string, kind int) drawnActor {
	a := drawnActor{name: name}
	var below []string
	for _, b := range d.actors {
		if !b.init && b.parent == "" {
			below = append(below, b.name)
		}
	}
	owned := false
	switch kind {
	case 0, 1:
		a.line, owned = "userns", true
	case 2:
		above := slices.DeleteFunc(below, func(name string) bool { return d.named(name).pid }) // which cannot map ids
		if len(above) == 0 {
			a.line = "userns"
			break
		}
		a.line = "userns in " + pick(d, above...)
	case 3, 4:
		in := pick(d, below...)
		a.line = "joins " + in
		a.inside(d.named(in))
	case 5:
		a.line, a.init, owned = "init", true, true
	case 6:
		a.parent, a.absent = pick(d, below...), true
		a.line = "child " + a.parent
		a.inside(d.named(a.parent))
	}
	switch {
	case kind <= 1 && d.in(4):
		n := pick(d, uint32(2), 65536, 1000)
		a.ids = []uint32{0, 1, n - 1}
		a.line += fmt.Sprintf(" uid=%d+%d", pick(d, 0, 1000, 100000), n)
	case kind <= 1 && d.in(4):
		a.ids = []uint32{0, 1, 999, 1000}
		a.line += pick(d, "", " uid=4242", " uid=1000") + " map=0:100000+1000 map=1000:1000" +
			pick(d, "", " map=1001:101001+64535")
	case kind == 2 && a.above(d) && d.in(2):
		a.ids = []uint32{0, 1}
		a.line += " map=0:1 map=1:0" // single ids, which no line above can cut in two
	case owned && !d.in(4):
		a.line += fmt.Sprintf(" uid=%d", pick(d, 0, 1000, 1000, 2000, 4242, 65534))
	case kind >= 3 && kind != 5 && a.ids != nil && d.in(2):
		a.line += fmt.Sprintf(" uid=%d", pick(d, a.ids...))
	}
	if kind <= 2 {
		a.line += d.namespacesOf(&a, len(d.actors) == 0)
	}
	if d.in(3) {
		a.line += " caps=" + d.caps()
	}
	if kind != 6 && d.in(12) {
		a.line += " securebits=" + pick(d, "4", "0x1c", "0xc0", "0xcc")
	}
	a.line = "actor " + name + " " + a.line
	return a
}

// namespacesOf draws which further namespaces a userns actor has, and where its mount
// namespace comes from. The first actor may mount.
func (d *drawer) namespacesOf(a *drawnActor, mounts bool) string {
	out := ""
	for _, word := range []string{"net", "pid", "cgroup"} {
		if d.in(8) {
			out += " " + word
			a.pid, a.first = a.pid || word == "pid", a.first || word == "pid"
		}
	}
	if !mounts && d.in(8) {
		a.noMounts = true
		out += pick(d, " mounts=before", " mounts=parent")
	}
	return out
}

// above reports whether the namespace above the actor's maps the ids 0 and 1.
func (a *drawnActor) above(d *drawer) bool {
	_, name, below := strings.Cut(a.line, "userns in ")
	return below && d.named(name).ids != nil
}

// inside notes that the actor is in another's namespaces.
func (a *drawnActor) inside(other *drawnActor) {
	a.ids, a.noMounts, a.pid = other.ids, other.noMounts, other.pid
}

func (d *drawer) named(name string) *drawnActor {
	return &d.actors[slices.IndexFunc(d.actors, func(a drawnActor) bool { return a.name == name })]
}

// caps draws a set of the four capabilities, or one of everything else.
func (d *drawer) caps() string {
	set := uapi.CapSet(0)
	for _, c := range []uapi.Cap{uapi.CAP_BPF, uapi.CAP_PERFMON, uapi.CAP_NET_ADMIN, uapi.CAP_SYS_ADMIN} {
		if d.in(2) {
			set |= 1 << c
		}
	}
	switch d.IntN(6) {
	case 0, 1:
		return "all"
	case 2:
		set = uapi.AllCaps &^ set
	}
	return set.String()
}

// withCaps draws the capabilities of one call; often the actor's own.
func (d *drawer) withCaps() string {
	if d.in(2) {
		return ""
	}
	return " caps=" + d.caps()
}

// actor draws an actor that is not absent.
func (d *drawer) actor() string {
	for {
		if a := pick(d, d.actors...); !a.absent {
			return a.name
		}
	}
}

// inUserns draws an actor outside the initial namespaces that may mount and is not absent.
func (d *drawer) inUserns() string {
	for {
		if a := pick(d, d.actors...); !a.init && !a.absent && !a.noMounts {
			return a.name
		}
	}
}

func (d *drawer) isAbsent(name string) bool {
	return slices.ContainsFunc(d.actors, func(a drawnActor) bool { return a.name == name && a.absent })
}

// present returns the bpffs whose owner is not absent.
func (d *drawer) present() []drawnHandle {
	return slices.DeleteFunc(slices.Clone(d.bpffs), func(b drawnHandle) bool { return d.isAbsent(b.owner) })
}

// setup draws what happens before the cells.
func (d *drawer) setup() {
	locks := d.in(24) // another world may have locked it already
	if d.in(20) {
		d.step("root sysctl unprivileged_bpf_disabled=%d", pick(d, 3, 100))
	}
	if locks {
		d.step("root sysctl unprivileged_bpf_disabled=1")
	} else if d.in(2) {
		d.step("root sysctl unprivileged_bpf_disabled=%d", pick(d, 0, 0, 2))
	}
	for range 1 + d.IntN(4) {
		d.delegation()
	}
	if d.in(2) {
		d.maps = append(d.maps, drawnHandle{d.object("root map_create type=hash"), "root"})
	}
	if d.in(3) {
		d.btfs = append(d.btfs, d.object("root btf_load"+pick(d, "", " lock=1")))
	}
	d.forks()
	d.objects()
	for range 3 + d.IntN(4*len(d.actors)) {
		d.act()
	}
	if len(d.tokens) > 1 && d.in(3) {
		d.step("%s close %s", d.actor(), pick(d, d.tokens...))
	}
	d.hooks()
	if !locks && d.in(8) {
		d.step("root sysctl unprivileged_bpf_disabled=%d", pick(d, 0, 2))
	}
	d.exits()
}

func (d *drawer) step(format string, args ...any) {
	d.steps = append(d.steps, d.sandboxed(d.asAnother(fmt.Sprintf(format, args...)))+" => ?")
}

// sandboxed has a step sometimes be done in a Landlock domain.
func (d *drawer) sandboxed(line string) string {
	if step.OpNamed(strings.Fields(line)[1]).Row().Of(step.KeySandbox) == nil || !d.in(16) {
		return line
	}
	call, name, made := strings.Cut(line, " -> ")
	if made {
		return call + " landlock=1 -> " + name
	}
	return call + " landlock=1"
}

// asAnother has a step sometimes be done as another uid of the actor's user namespace.
func (d *drawer) asAnother(line string) string {
	words := strings.Fields(line)
	if step.OpNamed(words[1]).Row().Of(step.KeyAsUID) == nil || !d.in(16) {
		return line
	}
	n := uint32(0)
	for i := range d.actors {
		switch a := &d.actors[i]; {
		case a.name != words[0]:
		case a.init:
			n = pick(d, uint32(0), 1000, 65534)
		case a.ids != nil:
			n = pick(d, a.ids...)
		}
	}
	return strings.Replace(line, " "+words[1], fmt.Sprintf(" %s uid=%d", words[1], n), 1)
}

func (d *drawer) object(step string) string {
	name := fmt.Sprintf("o%d", len(d.others))
	d.step("%s -> %s", step, name)
	d.others = append(d.others, name)
	return name
}

// delegation makes a bpffs and, most often, the token that it is for.
func (d *drawer) delegation() {
	b := drawnHandle{fmt.Sprintf("b%d", len(d.bpffs)), d.inUserns()}
	if d.in(10) {
		b.owner = "root"
	}
	d.bpffs = append(d.bpffs, b)
	d.step("%s bpffs%s -> %s", b.owner, d.options(), b.name)
	if d.in(4) {
		return
	}
	d.makeToken(b.owner, b.name, pick(d, "", "", "", d.withCaps()))
}

// token makes a token, perhaps from a bpffs that another actor passed.
func (d *drawer) token() {
	b, who := pick(d, d.bpffs...), d.actor()
	if who != b.owner {
		d.step("%s send %s %s", b.owner, b.name, who)
	}
	d.makeToken(who, b.name, d.withCaps())
}

func (d *drawer) makeToken(who, bpffs, caps string) {
	t := fmt.Sprintf("t%d", len(d.tokens))
	d.tokens = append(d.tokens, t)
	d.step("%s token_create bpffs=%s%s%s -> %s", who, bpffs, pick(d, "", "", "", " umask=0", " umask=0777"), caps, t)
}

// pass sends any descriptor from any actor; impossible lines are removed later.
func (d *drawer) pass() {
	handles := slices.Concat(d.tokens, d.tokens, d.others)
	for _, b := range d.bpffs {
		handles = append(handles, b.name)
	}
	from, to := d.actor(), d.actor()
	if from != to {
		d.step("%s send %s %s", from, pick(d, handles...), to)
	}
}

// options draws the masks of a bpffs, some of them by several assignments.
func (d *drawer) options() string {
	if d.in(3) {
		return " cmds=any maps=any progs=any attachs=any"
	}
	var b strings.Builder
	for i, key := range []string{"cmds", "maps", "progs", "attachs"} {
		for range pick(d, 0, 1, 1, 1, 2) {
			fmt.Fprintf(&b, " %s=%s", key, d.mask(oracle.DelegateOptions[i].Enum))
		}
	}
	return b.String()
}

// malformed are values that the kernel refuses or reads in a special way.
var malformed = []string{
	"", "no_such_name", "0xg", "0x", "08", "-1", "++1", "18446744073709551616", "99999999999999999999x", "any:", ":any",
	"hash:no_such_name",
	"BPF_MAP_CREATE", "1_0", "ANY", "any:no_such_name",
}

// mask draws a value of a delegate_* option.
func (d *drawer) mask(e *uapi.Enum) string {
	if d.in(40) {
		return pick(d, malformed...)
	}
	switch d.IntN(8) {
	case 0, 1, 2, 3:
		return "any"
	case 4:
		return d.number()
	case 5:
		return pick(d, d.name(e)+":"+d.number(), d.number()+":"+d.name(e), "any:"+d.number(), d.name(e)+":any")
	}
	names := []string{d.name(e)}
	for range d.IntN(6) {
		names = append(names, d.name(e))
	}
	if e.Tag == uapi.Cmds.Tag && !d.in(3) {
		names = append(names, pick(d, "map_create", "prog_load", "btf_load", "map_create:prog_load:btf_load"))
	}
	return strings.Join(names, ":")
}

func (d *drawer) number() string {
	n := d.Uint64()
	switch d.IntN(4) {
	case 0:
		n = 1 << d.IntN(64)
	case 1:
		n = ^(uint64(1) << d.IntN(64))
	case 2:
		n &= d.Uint64()
	}
	return fmt.Sprintf(pick(d, "%#x", "%#x", "%#X", "%d", "%#o", "+%d"), n)
}

// name draws an enumerator that has a bit, in any case.
func (d *drawer) name(e *uapi.Enum) string {
	for {
		if m := pick(d, e.Members...); m.Value < 64 {
			return pick(d, m.Name, m.Name, m.Name, strings.ToUpper(m.Name), strings.ToUpper(m.Name[:1])+m.Name[1:])
		}
	}
}

// cells draws the calls under test, each once.
func (d *drawer) cells() {
	for range 32 + d.IntN(40) {
		if c := d.cell(); !slices.Contains(d.values, c) {
			d.values = append(d.values, c)
		}
	}
}

// descriptor returns the right descriptor most often, and sometimes a wrong one.
func (d *drawer) descriptor(right string) string {
	if !d.in(6) {
		return right
	}
	return pick(d, slices.Concat([]string{cases.ClosedName, d.bpffs[0].name}, d.tokens, d.others)...)
}

func (d *drawer) withToken() string {
	if d.in(6) || len(d.tokens) == 0 {
		return ""
	}
	return " token=" + d.descriptor(pick(d, d.tokens...))
}

// mapType draws a map type, sometimes one that no kernel has. It draws few arenas,
// because each maps 4 GiB of page tables.
func (d *drawer) mapType() string {
	if d.in(20) {
		return pick(d, "unspec", "63", "64", "1000")
	}
	for {
		m := pick(d, uapi.MapTypes.Members...)
		if m.Value != 0 && (m.Value != uint32(uapi.BPF_MAP_TYPE_ARENA) || d.in(8)) {
			return m.Name
		}
	}
}

// prog draws a program that loads, or one whose type or attach type is not
// its own. A program that names a BTF type keeps the attach type that it has.
func (d *drawer) prog() string {
	if d.in(20) {
		return "type=" + pick(d, "unspec", "63", "1000")
	}
	s := pick(d, step.ProgShapes...)
	attach := s.Attach.String()
	switch {
	case d.in(6):
		attach = pick(d, uapi.AttachTypes.Members...).Name
	case s.Attach == 0 && s.Member == "" && d.in(2):
		return "type=" + s.Type.String()
	case s.Member != "":
		return "type=" + s.Type.String()
	}
	return "type=" + s.Type.String() + " attach=" + attach
}

// text writes the world as a case file.
func (d *drawer) text(about string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "about %s\nneeds token\n", about)
	for _, a := range d.actors {
		if a.line != "" {
			fmt.Fprintln(&b, a.line)
		}
	}
	fmt.Fprintf(&b, "axis step\n  allow root map_create type=hash\n  refuse nobody btf_load\n")
	for i, v := range d.values {
		fmt.Fprintf(&b, "  s%02d %s\n", i, v)
	}
	for _, s := range d.steps {
		fmt.Fprintln(&b, s)
	}
	b.WriteString("do $step\ncontrol allow step=allow\ncontrol refuse step=refuse\n")
	return b.String()
}

package cases

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// predefined are the actors that every file has without declaring them.
var predefined = []step.Actor{
	{Name: "root", Kind: step.Init, Parent: -1, UID: 0, Caps: uapi.AllCaps},
	{Name: "nobody", Kind: step.Init, Parent: -1, UID: 65534},
}

// IsPredefined reports whether every file has an actor of the name without declaring it.
func IsPredefined(name string) bool {
	return slices.ContainsFunc(predefined, func(a step.Actor) bool { return a.Name == name })
}

// cast resolves the actor lines, then adds the predefined ones that a step names.
func (f *File) cast() ([]step.Actor, error) {
	var out []step.Actor
	for _, l := range f.actors {
		a, err := oneActor(l, out)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", f.Path, l.line, err)
		}
		out = append(out, a)
	}
	for _, a := range predefined {
		if f.mentions(a.Name) {
			out = append(out, a)
		}
	}
	return out, nil
}

// mentions reports whether any step or axis value contains the word.
func (f *File) mentions(name string) bool {
	for _, s := range f.steps {
		if slices.Contains(s.words, name) {
			return true
		}
	}
	if f.do != nil && slices.Contains(f.do.words, name) {
		return true
	}
	return slices.ContainsFunc(f.axes, func(a axis) bool {
		return slices.ContainsFunc(
			a.values,
			func(v axisValue) bool { return slices.Contains(strings.Fields(v.text), name) },
		)
	})
}

// actorKind is a word of an actor line: the namespaces in which the actor's process runs.
type actorKind struct {
	name, usage, doc string
	kind             step.ActorKind
	of               bool // the next word is another actor
}

var actorKinds = []actorKind{
	{"userns", "userns [in OTHER]",
		"in a user and mount namespace of its own, of which uid= is the owner; below OTHER's with in", step.Userns, false},
	{"joins", "joins OTHER", "another process in OTHER's namespaces", step.Joins, true},
	{"child", "child OTHER", "like joins, but the process starts at the step OTHER fork NAME", step.Child, true},
	{"init", "init", "in the initial namespaces, as uid=, without capabilities unless caps= says so", step.Init, false},
}

func actorKindNames() []string {
	var out []string
	for _, k := range actorKinds {
		out = append(out, k.name)
	}
	return out
}

const defaultUID = 1000 // the kuid of an actor without uid=

// oneActor reads an actor line; above are those of the lines above.
func oneActor(l actorLine, above []step.Actor) (step.Actor, error) {
	a := step.Actor{Name: l.name, Parent: -1, UID: defaultUID, Caps: uapi.AllCaps}
	words := l.words
	kind := slices.IndexFunc(actorKinds, func(k actorKind) bool { return k.name == words[0] })
	if kind < 0 {
		return a, fmt.Errorf("unknown kind of actor %q: want %s", words[0], strings.Join(actorKindNames(), ", "))
	}
	a.Kind = actorKinds[kind].kind
	if a.Kind == step.Init {
		a.Caps = 0
	}
	words = words[1:]
	if actorKinds[kind].of {
		if len(words) < 1 {
			return a, fmt.Errorf("want %s ACTOR", actorKinds[kind].name)
		}
		words = append([]string{"in"}, words...)
	}
	if len(words) > 1 && words[0] == "in" {
		a.Parent = actorIndex(above, words[1])
		if a.Parent < 0 {
			return a, fmt.Errorf("unknown actor %q: it must be declared above", words[1])
		}
		if above[a.Parent].Kind == step.Init {
			return a, fmt.Errorf("actor %s is not in a user namespace of its own", words[1])
		}
		if a.Kind == step.Userns && home(above, &above[a.Parent]).Apart&step.ApartPID != 0 {
			return a, fmt.Errorf("actor %s is in a pid namespace, where it cannot map a further namespace's ids: /proc is "+
				"of the initial one", words[1])
		}
		a.UID = above[a.Parent].UID
		if a.Kind != step.Userns {
			a.Map = above[a.Parent].Map
		}
		if a.Kind == step.Child {
			a.Bits = above[a.Parent].Bits
		}
		words = words[2:]
	}
	if err := actorOptions(&a, words); err != nil {
		return a, err
	}
	return a, checkMap(&a, above)
}

// furtherNS are the words for further namespaces.
var furtherNS = []struct {
	name, doc string
	is        step.Apart
	config    string
}{
	{"net", "also a network namespace of its own", step.ApartNet, "NET_NS"},
	{"pid", "also a pid namespace of its own", step.ApartPID, "PID_NS"},
	{"cgroup", "also a cgroup namespace of its own", step.ApartCgroup, "CGROUPS"},
}

// mountNS are the words for where the mount namespace comes from.
var mountNS = []string{step.MountsOwn: "own", step.MountsBefore: "before", step.MountsParent: "parent"}

// FurtherNamespaces are the words for namespaces beside the user and the mount namespace.
func FurtherNamespaces() []string {
	var out []string
	for _, w := range furtherNS {
		out = append(out, w.name)
	}
	return out
}

// ActorOptions are an actor's options as an actor line spells them, but for caps=.
func ActorOptions(a *step.Actor) []string {
	var out []string
	switch {
	case a.Parent < 0:
		out = append(out, fmt.Sprintf("uid=%d", a.UID))
	case a.As != 0:
		out = append(out, fmt.Sprintf("uid=%d", a.As))
	}
	if a.Kind == step.Userns {
		for _, l := range a.Map.Lines() {
			out = append(out, fmt.Sprintf("map=%d:%d+%d", l.Inner, l.Outer, l.Count))
		}
	}
	for _, w := range furtherNS {
		if a.Apart&w.is != 0 {
			out = append(out, w.name)
		}
	}
	if a.Mounts != step.MountsOwn {
		out = append(out, "mounts="+mountNS[a.Mounts])
	}
	if a.Compat {
		out = append(out, abiCompat)
	}
	if a.Bits != 0 && a.Kind != step.Child {
		out = append(out, fmt.Sprintf("securebits=%#x", a.Bits))
	}
	return out
}

// addApart reads a word for a further namespace.
func addApart(a *step.Actor, word string) error {
	for _, w := range furtherNS {
		if w.name == word && a.Kind == step.Userns {
			a.Apart |= w.is
			return nil
		}
	}
	return fmt.Errorf("unknown option %q of an actor: %s; namespaces belong to a userns actor", word, optionsDoc)
}

const optionsDoc = "want uid=, map=, caps=, mounts=, abi=, securebits=, net, pid or cgroup"

// abiCompat makes an actor's program one of 32 bits.
const abiCompat = "abi=compat"

func actorOptions(a *step.Actor, words []string) error {
	for _, w := range words {
		k, v, isOption := strings.Cut(w, "=")
		var err error
		switch {
		case !isOption:
			err = addApart(a, w)
		case k == "uid":
			err = readUID(a, v)
		case k == "map":
			err = readLine(a, v)
		case k == "caps":
			a.Caps, err = uapi.ParseCaps(v)
		case k == "mounts":
			n := slices.Index(mountNS, v)
			a.Mounts = step.MountNS(max(n, 0))
			if n < 0 || a.Kind != step.Userns {
				err = fmt.Errorf("%s: want %s, of a userns actor", w, strings.Join(mountNS, ", "))
			}
		case k == "securebits":
			err = readBits(a, v)
		case k == "abi":
			a.Compat = true
			if w != abiCompat || a.Kind == step.Child {
				err = fmt.Errorf("%s: want %s, of an actor whose program is not that of its parent", w, abiCompat)
			}
		default:
			err = fmt.Errorf("unknown option %q of an actor: %s", w, optionsDoc)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keepCapsLocked is SECBIT_KEEP_CAPS_LOCKED, with which uid= of a step would take the thread's capabilities.
const keepCapsLocked = 1 << 5

// readBits reads the securebits of an actor.
func readBits(a *step.Actor, value string) error {
	n, err := parseNum(value)
	switch {
	case err != nil:
		return err
	case n > 0xff || n&keepCapsLocked != 0:
		return fmt.Errorf("securebits=%s: want bits below 0x100, and not SECBIT_KEEP_CAPS_LOCKED (0x20), with which "+
			"uid= of a step would take all capabilities", value)
	case a.Kind == step.Child:
		return fmt.Errorf("securebits=%s: a child has those of its parent", value)
	}
	a.Bits = uint8(n)
	return nil
}

// readUID reads the uid of an actor: of a userns actor the first id that its namespace maps
// and with + how many, of one inside another's namespace the uid as that numbers it.
func readUID(a *step.Actor, value string) error {
	first, count, isRange := strings.Cut(value, "+")
	n, err := parseID(first)
	if err != nil {
		return err
	}
	switch {
	case a.Kind == step.Userns && a.Parent >= 0:
		return fmt.Errorf("a namespace below another's maps the uid of that")
	case a.Parent >= 0 && isRange, isRange && a.Kind == step.Init:
		return fmt.Errorf("uid=%s: only a userns actor maps a range of ids", value)
	case a.Parent >= 0 && !a.Has(n):
		return notMapped(a, n)
	case a.Parent >= 0:
		a.As = n
		return nil
	}
	a.UID = n
	if !isRange {
		return nil
	}
	size, err := parseID(count)
	switch {
	case err != nil:
		return err
	case size == 0 || uint64(n)+uint64(size) > maxID:
		return fmt.Errorf("uid=%s: want FIRST+COUNT, of at least one id and below %d", value, uint64(maxID))
	}
	return addLine(a, "uid="+value, uapi.IDRange{Outer: n, Count: size})
}

// readLine reads a line of an id map.
func readLine(a *step.Actor, value string) error {
	const form = "want map=INNER:OUTER+COUNT, of at least one id and below %d"
	inner, rest, ok := strings.Cut(value, ":")
	outer, count, isRange := strings.Cut(rest, "+")
	if !isRange {
		count = "1"
	}
	var l uapi.IDRange
	for _, part := range []struct {
		of   *uint32
		text string
	}{{&l.Inner, inner}, {&l.Outer, outer}, {&l.Count, count}} {
		n, err := parseID(part.text)
		if !ok || err != nil {
			return fmt.Errorf("map=%s: "+form, value, uint64(maxID))
		}
		*part.of = n
	}
	switch {
	case l.Count == 0 || uint64(max(l.Inner, l.Outer))+uint64(l.Count) > maxID:
		return fmt.Errorf("map=%s: "+form, value, uint64(maxID))
	case a.Kind != step.Userns:
		return fmt.Errorf("map=%s: only a userns actor has an id map", value)
	}
	return addLine(a, "map="+value, l)
}

// addLine adds a line to an actor's id map.
func addLine(a *step.Actor, word string, l uapi.IDRange) error {
	n := len(a.Map.Lines())
	if n == len(a.Map) {
		return fmt.Errorf("%s: an id map has at most %d lines here", word, len(a.Map))
	}
	for _, o := range a.Map[:n] {
		if overlap(o.Inner, o.Count, l.Inner, l.Count) || overlap(o.Outer, o.Count, l.Outer, l.Count) {
			return fmt.Errorf("%s: an id is in two lines, and the kernel refuses such a map", word)
		}
	}
	a.Map[n] = l
	return nil
}

func overlap(a, n, b, m uint32) bool { return a < b+m && b < a+n }

// checkMap refuses an id map that the kernel would, and one without the actor itself.
func checkMap(a *step.Actor, above []step.Actor) error {
	if a.Kind != step.Userns || len(a.Map.Lines()) == 0 {
		return nil
	}
	if !a.Has(0) {
		return fmt.Errorf("no line map= has uid 0, which the actor is")
	}
	for _, l := range a.Map.Lines() {
		within := func(o uapi.IDRange) bool { return l.Outer >= o.Inner && l.Outer+l.Count <= o.Inner+o.Count }
		if a.Parent >= 0 && !slices.ContainsFunc(above[a.Parent].Lines(0), within) {
			return fmt.Errorf("map=%d:%d+%d: no line of the namespace above has all of these ids", l.Inner, l.Outer, l.Count)
		}
	}
	return nil
}

// maxID is the greatest uid that is one.
const maxID = 1<<32 - 1

func parseID(s string) (uint32, error) {
	n, err := parseNum(s)
	if err == nil && n >= maxID {
		err = fmt.Errorf("%s is no uid: want a number below %d", s, uint64(maxID))
	}
	return uint32(n), err
}

func notMapped(a *step.Actor, uid uint32) error {
	var has []string
	for _, l := range a.Lines(a.UID) {
		has = append(has, fmt.Sprintf("%d from %d on", l.Count, l.Inner))
	}
	return fmt.Errorf("uid %d is not mapped in the actor's user namespace, which maps %s: "+
		"a userns actor with uid=%d+65536 maps more", uid, strings.Join(has, ", "), a.UID)
}

// checkUID refuses a uid that the actor's user namespace does not map: the kernel would
// not let the actor have it.
func checkUID(a *step.Actor, s *step.Step) error {
	n, ok := s.Num(step.KeyAsUID)
	switch {
	case !ok:
		return nil
	case n >= maxID:
		return fmt.Errorf("%d is no uid: want a number below %d", n, uint64(maxID))
	case a.Kind != step.Init && !a.Has(uint32(n)):
		return notMapped(a, uint32(n))
	}
	return nil
}

// noRoot is SECBIT_NOROOT.
const noRoot = 1

// home is the actor whose namespaces another one is in.
func home(all []step.Actor, a *step.Actor) *step.Actor {
	for a.Kind != step.Userns && a.Parent >= 0 {
		a = &all[a.Parent]
	}
	return a
}

// has32 reports whether an actor's program has 32 bits: a child's is that of its parent.
func has32(all []step.Actor, a *step.Actor) bool {
	for a.Kind == step.Child && a.Parent >= 0 {
		a = &all[a.Parent]
	}
	return a.Compat
}

// checkActor refuses a step that the actor's namespaces or its program make impossible.
func checkActor(all []step.Actor, s *step.Step) error {
	a := &all[s.Actor]
	in := home(all, a)
	_, compat := s.Num(step.KeyCompat)
	switch {
	case has32(all, a) && (compat || s.Op == step.OpLibrary):
		return fmt.Errorf("actor %s is a program of 32 bits (%s): it makes each call as one, and has no library", a.Name,
			abiCompat)
	case s.Op == step.OpExec && a.Bits&noRoot != 0:
		return fmt.Errorf("actor %s has SECBIT_NOROOT: its program would start again without capabilities", a.Name)
	case s.Op == step.OpBPFFS && in.Mounts != step.MountsOwn:
		return fmt.Errorf("actor %s may not mount (mounts=%s): its fsopen gets EPERM; want the steps fsopen, fsconfig, ...",
			a.Name, mountNS[in.Mounts])
	case s.Op == step.OpPidfdGetfd && in.Apart&step.ApartPID != 0:
		return fmt.Errorf("actor %s is in a pid namespace, where other processes have no number", a.Name)
	case s.Op == step.OpExit && a.Apart&step.ApartPID != 0:
		return fmt.Errorf("actor %s is the first process of a pid namespace: its end would be that of all others there",
			a.Name)
	}
	return nil
}

// apartNeeds are what the actors' programs and namespaces need of the kernel.
func apartNeeds(all []step.Actor) []Need {
	var out []Need
	if slices.ContainsFunc(all, func(a step.Actor) bool { return a.Compat }) {
		out = append(out, Need{Kind: NeedCompat})
	}
	for _, w := range furtherNS {
		if slices.ContainsFunc(all, func(a step.Actor) bool { return a.Apart&w.is != 0 }) {
			out = append(out, Need{Kind: NeedConfig, Name: w.config})
		}
	}
	return out
}

func actorIndex(all []step.Actor, name string) int {
	return slices.IndexFunc(all, func(a step.Actor) bool { return a.Name == name })
}

package repro

import (
	"fmt"
	"slices"
	"strings"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// root is what C calls the process in the initial namespaces that delegates. The actors that are root there are the
// same process.
const root = "ROOT"

func isRoot(a *step.Actor) bool {
	return a.Kind == step.Init && a.UID == 0 && a.As == 0 && a.Parent < 0
}

// processes are what a program knows of its processes while its steps are written.
type processes struct {
	frame       frame
	out         *strings.Builder // of the process that makes the step
	rootSteps   strings.Builder
	childSteps  strings.Builder // of a pair
	locals      []string        // the variables of the function main
	childLocals []string
	inChild     bool
	forked      bool
	stopped     bool // the child waits for root

	bpffsInTurns bool
	usesPlaces   bool                 // a bpffs is mounted on a directory
	caps         map[bool]uapi.CapSet // the capabilities that the child, or root, has now
}

// chooseFrame finds how many processes the program needs besides root's.
func (w *writer) chooseFrame() {
	others, steps, rootActs, sends := 0, 0, false, false
	for i := range w.actors {
		if w.acts[i] && !isRoot(&w.actors[i]) {
			others++
			w.only = i
		}
	}
	each := func(s *step.Step) {
		rootActs = rootActs || w.isRoots(s)
		sends = sends || s.Op == step.OpSend
		_, mounts := s.Num(step.KeyAt)
		w.usesPlaces = w.usesPlaces || s.Op == step.OpBPFFS && mounts
		w.writesSysctl = w.writesSysctl || s.Op == step.OpSysctl
		w.sysctlFirst = w.sysctlFirst || s.Op == step.OpSysctl && steps == 0
		steps++
	}
	w.eachKept(w.c.World.Program.Setup, w.c.World.Info, each)
	w.eachKept(w.cell, w.cellInfo, each)
	w.out = &w.rootSteps
	w.caps = map[bool]uapi.CapSet{false: uapi.AllCaps, true: uapi.AllCaps}
	switch {
	case others > 1 || sends && others > 0:
		w.frame = turns
	case others == 1 && rootActs:
		w.frame = pair
	case others == 1:
		for _, l := range w.identity(&w.actors[w.only]) {
			w.add("\t%s", l)
		}
		w.add("")
		w.become(false)
	}
}

func (w *writer) eachKept(steps []step.Step, info []cases.StepInfo, do func(*step.Step)) {
	for i := range steps {
		if !w.leavesOut(&steps[i], &info[i]) {
			do(&steps[i])
		}
	}
}

// isRoots reports whether root has a part in a step.
func (w *writer) isRoots(s *step.Step) bool {
	return isRoot(&w.actors[s.Actor]) || s.Op == step.OpSysctl || s.Op == step.OpBPFFS
}

// child is the actor besides root.
func (w *writer) child() *step.Actor { return &w.actors[w.only] }

// become notes what changing the user does: no capability is effective then.
func (w *writer) become(child bool) {
	if a := w.child(); a.UID != 0 && a.Kind == step.Init || a.As != 0 {
		w.caps[child] = 0
	}
}

// enter has the process write that makes what comes next. Of a pair, the other waits until then.
func (w *writer) enter(child bool) {
	if w.frame != pair || child == w.inChild {
		return
	}
	w.inChild = child
	switch {
	case !child:
		w.add("\traise(SIGSTOP);\t/* root goes on */")
		w.out = &w.rootSteps
		if w.stopped {
			w.add("\tkill(pid, SIGCONT);")
		}
		w.local("int status;")
		w.add("\twaitpid(pid, &status, WUNTRACED);\t/* it has stopped */")
		w.stopped = true
	case !w.forked:
		w.forked = true
		w.local("pid_t pid;")
		w.startChild()
		w.out = &w.childSteps
		for _, l := range w.identity(w.child()) {
			w.add("\t%s", l)
		}
		w.add("")
		w.become(true)
	default:
		w.out = &w.childSteps
	}
}

// startChild starts the process besides root's. It shares the descriptors.
func (w *writer) startChild() {
	if w.kselftest == nil {
		w.local("char stack[1 << 18];")
		w.add("\tpid = clone(as_%s, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);",
			identifier(w.child().Name))
		w.add("\tif (pid < 0)\n\t\terr(4, \"clone\");")
		return
	}
	w.use("fork_files")
	variant := ""
	if !w.c.Scenario() {
		variant = ", variant"
	}
	w.add("\tpid = fork_files();\n\tif (!pid) {\n\t\tas_%s(_metadata%s);\n\t\t_exit(0);\n\t}",
		identifier(w.child().Name), variant)
}

// startTurn begins what an actor does in its turn; endTurn ends it.
func (w *writer) startTurn(actor string, caps uapi.CapSet) {
	w.use("turn")
	w.add("\tif (turn(%s, %s)) {", actor, w.capsOf(caps))
}

func (w *writer) endTurn() { w.add("\t\tdone();\n\t}") }

func (w *writer) childLocal(declaration string) {
	if !slices.Contains(w.childLocals, declaration) {
		w.childLocals = append(w.childLocals, declaration)
	}
}

// has gives the process that writes exactly these capabilities.
func (w *writer) has(caps uapi.CapSet) {
	if w.isCell() {
		w.use("set_caps")
		w.kselftest.set("caps", w.capsOf(caps))
		w.add("\tset_caps(variant->caps);")
		return
	}
	if w.caps[w.inChild] != caps {
		w.use("set_caps")
		w.add("\tset_caps(%s);", w.capsOf(caps))
		w.caps[w.inChild] = caps
	}
}

// holding is a descriptor of an actor.
type holding struct {
	actor  uint64
	handle step.Handle
}

// variable is the name of a descriptor of an actor. The processes share descriptors, so that each actor has a name of
// its own.
func (w *writer) variable(h holding, name string) string {
	if old, ok := w.names[h]; ok {
		return w.prefix() + old
	}
	v := identifier(name) + "_fd"
	if w.frame == turns { // they are members of fd
		v = identifier(name)
	}
	if slices.Contains(keywords, v) {
		v += "_"
	}
	for other, taken := range w.names {
		if taken == v && other.actor != h.actor {
			v = identifier(w.actors[h.actor].Name) + "_" + v
			break
		}
	}
	w.names[h] = v
	return w.prefix() + v
}

// keywords are the words of C that are no names.
var keywords = strings.Fields(`auto break case char const continue default do double else enum extern float for goto
	if inline int long register restrict return short signed sizeof static struct switch typedef union unsigned void
	volatile while asm typeof`)

// prefix is where variables of descriptors are.
func (w *writer) prefix() string {
	if w.frame == turns {
		return "fd->"
	}
	return ""
}

// keeps is the variable for the descriptor that the step makes, "" if it makes none.
func (w *writer) keeps() string {
	if w.st.Out == 0 || w.want != "0" {
		return ""
	}
	h := holding{uint64(w.st.Actor), w.st.Out}
	w.held[h] = true
	return w.variable(h, w.info.Out)
}

// fd is the descriptor that an argument names, as C.
func (w *writer) fd(k step.Key) string {
	n, _ := w.st.Num(k)
	return w.fdOf(step.Handle(n))
}

// fdOf is a descriptor of the step's actor, as C.
func (w *writer) fdOf(of step.Handle) string {
	if h := (holding{uint64(w.st.Actor), of}); w.held[h] {
		return w.variable(h, "")
	}
	return "-1"
}

// checked is a call with the errno that it must give.
func (w *writer) checked(in, keeps, call string) string {
	w.number++
	if keeps != "" {
		call = keeps + " = " + call
	}
	if w.kselftest != nil {
		return w.expected(in, call)
	}
	w.useCheck()
	return fill(in, fmt.Sprintf("check(%d, %s, %q,\n%s);", w.number, w.want, w.info.Text, call))
}

func (w *writer) useCheck() {
	if w.frame == turns {
		w.use("check in turns")
	} else {
		w.use("check")
	}
}

// step writes a step of the actor: the call, and statements before and after it.
func (w *writer) step(before []string, call string, after ...string) {
	if w.frame == turns {
		w.stepInTurns(w.actor(uint64(w.st.Actor)), w.st.Caps, before, call, after)
		return
	}
	w.enter(!isRoot(&w.actors[w.st.Actor]))
	w.has(w.st.Caps)
	for _, b := range before {
		w.add("%s", fill("\t", b+";"))
	}
	w.add("%s", w.checked("\t", w.keeps(), call))
	for _, a := range after {
		w.add("%s", fill("\t", a+";"))
	}
}

// stepInTurns writes a step of a process in its turn. One with an unknown answer has no place in a STEP of a test.
func (w *writer) stepInTurns(actor string, has uapi.CapSet, before []string, call string, after []string) {
	caps := w.capsOf(has)
	if w.isCell() {
		w.kselftest.set("caps", caps)
		caps = "variant->caps"
	}
	if len(before)+len(after) > 0 || w.kselftest != nil && w.want == "-1" {
		w.use("turn")
		w.add("\tif (turn(%s, %s)) {", actor, caps)
		for _, b := range before {
			w.add("%s", fill("\t\t", b+";"))
		}
		w.add("%s", w.checked("\t\t", w.keeps(), call))
		for _, a := range after {
			w.add("%s", fill("\t\t", a+";"))
		}
		w.endTurn()
		return
	}
	if keeps := w.keeps(); keeps != "" {
		call = keeps + " = " + call
	}
	w.number++
	if w.kselftest != nil {
		w.use("STEP of a test", "errno_of")
		want, text := w.variantErrno()
		w.add("%s", fill("\t", fmt.Sprintf("STEP(%s, %s, %s, %q,\n%s);", actor, caps, want, text, call)))
		return
	}
	w.use("STEP")
	w.useCheck()
	w.add("%s", fill("\t", fmt.Sprintf("STEP(%d, %s, %s, %s, %q,\n%s);", w.number, actor, caps, w.want, w.info.Text,
		call)))
}

// newCaps are those that old headers lack.
var newCaps = []uapi.Cap{uapi.CAP_PERFMON, uapi.CAP_BPF}

// capsOf writes a set of capabilities as C.
func (w *writer) capsOf(s uapi.CapSet) string {
	const unknown = 1 << 63 // set in "all", or all but some
	switch {
	case s == 0:
		return "0"
	case s == uapi.AllCaps:
		w.use("ALL_CAPS")
		return "ALL_CAPS"
	case s&unknown != 0:
		w.use("ALL_CAPS")
		return "ALL_CAPS & ~(" + w.capsOf(^s) + ")"
	}
	w.use("CAP")
	var out []string
	for c := uapi.Cap(0); c < 63; c++ {
		if s.Has(c) {
			if slices.Contains(newCaps, c) {
				w.define(c.String(), fmt.Sprint(uint(c)))
			}
			out = append(out, "CAP("+strings.TrimPrefix(c.String(), "CAP_")+")")
		}
	}
	return strings.Join(out, " | ")
}

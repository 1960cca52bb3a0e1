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
	stopped     bool                 // the child waits for root
	fsInTurns   bool                 // a bpffs is made in turns
	caps        map[bool]uapi.CapSet // the capabilities that the child, or root, has now
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
		w.become(true)
	default:
		w.out = &w.childSteps
	}
}

// startChild starts the process besides root's. It shares the descriptors.
func (w *writer) startChild() {
	if w.kselftest == nil {
		w.local("static char stack[1 << 16];")
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
	for other, taken := range w.names {
		if taken == v && other.actor != h.actor {
			v = identifier(w.actors[h.actor].Name) + "_" + v
			break
		}
	}
	w.names[h] = v
	return w.prefix() + v
}

// prefix is where variables of descriptors are.
func (w *writer) prefix() string {
	if w.frame == turns {
		return "shared->"
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
	h := holding{uint64(w.st.Actor), step.Handle(n)}
	if w.held[h] {
		return w.variable(h, "")
	}
	return "-1"
}

// columns is how long a line of C is.
const columns = 80

// checked is a call with the errno that it must give.
func (w *writer) checked(in, keeps, call string) string {
	w.number++
	if w.kselftest != nil {
		if keeps != "" {
			call = keeps + " = " + call
		}
		text := w.expected(in, call)
		if w.frame == turns {
			text += "\n" + in + "done();"
		}
		return text
	}
	if keeps != "" {
		keeps += " = "
	}
	if w.frame == turns {
		w.use("check in turns")
	} else {
		w.use("check")
	}
	head := fmt.Sprintf("%scheck(%d, %s, %s,", keeps, w.number, call, w.want)
	if tail := fmt.Sprintf(" %q);", w.info.Text); 8*len(in)+len(head)+len(tail) <= columns {
		return in + head + tail
	}
	return fmt.Sprintf("%s%s\n%s      %q);", in, head, in, w.info.Text)
}

// step writes a step of the actor: declarations, other lines, and the call.
func (w *writer) step(declared, before []string, call string, after ...string) {
	head, in := "", "\t"
	w.add("")
	if w.frame == turns {
		w.use("turn")
		caps := w.capsOf(w.st.Caps)
		if w.isCell() {
			w.kselftest.set("caps", caps)
			caps = "variant->caps"
		}
		head = fmt.Sprintf("if (turn(%s, %s)) ", w.actor(uint64(w.st.Actor)), caps)
	} else {
		w.enter(!isRoot(&w.actors[w.st.Actor]))
		w.has(w.st.Caps)
	}
	block := len(declared) > 0 || head != "" && (w.kselftest != nil || len(before)+len(after) > 0)
	switch {
	case block:
		w.add("\t%s{", head)
	case head != "":
		w.add("\t%s", strings.TrimSuffix(head, " "))
	}
	if block || head != "" {
		in = "\t\t"
	}
	if len(declared) > 0 {
		w.add("%s\n", strings.Join(declared, "\n"))
	}
	for _, b := range before {
		w.add("%s%s", in, b)
	}
	w.add("%s", w.checked(in, w.keeps(), call))
	for _, a := range after {
		w.add("%s%s", in, a)
	}
	if block {
		w.add("\t}")
	}
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

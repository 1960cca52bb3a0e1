package report

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// KTAP renders a run in the kernel's test protocol, version 1: a test for each
// kernel, under it one for each file of cases, under that the cases of a matrix. Each
// block of subtests says the name of its test first.
//
// Some parsers, such as kunit.py, count only leaves. So each cause of a kernel that is not ok
// has its own leaf, also a machine that did not end well.
func KTAP(r *result.Run, w io.Writer, _ Options) error {
	k := &ktap{w: bufio.NewWriter(w)}
	k.run(r)
	return flush(k.w)
}

// ktap writes blocks of the protocol and counts the leaves.
type ktap struct {
	w     *bufio.Writer
	depth int
	pass  int
	fail  int
	skip  int
	xfail int // known defects, and cases that a list expects to fail
	err   int

	accels []string // that were explained
}

func (k *ktap) run(r *result.Run) {
	list := kernels(r)
	if r.Idle() {
		k.line("KTAP version 1")
		k.line("1..0 # SKIP part %s: %s", r.Part, result.NothingToDo)
		return
	}
	if len(list) == 0 {
		k.line("KTAP version 1")
	} else {
		k.open("", len(list))
	}
	for i, kr := range list {
		var whole []leaf
		if i == len(list)-1 {
			whole = leaves(r)
		}
		k.kernel(i+1, kr, whole)
	}
	k.line("# Totals: pass:%d fail:%d xfail:%d xpass:0 skip:%d error:%d", k.pass, k.fail, k.xfail, k.skip, k.err)
	for _, text := range warnings(r) {
		k.diagnostic("warning", text)
	}
	if why := bail(r, list); why != "" {
		k.line("Bail out! %s", clean(why))
	}
}

// bail writes why a run is incomplete. A run without any case must never look like a pass.
func bail(r *result.Run, list []*run) string {
	why := ""
	for _, k := range list {
		switch {
		case k.Len() > 0 && r.Interrupted:
			return clean(r.Incomplete())
		case k.Len() > 0 && len(r.Missing) > 0:
			return "missing part " + strings.Join(r.Missing, "; ")
		case k.Len() > 0 && len(r.Gaps()) > 0:
			return strings.Join(r.Gaps(), "; ")
		case k.Len() > 0:
			return ""
		case why == "":
			why = "no case ran: " + k.name() + " " + k.untried()
		}
	}
	if why == "" {
		why = "no kernel was tried"
	}
	if r.Interrupted {
		why += "; " + r.Incomplete()
	}
	return why
}

// leaf is a test for a fault of a whole run or kernel.
type leaf struct {
	name, directive string
	lines           []string
}

// about names what the leaf's lines are about.
func (l *leaf) about() string {
	if l.name == runLeaf {
		return runLeaf
	}
	return "records"
}

// runLeaf is the leaf of a run that was cut short.
const runLeaf = "run"

// leaves returns the leaves of the run.
func leaves(r *result.Run) []leaf {
	var out []leaf
	if r.Interrupted {
		out = append(out, leaf{runLeaf, "ERROR " + r.Stopped.Word(), []string{cutShort(r)}})
	}
	if len(r.Damage) > 0 {
		l := leaf{name: "records", directive: "ERROR damaged"}
		for i := range r.Damage {
			l.lines = append(l.lines, r.Damage[i].String())
		}
		out = append(out, l)
	}
	return out
}

// kernel writes a kernel's block with the faults of the whole kernel, and its result. The
// last kernel's block also has the faults of the run.
func (k *ktap) kernel(number int, kr *run, whole []leaf) {
	ok := kr.verdict() == result.ExitOK && len(whole) == 0
	if lack := kr.Lack(); lack != "" {
		whole = append([]leaf{{"cases", "ERROR missing", []string{lack}}}, whole...)
	}
	groups := byGroup(kr.All())
	for _, g := range groups {
		g.leaveOut()
	}
	groups = slices.DeleteFunc(groups, func(g *group) bool { return len(g.cases) == 0 })
	var troubles []*result.Boot
	for i := range kr.Boots {
		if bad(&kr.Boots[i]) {
			troubles = append(troubles, &kr.Boots[i])
		}
	}
	n := len(groups) + len(troubles) + len(whole)
	undecided := kr.undecided()
	if undecided != "" {
		n++
	}
	k.depth++
	if n > 0 {
		k.open(kr.name(), n)
	}
	n = 0
	for _, g := range groups {
		n++
		k.group(n, kr, g)
	}
	for _, b := range troubles {
		n++
		k.machine(n, kr, b)
	}
	if undecided != "" {
		n++
		k.err++
		k.result(false, n, "decided", "ERROR "+undecided)
	}
	for _, l := range whole {
		n++
		k.err++
		for _, line := range l.lines {
			k.diagnostic(l.about(), line)
		}
		k.result(false, n, l.name, l.directive)
	}
	k.depth--
	k.about(kr)
	k.result(ok, number, kr.name(), k.directive(kr, n))
}

// directive marks a kernel that was not tried, which is then a leaf, and a kernel whose cases
// were all skipped.
func (k *ktap) directive(kr *run, subtests int) string {
	if kr.untried() != "" {
		if subtests == 0 {
			k.err++
		}
		return "ERROR not tried"
	}
	if why := kr.undecided(); why != "" {
		return "ERROR " + why
	}
	return allSkipped(kr.Counts())
}

// allSkipped marks a parent of which no child ran, as ktap.rst requires: without the mark it
// would count as a pass.
func allSkipped(n map[result.Status]int) string {
	if n[result.Pass]+n[result.Fail]+n[result.Broken]+n[result.XFail]+n[result.Interrupted] > 0 {
		return ""
	}
	if n[result.Skip] == 1 {
		return "SKIP its only case"
	}
	return fmt.Sprintf("SKIP all %d cases", n[result.Skip])
}

// about writes what is known about the whole kernel.
func (k *ktap) about(kr *run) {
	for _, f := range [][2]string{
		{"release", kr.Release}, {"source", kr.Source}, {"sha256", kr.Digest}, {"accelerator", k.accelerator(kr)},
		{"note", kr.Note}, {"drift", drift(kr.KernelRun)},
	} {
		if f[1] != "" {
			k.diagnostic(f[0], f[1])
		}
	}
	if why := kr.untried(); why != "" {
		k.diagnostic("error", why)
		return
	}
	k.diagnostic("cases", tally(kr.Counts()))
}

// accelerator is a kernel's accelerator, with the reason if no kernel before it has the same.
func (k *ktap) accelerator(kr *run) string {
	if slices.Contains(k.accels, kr.Accel) {
		return kr.AccelName
	}
	k.accels = append(k.accels, kr.Accel)
	return kr.Accel
}

// machine writes a machine that did not end well as a failed test.
func (k *ktap) machine(number int, kr *run, b *result.Boot) {
	k.diagnostic(string(b.Fate), b.Reason)
	k.fields(kr.trouble(b))
	name := "machine " + clean(b.Dir)
	switch b.Fate {
	case vm.Clean, vm.Tainted, vm.Panicked, vm.Hung:
		k.fail++
		k.result(false, number, name, "")
	case vm.Lost, vm.Unbooted, vm.Infra:
		k.err++
		k.result(false, number, name, "ERROR "+string(b.Fate))
	}
}

// group is the cases with the same first element of their names.
type group struct {
	name  string
	cases []*result.CaseResult
}

// leaveOut takes out the cases that did not run because of an interruption: the run's own leaf says how many there are.
func (g *group) leaveOut() {
	g.cases = slices.DeleteFunc(g.cases, func(c *result.CaseResult) bool { return c.Status == result.Interrupted })
}

// byGroup keeps the order in which groups and cases first ran.
func byGroup(all iter.Seq[*result.CaseResult]) []*group {
	var out []*group
	known := map[string]*group{}
	for c := range all {
		name, _, _ := strings.Cut(c.ID, "/")
		g := known[name]
		if g == nil {
			g = &group{name: name}
			known[name] = g
			out = append(out, g)
		}
		g.cases = append(g.cases, c)
	}
	return out
}

// scenario reports whether a group is one case with the name of the group. It has no block:
// kunit.py takes a subtest with the name of its parent for the end of the parent.
func (g *group) scenario() bool { return len(g.cases) == 1 && g.cases[0].ID == g.name }

// group writes a group's block and its result, or the only case of a scenario.
func (k *ktap) group(number int, kr *run, g *group) {
	if g.scenario() {
		k.testcase(number, kr, g.cases[0])
		return
	}
	n := map[result.Status]int{}
	k.depth++
	k.open(g.name, len(g.cases))
	for i, c := range g.cases {
		n[c.Status]++
		k.testcase(i+1, kr, c)
	}
	k.depth--
	k.result(n[result.Fail]+n[result.Broken] == 0, number, g.name, allSkipped(n))
}

// testcase writes a case; a failed one is preceded by its details.
func (k *ktap) testcase(number int, kr *run, c *result.CaseResult) {
	for _, s := range c.Unjudged() {
		if c.Status != result.Skip {
			k.diagnostic(string(s.Unknown), unjudged(s))
		}
	}
	switch c.Status {
	case result.Pass:
		if c.Cause.Kind != "" { // a known defect
			k.xfail++
			k.result(true, number, c.ID, "XFAIL "+c.Reason)
			return
		}
		k.pass++
		k.result(true, number, c.ID, "")
	case result.Skip:
		k.skip++
		k.result(true, number, c.ID, "SKIP "+c.Reason)
	case result.XFail:
		k.xfail++
		k.result(true, number, c.ID, "XFAIL "+c.Reason)
	case result.Fail:
		k.fields(kr.details(c))
		if c.Fault != result.KernelWrong {
			k.err++
			k.result(false, number, c.ID, "ERROR "+string(c.Fault))
			return
		}
		k.fail++
		k.result(false, number, c.ID, "")
	case result.Interrupted: // leaveOut took it out
	case result.Broken:
		k.err++
		k.diagnostic("broken", c.Reason)
		k.fields(kr.details(c))
		k.result(false, number, c.ID, "ERROR broken")
	}
}

// open begins a block of the n subtests of a test; the outermost block has no name.
func (k *ktap) open(name string, n int) {
	k.line("KTAP version 1")
	if name != "" {
		k.line("# Subtest: %s", testName(name))
	}
	k.line("1..%d", n)
}

// testName is a name without the # that begins a directive. It is the same in the head of a
// block and in the result line: kunit.py compares them.
func testName(name string) string {
	return strings.TrimSpace(strings.ReplaceAll(clean(name), "#", "@"))
}

// result writes a test's result line. It replaces # in the name and in the directive, because
// # begins the directive.
func (k *ktap) result(ok bool, number int, name, directive string) {
	word := "ok"
	if !ok {
		word = "not ok"
	}
	name = testName(name)
	if directive != "" {
		name += " # " + strings.TrimSpace(strings.ReplaceAll(clean(directive), "#", "@"))
	}
	k.indent()
	k.w.WriteString(word)
	k.w.WriteByte(' ')
	k.w.Write(strconv.AppendInt(k.w.AvailableBuffer(), int64(number), 10))
	k.w.WriteByte(' ')
	k.w.WriteString(name)
	k.w.WriteByte('\n')
}

func (k *ktap) fields(list []field) {
	for _, f := range list {
		k.diagnostic(f.label, f.text())
	}
}

// harmless changes the phrases at which kunit.py stops reading, which it takes for the
// kernel's last lines.
var harmless = strings.NewReplacer(
	"List of all partitions:", "List of all partitions :",
	"Kernel panic - not syncing: VFS:", "Kernel panic - not syncing: VFS :",
	"reboot: System halted", "reboot : System halted",
)

// diagnostic writes a line about the test whose result follows.
func (k *ktap) diagnostic(label, text string) {
	k.line("# %s: %s", label, harmless.Replace(clean(text)))
}

func (k *ktap) indent() {
	for range k.depth {
		k.w.WriteString("  ")
	}
}

func (k *ktap) line(format string, args ...any) {
	k.indent()
	fmt.Fprintf(k.w, format+"\n", args...)
}

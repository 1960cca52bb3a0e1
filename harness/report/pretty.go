package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokentest/harness/count"
	"tokentest/harness/result"
	"tokentest/harness/shell"
	"tokentest/harness/vm"
)

// Limits that keep pretty to a few screens. The other formats contain everything.
const (
	maxCauses = 12 // paragraphs of one status on one kernel
	maxSkips  = 4  // reasons to skip
)

// Pretty renders a run for a terminal: the worst kernel and the worst case first, and one
// paragraph for all cases with the same cause.
func Pretty(r *result.Run, w io.Writer, o Options) error {
	p := &pretty{textWriter{bufio.NewWriter(w), cmp.Or(o.Width, 80), o.Color}}
	list := kernels(r)
	slices.SortStableFunc(list, func(a, b *run) int { return a.badness() - b.badness() })
	for i, k := range list {
		if i > 0 {
			p.blank()
		}
		p.kernel(k)
	}
	p.grid(r)
	p.accelerators(r)
	p.end(r)
	return flush(p.w)
}

// accelerators says, once for all kernels, why machines ran under the accelerator that they
// had, unless the user chose it.
func (p *pretty) accelerators(r *result.Run) {
	var told []string
	for _, k := range r.Kernels {
		if k.AccelName != string(vm.TCG) || k.Accel == forcedTCG || slices.Contains(told, k.Accel) {
			continue
		}
		told = append(told, k.Accel)
		why := textField("", oneLine(k.Accel, program(r)))
		p.para("", plain, 2, why.words, "")
	}
}

// mostOfAccel is the length of an accelerator's reason that fits in a line.
const mostOfAccel = 78

// oneLine shortens a reason that quotes QEMU: the same words at the end of each report are no news.
func oneLine(why, program string) string {
	if len(why) <= mostOfAccel {
		return why
	}
	if i := strings.LastIndex(why[:mostOfAccel/2+20], ": "); i > 0 {
		return why[:i] + "; " + program + " doctor says why"
	}
	return why
}

// forcedTCG is the accelerator of a kernel for which the user chose it.
const forcedTCG = string(vm.TCG) + ": forced"

// badness orders kernels: those that fail, those with wrong expectations, those without a
// verdict, the rest.
func (k *run) badness() int {
	return slices.Index([]int{result.ExitDiffers, result.ExitUsage, result.ExitNoVerdict, result.ExitOK}, k.verdict())
}

// pretty writes the paragraphs of the terminal format.
type pretty struct{ textWriter }

// kernel writes the results of one kernel: failures, broken cases, machines, skips, and the
// totals.
func (p *pretty) kernel(k *run) {
	p.header(k)
	p.causes(k, result.Fail, "FAIL", red)
	p.causes(k, result.Broken, "BROKEN", yellow)
	for i := range k.Boots {
		if bad(&k.Boots[i]) {
			p.machine(k, i)
		}
	}
	p.skips(k)
	p.known(k)
	p.expected(k)
	p.unjudged(k)
	p.summary(k)
}

// header names the kernel, its release, and the accelerator.
func (p *pretty) header(k *run) {
	name, how := k.name(), k.Release
	if how != "" && k.AccelName != "" {
		how += ", "
	}
	if how += k.AccelName; how != "" {
		name += ": "
	}
	p.head("kernel", bold, name+how)
	if k.Note != "" {
		p.head("note:", bold, k.Note)
	}
	if d := drift(k.KernelRun); d != "" {
		p.head("drift:", bold, d)
	}
}

// cause is why some cases did not pass.
type cause struct {
	example *result.CaseResult // the smallest
	count   int
	gots    []string       // the results, in the order of their first cases
	got     map[string]int // how often each
	common  common
}

// add adds a case.
func (g *cause) add(c *result.CaseResult) {
	g.count++
	if size(c, g.example) < 0 {
		g.example = c
	}
	if s := c.Decisive(); s != nil {
		text := got(s)
		if g.got[text]++; g.got[text] == 1 {
			g.gots = append(g.gots, text)
		}
	}
	g.common.add(c.ID)
}

// common is the elements that names have in common, * where they differ.
type common struct {
	n     int
	parts []string // nil if the names have different lengths or groups
}

func (g *common) add(id string) {
	parts := strings.Split(id, "/")
	g.n++
	switch {
	case g.n == 1:
		g.parts = parts
	case len(parts) != len(g.parts) || parts[0] != g.parts[0]:
		g.parts = nil
	default:
		for i, p := range parts {
			if p != g.parts[i] {
				g.parts[i] = "*"
			}
		}
	}
}

// pattern is a pattern that matches all the names, or "" for one name, or if the pattern would
// match a whole group.
func (g *common) pattern() string {
	if g.n < 2 || !slices.ContainsFunc(g.parts[min(1, len(g.parts)):], func(p string) bool { return p != "*" }) {
		return ""
	}
	return strings.Join(g.parts, "/")
}

// Pattern returns a pattern that matches all the names of cases, or "" for one name, or if the
// pattern would match a whole group.
func Pattern(ids []string) string {
	var g common
	for _, id := range ids {
		g.add(id)
	}
	return g.pattern()
}

// pattern is a pattern that matches all the cases of the cause.
func (g *cause) pattern() string { return g.common.pattern() }

// causes writes a paragraph for each cause of a status.
func (p *pretty) causes(k *run, status result.Status, word string, s style) {
	list := byCause(k.Those(status))
	for _, c := range list[:min(maxCauses, len(list))] {
		p.blank()
		p.head(word, s, headline(c))
		p.example(k, c)
	}
	if rest := list[min(maxCauses, len(list)):]; len(rest) > 0 {
		p.blank()
		p.head(word, s, fmt.Sprintf("%s for %s; --format ktap lists them", Count(total(rest), "case"),
			Count(len(rest), "other reason")))
	}
}

// Causes returns a case for each cause for which a kernel differs from the rules, the smallest one.
func Causes(k *result.KernelRun) (ids []string) {
	for _, c := range byCause(k.Those(result.Fail)) {
		if len(ids) < maxCauses && c.example.Decisive() != nil {
			ids = append(ids, c.example.ID)
		}
	}
	return ids
}

// byCause groups cases that did not pass: first those that are the kernel's fault, then the
// largest groups.
func byCause(list iter.Seq[*result.CaseResult]) []*cause {
	known := map[string]*cause{}
	var out []*cause
	for c := range list {
		key := causeKey(c)
		g := known[key]
		if g == nil {
			g = &cause{example: c, got: map[string]int{}}
			known[key] = g
			out = append(out, g)
		}
		g.add(c)
	}
	slices.SortStableFunc(out, func(a, b *cause) int {
		return cmp.Or(strings.Compare(string(a.example.Fault), string(b.example.Fault)), b.count-a.count,
			strings.Compare(a.example.ID, b.example.ID))
	})
	return out
}

// size orders cases by the length of their description.
func size(a, b *result.CaseResult) int {
	return cmp.Or(len(a.Steps)-len(b.Steps), len(a.ID)-len(b.ID), strings.Compare(a.ID, b.ID))
}

// causeKey is equal for cases with the same cause: the same rule must decide. The kernel's
// result then depends on the rules after it.
func causeKey(c *result.CaseResult) string {
	if s := c.Decisive(); s != nil {
		if s.ID == "" || s.Want == nil || shows(s) {
			return fmt.Sprintf("%q %q %s %s %t%s", cmp.Or(s.ID, s.Rule), s.Func, want(s), s.Got.Errno, shows(s), s.Fault)
		}
		return fmt.Sprintf("%q %q %s %d%s", s.ID, s.Func, want(s), s.Got.Proof, s.Fault)
	}
	return fmt.Sprintf("%+v", c.Group())
}

// total counts the cases of all causes.
func total(list []*cause) int {
	n := 0
	for _, c := range list {
		n += c.count
	}
	return n
}

// Count returns a number with its noun: "1 case", "2 cases".
func Count(n int, noun string) string { return count.Of(n, noun) }

// headline is one line with the number of cases and the cause.
func headline(c *cause) string {
	n := Count(c.count, "case")
	return fmt.Sprintf("%s: %s", n, c.why())
}

// why describes the cause.
func (g *cause) why() string {
	if s := g.example.Decisive(); s != nil {
		return mismatch(s, g.answers(s))
	}
	return g.example.Why()
}

// answers returns the results of a cause's cases instead of the one that s expects.
func (g *cause) answers(s *result.StepResult) string {
	if len(g.gots) < 2 {
		return got(s)
	}
	var out []string
	for _, text := range g.gots {
		out = append(out, fmt.Sprintf("%s (%d)", text, g.got[text]))
	}
	return strings.Join(out, " or ")
}

// example writes the details of a cause's smallest case.
func (p *pretty) example(k *run, c *cause) {
	label := "case"
	if c.count > 1 {
		label = "example"
	}
	p.field(field{label: label, words: []string{clean(c.example.ID)}})
	if all := c.pattern(); all != "" {
		p.field(field{label: "within", words: []string{clean(all)}})
	}
	if by := c.example.Cause.Control; by != "" {
		p.field(textField("control", by))
	}
	for _, f := range k.details(c.example) {
		switch f.label {
		case "reason", "expected", "got", "fault": // in the headline
		default:
			p.field(f)
		}
	}
}

// machine writes a paragraph about a machine that did not end well.
func (p *pretty) machine(k *run, i int) {
	b := &k.Boots[i]
	p.blank()
	p.head(strings.ToUpper(string(b.Fate)), fateStyle(b.Fate),
		fmt.Sprintf("machine %d of %d: %s", i+1, len(k.Boots), b.Reason))
	for _, f := range k.trouble(b) {
		p.field(f)
	}
}

// fateStyle is red if the kernel is at fault.
func fateStyle(f vm.Fate) style {
	switch f {
	case vm.Clean:
		return plain
	case vm.Tainted, vm.Panicked, vm.Hung:
		return red
	case vm.Lost, vm.Unbooted, vm.Infra:
		return purple
	}
	return red
}

// skips writes the reasons of skips, the most frequent first.
func (p *pretty) skips(k *run) {
	list := byCause(k.Those(result.Skip))
	if k.hasTrouble() && len(list) > 0 {
		p.blank()
	}
	shown := len(list)
	if shown > maxSkips {
		shown = maxSkips - 1
	}
	for _, c := range list[:shown] {
		p.head("skip", dim, fmt.Sprintf("%d: %s", c.count, c.example.Reason))
	}
	if rest := list[shown:]; len(rest) > 0 {
		p.head("skip", dim, fmt.Sprintf("%d: %s; --format ktap lists them", total(rest), Count(len(rest), "other reason")))
	}
}

// known writes the known defects that the run reproduced.
func (p *pretty) known(k *run) {
	for c := range k.Where(func(c *result.CaseResult) bool { return c.Status == result.Pass && c.Cause.Kind != "" }) {
		p.head("known", dim, fmt.Sprintf("%s: %s", c.ID, c.Why()))
	}
}

// expected writes the failures that a list expects.
func (p *pretty) expected(k *run) {
	for _, c := range byCause(k.Those(result.XFail)) {
		p.head("xfail", dim, fmt.Sprintf("%d: %s", c.count, c.example.Reason))
	}
}

// hasTrouble reports whether there is a paragraph between the header and the skips.
func (k *run) hasTrouble() bool {
	n := k.Counts()
	return n[result.Fail]+n[result.Broken] > 0 || slices.ContainsFunc(k.Boots, func(b result.Boot) bool { return bad(&b) })
}

// summary is one line: the counts of the cases, and the times.
func (p *pretty) summary(k *run) {
	if k.hasTrouble() {
		p.blank()
	}
	if why := k.untried(); why != "" {
		p.head("ERROR", red, why)
		return
	}
	s := map[int]style{result.ExitOK: green, result.ExitDiffers: red, result.ExitUsage: red,
		result.ExitNoVerdict: yellow}[k.verdict()]
	words := append(strings.Fields(tally(k.Counts())), times(k)...)
	p.para(words[0]+" ", s, 2, words[1:], "")
	if why := k.undecided(); why != "" {
		p.head("NO VERDICT", yellow, why)
	}
}

// times returns the times of the machines, as words that must not be split.
func times(k *run) []string {
	var boot, all time.Duration
	for _, b := range k.Boots {
		boot, all = boot+b.Boot, all+b.Total
	}
	if all == 0 {
		return nil
	}
	out := []string{"in " + seconds(cmp.Or(k.Took, all)), fmt.Sprintf("(%s %s,", beginning(k.Boots), seconds(boot)),
		fmt.Sprintf("decide %s)", seconds(k.Decide))}
	if n := len(k.Boots); n > 1 {
		out[0] += fmt.Sprintf(" on %d machines", n)
	}
	return out
}

// beginning names how machines began, if all began in the same way.
func beginning(boots []result.Boot) string {
	how := boots[0].Began
	for _, b := range boots {
		if b.Began != how {
			how = ""
		}
	}
	switch how {
	case "":
		return "boot"
	case result.Restored:
		return result.Restored
	}
	return how + " boot"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// end writes what is known about the whole run.
func (p *pretty) end(r *result.Run) {
	if len(r.Kernels) > 1 {
		p.sum(r)
	}
	p.whole(r)
	if r.Dir != "" {
		p.para("results in ", plain, 2, []string{clean(near(r.Dir))}, "")
	}
	for _, dir := range r.Resume {
		line := "to continue: " + program(r) + " run --resume " + shell.Quote(dir)
		p.para("", plain, 2, []string{line}, "") // one word, so that it stays on one line and can be copied
	}
}

// near is the shorter name of a directory that is below the working directory.
func near(dir string) string {
	here, err := os.Getwd()
	if err != nil {
		return dir
	}
	if rel, err := filepath.Rel(here, dir); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return dir
}

// whole writes which kernels and parts have no result.
func (p *pretty) whole(r *result.Run) {
	switch {
	case r.Idle():
		p.head("part "+r.Part.String(), plain, result.NothingToDo)
	case r.Part != nil:
		p.head("part "+r.Part.String(), plain, "the other parts have the other cases; report merges them")
	case len(r.Kernels) == 0:
		p.head("ERROR", red, "no kernel was tried")
	}
	if why := cutShort(r); why != "" {
		p.head(strings.ToUpper(r.Stopped.Word()), yellow, why)
	}
	for _, part := range r.Missing {
		p.head("MISSING", yellow, "part "+part)
	}
	for _, k := range r.Kernels {
		if lack := k.Lack(); lack != "" {
			p.head("MISSING", yellow, "kernel "+k.Ref+": "+lack)
		}
	}
	for _, d := range r.Damages() {
		p.head("DAMAGED", yellow, d)
	}
	for _, text := range warnings(r) {
		p.head("warning:", yellow, text)
	}
}

// sum writes the totals of all kernels.
func (p *pretty) sum(r *result.Run) {
	n := map[result.Status]int{}
	for _, k := range r.Kernels {
		for s, i := range k.Counts() {
			n[s] += i
		}
	}
	text := fmt.Sprintf("%s: %s", Count(len(r.Kernels), "kernel"), tally(n))
	if d := r.End.Sub(r.Start); !r.End.IsZero() && d > 0 {
		text += " in " + seconds(d)
	}
	p.blank()
	p.head("all", bold, text)
}

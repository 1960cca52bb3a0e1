package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// JUnit renders a run for CI systems: a suite for each kernel, with a test for each case
// and for each machine that did not end well. A failure is a wrong verdict; an error is a
// fault of the machine, the harness or a case file. The class of a case is its kernel and
// its group, with a dot between, so that Jenkins and GitLab show a tree.
//
// Cases run in batches and have no time of their own: each has an equal share of the time
// that its machine took to decide.
//
// The elements are encoded one by one, because there can be a million.
func JUnit(r *result.Run, w io.Writer, _ Options) error {
	j := &junitWriter{w: bufio.NewWriter(w)}
	j.w.WriteString(xml.Header)
	list := kernels(r)
	all := junit.Testsuites{Name: "tokentest", Time: elapsed(r.End.Sub(r.Start))}
	suites := make([]junit.Testsuite, len(list))
	for i, k := range list {
		suites[i] = k.suite(r, i)
		all.AddSuite(suites[i])
	}
	all.Suites = nil
	end := j.open("", "testsuites", all)
	for i, k := range list {
		j.suite(k, suites[i], k.lacks(r, i == len(list)-1))
	}
	j.w.WriteString(end)
	if j.err != nil {
		return j.err
	}
	return flush(j.w)
}

// elapsed is a duration in seconds, in the format of JUnit.
func elapsed(d time.Duration) string { return fmt.Sprintf("%.3f", max(d, 0).Seconds()) }

// The classes of tests that are no case, after the name of the kernel.
const (
	machineClass = "machine"
	runClass     = "run"
)

// class is the class of a kernel's tests in a group. Jenkins takes the part before the last
// dot as the package.
func (k *run) class(group string) string { return xmlText(k.name() + "." + group) }

// groupOf is the first part of a case's name.
func groupOf(id string) string {
	group, _, _ := strings.Cut(id, "/")
	return group
}

// shares returns the time of a case on each machine, as text.
func (k *run) shares() []string {
	out := make([]string, len(k.Boots))
	for i := range k.Boots {
		if b := &k.Boots[i]; b.Cases > 0 && b.Decide > 0 {
			out[i] = fmt.Sprintf("%.6f", (b.Decide / time.Duration(b.Cases)).Seconds())
		}
	}
	return out
}

// suite is a kernel's suite without its tests.
func (k *run) suite(r *result.Run, id int) junit.Testsuite {
	n := k.Counts()
	wrong := k.faults()
	s := junit.Testsuite{
		Name: xmlText(k.name()), ID: id, Failures: n[result.Fail] - wrong,
		Errors: n[result.Broken] + wrong, Skipped: n[result.Skip] + n[result.XFail],
	}
	s.SetTimestamp(r.Start)
	var took time.Duration
	for i := range k.Boots {
		took += k.Boots[i].Total
		if bad(&k.Boots[i]) {
			s.Tests++
			if infrastructure(k.Boots[i].Fate) {
				s.Errors++
			} else {
				s.Failures++
			}
		}
	}
	lacks := k.lacks(r, id == len(r.Kernels)-1)
	if k.untried() != "" || k.undecided() != "" {
		s.Tests++
		s.Errors++
	}
	s.Tests += len(lacks)
	s.Errors += len(lacks)
	s.Time = elapsed(cmp.Or(k.Took, took))
	for status, c := range n {
		if status != result.Interrupted {
			s.Tests += c
		}
	}
	for _, p := range [][2]string{
		{"release", k.Release}, {"source", k.Source}, {"sha256", k.Digest}, {"initramfs", k.Image},
		{"accelerator", accelOf(r, id)}, {"note", k.Note}, {"drift", drift(k.KernelRun)},
		{"warning", r.Damaged()}, {"tokentest", r.Tool}, {"command", strings.Join(r.Args, " ")}, {"directory", r.Dir},
	} {
		if p[1] != "" {
			s.AddProperty(p[0], xmlText(p[1]))
		}
	}
	return s
}

// accelOf is the accelerator of a run's kernel, with the reason if no kernel before it has the
// same.
func accelOf(r *result.Run, index int) string {
	k := r.Kernels[index]
	if slices.ContainsFunc(r.Kernels[:index], func(b *result.KernelRun) bool { return b.Accel == k.Accel }) {
		return k.AccelName
	}
	return k.Accel
}

// lacks returns a test for each missing or damaged record. Those of the run are in the
// suite of the last kernel.
func (k *run) lacks(r *result.Run, last bool) []junit.Testcase {
	var out []junit.Testcase
	add := func(name, kind, text string) {
		why := &junit.Result{Message: xmlText(text), Type: kind}
		out = append(out, junit.Testcase{Name: name, Classname: k.class(runClass), Error: why})
	}
	if lack := k.Lack(); lack != "" {
		add("cases", "missing", lack)
	}
	for i := range r.Damage {
		if last {
			add(fmt.Sprintf("records %d", i+1), "damaged", r.Damage[i].String())
		}
	}
	if last && r.Interrupted {
		add("run", r.Stopped.Word(), cutShort(r))
	}
	return out
}

// infrastructure is the type of errors that are not the kernel's fault.
func infrastructure(f vm.Fate) bool { return f == vm.Lost || f == vm.Unbooted || f == vm.Infra }

// junitWriter keeps the first encoding error; w keeps the first write error.
type junitWriter struct {
	w   *bufio.Writer
	err error
}

// open writes an element without its end, which it returns.
func (j *junitWriter) open(indent, name string, v any) (end string) {
	text := j.encode(indent, name, v)
	head, tail, ok := cutLast(text, "</")
	if !ok && j.err == nil {
		j.err = fmt.Errorf("encode the report: %q has no end", text)
	}
	j.w.WriteString(strings.TrimRight(head, " \n") + "\n")
	return indent + "</" + tail + "\n"
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// encode renders v as an element; the library names only the outermost one.
func (j *junitWriter) encode(indent, name string, v any) string {
	var out bytes.Buffer
	e := xml.NewEncoder(&out)
	e.Indent(indent, "  ")
	if err := e.EncodeElement(v, xml.StartElement{Name: xml.Name{Local: name}}); err != nil && j.err == nil {
		j.err = fmt.Errorf("encode the report: %w", err)
	}
	return out.String()
}

func (j *junitWriter) suite(k *run, s junit.Testsuite, lacks []junit.Testcase) {
	end := j.open("  ", "testsuite", s)
	j.cases(k)
	for i := range k.Boots {
		if bad(&k.Boots[i]) {
			j.test(k.machineTest(&k.Boots[i]))
		}
	}
	class := k.class(runClass)
	if why := k.untried(); why != "" {
		j.test(junit.Testcase{Name: "kernel", Classname: class, Error: &junit.Result{Message: xmlText(why), Type: "untried"}})
	}
	if why := k.undecided(); why != "" {
		j.test(junit.Testcase{Name: "kernel", Classname: class, Error: &junit.Result{Message: xmlText(why),
			Type: "undecided"}})
	}
	for _, t := range lacks {
		j.test(t)
	}
	j.w.WriteString(end)
}

// cases writes a test for each case.
func (j *junitWriter) cases(k *run) {
	shares := k.shares()
	group, class := "", ""
	for c := range k.All() {
		if c.Status == result.Interrupted { // the suite of the last kernel has one test for them all
			continue
		}
		if g := groupOf(c.ID); class == "" || g != group {
			group, class = g, k.class(g)
		}
		took := ""
		if c.Boot >= 0 && c.Boot < len(shares) && c.Status != result.Skip {
			took = shares[c.Boot]
		}
		switch list := c.Unjudged(); c.Status {
		case result.Pass:
			if len(list) > 0 {
				j.test(junit.Testcase{Name: xmlText(c.ID), Classname: class, Time: took, SystemOut: unjudgedOutput(list)})
				continue
			}
			j.begin(class, c.ID, took)
			j.w.WriteString("</testcase>\n")
		case result.Skip:
			j.begin(class, c.ID, took)
			j.skipped(c.Reason)
		default:
			t := k.testcase(class, c)
			t.Time = took
			j.test(t)
		}
	}
}

// unjudgedOutput lists the unjudged steps of a case that passed.
func unjudgedOutput(list []*result.StepResult) *junit.Output {
	var text strings.Builder
	for _, s := range list {
		fmt.Fprintf(&text, "\n%s: %s", s.Unknown, unjudged(s))
	}
	return &junit.Output{Data: cdata(text.String() + "\n")}
}

// begin and skipped write the most frequent tests. The output is that of test, in a tenth
// of the time.
func (j *junitWriter) begin(class, name, took string) {
	j.w.WriteString(`    <testcase name="`)
	j.attribute(xmlText(name))
	j.w.WriteString(`" classname="`)
	j.attribute(class)
	if took != "" {
		j.w.WriteString(`" time="`)
		j.w.WriteString(took)
	}
	j.w.WriteString(`">`)
}

func (j *junitWriter) skipped(why string) {
	j.w.WriteString("\n      <skipped message=\"")
	j.attribute(xmlText(why))
	j.w.WriteString("\"></skipped>\n    </testcase>\n")
}

func (j *junitWriter) attribute(text string) {
	if !strings.ContainsAny(text, "&<>\"'\t\n\r") {
		j.w.WriteString(text)
		return
	}
	var out bytes.Buffer
	xml.EscapeText(&out, []byte(text)) // writing to a buffer never fails
	j.w.Write(out.Bytes())
}

func (j *junitWriter) test(t junit.Testcase) {
	j.w.WriteString(j.encode("    ", "testcase", t) + "\n")
}

// testcase is a case that did not pass.
func (k *run) testcase(class string, c *result.CaseResult) junit.Testcase {
	t := junit.Testcase{Name: xmlText(c.ID), Classname: class}
	r := &junit.Result{Message: xmlText(c.Reason)}
	switch c.Status {
	case result.Fail:
		r.Message, r.Type, r.Data = xmlText(why(c)), "differs", k.data(c)
		if s := c.Decisive(); s != nil && s.ID != "" {
			r.Type = xmlText(s.ID)
		}
		if t.Failure = r; c.Fault != result.KernelWrong {
			r.Type = string(c.Fault)
			t.Failure, t.Error = nil, r
		}
	case result.Broken:
		r.Type, r.Data = "broken", k.data(c)
		t.Error = r
	case result.Interrupted: // cases leaves it out
	case result.Skip:
		t.Skipped = r
	case result.XFail: // JUnit has no status for it
		r.Message = "fails as expected: " + r.Message
		t.Skipped = r
	case result.Pass:
	}
	return t
}

// data returns everything known about a case, one fact a line.
func (k *run) data(c *result.CaseResult) string {
	return factLines(k.details(c))
}

func factLines(list []field) string {
	var out strings.Builder
	for _, f := range list {
		fmt.Fprintf(&out, "\n%s: %s", f.label, f.text())
	}
	return cdata(out.String() + "\n")
}

func (k *run) machineTest(b *result.Boot) junit.Testcase {
	r := &junit.Result{Message: xmlText(b.Reason), Type: string(b.Fate), Data: factLines(k.trouble(b))}
	t := junit.Testcase{Name: xmlText("machine " + b.Dir), Classname: k.class(machineClass), Failure: r}
	if infrastructure(b.Fate) {
		t.Failure, t.Error = nil, r
	}
	return t
}

// xmlText replaces the characters that XML does not allow.
func xmlText(s string) string {
	if printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == 0xFFFE || r == 0xFFFF {
			return '?'
		}
		return r
	}, clean(s))
}

// cdata splits the end mark of a CDATA section in a text.
func cdata(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(xmlText(lines[i]), "]]>", "]] >")
	}
	return strings.Join(lines, "\n")
}

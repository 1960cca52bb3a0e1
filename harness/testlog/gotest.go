package testlog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxOutput is how many bytes of a test's output are kept, to find a reason in.
const maxOutput = 4 << 10

// gotest collects the tests that Go's tools report.
type gotest struct {
	order  []*Case // as they started
	tests  map[string]*Case
	output map[string]string
}

func (g *gotest) reset() {
	g.order, g.tests, g.output = nil, map[string]*Case{}, map[string]string{}
}

func newGoTest() *textual {
	g := &textual{built: map[string]string{}}
	g.reset()
	return g
}

func newEvents() *events {
	g := &events{}
	g.reset()
	return g
}

// begin returns the test of a name that runs, or that has its result.
func (g *gotest) begin(name string) *Case {
	c := g.tests[name]
	if c == nil {
		c = &Case{Name: name}
		g.tests[name] = c
		g.order = append(g.order, c)
	}
	return c
}

// run starts a test; one of the same name that ended is another, as with -count.
func (g *gotest) run(name string) {
	if c := g.tests[name]; c != nil && c.Status != "" {
		delete(g.tests, name)
	}
	g.begin(name)
}

func (g *gotest) say(name, text string) {
	if len(g.output[name]) < maxOutput {
		g.output[name] += text
	}
}

func (g *gotest) finish(n int, name string, s Status) {
	c := g.begin(name)
	c.Status, c.Line = s, n
	if s != Pass {
		c.Reason = reason(g.output[name])
	}
	delete(g.output, name)
}

// end lists the tests; a test that started and has no result is broken.
func (g *gotest) end() []Case {
	var out []Case
	for _, c := range g.order {
		if c.Status == "" {
			why := "it ended without a result: " + reason(g.output[c.Name])
			c.Status, c.Reason = Broken, strings.TrimSuffix(why, ": ")
		}
		out = append(out, *c)
	}
	return out
}

var chatter = regexp.MustCompile(`^\s*(?:=== |--- |# |FAIL\b|PASS$|ok\s|exit status)`)

// reason is the first line of a test's output that is not chatter.
func reason(output string) string {
	for line := range strings.Lines(output) {
		line = strings.TrimLeft(line, "\x16")
		if strings.TrimSpace(line) != "" && !chatter.MatchString(line) {
			return oneLine(line)
		}
	}
	return ""
}

// events reads test2json's lines.
type events struct{ gotest }

type event struct {
	Action, Package, ImportPath, Test, Output, FailedBuild string
}

func (g *events) line(n int, text string) error {
	if !strings.HasPrefix(text, "{") { // a line of the go command itself
		if m := goPackage.FindStringSubmatch(text); m != nil && m[1] == "FAIL" {
			g.finish(n, m[2], Fail)
			g.tests[m[2]].Reason = oneLine(strings.Trim(m[3], " []"))
		}
		return nil
	}
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return fmt.Errorf("not an event: %w", err)
	}
	name := e.Package
	if e.Test != "" && name != "" {
		name += "/"
	}
	name += e.Test
	switch e.Action {
	case "run", "start":
		g.run(name)
	case "output":
		g.say(name, e.Output)
	case "build-output":
		g.say(e.ImportPath, e.Output)
	case "pass", "skip", "fail":
		if e.FailedBuild != "" {
			g.say(name, g.output[e.FailedBuild])
		}
		g.finish(n, name, map[string]Status{"pass": Pass, "skip": Skip, "fail": Fail}[e.Action])
	}
	return nil
}

// textual reads what a test binary prints with -test.v, and what the go command adds when it runs several.
type textual struct {
	gotest
	now      string // the test whose output follows
	red      bool   // the binary said FAIL
	exit     string // "exit status N" of the binary
	building string // the package whose compiler's output follows
	built    map[string]string
	packages int
	done     []ran
}

// ran is a test of a package; the package of a binary that no go command ran is "".
type ran struct {
	of string
	Case
}

var (
	goRun     = regexp.MustCompile(`^\s*\x16?=== (RUN|CONT|NAME|PAUSE)\s+(\S.*)?$`)
	goResult  = regexp.MustCompile(`\x16?--- (PASS|FAIL|SKIP): (.+) \([\d.]+s\)$`)
	goPanic   = regexp.MustCompile(`^(?:panic: |fatal error: |SIG[A-Z]+: )`)
	goPackage = regexp.MustCompile(`^(ok  |FAIL|\?   )\t(\S+)\s*(.*)$`)
	goBuild   = regexp.MustCompile(`^# (\S+)(?: \[.*\])?$`)
	goExit    = regexp.MustCompile(`^(?:exit status \d+|signal: .*)$`)
)

func (g *textual) line(n int, text string) error {
	if m := goRun.FindStringSubmatch(text); m != nil {
		g.now, g.building = m[2], ""
		if m[1] == "RUN" && m[2] != "" {
			g.run(m[2])
		}
		return nil
	}
	if m := goResult.FindStringSubmatch(text); m != nil {
		g.finish(n, m[2], map[string]Status{"PASS": Pass, "SKIP": Skip, "FAIL": Fail}[m[1]])
		g.now = m[2] // older releases print a test's output after its result
		return nil
	}
	if m := goPackage.FindStringSubmatch(text); m != nil {
		g.ended(n, m[1] == "FAIL", m[2], m[3])
		return nil
	}
	switch m := goBuild.FindStringSubmatch(text); {
	case m != nil && !g.running():
		g.building = strings.TrimSuffix(m[1], ".test")
	case text == "FAIL":
		g.red = true
	case goExit.MatchString(text):
		g.exit = text
	case g.building != "":
		if g.built[g.building] == "" {
			g.built[g.building] = reason(text)
		}
	default:
		g.words(text)
	}
	return nil
}

func (g *textual) running() bool {
	c := g.tests[g.now]
	return c != nil && c.Status == ""
}

// words takes a line of a test, or of the binary between two tests.
func (g *textual) words(text string) {
	c := g.tests[g.now]
	late := c != nil && (c.Status == Pass || c.Status == Skip) && goPanic.MatchString(text)
	if c != nil && !late {
		g.say(g.now, text+"\n")
		if c.Reason == "" && (c.Status == Fail || c.Status == Skip) {
			c.Reason = reason(text)
		}
		return
	}
	if goPanic.MatchString(text) {
		g.now = "panic"
		g.begin("panic")
		g.say("panic", text+"\n")
	}
}

// ended takes the line with which the go command ends a package. It failed also if no test did: its build, its
// TestMain, or what ran after the tests.
func (g *textual) ended(n int, failed bool, name, why string) {
	list := g.gotest.end()
	if failed && !slices.ContainsFunc(list, isRed) {
		if strings.HasPrefix(why, "[") {
			why = strings.Trim(why, "[] ")
			if first := g.built[name]; first != "" {
				why += ": " + first
			}
		} else {
			why = "no test failed, but the package did: " + cmp.Or(g.exit, "exit status unknown")
		}
		list = append(list, Case{Name: name, Status: Fail, Reason: oneLine(why), Line: n})
	}
	if len(list) > 0 {
		g.packages++
	}
	g.collect(name, list)
}

func isRed(c Case) bool { return c.Status == Fail || c.Status == Broken }

func (g *textual) collect(of string, list []Case) {
	for _, c := range list {
		g.done = append(g.done, ran{of, c})
	}
	g.reset()
	g.now, g.red, g.exit, g.building = "", false, "", ""
}

// end lists the tests, with the names of their packages if there are several.
func (g *textual) end() []Case {
	list := g.gotest.end()
	if red := g.red && len(list) > 0; red && !slices.ContainsFunc(list, isRed) {
		why := oneLine("no test failed, but the program says FAIL: " + g.exit)
		list = append(list, Case{Name: "FAIL", Status: Fail, Reason: strings.TrimSuffix(why, ":")})
	}
	if len(list) > 0 {
		g.packages++
	}
	g.collect("", list)
	var out []Case
	for _, c := range g.done {
		if g.packages > 1 && c.of != "" && c.Name != c.of {
			c.Name = c.of + "/" + c.Name
		}
		out = append(out, c.Case)
	}
	return out
}

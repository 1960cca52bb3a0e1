package testlog

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// maxOutput is how many bytes of a test's output are kept, to find a reason in.
const maxOutput = 4 << 10

// gotest collects the tests that Go's tools report.
type gotest struct {
	order  []string // in which they started
	tests  map[string]*Case
	output map[string]string
}

func newGoTest() *textual {
	return &textual{gotest: gotest{tests: map[string]*Case{}, output: map[string]string{}}}
}

func newEvents() *events {
	return &events{gotest{tests: map[string]*Case{}, output: map[string]string{}}}
}

func (g *gotest) begin(name string) *Case {
	c := g.tests[name]
	if c == nil {
		c = &Case{Name: name}
		g.tests[name] = c
		g.order = append(g.order, name)
	}
	return c
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
	for _, name := range g.order {
		c := g.tests[name]
		if c.Status == "" {
			why := "it ended without a result: " + reason(g.output[name])
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
	if !strings.HasPrefix(text, "{") {
		return nil // a line of the go command itself
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
		g.begin(name)
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

// textual reads what a test binary prints with -test.v.
type textual struct {
	gotest
	now string // the test whose output follows
}

var (
	goRun    = regexp.MustCompile(`^\s*\x16?=== (RUN|CONT|NAME|PAUSE)\s+(\S.*)?$`)
	goResult = regexp.MustCompile(`\x16?--- (PASS|FAIL|SKIP): (.+) \([\d.]+s\)$`)
	goPanic  = regexp.MustCompile(`^(?:panic: |fatal error: |SIG[A-Z]+: )`)
)

func (g *textual) line(n int, text string) error {
	if m := goRun.FindStringSubmatch(text); m != nil {
		g.now = m[2]
		if m[1] == "RUN" && m[2] != "" {
			g.begin(m[2])
		}
		return nil
	}
	if m := goResult.FindStringSubmatch(text); m != nil {
		g.finish(n, m[2], map[string]Status{"PASS": Pass, "SKIP": Skip, "FAIL": Fail}[m[1]])
		g.now = m[2] // older releases print a test's output after its result
		return nil
	}
	if c := g.tests[g.now]; c != nil {
		g.say(g.now, text+"\n")
		if c.Reason == "" && (c.Status == Fail || c.Status == Skip) {
			c.Reason = reason(text)
		}
		return nil
	}
	if goPanic.MatchString(text) {
		g.begin("panic")
		g.say("panic", text+"\n")
	}
	return nil
}

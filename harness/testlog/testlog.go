// Package testlog reads what test programs print: KTAP and TAP with subtests (also
// in comments, as kselftest prints them, or in a kernel log, as KUnit does), the
// JSON lines of Go's test2json, and the output of a Go test binary with -test.v.
//
// It knows nothing about kernels or machines, and it writes no format.
//
// Start with Parse.
package testlog

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Status is the outcome of a test, in the words of a run's cases.
type Status string

// The statuses. Broken is a test without a verdict: it started and did not end, or the
// program stopped all tests.
const (
	Pass   Status = "pass"
	Fail   Status = "fail"
	Skip   Status = "skip"
	Broken Status = "broken"
)

// Case is one test. The name of a subtest starts with the name of its parent, which is a Case
// of its own.
type Case struct {
	Name   string
	Status Status
	Reason string // for anything but a plain pass, in one line
	Line   int    // of its result, from 1; 0 is none
}

// Log is a parsed output.
type Log struct {
	Format string // "tap", "test2json" or "gotest"
	Cases  []Case
}

// Formats lists the formats of Parse; auto detects one.
func Formats() []string { return []string{"auto", "tap", "test2json", "gotest"} }

// Check refuses a format that does not exist, for a flag --parse.
func Check(format string) error {
	if !slices.Contains(Formats(), format) {
		return fmt.Errorf("--parse %q: must be one of %s", format, strings.Join(Formats(), ", "))
	}
	return nil
}

// ErrNothing is what Parse returns for a text in which no test has a result: that is never a
// pass.
var ErrNothing = errors.New("no test has a result in it")

// maxLine is how many bytes of a line are read; the rest is dropped.
const maxLine = 64 << 10

// parser takes lines.
type parser interface {
	line(n int, text string) error
	end() []Case
}

// Parse reads a program's output in one of Formats; "ktap" means tap.
func Parse(r io.Reader, format string) (*Log, error) {
	in := bufio.NewReaderSize(r, maxLine)
	head, err := in.Peek(maxLine)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read test output: %w", err)
	}
	out := &Log{Format: format}
	if format == "ktap" {
		out.Format = "tap"
	}
	if format == "auto" {
		out.Format = detect(string(head))
	}
	p := map[string]parser{"tap": newTAP(), "test2json": newEvents(), "gotest": newGoTest()}[out.Format]
	switch {
	case out.Format == "":
		return nil, fmt.Errorf("read test output: it is neither KTAP, TAP, test2json nor go test -v: %w", ErrNothing)
	case p == nil:
		return nil, fmt.Errorf("read test output: unknown format %q, must be one of %s", format,
			strings.Join(Formats(), ", "))
	}
	if err := eachLine(in, p.line); err != nil {
		return nil, fmt.Errorf("read test output as %s: %w", out.Format, err)
	}
	out.Cases = distinct(p.end())
	if len(out.Cases) == 0 {
		return nil, fmt.Errorf("read test output as %s: %w", out.Format, ErrNothing)
	}
	return out, nil
}

// eachLine calls f with each line and its number.
func eachLine(in *bufio.Reader, f func(int, string) error) error {
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		line := strings.TrimRight(string(text), "\r\n")
		for errors.Is(err, bufio.ErrBufferFull) { // drop the rest
			_, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if line != "" || err == nil {
			if err := f(n, line); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err != nil {
			return nil
		}
	}
}

var (
	looksTAP    = regexp.MustCompile(`^(?:K?TAP version \d+|\d+\.\.\d+(?:\s|$)|(?:not )?ok \d+\b|Bail out!)`)
	looksEvent  = regexp.MustCompile(`^\{.*"Action":`)
	looksGoTest = regexp.MustCompile(`^\s*\x16?(?:=== (?:RUN|PAUSE|CONT|NAME)\s|--- (?:PASS|FAIL|SKIP): )`)
)

// detect returns the format of the first line that has one; "" is none.
func detect(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch _, rest := depth(unlogged(line)); {
		case looksEvent.MatchString(line):
			return "test2json"
		case looksGoTest.MatchString(line):
			return "gotest"
		case looksTAP.MatchString(rest):
			return "tap"
		}
	}
	return ""
}

// distinct gives tests with the same name different names.
func distinct(list []Case) []Case {
	times := map[string]int{}
	taken := map[string]bool{}
	for i := range list {
		name := cmp.Or(list[i].Name, "unnamed")
		for list[i].Name = name; taken[list[i].Name]; {
			times[name]++
			list[i].Name = fmt.Sprintf("%s#%d", name, times[name]+1)
		}
		taken[list[i].Name] = true
	}
	return list
}

// oneLine makes a reason of a text: one line of limited length.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + " ..."
	}
	return text
}

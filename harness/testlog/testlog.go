// Package testlog reads what test programs print: KTAP and TAP with subtests (also
// in comments, as kselftest prints them, or in a kernel log, as KUnit does), the
// JSON lines of Go's test2json, the output of a Go test binary with -test.v, and that of the kernel's test_progs.
//
// It knows nothing about kernels or machines, and it writes no format.
//
// Start with Parse.
package testlog

import (
	"bufio"
	"bytes"
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
	Format string // "tap", "test2json", "gotest" or "test_progs"
	Cases  []Case
	// SkipsAll says that the program's own plan skips everything, as TAP's 1..0 with a reason.
	SkipsAll bool
}

// Auto is the format that Parse finds out by itself.
const Auto = "auto"

// Formats lists the formats of Parse.
func Formats() []string { return []string{Auto, "tap", "test2json", "gotest", "test_progs"} }

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
	out := &Log{Format: format}
	switch format {
	case "ktap":
		out.Format = "tap"
	case Auto:
		var err error
		if out.Format, in, err = detect(in); err != nil {
			return nil, fmt.Errorf("read test output: %w", err)
		}
	}
	p := map[string]parser{"tap": newTAP(), "test2json": newEvents(), "gotest": newGoTest(),
		"test_progs": newTestProgs()}[out.Format]
	switch {
	case out.Format == "":
		return nil, fmt.Errorf("read test output: it is neither KTAP, TAP, test2json, go test -v nor test_progs: %w",
			ErrNothing)
	case p == nil:
		return nil, fmt.Errorf("read test output: unknown format %q, must be one of %s", format,
			strings.Join(Formats(), ", "))
	}
	if err := eachLine(in, p.line); err != nil {
		return nil, fmt.Errorf("read test output as %s: %w", out.Format, err)
	}
	out.Cases = distinct(p.end())
	if t, ok := p.(*tap); ok {
		out.SkipsAll = len(out.Cases) == 1 && t.skipsAll
	}
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
	escapes     = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	looksEvent  = regexp.MustCompile(`^\{.*"Action":`)
	looksGoTest = regexp.MustCompile(`^\s*\x16?(?:=== (?:RUN|PAUSE|CONT|NAME)\s|--- (?:PASS|FAIL|SKIP): )|^FAIL\t\S`)
)

// detect returns the format of the first line that has one, "" is none, and a reader of the whole text. A log can
// be long before it.
func detect(in *bufio.Reader) (string, *bufio.Reader, error) {
	var before bytes.Buffer
	for {
		text, err := in.ReadSlice('\n')
		before.Write(text)
		if format := formatOf(strings.TrimRight(string(text), "\r\n")); format != "" || errors.Is(err, io.EOF) {
			return format, bufio.NewReaderSize(io.MultiReader(&before, in), maxLine), nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return "", nil, err
		}
	}
}

// formatOf returns the format that a line shows; "" is none.
func formatOf(line string) string {
	_, rest := depth(unlogged(line))
	switch line := escapes.ReplaceAllString(line, ""); {
	case looksEvent.MatchString(line):
		return "test2json"
	case looksGoTest.MatchString(line):
		return "gotest"
	case testProgsResult.MatchString(line):
		return "test_progs"
	case looksTAP.MatchString(rest) || late(line) > 0:
		return "tap"
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

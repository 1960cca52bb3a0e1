package testlog

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// A directive decides the status together with ok, and its text is the reason.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		ok        bool
		directive string
		want      Status
		reason    string
	}{
		{true, "", Pass, ""},
		{false, "", Fail, "not ok"},
		{true, "a note", Pass, ""},
		{false, "exit=1", Fail, "exit=1"},
		{true, "SKIP no KVM", Skip, "no KVM"},
		{false, "skip: no KVM", Skip, "no KVM"},
		{true, "Skipped no KVM", Skip, "no KVM"},
		{false, "TODO write it", Skip, "todo: write it"},
		{true, "TODO write it", Pass, "todo, but it passes: write it"},
		{true, "XFAIL old bug", Pass, "an expected failure: old bug"},
		{false, "TIMEOUT 45 seconds", Fail, "timed out: 45 seconds"},
		{true, "ERROR no device", Broken, "error: no device"},
	} {
		if got, why := verdict(tt.ok, tt.directive); got != tt.want || why != tt.reason {
			t.Errorf("ok %t with %q: %s (%q), want %s (%q)", tt.ok, tt.directive, got, why, tt.want, tt.reason)
		}
	}
}

// Only a # after white space that no backslash escapes starts a directive.
func TestSplitDirective(t *testing.T) {
	for line, want := range map[string][2]string{
		"plain":                 {"plain", ""},
		"a # SKIP b":            {"a", "SKIP b"},
		"# SKIP b":              {"", "SKIP b"},
		"a#1 # TODO b # c":      {"a#1", "TODO b # c"},
		`a \# b # SKIP c`:       {"a # b", "SKIP c"},
		`path\\ # SKIP c`:       {`path\`, "SKIP c"},
		"tab\t# SKIP c":         {"tab", "SKIP c"},
		"ends with backslash\\": {"ends with backslash\\", ""},
	} {
		if name, directive := splitDirective(line); name != want[0] || directive != want[1] {
			t.Errorf("%q: name %q and directive %q, want %q", line, name, directive, want)
		}
	}
}

// The prefix of a kernel log line is removed, and its indentation is counted with comment marks.
func TestDepth(t *testing.T) {
	for line, want := range map[string]struct {
		col  int
		rest string
	}{
		"ok 1":                            {0, "ok 1"},
		"    ok 1":                        {4, "ok 1"},
		"# ok 1":                          {2, "ok 1"},
		"# # ok 1":                        {4, "ok 1"},
		"\tok 1":                          {8, "ok 1"},
		"#ok 1":                           {0, "#ok 1"},
		"[    1.234567] ok 1":             {0, "ok 1"},
		"<6>[    1.234567]     ok 1":      {4, "ok 1"},
		"[    1.234567][  T123]     ok 1": {4, "ok 1"},
		"[not a time] ok 1":               {0, "[not a time] ok 1"},
	} {
		if col, rest := depth(unlogged(line)); col != want.col || rest != want.rest {
			t.Errorf("%q: %q in column %d, want %q in column %d", line, rest, col, want.rest, want.col)
		}
	}
}

// The first line that has a format decides.
func TestDetect(t *testing.T) {
	for text, want := range map[string]string{
		"noise\nTAP version 13\n":         "tap",
		"KTAP version 1\n":                "tap",
		"1..2\n":                          "tap",
		"not ok 1 a\n":                    "tap",
		"[    1.234567] KTAP version 1\n": "tap",
		"Bail out! no memory\n":           "tap",
		strings.Repeat("a line\n", maxLine) + "ok 1 a\n": "tap",
		"FAIL\tpkg [build failed]\n":                     "gotest",
		"console | TAP version 14\n":                     "tap",
		"=== RUN   TestA\nok 1\n":                        "gotest",
		"--- FAIL: TestA (0.00s)\n":                      "gotest",
		"{\"Time\":\"x\",\"Action\":\"start\"}\n":        "test2json",
		"# command-line\n{\"Action\":\"start\"}\n":       "test2json",
		"{\"key\":1}\nok\n12..x\nnot okay\n1..2x\n":      "",
	} {
		got, _, err := detect(bufio.NewReaderSize(strings.NewReader(text), maxLine))
		if err != nil || got != want {
			t.Errorf("%q is detected as %q, want %q", text, got, want)
		}
	}
}

// Tests with the same name get a number, and the number avoids a name that exists.
func TestDistinct(t *testing.T) {
	var list []Case
	for _, n := range []string{"a", "a", "", "a#2", "a", ""} {
		list = append(list, Case{Name: n})
	}
	var got []string
	for _, c := range distinct(list) {
		got = append(got, c.Name)
	}
	if want := []string{"a", "a#2", "unnamed", "a#2#2", "a#3", "unnamed#2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The reason of a test is the first line of its output that the test wrote itself.
func TestReason(t *testing.T) {
	for output, want := range map[string]string{
		"=== RUN   TestA\n    a_test.go:3: got 1\n    more\n": "a_test.go:3: got 1",
		"--- FAIL: TestA (0.00s)\nFAIL\nexit status 1\n":      "",
		"\n# pkg\nok  \tpkg\npanic: no\n":                     "panic: no",
		"\x16=== RUN   TestA\n\x16    a_test.go:4: b\n":       "a_test.go:4: b",
	} {
		if got := reason(output); got != want {
			t.Errorf("%q: reason %q, want %q", output, got, want)
		}
	}
	long := oneLine(strings.Repeat("é", 400))
	if len(long) > 310 || !strings.HasSuffix(long, "é ...") {
		t.Errorf("a long text becomes %d bytes: %q", len(long), long)
	}
}

// A failed read and a damaged event are errors that name the format and the line.
func TestParseErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	if _, err := Parse(iotest.ErrReader(broken), "auto"); !errors.Is(err, broken) {
		t.Errorf("a reader that fails at once: %v", err)
	}
	late := io.MultiReader(strings.NewReader("ok 1 a\n"+strings.Repeat("x\n", maxLine)), iotest.ErrReader(broken))
	if l, err := Parse(late, "tap"); !errors.Is(err, broken) {
		t.Errorf("a reader that fails later: %+v, %v", l, err)
	}
	_, err := Parse(strings.NewReader("{\"Action\":\"start\",\"Package\":\"p\"}\n{torn\n"), "test2json")
	if err == nil || !strings.Contains(err.Error(), "test2json: line 2: ") {
		t.Errorf("a torn event: %v", err)
	}
}

package testlog

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expectations of the corpus")

// render says in a line a case what a log was taken for.
func render(text string) string {
	l, err := Parse(strings.NewReader(text), "auto")
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	out := l.Format + "\n"
	for _, c := range l.Cases {
		out += fmt.Sprintf("%-6s %s", c.Status, c.Name)
		if c.Reason != "" {
			out += ": " + c.Reason
		}
		out += "\n"
	}
	return out
}

// TestCorpus: each file holds a program's output, a line of ====, and what it
// is taken for.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatal("no corpus", files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, want, _ := strings.Cut(string(data), "====\n")
		got := render(text)
		if *update {
			if err := os.WriteFile(name, []byte(text+"====\n"+got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if got != want {
			t.Errorf("%s:\n%swant:\n%s", name, got, want)
		}
		if crlf := render(strings.ReplaceAll(text, "\n", "\r\n")); crlf != got && !strings.HasPrefix(name, "testdata/json") {
			t.Errorf("%s with CR LF:\n%swant:\n%s", name, crlf, got)
		}
	}
}

// Wherever a log is cut, what it says is never taken for more passes than the
// whole log holds, but for a parent whose failing subtest comes after it.
func TestCutNeverPassesMore(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(string(data), "====\n")
		whole := passes(text)
		for i, c := range text {
			if c != '\n' {
				continue
			}
			for test := range passes(text[:i+1]) {
				if !whole[test] {
					t.Errorf("%s cut after byte %d: %s passes", name, i, test)
				}
			}
		}
	}
}

// passes are the last parts of the names of the tests that pass.
func passes(text string) map[string]bool {
	out := map[string]bool{}
	l, err := Parse(strings.NewReader(text), "auto")
	if err != nil {
		return out
	}
	for _, c := range l.Cases {
		if c.Status == Pass {
			out[c.Name[strings.LastIndex(c.Name, "/")+1:]] = true
		}
	}
	return out
}

func TestNothing(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "hello\nworld\n", "ok\n", "PASS\nok  \tpkg\t0.1s\n", "KTAP version 1\n", "TAP version 13\n1..0\n",
		"# ok 1 of 3 done\n", "it is ok 1\n", `{"Action":"start"`, "=== RUN   \n",
	} {
		if l, err := Parse(strings.NewReader(text), "auto"); err == nil {
			t.Errorf("%q is taken for %+v", text, l)
		}
	}
	if _, err := Parse(strings.NewReader("TAP version 13\n1..0\n"), "tap"); !errors.Is(err, ErrNothing) {
		t.Errorf("got %v", err)
	}
	if _, err := Parse(strings.NewReader("ok 1\n"), "xml"); err == nil ||
		!strings.Contains(err.Error(), "must be one of auto, tap") {
		t.Errorf("got %v", err)
	}
	if l, err := Parse(strings.NewReader("ok 1 a\n"), "ktap"); err != nil || l.Format != "tap" {
		t.Errorf("got %+v, %v", l, err)
	}
}

func TestLongLine(t *testing.T) {
	text := "KTAP version 1\n1..2\nok 1 a\n" + strings.Repeat("x", 5*maxLine) + "\nok 2 b\n"
	l, err := Parse(strings.NewReader(text), "auto")
	if err != nil || len(l.Cases) != 2 {
		t.Errorf("got %+v, %v", l, err)
	}
}

// FuzzParse: no text makes the parser fail, and every case has a name of its
// own, a status, and a reason in one line.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(string(data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range Formats() {
			l, err := Parse(strings.NewReader(text), format)
			if err != nil {
				continue
			}
			seen := map[string]bool{}
			for _, c := range l.Cases {
				if c.Name == "" || seen[c.Name] || c.Status == "" || strings.Contains(c.Reason, "\n") || len(c.Reason) > 400 {
					t.Errorf("%s: %+v", format, c)
				}
				seen[c.Name] = true
			}
			if len(l.Cases) == 0 {
				t.Error("no case and no error")
			}
		}
	})
}

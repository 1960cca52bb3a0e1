package harness_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// maxColumns is the longest line in a Go file. A tab counts as one column.
const maxColumns = 120

// longLines returns the numbers of the lines with more than maxColumns.
func longLines(text string) []int {
	var out []int
	n := 0
	for line := range strings.Lines(text) {
		n++
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > maxColumns {
			out = append(out, n)
		}
	}
	return out
}

// Every line of every Go file fits, tests and generated files included.
func TestLineLength(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		files++
		text, err := os.ReadFile(name)
		for _, n := range longLines(string(text)) {
			t.Errorf("%s:%d: more than %d columns", name, n, maxColumns)
		}
		return err
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

// The command and its limit: it is flags and calls. What does the work is in the packages between it and the lab.
const (
	commandDir      = "cmd/tokentest"
	maxCommandLines = 4000
)

// goLines counts the lines of the Go files in a directory that are no tests.
func goLines(dir string) (int, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		n += strings.Count(string(text), "\n")
	}
	return n, nil
}

func TestCommandIsShort(t *testing.T) {
	switch n, err := goLines(commandDir); {
	case err != nil:
		t.Error(err)
	case n > maxCommandLines:
		t.Errorf("%s has %d lines of Go, want at most %d: move what does the work into a package of README.md's table",
			commandDir, n, maxCommandLines)
	case n < maxCommandLines/4:
		t.Errorf("%s has %d lines of Go: the test looks in the wrong place", commandDir, n)
	}
}

func TestGoLinesCountsNoTests(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "1\n2\n", "b.go": "3\n", "b_test.go": "x\n", "c.txt": "x\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := goLines(dir); n != 3 || err != nil {
		t.Errorf("got %d, %v; want 3", n, err)
	}
}

func TestLineLengthCanFail(t *testing.T) {
	fits := strings.Repeat("ü", maxColumns)
	if got := longLines(fits + "\n" + fits + "x\n\t" + fits); len(got) != 2 || got[0] != 2 || got[1] != 3 {
		t.Errorf("got %v, want lines 2 and 3", got)
	}
}

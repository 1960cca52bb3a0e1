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

func TestLineLengthCanFail(t *testing.T) {
	fits := strings.Repeat("ü", maxColumns)
	if got := longLines(fits + "\n" + fits + "x\n\t" + fits); len(got) != 2 || got[0] != 2 || got[1] != 3 {
		t.Errorf("got %v, want lines 2 and 3", got)
	}
}

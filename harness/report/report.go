// Package report renders a run. Each format is a function of the run only: it reads neither
// the clock nor the environment, so a stored run gives the same report at any time and on any
// host.
//
// It does not judge: package result makes the verdicts, which are in the run.
//
// Start with the table formats; pretty.go is the format for a terminal.
package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/agnivade/levenshtein"

	"tokentest/harness/result"
)

// Options set the layout of a report, and who sends it. What it says about the run depends only on the run.
type Options struct {
	Color  bool   // use colour codes, in pretty only
	Width  int    // columns that pretty wraps at; 0 means 80
	Origin string // the system that sends it to KCIDB, in kcidb only; "" means tokentest

	To []string // whom a mail goes to, in mail only
}

// Writer renders a run in one format.
type Writer func(*result.Run, io.Writer, Options) error

// formats lists every format; the first is for people.
var formats = []struct {
	name  string
	write Writer
}{
	{"pretty", Pretty},
	{"ktap", KTAP},
	{"junit", JUnit},
	{"kcidb", KCIDB},
	{"json", JSON},
	{"jsonl", JSONL},
	{"github", GitHub},
	{"markdown", Markdown},
	{"mail", Mail},
	{"html", HTML},
	{"threats", Threats},
	{"threats-html", ThreatsHTML},
}

// Formats returns the names that Write knows.
func Formats() []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.name)
	}
	return out
}

// Check returns an error that lists the formats unless format is one of them. A caller can
// refuse a format before it boots anything.
func Check(format string) error {
	_, err := find(format)
	return err
}

// Write renders a run in the named format.
func Write(format string, r *result.Run, w io.Writer, o Options) error {
	write, err := find(format)
	if err != nil {
		return err
	}
	return write(r, w, o)
}

// find returns the writer of a format, or an error with the nearest name.
func find(format string) (Writer, error) {
	near := ""
	best := len(format)/2 + 1
	for _, f := range formats {
		if f.name == format {
			return f.write, nil
		}
		if d := levenshtein.ComputeDistance(strings.ToLower(format), f.name); d < best {
			near, best = fmt.Sprintf("; did you mean %s?", f.name), d
		}
	}
	return nil, fmt.Errorf("unknown format %q: there are %s%s", format, strings.Join(Formats(), ", "), near)
}

// flush ends a report. A bufio.Writer keeps its first error until then.
func flush(w *bufio.Writer) error {
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

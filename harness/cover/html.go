package cover

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tokentest/harness/usage"
)

// Format is how a report is printed.
type Format string

// The formats.
const (
	Pretty Format = "pretty"
	JSON   Format = "json"
	HTML   Format = "html"
)

// Set, String and Type make *Format the value of a flag.
func (f *Format) Set(text string) error {
	switch now := Format(text); now {
	case Pretty, JSON, HTML:
		*f = now
		return nil
	}
	return errors.New("must be pretty, json or html")
}

func (f *Format) String() string { return string(*f) }

// Type is what pflag calls the type of the value.
func (*Format) Type() string { return "string" }

// Print prints the report. missed is for people: it adds what is not executed. tree is for HTML: the kernel's tree,
// whose source files the page shows; "" is none.
func (r *Report) Print(w io.Writer, f Format, missed bool, tree string) error {
	switch {
	case tree != "" && f != HTML:
		return usage.Errorf("--source is for --format html")
	case f == JSON:
		return json.NewEncoder(w).Encode(r)
	case f == HTML:
		return r.html(w, tree)
	}
	return r.Write(w, missed)
}

// Print prints what the cases execute of a patch.
func (r *PatchReport) Print(w io.Writer, f Format) error {
	switch f {
	case JSON:
		return json.NewEncoder(w).Encode(r)
	case HTML:
		return usage.Errorf("--patch prints no html: leave --format out")
	}
	return r.Write(w)
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("cover").Parse(pageText))

// htmlPage is what page.html shows.
type htmlPage struct {
	*Report
	All   *UnitReport
	Both  *Count
	Units []htmlUnit
	Gates []htmlGate
}

type htmlUnit struct {
	*UnitReport
	Source []htmlLine
}

type htmlGate struct{ *Gate }

// Class is the style of the gate's row.
func (g htmlGate) Class() string {
	switch {
	case g.Both():
		return "hit"
	case g.Executed:
		return "part"
	}
	return "miss"
}

// Place is where the gate is.
func (g htmlGate) Place() string { return fmt.Sprintf("%s:%d", g.File, g.Line) }

// Where is the gate's function.
func (g htmlGate) Where() string { return g.where() }

// NotExecuted are the lines of the function that are not executed.
func (f *FuncReport) NotExecuted() string { return f.missed() }

// htmlLine is a line of a source file.
type htmlLine struct {
	ID     string // of a line with code
	Number int
	Class  string
	Text   string
}

func (r *Report) html(w io.Writer, tree string) error {
	p := htmlPage{Report: r, All: r.all(), Both: r.both()}
	for _, how := range []string{neverRun, onlyAllowed, onlyRefused, noSide, bothWays} {
		for _, g := range r.Gates {
			if g.How() == how {
				p.Gates = append(p.Gates, htmlGate{g})
			}
		}
	}
	for _, u := range r.Units {
		source, err := u.source(tree)
		if err != nil {
			return err
		}
		p.Units = append(p.Units, htmlUnit{u, source})
	}
	out := bufio.NewWriter(w)
	if err := page.Execute(out, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return out.Flush()
}

// source is the unit's file in a kernel's tree, nil without a tree.
func (u *UnitReport) source(tree string) ([]htmlLine, error) {
	if tree == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(tree, u.Unit))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("--source %s: it has no %s", tree, u.Unit)
	}
	if err != nil {
		return nil, fmt.Errorf("read the kernel's source: %w", err)
	}
	var out []htmlLine
	for line := range strings.Lines(string(text)) {
		l := htmlLine{Number: len(out) + 1, Text: strings.TrimRight(line, "\n")}
		at := fmt.Sprintf("%s:%d", u.Unit, l.Number)
		if r := u.at[at]; r != nil {
			l.ID, l.Class = at, r.class()
		}
		out = append(out, l)
	}
	return out, nil
}

func (l *lineReport) class() string {
	switch {
	case !l.executed:
		return "miss"
	case l.sides.Executed < l.sides.All:
		return "part"
	}
	return "hit"
}

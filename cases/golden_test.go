package cases

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/sim"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// goldenReleases are the kernels whose expectations are written down; those
// without tokens for the groups that are about them.
var goldenReleases = []string{"5.10", "6.1", "6.12", "7.3"}

// TestGolden compares what is expected of every built-in case with the tables
// in testdata/golden, which a person reviews when they change.
func TestGolden(t *testing.T) {
	dir := filepath.Join("testdata", "golden")
	want := map[string]bool{}
	for _, g := range load(t).Groups {
		for _, release := range goldenReleases {
			text := render(g, play(t, g, released[release], ""), release)
			if text == "" {
				continue
			}
			name := filepath.Join(dir, g.Name+"."+release+".txt")
			want[name] = true
			compare(t, name, text)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if want[name] {
			continue
		}
		if *update {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("%s belongs to no group: go test ./cases -run Golden -update", name)
	}
}

func compare(t *testing.T, name, text string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(name)
	if err != nil {
		t.Errorf("%v: go test ./cases -run Golden -update", err)
		return
	}
	if string(old) == text {
		return
	}
	was, is := strings.Split(string(old), "\n"), strings.Split(text, "\n")
	for i := range max(len(was), len(is)) {
		if a, b := lineOf(was, i), lineOf(is, i); a != b {
			t.Errorf(
				"%s:%d: the file says\n\t%s\nand the oracle\n\t%s\n(make golden, then review the difference)",
				name,
				i+1,
				a,
				b,
			)
			return
		}
	}
}

func lineOf(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no line)"
}

// render writes a group's expectations: a matrix a row for every combination
// of its axes but the last, a scenario a line for every step. It returns
// nothing where the kernel plays no case.
func render(g *Group, ps []played, release string) string {
	if !slices.ContainsFunc(ps, func(p played) bool { return p.skip == "" }) {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Expected results of %s on %s. Written by make golden; review every change.\n", g.Name, release)
	if g.Cases[0].ID == g.Name {
		for i, e := range ps[0].expect {
			fmt.Fprintf(&b, "%-12s %s  # %s\n", verdictOf(e), ps[0].c.Info()[i].Text, e.Verdict.ID)
		}
		return b.String()
	}
	renderMatrix(&b, ps)
	return b.String()
}

// row is the cells of a row under each verdict.
type row struct {
	name   string
	errnos []string
	cells  map[string][]string
	few    bool
	out    []string // columns that an except line takes from the row
}

func verdictOf(e sim.Expect) string {
	if !e.Verdict.Known {
		return "unknown"
	}
	return e.Verdict.Errno.String()
}

// fewColumns is how many columns a row names one by one.
const fewColumns = 5

func renderMatrix(b *strings.Builder, ps []played) {
	var rows []*row
	var columns []string
	ran := map[string]bool{}
	for _, p := range ps {
		_, column := split(p.c)
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		ran[column] = ran[column] || p.skip == ""
	}
	width := 0
	for _, p := range ps {
		name, column := split(p.c)
		width = max(width, len(name))
		at := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
		if at < 0 {
			at = len(rows)
			rows = append(rows, &row{name: name, cells: map[string][]string{}, few: len(columns) <= fewColumns})
		}
		switch {
		case !ran[column]:
		case p.skip != "":
			rows[at].add("skip", column)
		default:
			rows[at].add(verdictOf(p.expect[0]), column)
		}
	}
	fmt.Fprintf(b, "# Of: %s\n", join(columns, func(c string) bool { return ran[c] }))
	fmt.Fprintf(b, "# Skipped: %s\n\n", join(columns, func(c string) bool { return !ran[c] }))
	for _, r := range rows {
		for _, c := range columns {
			if ran[c] && !r.has(c) {
				r.out = append(r.out, c)
			}
		}
		fmt.Fprintf(b, "%-*s  %s\n", width, r.name, r)
	}
}

// split returns a case's row and column.
func split(c *Case) (name, column string) {
	i := strings.LastIndex(c.ID, "/")
	return strings.TrimPrefix(c.ID[:i], c.Group.Name+"/"), c.ID[i+1:]
}

func join(names []string, keep func(string) bool) string {
	var out []string
	for _, n := range names {
		if keep(n) {
			out = append(out, n)
		}
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, " ")
}

func (r *row) add(verdict, column string) {
	if r.cells[verdict] == nil {
		r.errnos = append(r.errnos, verdict)
	}
	r.cells[verdict] = append(r.cells[verdict], column)
}

func (r *row) has(column string) bool {
	return slices.ContainsFunc(r.errnos, func(e string) bool { return slices.Contains(r.cells[e], column) })
}

// String names the cells under every verdict; of many columns, those under
// the most frequent one are counted.
func (r *row) String() string {
	most := ""
	for _, e := range r.errnos {
		if !r.few && len(r.cells[e]) > len(r.cells[most]) {
			most = e
		}
	}
	var parts []string
	for _, e := range r.errnos {
		if e != most {
			parts = append(parts, e+": "+strings.Join(r.cells[e], " "))
		}
	}
	if most != "" {
		what := "the other"
		if len(parts) == 0 {
			what = "all"
		}
		parts = append(parts, fmt.Sprintf("%s: %s %d", most, what, len(r.cells[most])))
	}
	if len(r.out) > 0 {
		parts = append(parts, "no case: "+strings.Join(r.out, " "))
	}
	return strings.Join(parts, "; ")
}

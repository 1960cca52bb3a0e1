package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"tokentest/harness/result"
)

// mostDiffering limits how many kinds of differing decisions are shown.
const mostDiffering = 12

// grid shows the results of several kernels by group, and the decisions on which they
// differ. For a single kernel it shows nothing. The width limits how many kernels are
// side by side.
func (p *pretty) grid(r *result.Run) {
	if len(r.Kernels) < 2 {
		return
	}
	groups, cells := countGroups(r)
	groups = slices.DeleteFunc(groups, func(g string) bool { return r.Interrupted && nothingSaid(cells[g]) })
	if len(groups) == 0 {
		return
	}
	p.blank()
	p.head("results by group", bold, "and kernel; a number alone: all pass; -: no case")
	columns := [][]string{append([]string{"group"}, groups...)}
	for i, k := range r.Kernels {
		column := []string{k.Name()}
		for _, g := range groups {
			column = append(column, cellText(cells[g][i]))
		}
		columns = append(columns, column)
	}
	for from := 1; from < len(columns); {
		to := from
		for used := wide(columns[0]); to < len(columns) && (to == from || used+2+wide(columns[to]) <= p.width); to++ {
			used += 2 + wide(columns[to])
		}
		showColumns(p.w, append([][]string{columns[0]}, columns[from:to]...))
		from = to
	}
	p.differences(r)
}

func wide(column []string) int {
	n := 0
	for _, cell := range column {
		n = max(n, utf8.RuneCountInString(cell))
	}
	return n
}

func showColumns(w io.Writer, columns [][]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for row := range columns[0] {
		for i, c := range columns {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, c[row])
		}
		fmt.Fprintln(t)
	}
	t.Flush() // the writer below keeps the error
}

// countGroups counts the statuses by group and kernel, in the order in which groups first
// appear.
func countGroups(r *result.Run) (groups []string, cells map[string][]map[result.Status]int) {
	cells = map[string][]map[result.Status]int{}
	for i, k := range r.Kernels {
		for c := range k.All() {
			g, _, _ := strings.Cut(c.ID, "/")
			if cells[g] == nil {
				groups = append(groups, g)
				cells[g] = make([]map[result.Status]int, len(r.Kernels))
			}
			if cells[g][i] == nil {
				cells[g][i] = map[result.Status]int{}
			}
			cells[g][i][c.Status]++
		}
	}
	return groups, cells
}

// nothingSaid reports whether a group has no verdict on any kernel.
func nothingSaid(cells []map[result.Status]int) bool {
	return !slices.ContainsFunc(cells, func(n map[result.Status]int) bool {
		return n[result.Pass]+n[result.Fail]+n[result.XFail]+n[result.Skip] > 0
	})
}

// cellText counts the cases that passed, then the others, the worst first.
func cellText(n map[result.Status]int) string {
	if n == nil {
		return "-"
	}
	if len(n) == 1 && n[result.Pass] > 0 {
		return fmt.Sprint(n[result.Pass])
	}
	var out []string
	for _, s := range append([]result.Status{result.Pass}, result.Statuses()...) {
		if n[s] > 0 && (s != result.Pass || len(out) == 0) {
			out = append(out, fmt.Sprintf("%d %s", n[s], s))
		}
	}
	return strings.Join(out, ", ")
}

// kind is a set of decisions on which the kernels differ in the same way.
type kind struct {
	text    string
	n       int
	example string
}

// differences lists the cases with different results on different kernels. A kernel that
// skipped the case does not differ. A million cases have few distinct results, so each is
// kept once.
func (p *pretty) differences(r *result.Run) {
	var d decisions
	answers, order := map[string][]uint16{}, []string(nil)
	for i, k := range r.Kernels {
		for c := range k.Where(func(c *result.CaseResult) bool {
			return c.Status == result.Pass ||
				c.Status == result.Fail
		}) {
			row := answers[c.ID]
			if row == nil {
				order = append(order, c.ID)
				row = make([]uint16, len(r.Kernels))
				answers[c.ID] = row
			}
			row[i] = d.number(c)
		}
	}
	kinds := map[string]*kind{}
	compared := 0
	for _, id := range order {
		if answered(answers[id]) > 1 {
			compared++
		}
		if text := split(r, answers[id], d.words); text != "" {
			if kinds[text] == nil {
				kinds[text] = &kind{text: text, example: id}
			}
			kinds[text].n++
		}
	}
	p.showKinds(kinds, compared)
}

// decisions numbers the distinct results of cases, from 1 on.
type decisions struct {
	words []result.Decision
	codes map[string]uint16
	steps map[*result.StepResult]uint16 // of cases that share them
}

func (d *decisions) number(c *result.CaseResult) uint16 {
	if d.words == nil {
		d.words, d.codes, d.steps = []result.Decision{nil}, map[string]uint16{}, map[*result.StepResult]uint16{}
	}
	if len(c.Steps) > 0 {
		if n := d.steps[&c.Steps[0]]; n != 0 {
			return n
		}
	}
	decision := c.Decision()
	word := decision.String()
	n := d.codes[word]
	if n == 0 && len(d.words) < 1<<16 {
		n = uint16(len(d.words))
		d.codes[word], d.words = n, append(d.words, decision)
	}
	if len(c.Steps) == 1 { // only these are shared by many
		d.steps[&c.Steps[0]] = n
	}
	return n
}

// split names the results and the kernels that gave each; "" if all agree.
func split(r *result.Run, answers []uint16, words []result.Decision) string {
	var order []uint16
	for _, a := range answers {
		if a != 0 && !slices.Contains(order, a) {
			order = append(order, a)
		}
	}
	if len(order) < 2 {
		return ""
	}
	decisions := make([]result.Decision, len(order))
	for n, a := range order {
		decisions[n] = words[a]
	}
	parts := result.Differing(decisions)
	for n, a := range order {
		parts[n] += " on"
		for i, k := range r.Kernels {
			if answers[i] == a {
				parts[n] += " " + k.Ref
			}
		}
	}
	return strings.Join(parts, "; ")
}

// answered counts the kernels with a result.
func answered(answers []uint16) int {
	n := 0
	for _, a := range answers {
		if a != 0 {
			n++
		}
	}
	return n
}

func (p *pretty) showKinds(kinds map[string]*kind, compared int) {
	var list []*kind
	total := 0
	for _, k := range kinds {
		list = append(list, k)
		total += k.n
	}
	slices.SortFunc(list, func(a, b *kind) int { return cmp.Or(b.n-a.n, strings.Compare(a.text, b.text)) })
	switch {
	case compared == 0:
		p.head("not compared:", dim, "no case ran on more than one kernel")
		return
	case total == 0:
		p.head("same:", dim, fmt.Sprintf("%s run on more than one kernel: the result is the same", Count(compared, "case")))
		return
	}
	p.head("differ:", yellow, Count(total, "decision")+map[bool]string{true: " differs", false: " differ"}[total == 1]+
		" between kernels")
	for _, k := range list[:min(len(list), mostDiffering)] {
		p.para("  ", plain, 4, strings.Fields(fmt.Sprintf("%d: %s", k.n, k.text)), "")
		p.para("    such as ", dim, 6, []string{k.example}, "")
	}
	if n := len(list) - mostDiffering; n > 0 {
		p.para("  ", plain, 4, strings.Fields(fmt.Sprintf("and %s; compare lists them", Count(n, "other kind"))), "")
	}
}

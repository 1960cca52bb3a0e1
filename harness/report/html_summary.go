package report

import (
	"cmp"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/harness/result"
)

// maxPageCauses limits the causes that the page shows at first.
const maxPageCauses = 20

// The meanings of the statuses, for the legend of the page.
var statusMeans = map[result.Status]string{
	result.Pass:        "the kernel answers as expected",
	result.Fail:        "the kernel, or an expectation, is wrong",
	result.Broken:      "no verdict: a control, the set-up or the machine failed",
	result.Interrupted: "not run: the run was interrupted or stopped",
	result.XFail:       "fails, as a list says",
	result.Skip:        "not run: the kernel lacks something that the case needs",
}

// legend lists the statuses that occur.
func (d *pageData) legend() [][2]string {
	out := [][2]string{}
	for _, s := range result.Statuses() {
		if slices.ContainsFunc(d.head.Columns, func(c pageColumn) bool { return c.Counts[s] > 0 }) {
			out = append(out, [2]string{string(s), statusMeans[s]})
		}
	}
	return out
}

// label gives each column a name of its own: the reference, with as much of the run's
// directory as tells it from the others.
func (d *pageData) label() {
	names := []func(*run) string{
		func(k *run) string { return k.name() },
		func(k *run) string { return k.name() + " · " + filepath.Base(cmp.Or(clean(k.dir), "run")) },
		func(k *run) string { return k.name() + " · " + cmp.Or(clean(k.dir), "run") },
	}
	best := 0
	for _, name := range names {
		count := map[string]int{}
		for _, k := range d.kernels {
			count[name(k)]++
		}
		if len(count) <= best {
			continue // a longer name that tells no more of them apart
		}
		best, count = len(count), map[string]int{}
		for i, k := range d.kernels {
			label := name(k)
			if count[label]++; count[label] > 1 {
				label = fmt.Sprintf("%s (%d)", label, count[label])
			}
			d.head.Columns[i].Label = label
		}
	}
}

// pageVerdict is the verdict of the worst run: a class of the style, and the text.
func pageVerdict(runs []*result.Run) [2]string {
	order := []int{result.ExitOK, result.ExitNoVerdict, result.ExitUsage, result.ExitDiffers}
	worst := 0
	for _, r := range runs {
		worst = max(worst, slices.Index(order, r.ExitCode()))
	}
	word := verdictWord(order[worst])
	switch order[worst] {
	case result.ExitOK:
		return [2]string{"pass", "✓ " + word}
	case result.ExitNoVerdict:
		return [2]string{"broken", "! " + word}
	}
	return [2]string{"fail", "✗ " + word}
}

// machineWords says how the machines of a kernel ended: a class of the style, and the text.
func machineWords(k *run) [2]string {
	if k.Error != "" {
		return [2]string{"broken", "not tried"}
	}
	fates := map[string]int{}
	var order []string
	clean, known := 0, 0
	for i := range k.Boots {
		switch b := &k.Boots[i]; {
		case b.Known != "":
			known++
		case !bad(b):
			clean++
		default:
			if fates[string(b.Fate)]++; fates[string(b.Fate)] == 1 {
				order = append(order, string(b.Fate))
			}
		}
	}
	var words []string
	for _, f := range order {
		words = append(words, fmt.Sprintf("%d %s", fates[f], f))
	}
	if clean > 0 || len(words)+known == 0 {
		words = append(words, fmt.Sprintf("%d clean", clean))
	}
	if known > 0 {
		words = append(words, Count(known, "known defect"))
	}
	class := "pass"
	if len(order) > 0 {
		class = "fail"
	}
	return [2]string{class, strings.Join(words, ", ")}
}

// pageFailure is a cause of failures, a machine that did not end well, or a kernel without a
// verdict.
type pageFailure struct {
	Class string        `json:"class"` // fail or broken
	Badge string        `json:"badge"` // a status or a fate
	Title string        `json:"title"`
	Text  string        `json:"text"`
	Rule  string        `json:"rule,omitempty"`
	Logs  []pageLog     `json:"logs,omitempty"`
	Cases []pageExample `json:"cases,omitempty"` // one for each kernel

	key   string
	count int
	facts []field // of the first example
}

// pageLog is a report in the kernel log.
type pageLog struct {
	Title string   `json:"title"`
	Lines []string `json:"lines,omitempty"`
}

// pageExample is the smallest case of a cause on one kernel.
type pageExample struct {
	Case   string `json:"case"`
	Column int    `json:"column"`
	Count  int    `json:"count"`
	Within string `json:"within,omitempty"`
}

// fail adds the failures of a kernel. Kernels with the same cause share one.
func (d *pageData) fail(column int) {
	k, label := d.kernels[column], d.head.Columns[column].Label
	for _, status := range []result.Status{result.Fail, result.Broken} {
		for _, c := range byCause(k.Those(status)) {
			d.failCause(k, column, status, c)
		}
	}
	for i := range k.Boots {
		if b := &k.Boots[i]; bad(b) {
			f := &pageFailure{Class: "fail", Badge: string(b.Fate), Title: label, Text: clean(b.Reason), facts: k.trouble(b)}
			for _, found := range b.Findings {
				f.Logs = append(f.Logs, pageLog{clean(found.Title), found.Lines})
			}
			d.head.Failures = append(d.head.Failures, f)
		}
	}
	badge, why := "not tried", k.untried()
	if why == "" {
		badge, why = "undecided", k.undecided()
	}
	if why != "" {
		d.head.Failures = append(d.head.Failures, &pageFailure{Class: "broken", Badge: badge, Title: label, Text: clean(why)})
	}
}

func (d *pageData) failCause(k *run, column int, status result.Status, c *cause) {
	key := string(status) + causeKey(c.example)
	i := slices.IndexFunc(d.head.Failures, func(f *pageFailure) bool { return f.key == key })
	if i < 0 {
		i = len(d.head.Failures)
		f := &pageFailure{Class: string(status), Badge: string(status), Text: clean(c.why()), key: key,
			facts: k.details(c.example)}
		if s := c.example.Decisive(); s != nil {
			parts := []string{s.Rule, s.Func, s.ID}
			f.Rule = clean(strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" || clean(p) == f.Text }),
				" · "))
		}
		d.head.Failures = append(d.head.Failures, f)
	}
	f := d.head.Failures[i]
	f.count += c.count
	f.Cases = append(f.Cases, pageExample{clean(c.example.ID), column, c.count, clean(c.pattern())})
}

// failures finds the failures of all kernels: first failed cases, then machines, then what has
// no verdict, the most frequent first.
func (d *pageData) failures() {
	d.head.Failures = []*pageFailure{}
	for i := range d.kernels {
		d.fail(i)
	}
	rank := func(f *pageFailure) int {
		switch {
		case f.Class == "fail" && f.key != "":
			return 0
		case f.Class == "fail":
			return 1
		case f.key != "":
			return 2
		}
		return 3
	}
	slices.SortStableFunc(d.head.Failures, func(a, b *pageFailure) int { return cmp.Or(rank(a)-rank(b), b.count-a.count) })
	for _, f := range d.head.Failures {
		if f.key != "" {
			f.Title = Count(f.count, "case")
			if len(d.kernels) > 1 {
				f.Title += " on " + d.where(f.Cases)
			}
		}
	}
}

// where names the kernels of a cause.
func (d *pageData) where(list []pageExample) string {
	if len(list) > 3 {
		return Count(len(list), "kernel")
	}
	var out []string
	for _, e := range list {
		out = append(out, d.head.Columns[e.Column].Label)
	}
	return strings.Join(out, ", ")
}

// wrong counts the cases that failed or have no verdict, in words; "" if there are none.
func (d *pageData) wrong() string {
	n := map[result.Status]int{}
	for i := range d.head.Columns {
		for s, count := range d.head.Columns[i].Counts {
			n[s] += count
		}
	}
	var out []string
	for _, f := range []struct {
		n         int
		one, many string
	}{{n[result.Fail], "decision differs", "decisions differ"}, {n[result.Broken], "has no result", "have no result"}} {
		switch {
		case f.n == 1:
			out = append(out, "1 "+f.one)
		case f.n > 1:
			out = append(out, fmt.Sprintf("%d %s", f.n, f.many))
		}
	}
	return strings.Join(out, ", ")
}

// pageSummary is the part of the page that is markup, for readers without JavaScript.
type pageSummary struct {
	*pageHead
	Names    string   // of the runs
	Size     string   // how many kernels, cases and decisions
	Facts    []field  // about the run
	Lacks    []string // why there is no verdict
	Most     []*pageFailure
	MoreThan int // causes that are left out
	Rows     []pageRow
	Sums     [][2]string // of all groups, by column
	About    bool        // the rows have room to say what their group is about
}

// pageRow is a row of the grid.
type pageRow struct {
	Group, About string
	Cells        [][2]string // class and text, by column
}

func newPageSummary(d *pageData) *pageSummary {
	s := &pageSummary{pageHead: &d.head, About: len(d.kernels) <= 2}
	var names []string
	for i := range d.head.Runs {
		r := &d.head.Runs[i]
		names = append(names, filepath.Base(cmp.Or(clean(r.Dir), fmt.Sprintf("run %d", i+1))))
		s.Lacks = append(s.Lacks, r.Lacks...)
		for _, f := range [][2]string{{"command", strings.Join(r.Args, " ")},
			{"started", r.Start.Format("2006-01-02 15:04:05 MST")}, {"directory", r.Dir}} {
			s.Facts = append(s.Facts, textField(f[0], f[1]))
		}
	}
	s.Names, s.Lacks = strings.Join(names, " and "), append(s.Lacks, d.head.Gaps...)
	decisions := 0
	for _, k := range d.kernels {
		decisions += k.Len()
	}
	s.Size = strings.Join([]string{Count(len(d.kernels), "kernel"), Count(d.size(), "case"),
		Count(decisions, "decision")}, ", ")
	s.Most = d.head.Failures[:min(maxPageCauses, len(d.head.Failures))]
	s.MoreThan = len(d.head.Failures) - len(s.Most)
	s.Rows = d.rows()
	for i := range d.head.Columns {
		s.Sums = append(s.Sums, cellWords(d.head.Columns[i].Counts))
	}
	return s
}

// rows are the rows of the grid.
func (d *pageData) rows() []pageRow {
	counts := make([]map[string]map[result.Status]int, len(d.kernels))
	for i, k := range d.kernels {
		counts[i] = map[string]map[result.Status]int{}
		for c := range k.All() {
			g := groupOf(c.ID)
			if counts[i][g] == nil {
				counts[i][g] = map[result.Status]int{}
			}
			counts[i][g][c.Status]++
		}
	}
	var out []pageRow
	for _, g := range d.head.Groups {
		row := pageRow{Group: clean(g.Name), About: clean(g.about)}
		for i := range d.kernels {
			row.Cells = append(row.Cells, cellWords(counts[i][g.Name]))
		}
		out = append(out, row)
	}
	return out
}

// cellWords counts the cases of a group, the worst first: the class of the worst, and the text.
func cellWords(n map[result.Status]int) [2]string {
	class, words := "none", []string(nil)
	for _, s := range []result.Status{result.Fail, result.Broken, result.Interrupted, result.Pass, result.XFail,
		result.Skip} {
		if n[s] == 0 {
			continue
		}
		words = append(words, fmt.Sprintf("%s %d", s, n[s]))
		if len(words) == 1 {
			class = string(s)
		}
	}
	return [2]string{class, strings.Join(words, ", ")}
}

// Text is a field's text, for the template.
func (f field) Text() string { return f.text() }

// Label is a field's label, for the template.
func (f field) Label() string { return f.label }

// Facts are what is known about the first example of a failure, besides the reason.
func (f *pageFailure) Facts() []field {
	return slices.DeleteFunc(slices.Clone(f.facts), func(f field) bool { return f.label == "reason" })
}

var summaryPage = template.Must(template.New("summary").Parse(pageMarkup("summary.html")))

// pageMarkup returns a file of the page.
func pageMarkup(name string) string {
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err) // the file is embedded
	}
	return string(text)
}

package testlog

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tokentest/harness/count"
)

// node is a test with its subtests.
type node struct {
	Case
	subs []*node
}

// block is one level of a TAP text: the tests that share a plan.
type block struct {
	col     int    // the indentation; "# " counts as two columns
	header  bool   // it has a version line or a plan
	title   string // from "# Subtest: "
	plan    int    // -1 for none
	results []*node
	bailed  bool
}

// tap reads TAP. A parent's result comes after those of its subtests, so it takes everything
// further right that has no parent yet.
type tap struct {
	blocks []*block // outermost first
	yaml   int      // the column of an open YAML block, -1 for none
	titles []title  // of subtests that have no line yet
}

// title is a "# Subtest:" line, in the column of the subtest's lines or of its parent's.
type title struct {
	col  int
	text string
}

func newTAP() *tap { return &tap{yaml: -1} }

var (
	versionLine = regexp.MustCompile(`^K?TAP version \d+$`)
	planLine    = regexp.MustCompile(`^1\.\.(\d+)(?:\s+#\s*(.*))?$`)
	resultLine  = regexp.MustCompile(`^(not )?ok\b(?: +(\d+))?(?: +-? *(.*))?$`)
	bailLine    = regexp.MustCompile(`^Bail out!\s*(.*)$`)
	subtestLine = regexp.MustCompile(`^Subtest:\s*(.*)$`)
	logPrefix   = regexp.MustCompile(`^(?:<\d+>)?\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?`)
)

// unlogged removes what the kernel log puts before a line.
func unlogged(line string) string {
	if strings.HasPrefix(line, "[") || strings.HasPrefix(line, "<") {
		return line[len(logPrefix.FindString(line)):]
	}
	return line
}

// depth removes indentation and comment marks, and returns the column after them.
func depth(line string) (col int, rest string) {
	for {
		switch {
		case strings.HasPrefix(line, "# "):
			col, line = col+2, line[2:]
		case strings.HasPrefix(line, " "):
			col, line = col+1, line[1:]
		case strings.HasPrefix(line, "\t"):
			col, line = col+8, line[1:]
		default:
			return col, line
		}
	}
}

func (p *tap) line(n int, text string) error {
	text = strings.TrimRight(unlogged(text), " \t")
	col, rest := depth(text)
	if m := subtestLine.FindStringSubmatch(rest); m != nil && col >= 2 {
		p.announce(col-2, m[1])
		return nil
	}
	switch {
	case p.yaml >= 0:
		if rest == "..." && col <= p.yaml {
			p.yaml = -1
		}
		if rest == "..." || col >= p.yaml {
			return nil
		}
		p.yaml = -1 // it is no YAML block, or it was cut off
	case rest == "---" && len(p.blocks) > 0:
		p.yaml = col
		return nil
	}
	p.statement(n, col, rest)
	return nil
}

func (p *tap) statement(n, col int, rest string) {
	if versionLine.MatchString(rest) {
		p.at(col).header = true
		return
	}
	if m := planLine.FindStringSubmatch(rest); m != nil {
		p.planned(n, col, m[1], m[2])
		return
	}
	if m := bailLine.FindStringSubmatch(rest); m != nil {
		b := p.at(col)
		b.bailed = true
		c := Case{Name: "Bail out!", Status: Broken, Reason: oneLine("it stopped: " + m[1]), Line: n}
		b.results = append(b.results, &node{Case: c})
		return
	}
	if m := resultLine.FindStringSubmatch(rest); m != nil && p.isResult(col, m[2]) {
		p.result(n, col, m)
	}
}

// isResult reports whether a line that looks like a result is one. In column 0 a number is
// enough; further right it must be in a block or a subtest that was announced, because prose
// in comments also says ok.
func (p *tap) isResult(col int, number string) bool {
	for _, b := range p.blocks {
		if b.col == col && b.header {
			return true
		}
	}
	return number != "" && (col == 0 || len(p.titles) > 0)
}

// announce stores the title of a subtest.
func (p *tap) announce(col int, text string) {
	for _, b := range p.blocks {
		if b.col == col && col > 0 && b.title == "" && len(b.results) == 0 {
			b.title = text
			return
		}
	}
	p.titles = append(p.titles, title{col, text})
}

// entitle gives a new block the nearest title to its left.
func (p *tap) entitle(b *block) {
	best := -1
	for i, t := range p.titles {
		if b.col > 0 && t.col <= b.col && (best < 0 || t.col >= p.titles[best].col) {
			best = i
		}
	}
	if best >= 0 {
		b.title, b.header = p.titles[best].text, true
		p.titles = slices.Delete(p.titles, best, best+1)
	}
}

// at returns the block of a column. Blocks further right stay until a result claims them.
func (p *tap) at(col int) *block {
	i, found := slices.BinarySearchFunc(p.blocks, col, func(b *block, col int) int { return b.col - col })
	if !found {
		p.blocks = slices.Insert(p.blocks, i, &block{col: col, plan: -1})
		p.entitle(p.blocks[i])
	}
	return p.blocks[i]
}

func (p *tap) planned(n, col int, count, directive string) {
	b := p.at(col)
	b.header = true
	v, err := strconv.Atoi(count)
	if err != nil || b.plan >= 0 && v != b.plan {
		c := Case{Name: "plan", Status: Broken, Reason: "the plan is given twice, or is no number", Line: n}
		b.results = append(b.results, &node{Case: c})
		return
	}
	b.plan = v
	if word, why, _ := strings.Cut(directive, " "); v == 0 && strings.EqualFold(strings.TrimSuffix(word, ":"), "skip") {
		b.results = append(b.results, &node{Case: Case{Name: "all", Status: Skip, Reason: oneLine(why), Line: n}})
		b.plan = -1
	}
}

func (p *tap) result(n, col int, m []string) {
	name, directive := splitDirective(m[3])
	if name == "" && m[2] != "" {
		name = "test " + m[2]
	}
	t := &node{Case: Case{Name: oneLine(name), Line: n}, subs: p.claim(col)}
	t.Status, t.Reason = verdict(m[1] == "", directive)
	if bad := failing(t.subs); t.Status == Pass && bad != nil {
		t.Status, t.Reason = Fail, oneLine(fmt.Sprintf("it says ok, but its subtest %s is %s", bad.Name, bad.Status))
	}
	b := p.at(col)
	b.results = append(b.results, t)
	p.titles = slices.DeleteFunc(p.titles, func(t title) bool { return t.col >= col })
}

func failing(subs []*node) *node {
	for _, s := range subs {
		if s.Status == Fail || s.Status == Broken {
			return s
		}
	}
	return nil
}

// claim closes the blocks to the right of a column and returns their tests.
func (p *tap) claim(col int) []*node {
	var out []*node
	inner := ""
	for len(p.blocks) > 0 && p.blocks[len(p.blocks)-1].col > col {
		last := p.blocks[len(p.blocks)-1]
		p.blocks = p.blocks[:len(p.blocks)-1]
		if len(out) > 0 { // the parent of the blocks further right is missing
			last.results = append(last.results, unfinished(inner, out))
		}
		out, inner = last.finish(), last.title
	}
	return out
}

func unfinished(title string, subs []*node) *node {
	if title == "" {
		title = "unfinished"
	}
	return &node{Case: Case{Name: oneLine(title), Status: Broken, Reason: "it ended without a result"}, subs: subs}
}

// finish returns the block's tests, and one for a plan that does not match.
func (b *block) finish() []*node {
	if got := len(b.results); b.plan >= 0 && got != b.plan && !b.bailed {
		why := fmt.Sprintf("planned: %s, with a result: %d", count.Of(b.plan, "test"), got)
		b.results = append(b.results, &node{Case: Case{Name: "plan", Status: Broken, Reason: why}})
	}
	return b.results
}

// splitDirective splits a description at the first # that is not escaped.
func splitDirective(s string) (name, directive string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '#':
			if i == 0 || s[i-1] == ' ' || s[i-1] == '\t' {
				return unescape(s[:i]), strings.TrimSpace(s[i+1:])
			}
		}
	}
	return unescape(s), ""
}

func unescape(s string) string {
	return strings.TrimSpace(strings.NewReplacer(`\#`, "#", `\\`, `\`).Replace(s))
}

// verdict turns ok and a directive into a status.
func verdict(ok bool, directive string) (Status, string) {
	word, why, _ := strings.Cut(directive, " ")
	why = oneLine(why)
	switch strings.ToUpper(strings.TrimRight(word, ":")) {
	case "SKIP", "SKIPPED":
		return Skip, why
	case "TODO":
		if !ok {
			return Skip, oneLine("todo: " + why)
		}
		return Pass, oneLine("todo, but it passes: " + why)
	case "XFAIL":
		return Pass, oneLine("an expected failure: " + why)
	case "TIMEOUT":
		return Fail, oneLine("timed out: " + why)
	case "ERROR":
		return Broken, oneLine("error: " + why)
	}
	switch {
	case ok:
		return Pass, ""
	case directive == "":
		return Fail, "not ok"
	}
	return Fail, oneLine(directive)
}

// end closes all blocks and lists every test.
func (p *tap) end() []Case {
	if len(p.blocks) == 0 {
		return nil
	}
	outer := p.at(0)
	if len(p.blocks) > 1 { // the parent of the blocks further right is missing
		inner := p.blocks[1].title
		if orphans := p.claim(0); len(orphans) > 0 {
			outer.results = append(outer.results, unfinished(inner, orphans))
		}
	}
	return flatten(nil, "", outer.finish())
}

func flatten(out []Case, prefix string, tests []*node) []Case {
	for _, t := range tests {
		t.Name = prefix + t.Name
		out = flatten(out, t.Name+"/", t.subs)
		out = append(out, t.Case)
	}
	return out
}

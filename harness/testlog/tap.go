package testlog

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tokentest/harness/count"
	"tokentest/harness/splat"
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
	again   string // a plan that was given again after all its tests had a result
	from    int    // the first result of the plan; several programs can print into a block
	numbers map[int]int
}

// tap reads TAP. A parent's result comes after those of its subtests, so it takes everything
// further right that has no parent yet.
type tap struct {
	blocks   []*block // outermost first
	yaml     int      // the column of an open YAML block, -1 for none
	titles   []title  // of subtests that have no line yet
	loose    map[int]pending
	skipsAll bool // a plan skips all tests
	prefix   int  // bytes before each line, if a program that copied the log added them
}

// pending is the first result in comments, where it can also be prose.
type pending struct {
	n     int
	match []string
}

// title is a "# Subtest:" line, in the column of the subtest's lines or of its parent's.
type title struct {
	col  int
	text string
}

func newTAP() *tap { return &tap{yaml: -1, loose: map[int]pending{}} }

var (
	versionLine = regexp.MustCompile(`^K?TAP version \d+$`)
	planLine    = regexp.MustCompile(`^1\.\.(\d+)(?:\s+#\s*(.*))?$`)
	resultLine  = regexp.MustCompile(`^(not )?ok\b(?: +(\d+))?(?: +-? *(.*))?$`)
	bailLine    = regexp.MustCompile(`^Bail out!\s*(.*)$`)
	subtestLine = regexp.MustCompile(`^Subtest:\s*(.*)$`)
	lateVersion = regexp.MustCompile(`K?TAP version \d+\s*$`)
	directives  = regexp.MustCompile(`^(?:(?i:skip\w*|todo)\b|(?:XFAIL|XPASS|TIMEOUT|ERROR)\b|exit=\d+)`)
)

// unlogged removes what the kernel's log, a log daemon or a terminal puts before a line.
func unlogged(line string) string {
	msg, kernel := splat.Message(line)
	if !kernel {
		return escapes.ReplaceAllString(line, "")
	}
	return msg
}

// late is how many bytes stand before a version line; 0 is none. kunit.py takes them for a prefix of all lines.
func late(line string) int {
	m := lateVersion.FindStringIndex(line)
	if m == nil || strings.Trim(line[:m[0]], "# \t") == "" {
		return 0
	}
	return m[0]
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
	text = escapes.ReplaceAllString(text, "")
	if plain := unlogged(text); p.prefix == 0 && len(p.blocks) == 0 && !startsTAP(plain) {
		p.prefix = late(text)
	}
	if p.prefix > 0 {
		text = text[min(p.prefix, len(text)):]
	}
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
	if looksTAP.MatchString(rest) || resultLine.MatchString(rest) { // what stands further right is another program's
		maps.DeleteFunc(p.loose, func(right int, _ pending) bool { return right > col })
	}
	if versionLine.MatchString(rest) {
		p.versioned(col)
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
	m := resultLine.FindStringSubmatch(rest)
	switch {
	case m == nil:
	case p.isResult(col, m[2]):
		p.result(n, col, m)
	case m[2] != "":
		p.maybe(n, col, m)
	}
}

// startsTAP reports whether a line is one of TAP, without a prefix.
func startsTAP(line string) bool {
	_, rest := depth(line)
	return looksTAP.MatchString(rest)
}

// versioned takes a version line. If tests had their results before it, another program begins.
func (p *tap) versioned(col int) {
	b := p.at(col)
	if len(b.results) > b.from || b.plan >= 0 {
		b.adopt(p.claim(col))
		b.restart()
	}
	b.header = true
}

// maybe takes a result in a comment of a block without a header: prose in comments also says "ok 1". A failure
// counts; a success counts if the next one follows it.
func (p *tap) maybe(n, col int, m []string) {
	first, held := p.loose[col]
	switch {
	case m[1] != "" || held && m[2] == "2":
		if b := p.at(col); held {
			delete(p.loose, col)
			b.header = true
			p.result(first.n, col, first.match)
		}
		p.at(col).header = true
		p.result(n, col, m)
	case m[2] == "1":
		p.loose[col] = pending{n, m}
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

var skipAll = regexp.MustCompile(`^(?i:skip\w*)\b:?\s*(.*)$`)

func (p *tap) planned(n, col int, count, directive string) {
	if first, held := p.loose[col]; held {
		delete(p.loose, col)
		p.at(col).header = true
		p.result(first.n, col, first.match)
	}
	b := p.at(col)
	v, err := strconv.Atoi(count)
	if err == nil && b.plan >= 0 && (len(b.results)-b.from == b.plan || b.plan == 0) {
		if v > 0 {
			b.again = count // another program's, if results follow
			return
		}
		b.restart()
	}
	b.header = true
	if err != nil || b.plan >= 0 && v != b.plan {
		c := Case{Name: "plan", Status: Broken, Reason: "the plan is given twice, or is no number", Line: n}
		b.results = append(b.results, &node{Case: c})
		return
	}
	b.plan = v
	if m := skipAll.FindStringSubmatch(directive); v == 0 && m != nil {
		b.results = append(b.results, &node{Case: Case{Name: "all", Status: Skip, Reason: oneLine(m[1]), Line: n}})
		b.plan, p.skipsAll = -1, true
		b.restart()
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
	b.number(m[2])
	b.results = append(b.results, t)
	p.titles = slices.DeleteFunc(p.titles, func(t title) bool { return t.col >= col })
}

// number counts the number of a result. If the tests begin again at 1, another program prints.
func (b *block) number(text string) {
	v, err := strconv.Atoi(text)
	switch {
	case b.again != "":
		plan, _ := strconv.Atoi(b.again)
		b.restart()
		b.plan = plan
	case v == 1 && b.numbers[1] > 0 && (b.plan < 0 || len(b.results)-b.from == b.plan):
		b.restart()
	}
	if err == nil {
		if b.numbers == nil {
			b.numbers = map[int]int{}
		}
		b.numbers[v]++
	}
}

// adopt adds tests whose parent is missing, because another program begins.
func (b *block) adopt(orphans []*node) {
	if len(orphans) > 0 {
		b.results = append(b.results, unfinished("", orphans))
	}
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
	b.restart()
	return b.results
}

// restart ends a plan: a test of it that has no result, or several, is an error.
func (b *block) restart() {
	got := len(b.results) - b.from
	why := b.wrongNumbers(got)
	if b.plan >= 0 && got != b.plan {
		why = fmt.Sprintf("planned: %s, with a result: %d", count.Of(b.plan, "test"), got)
	}
	if why != "" && !b.bailed {
		b.results = append(b.results, &node{Case: Case{Name: "plan", Status: Broken, Reason: why}})
	}
	b.from, b.plan, b.again, b.numbers = len(b.results), -1, "", nil
}

// wrongNumbers says which numbers are missing or given twice, if each of the got tests has one; "" is none.
func (b *block) wrongNumbers(got int) string {
	var missing, twice []string
	total := 0
	for _, times := range b.numbers {
		total += times
	}
	if total != got {
		return ""
	}
	for v := 1; v <= got; v++ {
		switch times := b.numbers[v]; {
		case times == 0:
			missing = append(missing, strconv.Itoa(v))
		case times > 1:
			twice = append(twice, strconv.Itoa(v))
		}
	}
	switch {
	case len(missing) == 0:
		return ""
	case len(twice) == 0:
		return oneLine("no test has the number " + strings.Join(missing, ", "))
	}
	return oneLine(fmt.Sprintf("several tests have the number %s, none has %s", strings.Join(twice, ", "),
		strings.Join(missing, ", ")))
}

// splitDirective splits a description at the first # before a directive that no backslash escapes. Another # is
// a part of the description.
func splitDirective(s string) (name, directive string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '#':
			rest := strings.TrimSpace(s[i+1:])
			if (i == 0 || s[i-1] == ' ' || s[i-1] == '\t') && directives.MatchString(rest) {
				return unescape(s[:i]), rest
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
	switch word := strings.ToUpper(strings.TrimRight(word, ":")); {
	case strings.HasPrefix(word, "SKIP"):
		return Skip, why
	}
	switch strings.ToUpper(strings.TrimRight(word, ":")) {
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
	outer := p.blocks[0] // a whole log can be indented
	if outer.title != "" {
		outer = p.at(0)
	}
	if len(p.blocks) > 1 { // the parent of the blocks further right is missing
		inner := p.blocks[1].title
		if orphans := p.claim(outer.col); len(orphans) > 0 {
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

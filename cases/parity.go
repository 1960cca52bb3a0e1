package cases

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed parity.txt
var parityText string

// Upstream is an assertion of the kernel's own selftests.
type Upstream struct {
	ID     string // FILE/SUBTEST/ASSERTION
	What   string // what it asserts
	Remark string // why the upstream assertion checks nothing, or why no step here repeats it
	None   bool   // no step here repeats it
}

// Mark connects a step with the upstream assertion that checks the same.
type Mark struct {
	ID   string
	Line int // of the step
}

// Upstreams lists the assertions of cases/parity.txt.
func Upstreams() ([]Upstream, error) { return parseUpstreams(parityText) }

// parseUpstreams reads lines "ID | WHAT", "ID | WHAT | REMARK" and
// "ID | WHAT | none: REASON"; a # begins a comment line.
func parseUpstreams(text string) ([]Upstream, error) {
	var out []Upstream
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		parts := strings.Split(line, "|")
		for j := range parts {
			parts[j] = strings.TrimSpace(parts[j])
		}
		if len(parts) < 2 || len(parts) > 3 || strings.Count(parts[0], "/") != 2 {
			return nil, fmt.Errorf("cases/parity.txt:%d: want FILE/SUBTEST/ASSERTION | WHAT [| REMARK]", i+1)
		}
		u := Upstream{ID: parts[0], What: parts[1]}
		if len(parts) == 3 {
			u.Remark, u.None = strings.CutPrefix(parts[2], "none: ")
		}
		if slices.ContainsFunc(out, func(o Upstream) bool { return o.ID == u.ID }) {
			return nil, fmt.Errorf("cases/parity.txt:%d: %s is already defined", i+1, u.ID)
		}
		out = append(out, u)
	}
	return out, nil
}

// parity reads "parity ID...": the upstream assertions that the next step repeats.
func (p *parser) parity(words []string) error {
	if len(words) == 0 {
		return fmt.Errorf("want parity FILE/SUBTEST/ASSERTION..., above the step that asks the same")
	}
	p.marks = append(p.marks, words...)
	return nil
}

// marked connects the marks above a step with the step.
func (p *parser) marked(line int) {
	for _, id := range p.marks {
		p.f.marks = append(p.f.marks, Mark{id, line})
	}
	p.marks = nil
}

// Parity lists the steps that repeat each upstream assertion, as
// the Markdown of results/parity.md.
func Parity(c *Corpus) (string, error) {
	list, err := Upstreams()
	if err != nil {
		return "", err
	}
	steps, err := parityOf(c, list)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Parity with the kernel's selftests\n\n" +
		"Written by `make parity` from `cases/parity.txt` and the `parity` lines of the case files. " +
		"Upstream is `tools/testing/selftests/bpf/prog_tests` of 7.3.\n")
	subtest := ""
	for _, u := range list {
		if name := u.ID[:strings.LastIndex(u.ID, "/")]; name != subtest {
			subtest = name
			fmt.Fprintf(&b, "\n## %s\n\n| upstream asserts | here | remark |\n| --- | --- | --- |\n", name)
		}
		here := steps[u.ID]
		if u.None {
			here = []string{"-"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", escape(u.What), escape(strings.Join(here, "<br>")), escape(u.Remark))
	}
	return b.String(), nil
}

func escape(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// parityOf returns the steps that repeat each assertion. An assertion without a step is
// an error, and so is a mark for an assertion that is not listed.
func parityOf(c *Corpus, list []Upstream) (map[string][]string, error) {
	steps := map[string][]string{}
	for _, g := range c.Groups {
		for _, m := range g.Marks {
			if !slices.ContainsFunc(list, func(u Upstream) bool { return u.ID == m.ID }) {
				return nil, fmt.Errorf("%s:%d: %s is not in cases/parity.txt", g.Path, m.Line, m.ID)
			}
			steps[m.ID] = append(steps[m.ID], fmt.Sprintf("`%s`: `%s`", g.Name, g.stepAt(m.Line)))
		}
	}
	for _, u := range list {
		switch {
		case u.None && steps[u.ID] != nil:
			return nil, fmt.Errorf("cases/parity.txt: %s is listed as none, but %s is marked with it", u.ID, steps[u.ID][0])
		case !u.None && steps[u.ID] == nil:
			return nil, fmt.Errorf("cases/parity.txt: no step is marked with %s", u.ID)
		}
	}
	return steps, nil
}

// stepAt returns the text of the step in a line, with what it must answer.
func (g *Group) stepAt(line int) string {
	for _, info := range g.Cases[0].Info() {
		if info.Line == line {
			answer := "?"
			if info.Pin != nil {
				answer = info.Pin.Errno.String()
			}
			return info.Text + " => " + answer
		}
	}
	return ""
}

package report

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"tokentest/harness/result"
)

// maxMarkdown keeps a job's summary below GitHub's limit of 1 MiB a step.
const maxMarkdown = 900 << 10

// Markdown renders a run as GitHub's job summary: a grid of kernels and
// groups, then each cause of failures with its repeat line.
func Markdown(r *result.Run, w io.Writer, _ Options) error {
	m := &markdown{w: bufio.NewWriter(w), program: program(r)}
	list := kernels(r)
	m.line("### tokentest: %s", verdictWord(r.ExitCode()))
	m.line("")
	m.grid(list)
	for _, k := range list {
		m.kernel(k)
	}
	if r.Idle() {
		m.line("Part %s has %s.", r.Part, result.NothingToDo)
	}
	for _, part := range r.Missing {
		m.line("Missing part %s.", part)
	}
	for _, text := range warnings(r) {
		m.line("Warning: %s.", md(text))
	}
	for _, gap := range r.Gaps() {
		m.line("No verdict: %s.", md(gap))
	}
	if why := cutShort(r); why != "" {
		m.line("No verdict: %s.", why)
	}
	return flush(m.w)
}

// verdictWord is the meaning of an exit code.
func verdictWord(code int) string {
	switch code {
	case result.ExitOK:
		return "all as expected"
	case result.ExitDiffers:
		return "a kernel differs"
	case result.ExitUsage:
		return "an expectation is wrong"
	}
	return "no verdict"
}

// markdown counts the bytes it writes, and stops before the limit.
type markdown struct {
	w    *bufio.Writer
	n    int
	full bool

	program string // the name that printed commands begin with
}

func (m *markdown) line(format string, args ...any) {
	if m.full {
		return
	}
	text := fmt.Sprintf(format+"\n", args...)
	if m.n += len(text); m.n > maxMarkdown {
		m.full = true
		text = "\nThe rest does not fit: `" + m.program + " report` shows it.\n"
	}
	m.w.WriteString(text)
}

// grid writes the statuses by kernel, then those of each group with a failure.
func (m *markdown) grid(list []*run) {
	m.line("| kernel | release | pass | fail | broken | skip | verdict |")
	m.line("| --- | --- | ---: | ---: | ---: | ---: | --- |")
	for _, k := range list {
		n := k.Counts()
		m.line("| %s | %s | %d | %d | %d | %d | %s%s |", md(k.name()), md(k.Release),
			n[result.Pass], n[result.Fail], n[result.Broken], n[result.Skip], verdictWord(k.verdict()), notTried(n))
	}
	m.line("")
}

func notTried(n map[result.Status]int) string {
	if n[result.Interrupted] == 0 {
		return ""
	}
	return fmt.Sprintf(": %d not run", n[result.Interrupted])
}

// md escapes a text for Markdown and HTML.
func md(s string) string {
	var out strings.Builder
	for _, r := range clean(s) {
		if strings.ContainsRune("\\`*_{}[]<>()#+!|~&$@", r) {
			fmt.Fprintf(&out, "&#%d;", r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func (m *markdown) kernel(k *run) {
	if why := k.untried(); why != "" {
		m.line("**%s** %s\n", md(k.name()), md(why))
		return
	}
	for _, status := range []result.Status{result.Fail, result.Broken} {
		for _, c := range byCause(k.Those(status)) {
			m.line("<details><summary>%s %s: %s</summary>\n", md(k.name()), status, md(headline(c)))
			m.block(c.example.ID, k.details(c.example))
		}
	}
	if why := k.undecided(); why != "" {
		m.line("**%s** %s\n", md(k.name()), md(why))
	}
	for c := range k.Where(func(c *result.CaseResult) bool { return c.Status != result.Skip && len(c.Unjudged()) > 0 }) {
		for _, s := range c.Unjudged() {
			m.line("%s %s: %s: %s\n", md(k.name()), s.Unknown, md(c.ID), md(unjudged(s)))
		}
	}
	for i := range k.Boots {
		if b := &k.Boots[i]; bad(b) {
			m.line("<details><summary>%s %s: %s</summary>\n", md(k.name()), b.Fate, md(b.Reason))
			m.block(b.Dir, k.trouble(b))
		}
	}
}

// block writes fields in a code block, with a fence that is longer than any fence in them.
func (m *markdown) block(title string, list []field) {
	var text bytes.Buffer
	fmt.Fprintf(&text, "case: %s\n", clean(title))
	for _, f := range list {
		fmt.Fprintf(&text, "%s: %s\n", f.label, f.text())
	}
	fence := "```"
	for bytes.Contains(text.Bytes(), []byte(fence)) {
		fence += "`"
	}
	m.line("%stext\n%s%s\n\n</details>\n", fence, text.String(), fence)
}

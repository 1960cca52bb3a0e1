package report

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"tokentest/harness/result"
)

// compareFormats lists the formats of a comparison; the first is for people.
var compareFormats = []struct {
	name  string
	write func(*result.Comparison, io.Writer, Options) error
}{
	{"pretty", PrettyComparison},
	{"json", JSONComparison},
	{"github", GitHubComparison},
	{"mail", MailComparison},
	{"html", HTMLComparison},
}

// CompareFormats returns the names that WriteComparison knows.
func CompareFormats() []string {
	var out []string
	for _, f := range compareFormats {
		out = append(out, f.name)
	}
	return out
}

// WriteComparison renders a comparison in the named format.
func WriteComparison(format string, c *result.Comparison, w io.Writer, o Options) error {
	for _, f := range compareFormats {
		if f.name == format {
			return f.write(c, w, o)
		}
	}
	return fmt.Errorf("unknown format %q of a comparison: there are %s", format, strings.Join(CompareFormats(), ", "))
}

// bunch is a set of changes with one cause.
type bunch struct {
	class   result.Class
	count   int
	example *result.Change // the smallest
	cause   cause          // of the new side's cases
}

// bunches groups a kernel's changes by class and cause, in the order of the
// classes, the largest first.
func bunches(list []result.Change) []*bunch {
	known := map[string]*bunch{}
	var out []*bunch
	for i := range list {
		c := &list[i]
		key := string(c.Class) + "\x00" + changeKey(c)
		b := known[key]
		if b == nil {
			b = &bunch{class: c.Class, example: c, cause: cause{got: map[string]int{}, example: c.New}}
			known[key] = b
			out = append(out, b)
		}
		b.count++
		if c.New != nil {
			b.cause.add(c.New)
		}
		if cmp.Or(len(c.ID)-len(b.example.ID), strings.Compare(c.ID, b.example.ID)) < 0 {
			b.example = c
		}
	}
	order := result.Classes()
	slices.SortStableFunc(out, func(a, b *bunch) int {
		return cmp.Or(slices.Index(order, a.class)-slices.Index(order, b.class), b.count-a.count,
			strings.Compare(a.example.ID, b.example.ID))
	})
	return out
}

// changeKey is equal for changes with one cause.
func changeKey(c *result.Change) string {
	group, _, _ := strings.Cut(c.ID, "/")
	switch c.Class {
	case result.Fixed:
		return causeKey(c.Base)
	case result.Changed:
		was, is, _ := firstChange(c)
		return answers(was) + " " + ruleOf(was) + "\x00" + answers(is) + " " + ruleOf(is)
	case result.NewCase, result.Vanished:
		return group + "\x00" + detailKey(c)
	case result.NoVerdict:
		if unrecorded(c) {
			return string(c.Detail)
		}
	case result.Flaky:
		return group + "\x00" + seenCounts(c)
	}
	return causeKey(c.New) + "\x00" + detailKey(c)
}

// detailKey is equal for changes with the same detail: of skips, the same cause.
func detailKey(c *result.Change) string {
	switch {
	case c.Detail == result.IsSkipped:
		return string(c.Detail) + causeKey(c.New)
	case c.Detail == result.WasSkipped && c.Class == result.NewCase:
		return string(c.Detail) + causeKey(c.Base)
	}
	return string(c.Detail)
}

// unrecorded reports whether a case has no verdict because a record of it is missing.
func unrecorded(c *result.Change) bool {
	return c.Class == result.NoVerdict && (c.New == nil || c.Base == nil && c.Detail == result.NoBaseRecord)
}

// answers returns the results of a case's steps as text.
func answers(c *result.CaseResult) string {
	if c == nil {
		return "nothing"
	}
	var out []string
	for i := range c.Steps {
		o := &c.Steps[i].Got
		text := o.Errno.String()
		if o.Proof.Fails() {
			text += " with " + o.Proof.Fault()
		}
		if len(o.Values) > 0 {
			text += fmt.Sprintf(" %#x", o.Values)
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return string(c.Status)
	}
	return strings.Join(out, ", ")
}

// firstChange returns the first step whose result differs between the two sides, or the
// whole cases if their steps differ.
func firstChange(c *result.Change) (was, is *result.CaseResult, step int) {
	if c.Base == nil || c.New == nil || len(c.Base.Steps) != len(c.New.Steps) {
		return c.Base, c.New, -1
	}
	for i := range c.New.Steps {
		a := &result.CaseResult{Status: c.Base.Status, Steps: c.Base.Steps[i : i+1]}
		b := &result.CaseResult{Status: c.New.Status, Steps: c.New.Steps[i : i+1]}
		if answers(a) != answers(b) {
			return a, b, i
		}
	}
	return c.Base, c.New, -1
}

// ruleOf names the rule of a case's wrong step, or of its last step.
func ruleOf(c *result.CaseResult) string {
	if s := c.Decisive(); s != nil {
		return s.ID
	}
	if n := len(c.Steps); n > 0 {
		return c.Steps[n-1].ID
	}
	return ""
}

func seenCounts(c *result.Change) string {
	var out []string
	for _, s := range result.Statuses() {
		if n := c.Seen[s]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(out, ", ")
}

// saying describes a bunch in one line.
func (b *bunch) saying() string {
	c := b.example
	group, _, _ := strings.Cut(c.ID, "/")
	n := Count(b.count, "case")
	note := ""
	if text := c.Note(); text != "" {
		note = "; " + text
	}
	switch b.class {
	case result.NoVerdict:
		if unrecorded(c) {
			return n + ": " + c.Note()
		}
	case result.NewCase, result.Vanished:
		return fmt.Sprintf("%s of %s%s", n, group, note)
	case result.Flaky:
		return fmt.Sprintf("%s of %s: %s%s", n, group, cmp.Or(seenCounts(c), "it varies"), note)
	case result.Changed:
		was, is, step := firstChange(c)
		text := fmt.Sprintf("%s: %s, then %s", n, answers(was), answers(is))
		if len(c.New.Steps) > 1 && step >= 0 {
			text += fmt.Sprintf(" (step %d)", step+1)
		}
		return text
	case result.Fixed:
		return n + ": " + why(c.Base)
	}
	if s := c.New.Decisive(); s != nil {
		return fmt.Sprintf("%s: %s%s", n, mismatch(s, b.cause.answers(s)), note)
	}
	return n + ": " + why(c.New) + note
}

// why returns in one line why a case is not a pass.
func why(c *result.CaseResult) string {
	if s := c.Decisive(); s != nil {
		return mismatch(s, got(s))
	}
	return c.Why()
}

// kernelName names the kernels that a pair compares.
func kernelName(p *result.Pair) string {
	switch {
	case p.Base == nil:
		return p.New.Ref
	case p.New == nil:
		return p.Base.Ref
	case p.Base.Ref != p.New.Ref:
		return fmt.Sprintf("%s (%s), then %s (%s)", p.Base.Ref, p.Base.Release, p.New.Ref, p.New.Release)
	case p.Base.Release != p.New.Release:
		return fmt.Sprintf("%s: %s, then %s", p.New.Ref, p.Base.Release, p.New.Release)
	}
	return p.New.Ref + ": " + p.New.Release
}

// classStyle is red for classes that decide the exit code.
func classStyle(c result.Class) style {
	switch c {
	case result.NewFailure:
		return red
	case result.NoVerdict, result.Flaky, result.Changed:
		return yellow
	case result.Fixed:
		return green
	}
	return plain
}

// PrettyComparison renders a comparison for a terminal, the worst first.
func PrettyComparison(c *result.Comparison, w io.Writer, o Options) error {
	p := &pretty{textWriter{bufio.NewWriter(w), cmp.Or(o.Width, 80), o.Color}}
	p.head("compare", bold, c.Base+" with "+c.New)
	for _, u := range c.Unlike {
		p.head("unlike:", bold, u)
	}
	p.gaps(c)
	for _, pair := range c.Pairs {
		p.blank()
		p.pair(pair)
	}
	if len(c.Pairs) > 1 {
		p.blank()
		p.head("all", bold, Count(len(c.Pairs), "kernel")+": "+classTally(c.Counts()))
	}
	return flush(p.w)
}

// gaps lists the records that are missing or damaged on either side.
func (p *pretty) gaps(c *result.Comparison) {
	for _, g := range c.Gaps {
		p.head("NO VERDICT", yellow, g)
	}
}

func (p *pretty) pair(pair *result.Pair) {
	p.head("kernel", bold, kernelName(pair))
	if pair.Untried != "" {
		p.head("NO VERDICT", yellow, pair.Untried)
	}
	if pair.Alone != "" {
		p.head("not compared:", bold, pair.Alone)
	}
	for i := range pair.Findings {
		s := &pair.Findings[i]
		p.head("NEW FINDING", red, s.Title)
		if s.Blame != "" {
			p.field(textField("blame", s.Blame))
		}
	}
	list := bunches(pair.Changes)
	for _, b := range list[:min(maxBunches, len(list))] {
		p.bunch(pair, b)
	}
	if rest := list[min(maxBunches, len(list)):]; len(rest) > 0 {
		p.head("and", plain, fmt.Sprintf("%d other causes; --format json lists them", len(rest)))
	}
	p.head("sum", classStyle(worstOf(pair)), classTally(pairCounts(pair)))
}

// maxBunches keeps a comparison to a few screens.
const maxBunches = 40

func worstOf(p *result.Pair) result.Class {
	n := pairCounts(p)
	for _, c := range result.Classes() {
		if n[c] > 0 {
			return c
		}
	}
	return result.Fixed
}

func pairCounts(p *result.Pair) map[result.Class]int {
	return (&result.Comparison{Pairs: []*result.Pair{p}}).Counts()
}

// classTally counts the cases of each class.
func classTally(n map[result.Class]int) string {
	out := []string{fmt.Sprintf("%d same", n[result.Same])}
	for _, c := range result.Classes() {
		if n[c] > 0 || c == result.NewFailure {
			out = append(out, fmt.Sprintf("%d %s", n[c], c))
		}
	}
	return strings.Join(out, ", ")
}

func (p *pretty) bunch(pair *result.Pair, b *bunch) {
	p.head(strings.ToUpper(string(b.class)), classStyle(b.class), b.saying())
	for _, f := range bunchFields(pair, b) {
		p.field(f)
	}
}

// bunchFields describes a bunch's smallest case.
func bunchFields(pair *result.Pair, b *bunch) []field {
	c := b.example
	label := "case"
	if b.count > 1 {
		label = "example"
	}
	out := []field{{label: label, words: []string{clean(c.ID)}}}
	if within := b.cause.pattern(); within != "" {
		out = append(out, field{label: "within", words: []string{clean(within)}})
	}
	if unrecorded(c) {
		return out
	}
	k := runOf(pair)
	switch b.class {
	case result.NewCase, result.Vanished, result.Fixed:
		return out
	case result.Changed:
		was, is, _ := firstChange(c)
		for _, f := range [][2]string{{"rule was", ruleOf(was)}, {"rule is", ruleOf(is)}} {
			if f[1] != "" {
				out = append(out, textField(f[0], f[1]))
			}
		}
	case result.NewFailure, result.StillFailing, result.Flaky, result.NoVerdict:
		if s := c.New.Decisive(); s != nil {
			out = append(out, slices.DeleteFunc(stepFields(s), func(f field) bool {
				return f.label == "got" ||
					f.label == "expected"
			})...)
		}
		if c.Base != nil && b.class != result.StillFailing {
			was := string(c.Base.Status)
			if len(c.Base.Steps) > 0 {
				was += ": " + answers(c.Base)
			}
			out = append(out, textField("was", was))
		}
	}
	return append(out, k.repeat(c.ID))
}

// jsonChange is a change as JSON shows it.
type jsonChange struct {
	Case   string                `json:"case"`
	Class  result.Class          `json:"class"`
	Detail result.Detail         `json:"detail,omitempty"`
	Note   string                `json:"note,omitempty"` // the same in words
	Base   *jsonSide             `json:"base,omitempty"`
	New    *jsonSide             `json:"new,omitempty"`
	Seen   map[result.Status]int `json:"seen,omitempty"`
}

type jsonSide struct {
	Status result.Status `json:"status"`
	Got    string        `json:"got,omitempty"`
	Rule   string        `json:"rule,omitempty"`
	Reason string        `json:"reason,omitempty"`
	Cause  result.Cause  `json:"cause,omitzero"`
}

func sideOf(c *result.CaseResult) *jsonSide {
	if c == nil {
		return nil
	}
	s := &jsonSide{Status: c.Status, Reason: c.Reason, Cause: c.Cause, Rule: ruleOf(c)}
	if len(c.Steps) > 0 {
		s.Got = answers(c)
	}
	return s
}

type jsonPair struct {
	Base     string               `json:"base,omitempty"`
	New      string               `json:"new,omitempty"`
	Releases [2]string            `json:"releases"`
	Untried  string               `json:"untried,omitempty"`
	Alone    string               `json:"alone,omitempty"`
	Findings []string             `json:"findings,omitempty"`
	Counts   map[result.Class]int `json:"counts"`
}

// JSONComparison renders a comparison with every change in it.
func JSONComparison(c *result.Comparison, w io.Writer, _ Options) error {
	j := &jsonWriter{w: bufio.NewWriter(w)}
	head := struct {
		Base     string               `json:"base"`
		New      string               `json:"new"`
		Unlike   []string             `json:"unlike,omitempty"`
		Gaps     []string             `json:"gaps,omitempty"`
		Counts   map[result.Class]int `json:"counts"`
		ExitCode int                  `json:"exit_code"`
	}{c.Base, c.New, c.Unlike, c.Gaps, c.Counts(), c.ExitCode()}
	j.object("", head, "kernels", len(c.Pairs), func(i int) {
		p := c.Pairs[i]
		v := jsonPair{Untried: p.Untried, Alone: p.Alone, Counts: pairCounts(p)}
		if p.Base != nil {
			v.Base, v.Releases[0] = p.Base.Ref, p.Base.Release
		}
		if p.New != nil {
			v.New, v.Releases[1] = p.New.Ref, p.New.Release
		}
		for _, f := range p.Findings {
			v.Findings = append(v.Findings, f.Title)
		}
		j.object("    ", v, "changes", len(p.Changes), func(i int) {
			x := &p.Changes[i]
			line, err := json.Marshal(jsonChange{x.ID, x.Class, x.Detail, x.Note(), sideOf(x.Base), sideOf(x.New), x.Seen})
			if err != nil && j.err == nil {
				j.err = fmt.Errorf("encode the comparison: %w", err)
			}
			j.w.Write(line)
		})
	})
	fmt.Fprintln(j.w)
	if j.err != nil {
		return j.err
	}
	return flush(j.w)
}

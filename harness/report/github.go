package report

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// GitHub shows ten errors and ten warnings of a step and drops the rest. So the worst come
// first, and the last one counts the rest.
const (
	maxAnnotations    = 10
	maxAnnotationText = 4000 // bytes; GitHub cuts what is longer than 4 KiB
)

// annotation is a line that GitHub shows next to a change.
type annotation struct {
	error       bool
	title, text string
	cases       int
}

// GitHub renders a run as workflow commands: an error for each cause of a
// failure, a warning for each case without a verdict, the worst first. The full text of
// each is in its own group of the log; Markdown has the summary.
func GitHub(r *result.Run, w io.Writer, o Options) error {
	out := bufio.NewWriter(w)
	var list []annotation
	for _, k := range kernels(r) {
		list = append(list, k.annotations()...)
	}
	if len(r.Kernels) == 0 && !r.Idle() {
		list = append(list, annotation{error: true, title: "tokentest", text: "no kernel was tried"})
	}
	for _, part := range r.Missing {
		list = append(list, annotation{error: true, title: "tokentest", text: "missing part " + part})
	}
	for _, text := range warnings(r) {
		list = append(list, annotation{title: "tokentest", text: text})
	}
	for _, gap := range r.Gaps() {
		list = append(list, annotation{error: true, title: "tokentest", text: gap})
	}
	if why := cutShort(r); why != "" {
		list = append(list, annotation{title: "tokentest", text: why})
	}
	annotate(out, list)
	if err := grouped(out, "tokentest", func(w io.Writer) error {
		return Pretty(r, w,
			Options{Width: o.Width})
	}); err != nil {
		return err
	}
	return flush(out)
}

// grouped folds a text in the log. GitHub takes nothing in it for a command.
func grouped(w *bufio.Writer, title string, write func(io.Writer) error) error {
	var text bytes.Buffer
	if err := write(&text); err != nil {
		return err
	}
	token := fmt.Sprintf("tokentest-%x", sha256.Sum256(text.Bytes()))
	fmt.Fprintf(w, "::group::%s\n::stop-commands::%s\n", commandText(title), token)
	w.Write(text.Bytes())
	fmt.Fprintf(w, "::%s::\n::endgroup::\n", token)
	return nil
}

func (k *run) annotations() []annotation {
	var out []annotation
	for _, status := range []result.Status{result.Fail, result.Broken} {
		for _, c := range byCause(k.Those(status)) {
			text := headline(c) + "\n" + "case: " + c.example.ID
			for _, f := range k.details(c.example) {
				text += "\n" + f.label + ": " + f.text()
			}
			out = append(out, annotation{status == result.Fail, k.name() + ": " + string(status), text, c.count})
		}
	}
	for i := range k.Boots {
		b := &k.Boots[i]
		if !bad(b) {
			continue
		}
		text := b.Reason
		for _, f := range k.trouble(b) {
			text += "\n" + f.label + ": " + f.text()
		}
		out = append(out, annotation{!infrastructure(b.Fate) && b.Fate != vm.Clean, k.name() + ": " + string(b.Fate), text,
			1})
	}
	for _, why := range []string{k.untried(), k.undecided()} {
		if why != "" {
			out = append(out, annotation{title: k.name(), text: why, cases: 1})
		}
	}
	return out
}

// annotate writes errors, then warnings, at most as many as GitHub shows.
func annotate(w *bufio.Writer, list []annotation) {
	for _, command := range []string{"error", "warning"} {
		var of []annotation
		for _, a := range list {
			if a.error == (command == "error") {
				of = append(of, a)
			}
		}
		slices.SortStableFunc(of, func(a, b annotation) int { return b.cases - a.cases })
		if len(of) > maxAnnotations {
			rest := of[maxAnnotations-1:]
			of = append(of[:maxAnnotations-1:maxAnnotations-1], annotation{title: "tokentest",
				text: fmt.Sprintf("%d more: the summary and the log have all", len(rest))})
		}
		for _, a := range of {
			fmt.Fprintf(w, "::%s title=%s::%s\n", command, commandProperty(a.title), commandText(cut(a.text, maxAnnotationText)))
		}
	}
}

// cut shortens a text to at most limit bytes, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	s = s[:limit-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// commandText escapes the text of a workflow command and keeps its lines.
func commandText(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.ReplaceAll(clean(lines[i]), "%", "%25")
	}
	return strings.Join(lines, "%0A")
}

// commandProperty escapes a property's value, which ends at a colon or comma.
func commandProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(commandText(s))
}

// GitHubComparison renders a comparison as workflow commands: an error for
// each cause of a new failure, a warning for cases that are flaky, have no verdict, or
// changed their decision.
func GitHubComparison(c *result.Comparison, w io.Writer, o Options) error {
	out := bufio.NewWriter(w)
	var list []annotation
	for _, g := range c.Gaps {
		list = append(list, annotation{error: true, title: "no verdict", text: g})
	}
	for _, p := range c.Pairs {
		list = append(list, pairAnnotations(p)...)
	}
	annotate(out, list)
	if err := grouped(out, "tokentest compare", func(w io.Writer) error {
		return PrettyComparison(c, w,
			Options{Width: o.Width})
	}); err != nil {
		return err
	}
	return flush(out)
}

func pairAnnotations(p *result.Pair) []annotation {
	var out []annotation
	name := kernelName(p)
	for _, f := range p.Findings {
		out = append(out, annotation{true, name + ": new finding", f.Title, 1})
	}
	if p.Untried != "" {
		out = append(out, annotation{false, name + ": no verdict", p.Untried, 1})
	}
	for _, b := range bunches(p.Changes) {
		switch b.class {
		case result.NewFailure, result.NoVerdict, result.Flaky, result.Changed:
		default:
			continue
		}
		text := b.saying()
		for _, f := range bunchFields(p, b) {
			text += "\n" + f.label + ": " + f.text()
		}
		out = append(out, annotation{b.class == result.NewFailure, name + ": " + string(b.class), text, b.count})
	}
	return out
}

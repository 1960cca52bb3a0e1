package bisect

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/shell"
)

// report writes what was found, as a mail that can be sent.
func (d *driver) report(ctx context.Context, r *Result) (*Report, error) {
	var text strings.Builder
	if err := d.mail(ctx, &text, r); err != nil {
		return nil, err
	}
	out := &Report{Text: text.String(), Dir: d.dir}
	if r.First == "" {
		out.Code = result.ExitNoVerdict
	}
	return out, out.store()
}

func (d *driver) mail(ctx context.Context, w io.Writer, r *Result) error {
	before, after, bad, err := d.around(r)
	if err != nil {
		return err
	}
	var changed []string
	others := 0
	for _, id := range Changes(before, after) {
		if _, looked := d.pred.Good[id]; looked {
			changed = append(changed, id)
		} else {
			others++
		}
	}
	if r.First == "" {
		fmt.Fprintf(w, "Subject: [bisect] one of %s changed a decision\n\n", report.Count(len(r.Among), "candidate"))
		fmt.Fprintln(w, "The first bad one is among these; the others between them say nothing:")
		for _, id := range r.Among {
			fmt.Fprintf(w, "  %s\n", d.field.name(ctx, id))
		}
	} else {
		fmt.Fprintf(w, "Subject: [bisect] %s\n\n", d.field.name(ctx, r.First))
		fmt.Fprintf(w, "The first bad one is %s.\n", d.field.name(ctx, r.First))
	}
	if c, ok := d.field.(*commitField); ok && r.First != "" {
		if about, err := c.Git(ctx, "show", "-s", "--abbrev=12",
			"--format=commit %H%nAuthor: %an <%ae>%nDate:   %ad%n%n    %s%n%n"+
				"Fixes: %h (\"%s\")%n#regzbot introduced: %H", r.First); err == nil {
			fmt.Fprintf(w, "\n%s\n", about)
		}
	}
	fmt.Fprintf(w, "\nLooked for: %s.\n\n", d.what)
	showChanges(w, changed, before, after, rulesOf(bad))
	if others > 0 {
		fmt.Fprintf(w, "%s changed as well, which was not looked for.\n\n", report.Count(others, "other decision"))
	}
	d.showTests(ctx, w, r)
	d.showHow(w, r)
	return nil
}

// around returns the decisions of the last good and the first bad one, and the run of the first
// bad one, nil if it was not run. An end that was not run decides as it was said to.
func (d *driver) around(r *Result) (before, after Decisions, bad *result.KernelRun, err error) {
	before, after = d.pred.Good, Decisions{}
	for _, t := range r.Tests {
		runOf := t.Run
		for _, other := range r.Tests {
			if t.SameAs == other.ID && t.SameAs != "" {
				runOf = other.Run
			}
		}
		if runOf == "" || t.ID != r.Last && t.ID != r.First {
			continue
		}
		k, err := d.stored(Test{Run: runOf})
		if err != nil {
			return nil, nil, nil, err
		}
		if t.ID == r.Last {
			before = Of(k)
		} else {
			after, bad = Of(k), k
		}
	}
	return before, after, bad, nil
}

// rulesOf returns the rule that the kernel broke in each case that failed, with its function.
func rulesOf(k *result.KernelRun) map[string]string {
	out := map[string]string{}
	if k == nil {
		return out
	}
	for c := range k.Those(result.Fail) {
		if s := c.Decisive(); s != nil && s.Rule != "" {
			out[c.ID] = strings.TrimSpace(fmt.Sprintf("%s (%s) %s", s.Rule, s.ID, s.Func))
		}
	}
	return out
}

// mostChanges is how many kinds of changes a mail lists.
const mostChanges = 20

// change is the cases whose decisions changed in the same way, by the same rule.
type change struct {
	text, rule string
	ids        []string
}

// fold puts cases with the same change together, the most frequent change first.
func fold(changed []string, before, after Decisions, rules map[string]string) []*change {
	var out []*change
	for _, id := range changed {
		was := before[id].words()
		if before[id].None() {
			was = result.Decision{"passed"}
		}
		words := result.Differing([]result.Decision{was, after[id].words()})
		text := words[0] + ", then " + words[1]
		i := slices.IndexFunc(out, func(c *change) bool { return c.text == text && c.rule == rules[id] })
		if i < 0 {
			i = len(out)
			out = append(out, &change{text: text, rule: rules[id]})
		}
		out[i].ids = append(out[i].ids, id)
	}
	slices.SortStableFunc(out, func(a, b *change) int { return len(b.ids) - len(a.ids) })
	return out
}

// example is the shortest name.
func (c *change) example() string {
	return slices.MinFunc(c.ids, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
}

// showChanges lists the changes with an example of each, as the report of a run lists failures.
func showChanges(w io.Writer, changed []string, before, after Decisions, rules map[string]string) {
	if len(changed) == 0 {
		return
	}
	fmt.Fprintf(w, "Decisions that changed: %d\n", len(changed))
	list := fold(changed, before, after, rules)
	for _, c := range list[:min(mostChanges, len(list))] {
		fmt.Fprintf(w, "  %s: %s\n", report.Count(len(c.ids), "case"), c.text)
		label := "case"
		if len(c.ids) > 1 {
			label = "example"
		}
		for _, f := range [][2]string{{label, c.example()}, {"within", report.Pattern(c.ids)}, {"rule", c.rule}} {
			if f[1] != "" {
				fmt.Fprintf(w, "    %-8s %s\n", f[0], f[1])
			}
		}
	}
	if n := len(list) - mostChanges; n > 0 {
		fmt.Fprintf(w, "  and %s\n", report.Count(n, "other kind"))
	}
	fmt.Fprintln(w)
}

func (d *driver) showTests(ctx context.Context, w io.Writer, r *Result) {
	fmt.Fprintf(w, "Tested: %d, skipped: %d\n", r.Tested, r.Skipped)
	for _, t := range r.Tests {
		times := ""
		if t.Runs > 1 {
			times = fmt.Sprintf(" (bad in %d of %d runs)", t.Bads, t.Runs)
		}
		fmt.Fprintf(w, "  %-4s %s%s: %s\n", t.Outcome, d.field.name(ctx, t.ID), times, t.Why)
	}
	if sure := r.Confidence(); sure < 1 {
		fmt.Fprintf(w, "Results vary: going by the bad ones, the good ones are good with a confidence of %.0f %%.\n",
			100*sure)
	}
	fmt.Fprintln(w)
}

// showHow writes the kernel, the compiler and the configuration, and how to repeat the search.
func (d *driver) showHow(w io.Writer, r *Result) {
	for _, t := range r.Tests {
		if t.ID != r.First || t.Run == "" {
			continue
		}
		if k, err := d.stored(t); err == nil {
			fmt.Fprintf(w, "Kernel: %s, image sha256 %s\n", k.Release, k.Digest)
			if k.Facts != nil && k.Facts.Config["CC_VERSION_TEXT"] != "" {
				fmt.Fprintf(w, "Compiler: %s\n", k.Facts.Config["CC_VERSION_TEXT"])
			}
			fmt.Fprintf(w, "Config: %s\n", filepath.Join(d.dir, t.Run, "kernel0", "boot0", "config"))
		}
	}
	line := append([]string{"tokentest", "bisect"}, d.q.flags()...)
	line = append(line, d.Flags...)
	fmt.Fprintf(w, "Reproduce: %s\n", shell.Join(append(line, d.q.Patterns...)...))
}

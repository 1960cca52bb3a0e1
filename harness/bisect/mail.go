package bisect

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

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
	before, after, err := d.around(r)
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
		if about, err := c.Git(ctx, "show", "-s", "--format=commit %H%nAuthor: %an <%ae>%nDate:   %ad%n%n    %s",
			r.First); err == nil {
			fmt.Fprintf(w, "\n%s\n", about)
		}
	}
	fmt.Fprintf(w, "\nLooked for: %s.\n\n", d.what)
	showChanges(w, changed, before, after)
	if others > 0 {
		fmt.Fprintf(w, "%s changed as well, which was not looked for.\n\n", report.Count(others, "other decision"))
	}
	d.showTests(ctx, w, r)
	d.showHow(w, r)
	return nil
}

// around returns the decisions of the last good and the first bad one. An end
// that was not run decides as it was said to.
func (d *driver) around(r *Result) (before, after Decisions, err error) {
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
			return nil, nil, err
		}
		if t.ID == r.Last {
			before = Of(k)
		} else {
			after = Of(k)
		}
	}
	return before, after, nil
}

// mostChanges is how many cases a mail lists.
const mostChanges = 20

func showChanges(w io.Writer, changed []string, before, after Decisions) {
	if len(changed) == 0 {
		return
	}
	fmt.Fprintf(w, "Decisions that changed: %d\n", len(changed))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, id := range changed[:min(mostChanges, len(changed))] {
		was := before[id].words()
		if before[id].None() {
			was = result.Decision{"passed"}
		}
		words := result.Differing([]result.Decision{was, after[id].words()})
		fmt.Fprintf(t, "  %s\t%s, then %s\n", id, words[0], words[1])
	}
	t.Flush()
	if n := len(changed) - mostChanges; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
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
	line := []string{"tokentest", "bisect", "--good", d.q.Good, "--bad", d.q.Bad}
	if d.q.Ends {
		line = append(line, "--ends")
	}
	if d.q.When != "any" {
		line = append(line, "--when", d.q.When)
	}
	fmt.Fprintf(w, "Reproduce: %s\n", shell.Join(append(line, d.q.Patterns...)...))
}

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"tokentest/harness/bisect"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/shell"
)

const bisectReport = "report.txt"

// report writes what was found, as a mail that can be sent, to the terminal
// and beside the log.
func (b *bisection) report(ctx context.Context, r *bisect.Result) error {
	var text strings.Builder
	if err := b.mail(ctx, &text, r); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.dir, bisectReport), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if _, err := io.WriteString(b.stdout, text.String()); err != nil {
		return err
	}
	if r.First == "" {
		b.code = result.ExitNoVerdict
	}
	b.note("everything is in %s", b.dir)
	return nil
}

func (b *bisection) mail(ctx context.Context, w io.Writer, r *bisect.Result) error {
	before, after, err := b.around(r)
	if err != nil {
		return err
	}
	var changed []string
	others := 0
	for _, id := range bisect.Changes(before, after) {
		if _, looked := b.pred.Good[id]; looked {
			changed = append(changed, id)
		} else {
			others++
		}
	}
	if r.First == "" {
		fmt.Fprintf(w, "Subject: [bisect] one of %s changed a decision\n\n", report.Count(len(r.Among), "candidate"))
		fmt.Fprintln(w, "The first bad one is among these; the others between them say nothing:")
		for _, id := range r.Among {
			fmt.Fprintf(w, "  %s\n", b.field.name(ctx, id))
		}
	} else {
		fmt.Fprintf(w, "Subject: [bisect] %s\n\n", b.field.name(ctx, r.First))
		fmt.Fprintf(w, "The first bad one is %s.\n", b.field.name(ctx, r.First))
	}
	if c, ok := b.field.(*commitField); ok && r.First != "" {
		if about, err := c.Git(ctx, "show", "-s", "--format=commit %H%nAuthor: %an <%ae>%nDate:   %ad%n%n    %s", r.First); err == nil {
			fmt.Fprintf(w, "\n%s\n", about)
		}
	}
	fmt.Fprintf(w, "\nLooked for: %s.\n\n", b.what)
	showChanges(w, changed, before, after)
	if others > 0 {
		fmt.Fprintf(w, "%s changed as well, which was not looked for.\n\n", report.Count(others, "other decision"))
	}
	b.showTests(ctx, w, r)
	b.showHow(w, r)
	return nil
}

// around returns the decisions of the last good and the first bad one. An end
// that was not run decides as it was said to.
func (b *bisection) around(r *bisect.Result) (before, after bisect.Decisions, err error) {
	before, after = b.pred.Good, bisect.Decisions{}
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
		k, err := b.stored(bisect.Test{Run: runOf})
		if err != nil {
			return nil, nil, err
		}
		if t.ID == r.Last {
			before = bisect.Of(k)
		} else {
			after = bisect.Of(k)
		}
	}
	return before, after, nil
}

// mostChanges is how many cases a mail lists.
const mostChanges = 20

func showChanges(w io.Writer, changed []string, before, after bisect.Decisions) {
	if len(changed) == 0 {
		return
	}
	fmt.Fprintf(w, "Decisions that changed: %d\n", len(changed))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, id := range changed[:min(mostChanges, len(changed))] {
		was := before[id]
		if was == "" {
			was = "passed"
		}
		d := result.Differing([]string{was, after[id]})
		fmt.Fprintf(t, "  %s\t%s, then %s\n", id, d[0], d[1])
	}
	t.Flush()
	if n := len(changed) - mostChanges; n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
	fmt.Fprintln(w)
}

func (b *bisection) showTests(ctx context.Context, w io.Writer, r *bisect.Result) {
	fmt.Fprintf(w, "Tested: %d, skipped: %d\n", r.Tested, r.Skipped)
	for _, t := range r.Tests {
		times := ""
		if t.Runs > 1 {
			times = fmt.Sprintf(" (bad in %d of %d runs)", t.Bads, t.Runs)
		}
		fmt.Fprintf(w, "  %-4s %s%s: %s\n", t.Outcome, b.field.name(ctx, t.ID), times, t.Why)
	}
	if sure := r.Confidence(); sure < 1 {
		fmt.Fprintf(w, "Results vary: with what the bad ones showed, the good ones are good with a confidence of %.0f %%.\n", 100*sure)
	}
	fmt.Fprintln(w)
}

// showHow says with what it was found, and how to see it again.
func (b *bisection) showHow(w io.Writer, r *bisect.Result) {
	for _, t := range r.Tests {
		if t.ID != r.First || t.Run == "" {
			continue
		}
		if k, err := b.stored(t); err == nil {
			fmt.Fprintf(w, "Kernel: %s, image sha256 %s\n", k.Release, k.Digest)
			if k.Facts != nil && k.Facts.Config["CC_VERSION_TEXT"] != "" {
				fmt.Fprintf(w, "Compiler: %s\n", k.Facts.Config["CC_VERSION_TEXT"])
			}
			fmt.Fprintf(w, "Config: %s\n", filepath.Join(b.dir, t.Run, "kernel0", "boot0", "config"))
		}
	}
	line := []string{"tokentest", "bisect", "--good", b.q.Good, "--bad", b.q.Bad}
	if b.q.Ends {
		line = append(line, "--ends")
	}
	if b.q.When != "any" {
		line = append(line, "--when", b.q.When)
	}
	fmt.Fprintf(w, "Reproduce: %s\n", shell.Join(append(line, b.q.Patterns...)...))
}

package cover

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"tokentest/harness/usage"
)

// Change is a line that a patch adds, removes or changes.
type Change struct {
	File string `json:"file"`
	Line int    `json:"line"` // in the kernel that is measured; of a line that it does not have, the one before
	Text string `json:"text"`

	// At is the line whose code stands for the change: the line itself, or the last one before it in the
	// same function that has code. 0 is none: a declaration, a macro, or a file that is not measured.
	At       int      `json:"at,omitempty"`
	Executed bool     `json:"executed"`
	Cases    []string `json:"cases,omitempty"` // that execute it, or whose set-up does
}

// reach is how many lines a statement may have before a changed line.
const reach = 10

// ReadPatch lists the changed lines of C files in patches: a diff, a mail, or a mailbox. patched says that the
// kernel that is measured has them: then the lines are those that are added, else those that are removed. For a
// line that the kernel does not have the line before it stands.
func ReadPatch(name, text string, patched bool) ([]Change, error) {
	var out []Change
	for _, mail := range mailStart.Split("\n"+text, -1) {
		files, _, err := gitdiff.Parse(strings.NewReader(mail + "\n"))
		if err != nil {
			return nil, usage.Errorf("read the patch %s: %v", name, err)
		}
		for _, f := range files {
			file := f.OldName
			if patched || file == "" {
				file = f.NewName
			}
			if path.Ext(file) != ".c" && path.Ext(file) != ".h" {
				continue
			}
			if side, rest, _ := strings.Cut(file, "/"); side == "a" || side == "b" { // of diff -u
				file = rest
			}
			for _, part := range f.TextFragments {
				out = append(out, changes(file, part, patched)...)
			}
		}
	}
	if len(out) == 0 {
		return nil, usage.Errorf("the patch %s changes no line of a C file", name)
	}
	return out, nil
}

// mailStart begins a mail of a mailbox.
var mailStart = regexp.MustCompile(`\nFrom [^\n]*\n`)

func changes(file string, part *gitdiff.TextFragment, patched bool) []Change {
	var out []Change
	line := int(part.OldPosition)
	if patched {
		line = int(part.NewPosition)
	}
	for _, l := range part.Lines {
		there := l.Op == gitdiff.OpContext || (l.Op == gitdiff.OpAdd) == patched
		if l.Op != gitdiff.OpContext && strings.TrimSpace(l.Line) != "" {
			c := Change{File: file, Line: line, Text: strings.TrimSpace(l.Line)}
			if !there {
				c.Line--
			}
			out = append(out, c)
		}
		if there {
			line++
		}
	}
	return out
}

// PatchReport says what the cases execute of a patch.
type PatchReport struct {
	Patch    string   `json:"patch"`
	Changes  []Change `json:"changes"`
	Affected []string `json:"affected"` // the cases that execute one of them
}

// Patch looks up the changed lines in traces.
func (c *Code) Patch(name string, list []Change, t *Traces) *PatchReport {
	out := &PatchReport{Patch: name}
	affected := map[string]bool{}
	for _, ch := range list {
		at, insns := c.line(ch.File, ch.Line)
		ch.At = at
		ids := map[string]bool{}
		for _, a := range insns {
			ch.Executed = ch.Executed || !t.Knows(a)
			for _, n := range t.Of(a) {
				for _, id := range t.Spans[n].Cases {
					ids[id], affected[id] = true, true
				}
			}
		}
		ch.Executed = ch.Executed || len(ids) > 0
		ch.Cases = sorted(ids)
		out.Changes = append(out.Changes, ch)
	}
	out.Affected = sorted(affected)
	return out
}

// InsnsOf are the addresses of the code of changed lines; nil if there are none.
func (c *Code) InsnsOf(list []Change) map[uint64]bool {
	if len(list) == 0 {
		return nil
	}
	out := map[uint64]bool{}
	for _, ch := range list {
		_, insns := c.line(ch.File, ch.Line)
		for _, a := range insns {
			out[a] = true
		}
	}
	return out
}

func sorted(set map[string]bool) []string {
	var out []string
	for id := range set {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// line finds the instructions of a line, or of the last one before it in the same function that has some.
func (c *Code) line(file string, line int) (at int, insns []uint64) {
	for _, u := range c.Units {
		for i := range u.Funcs {
			f := &u.Funcs[i]
			for _, in := range f.Insns {
				if in.File != file || in.Line > line || in.Line <= line-reach || in.Line == 0 || in.Line < at {
					continue
				}
				if in.Line > at {
					if !f.holds(file, line) {
						continue
					}
					at, insns = in.Line, nil
				}
				insns = append(insns, in.Addr)
			}
		}
	}
	return at, insns
}

// holds reports whether a function has code at a line or on both sides of it.
func (f *Func) holds(file string, line int) bool {
	before, after := false, false
	for i := range f.Insns {
		if in := &f.Insns[i]; in.File == file && in.Line > 0 {
			before = before || in.Line <= line
			after = after || in.Line >= line
		}
	}
	return before && after
}

// Write prints the report for people.
func (p *PatchReport) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range p.Changes {
		how := ""
		switch {
		case c.At == 0:
			continue
		case c.Executed:
			how = fmt.Sprintf("%d cases", len(c.Cases))
			if len(c.Cases) == 0 {
				how = "executed, by cases that are not traced"
			}
		default:
			how = "no case executes it"
		}
		fmt.Fprintf(t, "%s:%d\t%s\t%s\n", c.File, c.Line, how, c.Text)
	}
	t.Flush()
	_, err := fmt.Fprintln(w, p)
	return err
}

// Missed prints the report in a line, and then the changed lines that no case executes.
func (p *PatchReport) Missed(w io.Writer) {
	fmt.Fprintln(w, p)
	for _, c := range p.Changes {
		if c.At != 0 && !c.Executed {
			fmt.Fprintf(w, "  %s:%d: no case executes it: %s\n", c.File, c.Line, c.Text)
		}
	}
}

// String is the report in a line.
func (p *PatchReport) String() string {
	var executed, none int
	for _, c := range p.Changes {
		switch {
		case c.At == 0:
			none++
		case c.Executed:
			executed++
		}
	}
	return fmt.Sprintf("%s: %d changed lines: %d executed, %d that no case executes, %d without code that is measured; "+
		"%d cases can be affected", p.Patch, len(p.Changes), executed, len(p.Changes)-executed-none, none, len(p.Affected))
}

package cases

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

//go:embed decisions.txt
var decisionsText string

// Decision is a point of the kernel's source at which it decides a call.
type Decision struct {
	File, Func, Check string
	Since, Until      uapi.Release // the releases that have it; the zero value sets no bound
	Fix               bool         // a fix added it, which a stable series may lack
	// Of the next three exactly one is set.
	Covers  []Cover
	Missing string // why no case reaches it yet
	Reason  string // why no case can, or needs to
}

// in reports whether a release has the point.
func (d *Decision) in(r uapi.Release) bool {
	return !r.Less(d.Since) && (d.Until == uapi.Release{} || r.Less(d.Until))
}

// Cover is what shows a decision: a rule of the oracle that decides a step, or a step that shows something.
type Cover struct {
	Group string // only in this group; "" for any
	ID    string // the rule's, COMMAND/RULE; "" for what a step shows
	Word  string // only steps with this word; for what a step shows, its operation
	// Passes is a word that the allowed step alone must have.
	Passes string
	// Part is the word with which the part of what a step shows begins, "" for all of it.
	Part string
}

// String is the cover as decisions.txt has it.
func (c Cover) String() string {
	if c.ID == "" {
		return strings.TrimSpace("shown: " + c.Group + " " + c.Word + " " + c.Part)
	}
	out := c.ID
	if c.Group != "" {
		out = c.Group + ":" + out
	}
	if c.Word != "" {
		out += " " + c.Word
	}
	if c.Passes != "" {
		out += " +" + c.Passes
	}
	return out
}

// Decisions lists the points of cases/decisions.txt.
func Decisions() ([]Decision, error) { return parseDecisions(decisionsText) }

const decisionForm = "want FUNCTION | CHECK | RULES, missing: WHAT, reason: WHY or shown: GROUP OPERATION [PART] " +
	"[| since RELEASE] [| until RELEASE] [| fix]"

// parseDecisions reads "file NAME", and below it the points of that file.
func parseDecisions(text string) ([]Decision, error) {
	var out []Decision
	file := ""
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "file "); ok {
			file = name
			continue
		}
		d, err := parseDecision(line)
		if err == nil && file == "" {
			err = fmt.Errorf("no line file NAME above it")
		}
		if err != nil {
			return nil, fmt.Errorf("cases/decisions.txt:%d: %w", i+1, err)
		}
		d.File = file
		out = append(out, d)
	}
	return out, nil
}

func parseDecision(line string) (Decision, error) {
	parts := strings.Split(line, " | ")
	if len(parts) < 3 || slices.Contains(parts, "") {
		return Decision{}, fmt.Errorf(decisionForm)
	}
	d := Decision{Func: parts[0], Check: parts[1]}
	if err := d.cover(parts[2]); err != nil {
		return d, err
	}
	for _, bound := range parts[3:] {
		if bound == "fix" {
			d.Fix = true
			continue
		}
		word, release, _ := strings.Cut(bound, " ")
		r, err := uapi.ParseRelease(release)
		switch {
		case err != nil:
			return d, err
		case word == "since":
			d.Since = r
		case word == "until":
			d.Until = r
		default:
			return d, fmt.Errorf(decisionForm)
		}
	}
	return d, nil
}

func (d *Decision) cover(text string) error {
	var ok bool
	if d.Missing, ok = strings.CutPrefix(text, "missing: "); ok {
		return nil
	}
	d.Missing = ""
	if d.Reason, ok = strings.CutPrefix(text, "reason: "); ok {
		return nil
	}
	d.Reason = ""
	if shown, ok := strings.CutPrefix(text, "shown: "); ok {
		group, op, ok := strings.Cut(shown, " ")
		if !ok {
			return fmt.Errorf(decisionForm)
		}
		op, part, _ := strings.Cut(op, " ")
		d.Covers = []Cover{{Group: group, Word: op, Part: part}}
		return nil
	}
	for one := range strings.SplitSeq(text, ", ") {
		var c Cover
		one, c.Passes, _ = strings.Cut(one, " +")
		c.ID, c.Word, _ = strings.Cut(one, " ")
		if group, rule, ok := strings.Cut(c.ID, ":"); ok {
			c.Group, c.ID = group, rule
		}
		if strings.Count(c.ID, "/") != 1 {
			return fmt.Errorf("%s is no rule COMMAND/RULE: %s", c.ID, decisionForm)
		}
		d.Covers = append(d.Covers, c)
	}
	return nil
}

// decisionKernels are those that the table has a column for, with the patch levels of stable series.
var decisionKernels = []step.Facts{
	{Release: "6.12.118", Token: true}, {Release: "6.18.15", Token: true},
	{Release: "7.3.4", Token: true, StructOpsIndex: 2},
}

// Coverage is what the cases show of each decision point.
type Coverage struct {
	Points   []Decision
	releases []*reached // as decisionKernels
}

// CoverDecisions plays the built-in cases on each release of the table. It takes some seconds.
func CoverDecisions(ctx context.Context, c *Corpus) (*Coverage, error) {
	points, err := Decisions()
	if err != nil {
		return nil, err
	}
	out := &Coverage{Points: points}
	for i := range decisionKernels {
		seen, err := reach(ctx, c, &decisionKernels[i], points)
		if err != nil {
			return nil, err
		}
		out.releases = append(out.releases, seen)
	}
	return out, nil
}

// state says what the cases of one release show of a point: "" if it is covered, "-" if the release does
// not have it, else what is missing.
func (c *Coverage) state(d *Decision, release int) string {
	seen := c.releases[release]
	switch {
	case !d.in(decisionKernels[release].Version()):
		return "-"
	case d.Missing != "":
		return d.Missing
	case d.Reason != "":
		return ""
	}
	there := 0
	for _, cover := range d.Covers {
		if cover.ID != "" && !seen.rules[cover.ID] {
			continue // the release has another rule
		}
		there++
		if p := seen.pairs[cover]; p == nil || !p.whole() {
			return p.lacks(cover)
		}
	}
	if there == 0 && d.Fix {
		return "-"
	}
	if there == 0 {
		return "no case asks " + d.Covers[0].String()
	}
	return ""
}

// Uncovered names the points that should be covered, and that the cases of some release do not reach.
func (c *Coverage) Uncovered() []string {
	var out []string
	for i := range c.Points {
		d := &c.Points[i]
		if d.Missing != "" {
			continue
		}
		for r := range decisionKernels {
			if what := c.state(d, r); what != "" && what != "-" {
				out = append(out, fmt.Sprintf("%s: %s: %s: on %s %s", d.File, d.Func, d.Check, decisionKernels[r].Release, what))
			}
		}
	}
	return out
}

// Missing counts the points without a case, by source file.
func (c *Coverage) Missing() map[string]int {
	out := map[string]int{}
	for i := range c.Points {
		if c.Points[i].Missing != "" {
			out[c.Points[i].File]++
		}
	}
	return out
}

// Markdown is results/decision-points.md.
func (c *Coverage) Markdown() string {
	var b strings.Builder
	missing := 0
	for _, n := range c.Missing() {
		missing += n
	}
	fmt.Fprintf(&b, "# The kernel's decision points\n\nWritten by `make decisions` from `cases/decisions.txt`, the rules "+
		"of the oracle and the cases. A point is a place of the kernel's source (7.3's, where releases differ) that "+
		"decides a call. It is covered on a release if a case is refused by exactly this check, the deciding rule of "+
		"the oracle, and a step of the same group passes the same check and is allowed. NOT names what is missing: "+
		"%d of %d points. `none` has the reason why no case is needed.\n", missing, len(c.Points))
	file := ""
	for i := range c.Points {
		d := &c.Points[i]
		if d.File != file {
			file = d.File
			fmt.Fprintf(&b, "\n## %s\n\n| function | check | rule | %s | refused | allowed |\n| %s\n", file,
				strings.Join(releaseNames(), " | "), strings.Repeat("--- | ", 5+len(decisionKernels)))
		}
		c.row(&b, d)
	}
	return strings.ReplaceAll(b.String(), " |  |", " | |")
}

func releaseNames() []string {
	var out []string
	for i := range decisionKernels {
		out = append(out, decisionKernels[i].Version().String())
	}
	return out
}

func (c *Coverage) row(b *strings.Builder, d *Decision) {
	var rules, refused, allowed, states []string
	for _, cover := range d.Covers {
		rules = append(rules, "`"+cover.String()+"`")
		for r := len(c.releases) - 1; r >= 0; r-- { // the newest that has it
			if p := c.releases[r].pairs[cover]; p != nil && p.whole() {
				refused, allowed = append(refused, p.refused.String()), append(allowed, p.allowed.String())
				break
			}
		}
	}
	if d.Reason != "" {
		rules = []string{"none: " + d.Reason}
	}
	for r := range c.releases {
		switch what := c.state(d, r); {
		case what == "-":
			states = append(states, "-")
		case d.Reason != "":
			states = append(states, "none")
		case what != "":
			states = append(states, "NOT")
			rules = []string{"NOT: " + what}
		default:
			states = append(states, "yes")
		}
	}
	fmt.Fprintf(b, "| %s | `%s` | %s | %s | %s | %s |\n", d.Func, escape(d.Check), escape(strings.Join(rules, "<br>")),
		strings.Join(states, " | "), escape(strings.Join(refused, "<br>")), escape(strings.Join(allowed, "<br>")))
}

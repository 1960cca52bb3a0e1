package cover

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/listfile"
	"tokentest/harness/textfile"
	"tokentest/harness/usage"
)

// Judged is an entry of a list of permission checks that no case executes both ways: why that is right.
type Judged struct {
	Where  string // FILE:LINE of the list
	Func   string // a pattern for Gate.Func, or for Gate.In
	Asks   string // a pattern for Gate.Asks
	Reason string
}

// ParseJudged reads a list of judged permission checks; name is the file, for error messages. A line is
//
//	FUNC ASKS # REASON
//
// with patterns of path.Match. FUNC is the symbol or what was inlined there.
func ParseJudged(name, text string) ([]Judged, error) {
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, err
	}
	var out []Judged
	for line := range listfile.Parse(name, text, "#") {
		words := strings.Fields(line.Body)
		if len(words) != 2 {
			return nil, usage.Errorf("%s: write FUNC ASKS # REASON", line.Where)
		}
		for _, w := range words {
			if _, err := path.Match(w, ""); err != nil {
				return nil, usage.Errorf("%s: %s: %v", line.Where, w, err)
			}
		}
		if line.Reason == "" {
			return nil, usage.Errorf("%s: %v", line.Where, listfile.ErrNoReason)
		}
		out = append(out, Judged{line.Where, words[0], words[1], line.Reason})
	}
	return out, nil
}

// ReadJudged is ParseJudged of a file.
func ReadJudged(file string) ([]Judged, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage.Errorf("read the judged permission checks: %w", err)
	}
	return ParseJudged(file, string(text))
}

// covers reports whether an entry is about a check.
func (j *Judged) covers(g *Gate) bool {
	matches := func(pattern, name string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
	return matches(j.Asks, g.Asks) && (matches(j.Func, g.Func) || g.In != "" && matches(j.Func, g.In))
}

// ErrJudged means that a list of judged permission checks does not hold any more.
var ErrJudged = errors.New("the list of judged permission checks does not hold")

// Judge gives each check that the run did not execute both ways the reason that a list has for it. It returns an error
// for each entry that covers no such check.
func (r *Report) Judge(list []Judged) error {
	var wrong []error
	for i := range list {
		j := &list[i]
		needed, any := false, false
		for _, g := range r.Gates {
			if !j.covers(g) {
				continue
			}
			any = true
			if !g.Both() {
				needed = true
				g.Reason = j.Reason
			}
		}
		switch {
		case needed:
		case any:
			wrong = append(wrong, fmt.Errorf("%w: %s: %s is executed both ways now: remove it", ErrJudged, j.Where, j.Func))
		default:
			wrong = append(wrong, fmt.Errorf("%w: %s: the kernel has no such check in %s: is it another kernel?", ErrJudged,
				j.Where, j.Func))
		}
	}
	return multierror.Append(nil, wrong...).ErrorOrNil()
}

// Unjudged are the checks that were not executed both ways and have no reason.
func (r *Report) Unjudged() (n int) {
	for _, g := range r.Gates {
		if !g.Both() && g.Reason == "" {
			n++
		}
	}
	return n
}

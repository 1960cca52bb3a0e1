package splat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tokentest/harness/glob"
	"tokentest/harness/listfile"
	"tokentest/harness/textfile"
)

// Allow is a list of known findings, which do not fail a run. Its methods accept a
// nil Allow, which is empty, and do not change it.
type Allow struct{ entries []entry }

// entry is a fingerprint or a pattern of "KIND: TITLE".
type entry struct {
	where   string // FILE:LINE
	pattern string
	reason  string
}

// ParseAllow returns a, which may be nil, with the entries of a text added. name is
// the text's file, for error messages and reasons. A line is
//
//	PATTERN until=YYYY-MM-DD # REASON
//
// where PATTERN is a fingerprint or a glob of "KIND: TITLE" in which * matches
// anything. Date and reason are mandatory. An entry whose date has passed is an
// error, so that somebody checks whether the kernel is fixed.
func ParseAllow(a *Allow, name, text string, now time.Time) (*Allow, error) {
	if err := textfile.Check(name, []byte(text)); err != nil {
		return nil, err
	}
	out := &Allow{}
	if a != nil {
		out.entries = slices.Clone(a.entries)
	}
	for line := range listfile.Parse(name, text, " #") {
		pattern, err := parseEntry(line.Body, now)
		if err == nil && line.Reason == "" {
			err = listfile.ErrNoReason
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", line.Where, err)
		}
		out.entries = append(out.entries, entry{line.Where, pattern, line.Reason})
	}
	return out, nil
}

// Add returns the list with one more entry, for findings of any kind whose title
// matches a glob in which * matches anything. where is the file and line that the
// entry comes from.
func (a *Allow) Add(title, reason, where string) *Allow {
	out := &Allow{}
	if a != nil {
		out.entries = slices.Clone(a.entries)
	}
	out.entries = append(out.entries, entry{pattern: "*: " + title, reason: reason, where: where})
	return out
}

// parseEntry returns the pattern of an entry whose day has not passed.
func parseEntry(text string, now time.Time) (pattern string, err error) {
	pattern, until, dated := strings.Cut(text, " until=")
	if pattern = strings.TrimSpace(pattern); !dated {
		return "", errors.New("no date: add until=YYYY-MM-DD after the pattern")
	}
	return pattern, listfile.CheckUntil(pattern, strings.TrimSpace(until), now)
}

func (e *entry) covers(f *Finding) bool {
	return e.pattern == f.Fingerprint || glob.Match(e.pattern, string(f.Kind)+": "+f.Title)
}

// Apply sets Allowed in the findings that entries cover.
func (a *Allow) Apply(findings []Finding) {
	if a == nil {
		return
	}
	for i := range findings {
		for j := range a.entries {
			if e := &a.entries[j]; e.covers(&findings[i]) {
				findings[i].Allowed = fmt.Sprintf("%s (%s)", e.reason, e.where)
				break
			}
		}
	}
}

package splat

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
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
	out := &Allow{}
	if a != nil {
		out.entries = slices.Clone(a.entries)
	}
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", name, i+1)
		text, reason, _ := strings.Cut(strings.TrimSpace(line), " #")
		if text == "" || text[0] == '#' {
			continue
		}
		e, err := parseEntry(text, now)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", where, err)
		case strings.TrimSpace(reason) == "":
			return nil, fmt.Errorf("%s: missing reason (after #)", where)
		}
		e.where, e.reason = where, strings.TrimSpace(reason)
		out.entries = append(out.entries, e)
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

func parseEntry(text string, now time.Time) (entry, error) {
	pattern, date, dated := strings.Cut(text, " until=")
	e := entry{pattern: strings.TrimSpace(pattern)}
	if !dated {
		return e, fmt.Errorf("no date: add until=YYYY-MM-DD after the pattern")
	}
	last, err := time.Parse(time.DateOnly, strings.TrimSpace(date))
	if err != nil {
		return e, fmt.Errorf("until=%s: not a date; write until=YYYY-MM-DD", strings.TrimSpace(date))
	}
	if !now.Before(last.AddDate(0, 0, 1)) {
		return e, fmt.Errorf("the entry %q ended on %s: check whether the kernel is fixed; "+
			"remove the entry or extend its date", e.pattern, last.Format(time.DateOnly))
	}
	if _, err := path.Match(glob(e.pattern), ""); err != nil {
		return e, fmt.Errorf("pattern %q: %w", e.pattern, err)
	}
	return e, nil
}

// glob is the path.Match pattern in which * also matches slashes, and nothing else
// is special.
func glob(s string) string {
	return strings.NewReplacer("/", "\x00", "[", "\\[", "?", "\\?").Replace(s)
}

func (e *entry) covers(f *Finding) bool {
	if e.pattern == f.Fingerprint {
		return true
	}
	title := strings.ReplaceAll(string(f.Kind)+": "+f.Title, "/", "\x00")
	ok, _ := path.Match(glob(e.pattern), title) // parseEntry tried the pattern
	return ok
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

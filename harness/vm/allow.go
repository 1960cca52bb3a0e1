package vm

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Allow is a list of findings that are known and do not count.
type Allow struct{ entries []allowed }

// allowed is one entry: a fingerprint, or a pattern of "KIND: TITLE".
type allowed struct {
	where   string // FILE:LINE
	pattern string
	reason  string
}

// ParseAllow adds the entries of a text to the list, which may be nil. A line
// is
//
//	PATTERN until=YYYY-MM-DD # REASON
//
// where PATTERN is a fingerprint or a glob of "KIND: TITLE" in which * stands
// for anything. Both date and reason must be there, and after the date's day
// the entry is an error: what was to be mended by then is to be looked at again.
func ParseAllow(a *Allow, name, text string, now time.Time) (*Allow, error) {
	out := &Allow{}
	if a != nil {
		out.entries = slices.Clone(a.entries)
	}
	for i, line := range strings.Split(text, "\n") {
		where := fmt.Sprintf("%s:%d", name, i+1)
		entry, reason, explained := strings.Cut(strings.TrimSpace(line), " #")
		if entry == "" || entry[0] == '#' {
			continue
		}
		e, err := parseAllowed(entry, now)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", where, err)
		case !explained || strings.TrimSpace(reason) == "":
			return nil, fmt.Errorf("%s: missing reason (after #)", where)
		}
		e.where, e.reason = where, strings.TrimSpace(reason)
		out.entries = append(out.entries, e)
	}
	return out, nil
}

// Add returns the list, which may be nil, with one entry more: a finding of
// any kind whose title is as the pattern says, in which * stands for anything.
func (a *Allow) Add(title, reason, where string) *Allow {
	out := &Allow{}
	if a != nil {
		out.entries = slices.Clone(a.entries)
	}
	out.entries = append(out.entries, allowed{pattern: "*: " + title, reason: reason, where: where})
	return out
}

func parseAllowed(entry string, now time.Time) (allowed, error) {
	pattern, date, dated := strings.Cut(entry, " until=")
	e := allowed{pattern: strings.TrimSpace(pattern)}
	if !dated {
		return e, fmt.Errorf("no date: write until=YYYY-MM-DD behind the pattern")
	}
	last, err := time.Parse(time.DateOnly, strings.TrimSpace(date))
	if err != nil {
		return e, fmt.Errorf("until=%s: want until=YYYY-MM-DD", strings.TrimSpace(date))
	}
	if !now.Before(last.AddDate(0, 0, 1)) {
		return e, fmt.Errorf("the entry %q ended on %s: check whether the kernel is fixed; remove the entry or extend its date", e.pattern, last.Format(time.DateOnly))
	}
	if _, err := path.Match(globbed(e.pattern), ""); err != nil {
		return e, fmt.Errorf("pattern %q: %w", e.pattern, err)
	}
	return e, nil
}

// globbed makes path.Match's * stand for slashes too, and nothing else special.
func globbed(s string) string {
	return strings.NewReplacer("/", "\x00", "[", "\\[", "?", "\\?").Replace(s)
}

func (e *allowed) covers(f *Finding) bool {
	if e.pattern == f.Fingerprint {
		return true
	}
	title := strings.ReplaceAll(string(f.Kind)+": "+f.Title, "/", "\x00")
	ok, _ := path.Match(globbed(e.pattern), title) // the pattern was tried
	return ok
}

// Apply marks the findings that entries cover.
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

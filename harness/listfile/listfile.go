// Package listfile reads lists of exceptions: text files in which each line is an entry, with the reason after a
// comment mark. An entry may have a last day, after which somebody must look at it again. What an entry means is the
// caller's: package result reads lists of cases with it, and package splat lists of findings.
//
// Start with Parse.
package listfile

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// Entry is a line of a list.
type Entry struct {
	Where  string // FILE:LINE
	Body   string // what precedes the comment
	Reason string // the comment, "" for none
}

// Parse returns the entries of a list. file is its name, and mark what begins a comment, such as "#". Blank lines and
// lines that are only a comment are no entries.
func Parse(file, text, mark string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		n := 0
		for line := range strings.Lines(text) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || strings.HasPrefix(line, strings.TrimSpace(mark)) {
				continue
			}
			entry, reason, _ := strings.Cut(line, mark)
			e := Entry{fmt.Sprintf("%s:%d", file, n), strings.TrimSpace(entry), strings.TrimSpace(reason)}
			if !yield(e) {
				return
			}
		}
	}
}

// CheckUntil returns an error unless until is a date such as 2027-01-31 whose day has not passed yet. pattern names
// the entry in the error.
func CheckUntil(pattern, until string, now time.Time) error {
	last, err := time.Parse(time.DateOnly, until)
	if err != nil {
		return fmt.Errorf("until=%s: not a date; write until=YYYY-MM-DD", until)
	}
	if !now.Before(last.AddDate(0, 0, 1)) {
		return fmt.Errorf("the entry %q ended on %s: check whether it still holds; remove the entry or extend its date",
			pattern, until)
	}
	return nil
}

// ErrNoReason is the error for an entry that must say why it is there, and does not.
var ErrNoReason = errors.New("missing reason (after #)")

// Package shell writes command lines that a user can paste into a POSIX shell. It only quotes words; it runs nothing
// and parses nothing.
//
// Start with Quote.
package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Quote returns a word as a POSIX shell reads it back, with quotes only where they are needed.
func Quote(word string) string {
	quoted, err := syntax.Quote(word, syntax.LangPOSIX)
	if err != nil { // syntax.Quote refuses unprintable characters; in single quotes they mean themselves
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return quoted
}

// Join returns the words as one command line.
func Join(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

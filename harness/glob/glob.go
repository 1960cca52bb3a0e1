// Package glob matches text with patterns in which * stands for any text, slashes included. No other character is
// special: case names, kernel references and titles of findings contain brackets, slashes and question marks.
//
// Start with Match.
package glob

import "strings"

// Match reports whether the pattern matches the whole text.
func Match(pattern, text string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	text, ok := strings.CutPrefix(text, first)
	if !found || !ok {
		return ok && text == ""
	}
	parts := strings.Split(rest, "*")
	last := len(parts) - 1
	for _, part := range parts[:last] {
		if _, text, ok = strings.Cut(text, part); !ok {
			return false
		}
	}
	return strings.HasSuffix(text, parts[last])
}

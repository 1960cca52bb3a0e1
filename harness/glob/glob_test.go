package glob

import "testing"

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "a/b\nc", true},
		{"abc", "abc", true},
		{"abc", "abcd", false},
		{"abc", "xabc", false},
		{"a*", "a", true},
		{"a*", "ba", false},
		{"*c", "abc", true},
		{"*c", "abcd", false},
		{"a*c", "a/b/c", true},
		{"a*c", "ac", true},
		{"ab*ba", "aba", false}, // the two ends may not overlap
		{"a*b*c", "a1b2c", true},
		{"a*b*c", "acb", false},
		{"*b*b*", "abab", true},
		{"*b*b*", "aba", false},
		{"a**c", "abc", true},
		{"[ab]*", "a1", false},
		{"[ab]*", "[ab]1", true},
		{"a?c", "abc", false},
		{`a\*`, "a*", false}, // a backslash escapes nothing
		{`a\*`, `a\b`, true},
	} {
		if got := Match(tt.pattern, tt.text); got != tt.want {
			t.Errorf("Match(%q, %q) = %t, want %t", tt.pattern, tt.text, got, tt.want)
		}
	}
}

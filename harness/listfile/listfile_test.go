package listfile

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text, mark string
		want       []Entry
	}{
		{"", "#", nil},
		{"\n  \n# a comment\n\t# another\n", "#", nil},
		{"a b # why \n\nc#x", "#", []Entry{{"l.txt:1", "a b", "why"}, {"l.txt:3", "c", "x"}}},
		{"a b\r\nc\r\n", "#", []Entry{{"l.txt:1", "a b", ""}, {"l.txt:2", "c", ""}}},
		// A mark with a space leaves a # in the entry.
		{"oops: (#PF) at * # why\n# comment", " #", []Entry{{"l.txt:1", "oops: (#PF) at *", "why"}}},
	} {
		if got := slices.Collect(Parse("l.txt", tt.text, tt.mark)); !slices.Equal(got, tt.want) {
			t.Errorf("%q: got %v, want %v", tt.text, got, tt.want)
		}
	}
	for e := range Parse("l.txt", "a\nb", "#") { // a caller may stop
		if e.Body != "a" {
			t.Errorf("got %v first", e)
		}
		break
	}
}

func TestCheckUntil(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	for until, want := range map[string]string{
		"2026-11-24": "", // the day itself counts
		"2027-01-01": "",
		"2026-11-23": `the entry "a/*" ended on 2026-11-23`,
		"soon":       "until=soon: not a date",
		"2026-13-01": "until=2026-13-01: not a date",
		"":           "until=: not a date",
	} {
		err := CheckUntil("a/*", until, now)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", until, err, want)
		}
	}
}

package splat

import (
	"strings"
	"testing"
	"time"
)

func TestAllow(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	one := warningOf("1.000000", "0 PID: 88", "10", "caller", "1a")
	for _, tt := range []struct {
		text, covers string // the reason given
	}{
		{"", ""},
		{"# a comment\n\n", ""},
		{"warn: WARNING in bpf_token_create * until=2026-11-24 # known, see the list", "known, see the list (allow.txt:1)"},
		{"warn: * until=2027-01-01 # all", "all (allow.txt:1)"},
		{"*kernel/bpf/token.c* until=2027-01-01 # a file", "a file (allow.txt:1)"},
		{one.Fingerprint + " until=2027-01-01 # by fingerprint", "by fingerprint (allow.txt:1)"},
		{"kasan: * until=2027-01-01 # another kind\n*token.c) until=2027-01-01 # this one", "this one (allow.txt:2)"},
		{"bug: * until=2027-01-01 # no", ""},
	} {
		a, err := ParseAllow(nil, "allow.txt", tt.text, now)
		if err != nil {
			t.Fatal(tt.text, err)
		}
		list := []Finding{one}
		a.Apply(list)
		if list[0].Allowed != tt.covers || list[0].Counts() != (tt.covers == "") {
			t.Errorf("%q: allowed for %q, want %q", tt.text, list[0].Allowed, tt.covers)
		}
	}
}

func TestAllowErrors(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"\nwarn: * # why":                       "allow.txt:2: no date",
		"warn: * until=2027-01-01":              "allow.txt:1: missing reason (after #)",
		"warn: * until=2027-01-01 #":            "allow.txt:1: missing reason (after #)",
		"warn: * until=soon # why":              "allow.txt:1: until=soon: not a date",
		"warn: * until=2026-11-23 # why":        `allow.txt:1: the entry "warn: *" ended on 2026-11-23`,
		"a until=2027-01-01 # b\nc until=1 # d": "allow.txt:2: until=1",
	} {
		if _, err := ParseAllow(nil, "allow.txt", text, now); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

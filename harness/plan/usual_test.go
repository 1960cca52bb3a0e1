package plan

import (
	"regexp"
	"testing"

	"tokentest/cases"
)

// TestAnnounce warns of a run that is much longer than the default suite, and of no other.
func TestAnnounce(t *testing.T) {
	corpus, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := func(full bool) *Plan {
		p, err := Expand(Spec{Kernels: []string{"k"}, Full: full}, corpus)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	long := regexp.MustCompile(`^this runs \d{5,} cases on a kernel, the default suite \d{4}: ` +
		`it takes about \d+ times as long$`)
	for _, tt := range []struct {
		full  bool
		times int
		says  bool
	}{{false, 0, false}, {false, 1, false}, {false, 2, false}, {false, 50, true}, {true, 1, true}} {
		if got := plan(tt.full).Announce(t.Context(), tt.times); long.MatchString(got) != tt.says || !tt.says && got != "" {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

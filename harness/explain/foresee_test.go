package explain

import (
	"errors"
	"os"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/uapi"
	"tokentest/harness/plan"
	"tokentest/harness/usage"
)

// A plan says beforehand that a kernel would decide nothing. Controls that only
// come along do not count.
func TestDecidesNothing(t *testing.T) {
	for _, tt := range []struct {
		release  uapi.Release
		selected []string
		want     bool
	}{
		{uapi.Release{Major: 6, Minor: 12}, []string{"map_create/any/owner/CAP_BPF/with/devmap"}, false},
		{uapi.Release{Major: 6, Minor: 12}, []string{"map_create/any/owner/CAP_BPF/with/rhash"}, true}, // added in 7.2
		{uapi.Release{Major: 7, Minor: 3}, []string{"map_create/any/owner/CAP_BPF/with/rhash"}, false},
		{uapi.Release{Major: 6, Minor: 1}, []string{"map_create/any"}, true},
		{uapi.Release{Major: 6, Minor: 1}, nil, false},
	} {
		p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"k"}, Args: tt.selected})
		if err != nil {
			t.Fatal(err)
		}
		f := &Forecast{Facts: cases.FactsAt(tt.release)}
		if got := f.DecidesNothing(p, p.Cases); got != tt.want {
			t.Errorf("%s of %q: decides nothing: %v, want %v", tt.release, tt.selected, got, tt.want)
		}
	}
	if (&Forecast{Why: "it is built before it boots"}).DecidesNothing(nil, nil) {
		t.Error("a kernel that is not at hand decides nothing")
	}
}

// Newest is the release of the headers that the numbers are from; a later release is not described.
func TestNewest(t *testing.T) {
	text, err := os.ReadFile("../../cases/uapi/zlayout.go")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\n")
	if !strings.Contains(head, " of "+Newest+";") {
		t.Errorf("Newest is %s, but the numbers are %s", Newest, head)
	}
	for release, ok := range map[string]bool{Newest: true, "6.12": true, "deb:6.12": true, "99.9": false, "deb:8.0": false,
		"x": false} {
		var u *usage.Error
		if _, err := FactsAt(release); (err == nil) != ok || !ok && !errors.As(err, &u) {
			t.Errorf("%s: got %v", release, err)
		}
	}
}

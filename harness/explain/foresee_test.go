package explain

import (
	"testing"

	"tokentest/cases"
	"tokentest/cases/uapi"
	"tokentest/harness/plan"
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

package result

import (
	"maps"
	"testing"

	"tokentest/cases/oracle"
)

// TestOmission: an Omission finds the same as judging every case without the rule.
func TestOmission(t *testing.T) {
	g := group(t, matrix)
	k := (&guest{facts: facts612()}).stored(g).Kernels[0]
	o := NewOmission(k, corpusWith(g))
	noticed := 0
	for _, rule := range oracle.Rules() {
		want, got := map[string]Status{}, map[string]Status{}
		j := NewJudge(k.Facts, rule)
		for w, was := range k.setups(worldsOf(corpusWith(g))) {
			j.Setup(w, was.Seen)
		}
		for i := range k.Cases {
			if r := k.Cases[i]; j.again(&r, makeSteps(corpusWith(g).Case(r.ID))) && r.Status != Pass {
				want[r.ID] = r.Status
			}
		}
		for was, now := range o.Without(rule) {
			if was.Status != Pass || was.ID != now.ID {
				t.Errorf("%s: %+v became %+v", rule, was, now)
			}
			if now.Status != Pass {
				got[now.ID] = now.Status
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("without %s: %v, want %v", rule, got, want)
		}
		noticed += len(want)
	}
	if noticed == 0 {
		t.Error("no rule is noticed by any case")
	}
}

package plan

import (
	"errors"
	"slices"
	"testing"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

func allow(patterns ...string) []result.ListEntry {
	var out []result.ListEntry
	for _, p := range patterns {
		out = append(out, result.ListEntry{Kind: result.AllowList, Pattern: p})
	}
	return out
}

// An entry is unmatched if no case that exists has the name, in this plan or outside it.
func TestMatch(t *testing.T) {
	path := userFile(t, "mine.txt", scenario)
	p, err := Load(t.Context(), Request{Kernels: []string{"k"}, Args: []string{"token_create", path}})
	if err != nil {
		t.Fatal(err)
	}
	list := allow("token_create", "map_create/*", "mine", "map_crate", "nosuch/*")
	got, err := p.Match(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got {
		names = append(names, e.Pattern+e.Near)
	}
	if want := []string{"map_crate (near: map_create)", "nosuch/*"}; !slices.Equal(names, want) {
		t.Errorf("unmatched %q, want %q", names, want)
	}
	for _, e := range list {
		if want := e.Pattern == "map_crate" || e.Pattern == "nosuch/*"; e.Unmatched != want {
			t.Errorf("%s: Unmatched is %v", e.Pattern, e.Unmatched)
		}
	}
}

// An allowed case brings its controls; the rest is gone.
func TestRestrict(t *testing.T) {
	p := planOf(t, "k", "map_create")
	all := slices.Clone(p.Cases)
	i := slices.IndexFunc(all, func(c *cases.Case) bool { return len(c.Guards()) > 0 })
	if err := p.Restrict(allow(all[i].ID)); err != nil {
		t.Fatal(err)
	}
	if got, want := len(p.Cases), len(WithGuards(all, all[i:i+1])); got != want || got < 2 || got == len(all) {
		t.Errorf("%d cases, want %d", got, want)
	}
	if !slices.Contains(p.Cases, all[i]) {
		t.Errorf("%s is gone", all[i].ID)
	}
	var u *usage.Error
	if err := p.Restrict(allow("nosuch")); !errors.As(err, &u) || !u.Advised {
		t.Errorf("got %v, want advice", err)
	}
}

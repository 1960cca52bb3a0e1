package plan

import (
	"errors"
	"slices"
	"testing"

	"tokentest/cases"
	"tokentest/harness/usage"
)

// Each kernel runs the cases that are listed for it, with their controls.
func TestNarrow(t *testing.T) {
	load := func() *Plan {
		p, err := Load(t.Context(), Request{Kernels: []string{"a", "b", "c"},
			Args: []string{"token_create", "nested_userns"}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := load()
	all := len(p.Cases)
	one := p.Cases[slices.IndexFunc(p.Cases, func(c *cases.Case) bool { return len(c.Guards()) > 0 })]
	err := p.Narrow(map[string][]string{"a": {one.ID, "gone"}, "b": {"gone"}})
	if err != nil || !slices.Equal(p.Kernels, []string{"a", "c"}) || len(p.Of("c")) != all || len(p.Cases) != all {
		t.Fatalf("got %v, %d of %d cases on c, %v", p.Kernels, len(p.Of("c")), all, err)
	}
	if got := p.Of("a"); !slices.Contains(got, one) || len(got) != 1+len(one.Guards()) {
		t.Errorf("got %d cases on a, want one and its controls", len(got))
	}
	p = load()
	err = p.Narrow(map[string][]string{"a": {one.ID}, "b": {"nested_userns"}, "c": {one.ID}})
	if want := []string{"nested_userns", one.ID}; err != nil || !slices.Equal(p.Selection, want) ||
		len(p.Cases) != 2+len(one.Guards()) {
		t.Errorf("got %v of %d cases, %v; want %v and the controls", p.Selection, len(p.Cases), err, want)
	}
	if just := p.Just([]*cases.Case{one}); len(just.Of("a")) != 1 || len(just.Of("c")) != 1 || len(p.Of("b")) != 1 {
		t.Errorf("just one case: %d on a, %d on c; the plan has %d on b", len(just.Of("a")), len(just.Of("c")),
			len(p.Of("b")))
	}
	var u *usage.Error
	if err := load().Narrow(map[string][]string{"a": {"gone"}, "b": {"gone"}, "c": {"gone"}}); !errors.As(err, &u) {
		t.Errorf("nothing left: got %v", err)
	}
}

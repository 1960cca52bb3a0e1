package plan

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
)

func corpus(t *testing.T) *cases.Corpus {
	t.Helper()
	c, err := cases.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExpand(t *testing.T) {
	c := corpus(t)
	spec := Spec{Kernels: []string{"b", "a"}, Patterns: []string{"map_create", "nested_userns"}}
	p, err := Expand(spec, c)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Kernels, spec.Kernels) || p.Batch != DefaultBatch || len(p.Cases) == 0 {
		t.Errorf("kernels %q, batch %d, %d cases", p.Kernels, p.Batch, len(p.Cases))
	}
	for _, k := range p.Cases {
		if g := k.Group.Name; g != "map_create" && g != "nested_userns" {
			t.Fatalf("%s is in the plan", k.ID)
		}
	}
	spec.Batch = 7
	if p, err = Expand(spec, c); err != nil || p.Batch != 7 {
		t.Errorf("batch %d, %v", p.Batch, err)
	}
}

// The same spec and cases, read twice, make the same plan.
func TestExpandIsPure(t *testing.T) {
	for _, full := range []bool{false, true} {
		spec := Spec{Kernels: []string{"a", "b"}, Full: full}
		var plans [2][]string // every case in the order of its journey
		for i := range plans {
			p, err := Expand(spec, corpus(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range Batches(ByWorld(p.Cases), p.Batch) {
				for _, k := range b.Cases {
					plans[i] = append(plans[i], k.ID, k.Info()[0].Text)
				}
			}
		}
		if !slices.Equal(plans[0], plans[1]) {
			t.Errorf("full %v: two plans differ", full)
		}
	}
	c := corpus(t)
	spec := Spec{Kernels: []string{"a"}}
	one, err1 := Expand(spec, c)
	two, err2 := Expand(spec, c)
	if err1 != nil || err2 != nil || !reflect.DeepEqual(ids(one.Cases), ids(two.Cases)) {
		t.Errorf("the same corpus twice: %v, %v, or other cases", err1, err2)
	}
}

func ids(cs []*cases.Case) []string {
	var out []string
	for _, c := range cs {
		out = append(out, c.ID)
	}
	return out
}

func TestExpandErrors(t *testing.T) {
	c := corpus(t)
	for _, tt := range []struct {
		spec Spec
		want string
	}{
		{Spec{}, "no kernel"},
		{Spec{Kernels: []string{"x", "y", "x"}}, "the kernel x is named twice"},
		{Spec{Kernels: []string{"x"}, Patterns: []string{"map_crate"}}, `unknown case "map_crate" (near: map_create)`},
	} {
		if _, err := Expand(tt.spec, c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.spec, err, tt.want)
		}
	}
	if _, err := Expand(Spec{Kernels: []string{"x"}, Patterns: []string{"zz"}}, c); !errors.Is(err, cases.ErrUnknownCase) {
		t.Errorf("%v does not say that the case is unknown", err)
	}
}

// Batches hold every case once and in order, numbered from 0, of one world
// each, at most size, and a case of several steps alone.
func TestBatches(t *testing.T) {
	all, err := corpus(t).Select(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, chosen := range [][]*cases.Case{all, ByWorld(all), all[:1], nil} {
		for _, size := range []int{0, 1, 3, DefaultBatch, 1 << 20} {
			checkBatches(t, chosen, size)
		}
	}
}

func checkBatches(t *testing.T, chosen []*cases.Case, size int) {
	t.Helper()
	next := 0
	batches := Batches(chosen, size)
	for i, b := range batches {
		if int(b.First) != next || len(b.Cases) == 0 || len(b.Cases) > max(size, 1) {
			t.Fatalf("size %d: batch %d begins at %d with %d cases, want %d", size, i, b.First, len(b.Cases), next)
		}
		for j, c := range b.Cases {
			switch {
			case c != chosen[next]:
				t.Fatalf("size %d: cell %d is %s, want %s", size, next, c.ID, chosen[next].ID)
			case c.World != b.World:
				t.Fatalf("size %d: %s is in a batch of another world", size, c.ID)
			case j > 0 && c.Len() > 1:
				t.Fatalf("size %d: %s does not travel alone", size, c.ID)
			}
			next++
		}
		full := len(b.Cases) >= size
		if i > 0 && b.World == batches[i-1].World && len(batches[i-1].Cases) < size && !full {
			t.Fatalf("size %d: batches %d and %d could be one", size, i-1, i)
		}
	}
	if next != len(chosen) {
		t.Fatalf("size %d: %d cases of %d", size, next, len(chosen))
	}
}

// ByWorld keeps the order of a world's cases and starts every world once. The last worlds are
// those with programs on LSM hooks, then those that leave the machine's sysctl at 1.
func TestByWorld(t *testing.T) {
	all, err := corpus(t).Select(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	got := ByWorld(all)
	if len(got) != len(all) {
		t.Fatalf("%d cases of %d", len(got), len(all))
	}
	position := map[*cases.Case]int{}
	for i, c := range all {
		position[c] = i
	}
	seen := map[*cases.World]bool{}
	first, locked, hooked := -1, false, false
	for i, c := range got {
		switch {
		case i > 0 && got[i-1].World == c.World:
			if position[got[i-1]] >= position[c] {
				t.Fatalf("%s stands behind %s", c.ID, got[i-1].ID)
			}
		case seen[c.World]:
			t.Fatalf("the world of %s is opened again", c.ID)
		default:
			locks, hooks := c.World.Locks(), c.World.Hooks()
			if locked && !locks || hooked && !hooks && !locks {
				t.Fatalf("the world of %s comes when the sysctl is locked (%v), or programs are on hooks (%v)", c.ID, locked,
					hooked)
			}
			if locks && !locked || hooks && !hooked {
				first = -1
			}
			locked, hooked = locked || locks, hooked || hooks
			if position[c] < first {
				t.Fatalf("the world of %s comes too late", c.ID)
			}
			seen[c.World], first = true, position[c]
		}
	}
	if !locked || !hooked || len(seen) == len(all) || len(seen) < 10 {
		t.Errorf("%d worlds of %d cases: the test says nothing", len(seen), len(all))
	}
}

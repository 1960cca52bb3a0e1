package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tokentest/cases"
)

func usualCost(string) Cost { return defaultCost }

var builtin = sync.OnceValues(func() (*cases.Corpus, error) { return cases.Load(context.Background()) })

func planOf(t *testing.T, kernels string, patterns ...string) *Plan {
	t.Helper()
	corpus, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Expand(Spec{Kernels: strings.Fields(kernels), Patterns: patterns}, corpus)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The parts of a plan are always the same. Each has the controls of its cases, and together they
// are the whole plan.
func TestCut(t *testing.T) {
	p := planOf(t, "a b c", "token_create", "map_create", "nested_userns")
	for n := 1; n <= 7; n++ {
		seen := map[string]bool{}
		for i := 1; i <= n; i++ {
			part, again := p.Cut(Shard{i, n}, usualCost), p.Cut(Shard{i, n}, usualCost)
			if fmt.Sprint(part.Kernels) != fmt.Sprint(again.Kernels) || part.Digest != again.Digest ||
				part.Shard != (Shard{i, n}) {
				t.Errorf("part %d of %d is another one the second time", i, n)
			}
			for _, k := range part.Kernels {
				if !slices.Equal(part.Of(k), again.Of(k)) {
					t.Errorf("part %d of %d: other cases the second time", i, n)
				}
				for _, c := range part.Of(k) {
					seen[k+" "+c.ID] = true
					for _, g := range c.Guards() {
						if !slices.Contains(part.Of(k), g) {
							t.Fatalf("part %d of %d: %s without its control %s", i, n, c.ID, g.ID)
						}
					}
				}
			}
		}
		if want := 3 * len(p.Cases); len(seen) != want {
			t.Errorf("%d parts hold %d cases, want %d", n, len(seen), want)
		}
	}
}

// shape lists the kernels of each part, with a * if the part has only some of a kernel's cases.
func shape(p *Plan, n int, of func(string) Cost) string {
	var out []string
	for i := 1; i <= n; i++ {
		part := p.Cut(Shard{i, n}, of)
		var names []string
		for _, k := range part.Kernels {
			if len(part.Of(k)) < len(p.Of(k)) {
				k += "*"
			}
			names = append(names, k)
		}
		out = append(out, strings.Join(names, "+"))
	}
	return strings.Join(out, " ")
}

// A kernel stays whole if that does not take much longer, and is split if that saves time. The
// last of too many parts are empty.
// Parts that mostly boot are announced, with what fewer parts would cost.
func TestWaste(t *testing.T) {
	p := planOf(t, "a b c", "token_create", "map_create")
	if got := p.Cut(Shard{1, 3}, usualCost).Waste(); got != "" {
		t.Errorf("3 parts of 3 kernels: %s", got)
	}
	got := p.Cut(Shard{1, 1000}, usualCost).Waste()
	if !strings.HasPrefix(got, "1000 parts take about ") ||
		!strings.Contains(got, "times the work of 3, because each boots") {
		t.Errorf("1000 parts: %q", got)
	}
}

func TestCutShape(t *testing.T) {
	slow := func(k string) Cost {
		if k == "a" {
			return Cost{Boot: 1, World: 0, Case: 100}
		}
		return Cost{Boot: 1, World: 0, Case: 1}
	}
	bootOnly := func(string) Cost { return Cost{Boot: 1 << 40, Case: 1} }
	for _, tt := range []struct {
		kernels string
		n       int
		of      func(string) Cost
		want    string
	}{
		{"a b", 2, usualCost, "a b"},
		{"a b c", 2, bootOnly, "a+b c"},
		{"a b c d e f g h i j k", 3, usualCost, "a+b+c+d e+f+g+h i+j+k"},
		{"a", 2, usualCost, "a* a*"},
		{"a", 2, bootOnly, "a "}, // a second boot gains nothing
		{"a b", 4, usualCost, "a* a* b* b*"},
		{"a b", 3, bootOnly, "a b "},
		{"a b c", 2, slow, "a* a*+b+c"},
	} {
		p := planOf(t, tt.kernels)
		if got := shape(p, tt.n, tt.of); got != tt.want {
			t.Errorf("%s in %d: got %q, want %q", tt.kernels, tt.n, got, tt.want)
		}
		if got, want := p.Parts(tt.n, tt.of), len(strings.Fields(tt.want)); got != want {
			t.Errorf("%s in %d: %d parts have something to do, want %d", tt.kernels, tt.n, got, want)
		}
	}
}

// The two halves of a kernel cost about the same: a boot and half of the cases.
func TestCutHalves(t *testing.T) {
	p := planOf(t, "a")
	cost := func(i int) int64 {
		l := p.Cut(Shard{i, 2}, usualCost).line(usualCost)
		return l.kernels[0].upTo[len(l.kernels[0].cases)]
	}
	first, second := cost(1), cost(2)
	if ratio := float64(first) / float64(second); ratio < 0.8 || ratio > 1.25 {
		t.Errorf("the halves cost %d and %d", first, second)
	}
}

// Parts of another plan, or of one that was cut with other costs, have another digest, so
// they cannot be merged.
func TestDigest(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range []*Plan{
		planOf(t, "a b").Cut(Shard{1, 2}, usualCost), planOf(t, "a").Cut(Shard{1, 2}, usualCost),
		planOf(t, "a b", "token_create").Cut(Shard{1, 2}, usualCost),
		planOf(t, "a b").Cut(Shard{1, 2}, func(string) Cost { return Cost{1, 1, 1} }),
	} {
		if seen[p.Digest] {
			t.Errorf("%v: the digest %s is that of another plan", p.Kernels, p.Digest)
		}
		seen[p.Digest] = true
	}
	if whole := planOf(t, "a b"); whole.Digest != "" || len(planOf(t, "a b").Only("b").Kernels) != 1 {
		t.Error("a plan that was not cut is a part")
	}
}

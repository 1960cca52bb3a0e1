package result

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// packed is the side as it is once its records are read.
func (s *Side) packed(sh *pool) *Side {
	out := &Side{Name: s.Name}
	for _, r := range s.Runs {
		small := *r
		small.Kernels = nil
		for _, k := range r.Kernels {
			copied := *k
			copied.pack(sh)
			small.Kernels = append(small.Kernels, &copied)
		}
		out.Runs = append(out.Runs, &small)
	}
	return out
}

// drawn is a kernel with some of the cases and any results.
func drawn(r *rand.Rand) *KernelRun {
	k := kernelOf("k")
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		if r.IntN(6) == 0 {
			continue
		}
		c := gotCase(id, Statuses()[r.IntN(len(Statuses()))], ePERM)
		if len(c.Steps) > 0 && r.IntN(3) == 0 {
			c.Steps[0].Got.Errno = eINVAL
		}
		if r.IntN(8) == 0 {
			c.Times = map[Status]int{Pass: 1, Fail: r.IntN(2)}
		}
		k.Cases = append(k.Cases, c)
	}
	r.Shuffle(len(k.Cases), func(i, j int) { k.Cases[i], k.Cases[j] = k.Cases[j], k.Cases[i] })
	return k
}

// TestComparePacked: stored runs compare as lists do.
func TestComparePacked(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	classes := map[Class]int{}
	for range 500 {
		base, new := sideOf(drawn(r)), sideOf(drawn(r))
		want := Compare(base, new)
		sh := newPool()
		p := &pairing{}
		b, n := base.packed(sh), new.packed(sh)
		p.base, p.new = []part{{b.Runs[0].Kernels[0], b.Runs[0]}}, []part{{n.Runs[0].Kernels[0], n.Runs[0]}}
		if _, _, ok := p.packedSides(); !ok {
			t.Fatal("the sides are not compared as packed ones")
		}
		got := Compare(b, n)
		if w, g := want.Pairs[0], got.Pairs[0]; w.Same != g.Same || !reflect.DeepEqual(w.Changes, g.Changes) {
			t.Fatalf("%+v\n+ %+v:\n got %d same, %+v\nwant %d same, %+v", base.Runs[0].Kernels[0].Cases,
				new.Runs[0].Kernels[0].Cases, g.Same, g.Changes, w.Same, w.Changes)
		}
		for class, times := range got.Counts() {
			classes[class] += times
		}
	}
	for _, class := range append(Classes(), Same) {
		if classes[class] == 0 {
			t.Errorf("no case was drawn that is %s", class)
		}
	}
}

// TestComparePackedOfTwo: a case that occurs twice, and kernels with different pools, are compared
// by their names.
func TestComparePackedOfTwo(t *testing.T) {
	k := kernelOf("k", gotCase("a", Pass, 0), gotCase("a", Fail, ePERM))
	one := kernelOf("k", gotCase("a", Pass, 0))
	want := Compare(sideOf(one), sideOf(k))
	for _, sh := range []*pool{newPool(), nil} {
		base, new := sideOf(one).packed(newPool()), sideOf(k)
		if sh != nil {
			base, new = sideOf(one).packed(sh), new.packed(sh)
		}
		got := Compare(base, new)
		if !slices.EqualFunc(want.Pairs[0].Changes, got.Pairs[0].Changes,
			func(a, b Change) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("got %+v, want %+v", got.Pairs[0].Changes, want.Pairs[0].Changes)
		}
	}
}

package plan

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// measuredRun has a kernel that took twice as long as usual to decide, and one that never ran.
func measuredRun() *result.Run {
	k := &result.KernelRun{Ref: "slow", Cases: make([]result.CaseResult, 1000),
		Decide: 2 * time.Duration(defaultCost.Of(0, 1000))}
	k.Boots = []result.Boot{{Total: 10*time.Second + k.Decide, Decide: k.Decide}}
	return &result.Run{Kernels: []*result.KernelRun{k, {Ref: "broken", Error: "no image"}}}
}

func TestCostsIn(t *testing.T) {
	of, err := CostsIn(measuredRun())
	if err != nil {
		t.Fatal(err)
	}
	got := of("slow")
	if got.Boot != int64(10*time.Second) {
		t.Errorf("the boot costs %s", time.Duration(got.Boot))
	}
	for what, pair := range map[string][2]int64{"case": {got.Case, 2 * defaultCost.Case},
		"world": {got.World, 2 * defaultCost.World}} {
		if off := pair[0] - pair[1]; off < -pair[1]/50 || off > pair[1]/50 {
			t.Errorf("a %s costs %d, want about %d", what, pair[0], pair[1])
		}
	}
	if other := of("other"); other != got {
		t.Errorf("a kernel that the run does not have costs %+v, want the average %+v", other, got)
	}
	var u *usage.Error
	if _, err := CostsIn(&result.Run{Kernels: []*result.KernelRun{{Error: "x"}}}); !errors.As(err, &u) {
		t.Errorf("got %v, want a usage error", err)
	}
}

// A kernel of another architecture costs what its machine takes, which is nothing like this one's.
func TestCostsKnowTheArchitecture(t *testing.T) {
	for _, a := range arch.All {
		ref := "deb:6.12/" + a.Name
		want := Cost{Boot: defaultCost.Boot * a.Pace.Boot / 100, World: defaultCost.World * a.Pace.Decide / 100,
			Case: defaultCost.Case * a.Pace.Decide / 100}
		if got := CostOf(ref); got != want || got.Boot == 0 || got.Case == 0 {
			t.Errorf("%s: got %+v, want %+v", ref, got, want)
		}
		r := measuredRun()
		r.Kernels[0].Ref, r.Kernels[0].Arch = ref, a.Name
		of, err := CostsIn(r)
		if err != nil {
			t.Fatal(err)
		}
		measured := of(ref)
		for _, b := range arch.All {
			got := of("deb:7.3/" + b.Name)
			for _, pair := range [][2]int64{{got.Boot, measured.Boot * b.Pace.Boot / a.Pace.Boot},
				{got.Case, measured.Case * b.Pace.Decide / a.Pace.Decide}} {
				if off := pair[0] - pair[1]; off < -pair[1]/50 || off > pair[1]/50 {
					t.Errorf("%s after a run of %s: got %d, want about %d", b, a, pair[0], pair[1])
				}
			}
		}
	}
	p := planOf(t, "deb:6.12/"+arch.All[0].Name+" deb:6.12/"+arch.All[1].Name, "token_create", "map_create")
	if p.Cut(Shard{1, 2}, CostOf).Digest == p.Cut(Shard{1, 2}, usualCost).Digest {
		t.Error("parts that are cut by other costs have the same digest, and could be merged")
	}
}

func TestJobs(t *testing.T) {
	p := planOf(t, "a b", "map_create", "token_create")
	one, err := p.Jobs(1, usualCost)
	if err != nil || len(one) != 2 || one[0] != (Job{"a", "1/1", "a"}) || one[1] != (Job{"b", "1/1", "b"}) {
		t.Errorf("got %+v, %v", one, err)
	}
	noBoot := func(string) Cost { return Cost{Case: 1} }
	many, err := p.Jobs(3, noBoot)
	if err != nil || len(many) != 6 || many[4] != (Job{"b", "2/3", "b 2/3"}) {
		t.Errorf("got %+v, %v", many, err)
	}
	for i := range mostJobs {
		p.Kernels = append(p.Kernels, fmt.Sprint(i))
	}
	var u *usage.Error
	if _, err := p.Jobs(1, usualCost); !errors.As(err, &u) {
		t.Errorf("got %v, want a usage error", err)
	}
}

package lab

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

func TestDeal(t *testing.T) {
	all, err := corpus()
	if err != nil {
		t.Fatal(err)
	}
	suite, err := all.Select(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	place := map[*cases.Case]int{}
	for i, c := range suite {
		place[c] = i
	}
	for n := 0; n < 9; n++ {
		lanes := deal(suite, n)
		if len(lanes) > max(1, n) || n == 2 && len(lanes) != 2 {
			t.Errorf("%d lanes of %d", len(lanes), n)
		}
		lane, count, costs := map[*cases.World]int{}, 0, []int{}
		for i, list := range lanes {
			count += len(list)
			costs = append(costs, laneCost(list))
			if !slices.IsSortedFunc(list, func(a, b *cases.Case) int { return cmp.Compare(place[a], place[b]) }) {
				t.Errorf("%d lanes: lane %d has another order than the plan", n, i)
			}
			for _, c := range list {
				if at, known := lane[c.World]; known && at != i {
					t.Fatalf("%d lanes: a world of %s is in two", n, c.Group.Name)
				}
				lane[c.World] = i
			}
		}
		if count != len(suite) {
			t.Errorf("%d lanes: %d of %d cases", n, count, len(suite))
		}
		if n == 2 && slices.Max(costs) > slices.Min(costs)*5/4 {
			t.Errorf("2 lanes cost %v", costs)
		}
		for i, again := range deal(suite, n) {
			if !slices.Equal(again, lanes[i]) {
				t.Errorf("%d lanes: dealt out in two ways", n)
			}
		}
	}
}

func laneCost(list []*cases.Case) int {
	of := map[*cases.World][]*cases.Case{}
	for _, c := range list {
		of[c.World] = append(of[c.World], c)
	}
	sum := 0
	for _, world := range of {
		sum += cost(world)
	}
	return sum
}

// What a run shows does not depend on its lanes, but for times and the numbers of machines.
func TestLanes(t *testing.T) {
	show := func(acts string, jobs int) *result.KernelRun {
		l := newLab(t, acts)
		l.Jobs = jobs
		k := run(t, l, 0)
		for i := range k.Cases {
			k.Cases[i].Boot = min(k.Cases[i].Boot, 0)
		}
		return k
	}
	one := show("clean", 1)
	for _, jobs := range []int{2, 4} {
		many := show("clean", jobs)
		if len(many.Boots) < 2 || len(many.Boots) > jobs {
			t.Fatalf("%d jobs: %d machines", jobs, len(many.Boots))
		}
		if d := gocmp.Diff(one.Cases, many.Cases); d != "" {
			t.Errorf("%d jobs: cases (-one +many):\n%s", jobs, d)
		}
		if d := gocmp.Diff(one.Worlds, many.Worlds); d != "" {
			t.Errorf("%d jobs: worlds (-one +many):\n%s", jobs, d)
		}
		if d := gocmp.Diff(one.Rules, many.Rules); d != "" {
			t.Errorf("%d jobs: rules (-one +many):\n%s", jobs, d)
		}
		if many.Release != one.Release || many.Note != one.Note || many.Facts == nil {
			t.Errorf("%d jobs: %q, %q, facts %v", jobs, many.Release, many.Note, many.Facts != nil)
		}
	}
}

// A machine that dies costs its lane what it costs a run with one lane.
func TestLaneDies(t *testing.T) {
	l := newLab(t, "panic@2000 clean")
	l.Jobs = 2
	k := run(t, l, 0)
	n := k.Counts()
	if n[result.Fail] != 0 || n[result.Broken] != 0 || n[result.Pass] < 2000 {
		t.Errorf("%v", n)
	}
	var deaths, dirs []string
	for i, b := range k.Boots {
		if b.Fate != vm.Clean {
			deaths = append(deaths, string(b.Fate))
		}
		dirs = append(dirs, b.Dir)
		if _, err := os.Stat(filepath.Join(l.Dir, b.Dir, "console.log")); err != nil {
			t.Errorf("machine %d: %v", i, err)
		}
	}
	slices.Sort(dirs)
	if len(deaths) > 1 || len(slices.Compact(dirs)) != len(k.Boots) {
		t.Errorf("machines %v in %v died %v", fates(k), dirs, deaths)
	}
	for i := range k.Cases {
		if c := &k.Cases[i]; c.Boot >= len(k.Boots) || c.Boot < 0 && c.Status != result.Skip {
			t.Fatalf("%s: machine %d of %d", c.ID, c.Boot, len(k.Boots))
		}
	}
}

// A run that is resumed has the lanes that it had, whatever the host can take now.
func TestResumeLanes(t *testing.T) {
	l := newLab(t, "clean")
	l.Jobs = 2
	p := newPlan(t, 0)
	if _, err := l.Run(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	read := func() []byte {
		text, err := os.ReadFile(filepath.Join(l.Dir, "records.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	want := read()
	l.Resume, l.Jobs = true, 1
	r, err := l.Run(t.Context(), p, nil)
	if err != nil || len(r.Kernels[0].Boots) != 2 {
		t.Fatalf("%v: %v", err, fates(r.Kernels[0]))
	}
	if got := read(); !bytes.Equal(got, want) {
		t.Error("the records differ")
	}
}

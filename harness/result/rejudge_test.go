package result

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/sim"
	"tokentest/cases/step"
)

// stored is the record of a guest's run of a group.
func (gu *guest) stored(g *cases.Group) *Run {
	k := &KernelRun{Ref: "k", Facts: gu.facts}
	for _, w := range g.Worlds {
		sim := sim.New(gu.facts, &w.Program, false)
		k.Worlds = append(k.Worlds, WorldResult{Group: g.Name, Index: w.Index, Key: w.Key(),
			Seen: gu.observe(sim, "setup", w.Program.Setup)})
	}
	rs := gu.judge(g.Cases)
	for _, c := range g.Cases {
		k.Cases = append(k.Cases, *rs[c.ID])
	}
	return &Run{Version: Version, Groups: []cases.Outline{g.Outline()}, Kernels: []*KernelRun{k}}
}

func corpusWith(g *cases.Group) *cases.Corpus { return &cases.Corpus{Groups: []*cases.Group{g}} }

// TestAgain: a run that was judged without a rule is judged again with it, and the cases that failed
// or were broken for that reason pass.
func TestAgain(t *testing.T) {
	g := group(t, matrix)
	r := (&guest{facts: facts612(), omit: "map_create/unprivileged-disabled"}).stored(g)
	before := r.Kernels[0].Counts()
	if before[Broken] == 0 {
		t.Fatalf("nothing to judge again: %v", before)
	}
	now, kept := r.Again(corpusWith(g))
	if n := now.Kernels[0].Counts(); n[Pass] != len(g.Cases) || len(kept) != 0 {
		t.Errorf("%v, kept %v", n, kept)
	}
	if after := r.Kernels[0].Counts(); !maps.Equal(before, after) {
		t.Errorf("the run itself has changed: %v", after)
	}
	// And the other way round: a lie of the guest stays one.
	r = (&guest{facts: facts612(), change: func(id string, _ int, o *step.Observation) {
		if id == "demo/owner/hash" {
			*o = step.Observation{Errno: ePERM}
		}
	}}).stored(g)
	r.Kernels[0].Cases[0].Status = Pass
	now, _ = r.Again(corpusWith(g))
	if n := now.Kernels[0].Counts(); n[Fail] != 1 {
		t.Errorf("a wrong answer judged again: %v", n)
	}
}

// TestAgainKeeps: a case that has changed keeps its result.
func TestAgainKeeps(t *testing.T) {
	g := group(t, matrix)
	r := (&guest{facts: facts612()}).stored(g)
	n := len(g.Cases)
	for _, tt := range []struct {
		name, from, to string
		want           map[string]int
	}{
		{"nothing", "", "", map[string]int{}},
		{"a comment", "do $who", "# why\ndo $who", map[string]int{}},
		{"one type more", "type hash queue", "type hash queue stack", map[string]int{}},
		{"one type less", "type hash queue", "type hash", map[string]int{KeptGone: n / 2}},
		{"another step", "token=t\n", "token=t caps=none\n", map[string]int{KeptChanged: n}},
		{"another world", "cmds=map_create", "cmds=map_create:btf_load", map[string]int{KeptChanged: n}},
	} {
		text := strings.Replace(matrix, tt.from, tt.to, 1)
		text = strings.ReplaceAll(text, "pin who=owner type=queue ok # a source\n", "")
		now := group(t, text)
		again, kept := r.Again(corpusWith(now))
		if !reflect.DeepEqual(kept, tt.want) {
			t.Errorf("%s: kept %v, want %v", tt.name, kept, tt.want)
		}
		if got := again.Kernels[0].Counts()[Pass]; got != n {
			t.Errorf("%s: %d pass, want %d", tt.name, got, n)
		}
	}
	const other = "actor owner userns\ncontrol owner bpffs cmds=any -> b\ncontrol nobody map_create type=hash => EPERM\n"
	if _, kept := r.Again(corpusWith(group(t, other))); kept[KeptGone]+kept[KeptChanged] != n {
		t.Errorf("another file of the name: kept %v", kept)
	}
}

// TestAgainOfWhatDidNotRun: a case that did not run keeps its result.
func TestAgainOfWhatDidNotRun(t *testing.T) {
	g := group(t, matrix)
	r := (&guest{facts: facts612()}).stored(g)
	cs := r.Kernels[0].Cases
	cs[1] = CaseResult{ID: cs[1].ID, Status: Broken, Reason: "the machine panicked under it: x", Boot: 2}
	cs[2] = CaseResult{ID: cs[2].ID, Status: Skip, Reason: "CONFIG_X is not set", Boot: -1}
	now, kept := r.Again(corpusWith(g))
	for _, i := range []int{1, 2} {
		if got := now.Kernels[0].Cases[i]; !reflect.DeepEqual(got, cs[i]) {
			t.Errorf("%+v, want %+v", got, cs[i])
		}
	}
	if kept[KeptSilent] != 2 {
		t.Errorf("kept %v", kept)
	}
	r.Kernels[0].Facts = nil
	if now, _ := r.Again(corpusWith(g)); !reflect.DeepEqual(now.Kernels[0].Cases, cs) {
		t.Error("a kernel that did not say what it is was judged again")
	}
}

// TestAgainOfWhatWasRead: packed cases are judged like a list, also with expected failures, repeated
// observations and changed cases.
func TestAgainOfWhatWasRead(t *testing.T) {
	defer func(n int) { atATime = n }(atATime)
	atATime = 3
	g := group(t, matrix)
	for _, tt := range []struct{ name, omit, from, to string }{
		{"the same", "", "", ""},
		{"with a rule more", "map_create/unprivileged-disabled", "", ""},
		{"with a type less", "", "type hash queue", "type hash"},
		{"with another step", "", "token=t\n", "token=t caps=none\n"},
	} {
		list := (&guest{facts: facts612(), omit: tt.omit, change: func(id string, _ int, o *step.Observation) {
			if id == "demo/owner/hash" {
				*o = step.Observation{Errno: eINVAL}
			}
		}}).stored(g)
		list.Kernels[0].Cases = append(list.Kernels[0].Cases, list.Kernels[0].Cases[1])
		errno := eINVAL
		list.Lists = []ListEntry{{Kind: ExpectList, Pattern: "demo/owner/hash", Where: "f:1", Reason: "why", Errno: &errno}}
		read := *list
		k := *list.Kernels[0]
		k.pack(newPool())
		read.Kernels = []*KernelRun{&k}
		corpus := corpusWith(group(t, strings.ReplaceAll(strings.Replace(matrix, tt.from, tt.to, 1),
			"pin who=owner type=queue ok # a source\n", "")))
		want, wantKept := list.Again(corpus)
		got, kept := read.Again(corpus)
		again := got.Kernels[0]
		if again.packed == nil || len(again.Cases) > 0 {
			t.Errorf("%s: the cases are a list", tt.name)
		}
		again.Unpack()
		if !reflect.DeepEqual(again.Cases, want.Kernels[0].Cases) || !reflect.DeepEqual(kept, wantKept) ||
			!reflect.DeepEqual(again.Rules, want.Kernels[0].Rules) {
			t.Errorf("%s:\n got %+v, kept %v\nwant %+v, kept %v", tt.name, again.Cases, kept, want.Kernels[0].Cases, wantKept)
		}
		if tt.name == "the same" && want.Kernels[0].Counts()[XFail] != 1 {
			t.Errorf("%v, want one that is expected", want.Kernels[0].Counts())
		}
		if before := k.Counts(); !maps.Equal(before, list.Kernels[0].Counts()) {
			t.Errorf("%s: what was read has changed: %v", tt.name, before)
		}
	}
}

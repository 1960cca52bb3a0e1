package draw

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// sketch makes a sketch of the lines of a text.
func sketch(text string) Sketch {
	var s Sketch
	for line := range strings.Lines(strings.TrimSpace(text)) {
		s.lines = append(s.lines, strings.Fields(line))
	}
	return s
}

// world is a sketch with actors, descriptors that refer to each other, and a last call.
const world = `
actor a1 userns uid=1000 caps=all
actor a2 joins a1 caps=none
actor a3 init uid=7 caps=all
a1 bpffs cmds=map_create:btf_load maps=hash -> b1
a1 bpffs cmds=any -> b2
a1 token_create bpffs=b1 -> t1
a1 token_create bpffs=b2 -> t2
root sysctl unprivileged_bpf_disabled=0
a1 send t1 a2
a1 dup t1 -> t3
a2 map_create type=hash token=t1
`

func TestSketchText(t *testing.T) {
	s := sketch(world)
	if got := s.String(); got != strings.TrimPrefix(world, "\n") {
		t.Errorf("got\n%s", got)
	}
	if got := s.Last(); got != "a2 map_create type=hash token=t1" {
		t.Errorf("the last is %q", got)
	}
}

// A word is left out or made less, unless the step asks nothing without it.
func TestReduceWord(t *testing.T) {
	for _, tt := range []struct {
		line string
		word int
		want []string
	}{
		{"actor a userns in b uid=1", 3, []string{"actor a userns uid=1"}},
		{"actor a joins b caps=all", 2, []string{"actor a userns caps=all"}},
		{"a map_create type=hash -> m", 3, []string{"a map_create type=hash"}},
		{"a map_create type=hash token=t", 3, []string{"a map_create type=hash"}},
		{"a token_create bpffs=b", 2, nil},
		{"a map_create type=hash", 2, nil},
		{"a bpffs cmds=map_create:btf_load", 2, []string{"a bpffs", "a bpffs cmds=btf_load", "a bpffs cmds=map_create"}},
		{"a map_create type=hash caps=CAP_BPF+CAP_SYSLOG", 3, []string{"a map_create type=hash",
			"a map_create type=hash caps=CAP_SYSLOG",
			"a map_create type=hash caps=CAP_BPF"}},
		{"a map_create type=hash caps=all-CAP_BPF", 3, []string{"a map_create type=hash", "a map_create type=hash caps=all",
			"a map_create type=hash caps=none"}},
		{"a send t b", 2, nil},
	} {
		var got []string
		for _, l := range reduceWord(strings.Fields(tt.line), tt.word) {
			got = append(got, strings.Join(l, " "))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s, word %d:\ngot  %q\nwant %q", tt.line, tt.word, got, tt.want)
		}
	}
}

// A number of a mask loses half of its bits or one; other numbers stay.
func TestLessOf(t *testing.T) {
	for _, tt := range []struct {
		key, value string
		want       []string
	}{
		{"cmds", "0xf0", []string{"any", "0x30", "0xc0", "0xe0", "0x70"}},
		{"maps", "0x1", []string{"any"}},
		{"progs", "+3", []string{"any", "0x1", "0x2", "0x2", "0x1"}},
		{"attachs", "any", nil},
		{"uid", "7", nil},
		{"type", "hash", nil},
		{"caps", "CAP_BPF", nil},
		{"maps", "hash:array:0x1", []string{"array:0x1", "hash:0x1", "hash:array"}},
	} {
		if got := lessOf(tt.key, tt.value); !slices.Equal(got, tt.want) {
			t.Errorf("%s=%s: %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ line, uses, makes string }{
		{"actor a joins b uid=1", "joins b uid=1", "a"},
		{"a dup t -> d", "a dup t -> d", "d"},
		{"a map_create type=hash token=t", "a map_create hash t", ""},
		{"a bpffs cmds=any -> b", "a bpffs any -> b", "b"},
	} {
		uses, makes := names(strings.Fields(tt.line))
		if strings.Join(uses, " ") != tt.uses || makes != tt.makes {
			t.Errorf("%s: uses %q, makes %q", tt.line, uses, makes)
		}
	}
	for word, want := range map[string]bool{"a1": true, "b12": true, "/mnt/a": true, "hash": false, "0x1": false,
		"":     false,
		"root": false, "CAP_BPF": false, "1": false} {
		if isName(word) != want {
			t.Errorf("%q is a name: %v", word, !want)
		}
	}
}

// A line goes with all that refers to what it made; the last line stays.
func TestWithout(t *testing.T) {
	s := sketch(world)
	for _, tt := range []struct {
		from, to int
		want     []int // lines that are left, nil for none
	}{
		{4, 5, []int{0, 1, 2, 3, 5, 7, 8, 9, 10}}, // b2, and t2 that was made from it
		{7, 8, []int{0, 1, 2, 3, 4, 5, 6, 8, 9, 10}},
		{2, 3, []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10}},
		{3, 4, nil}, // b1: the token of the last call
		{0, 1, nil}, // a1: everything
		{10, 11, nil},
	} {
		var want Sketch
		for _, i := range tt.want {
			want.lines = append(want.lines, s.lines[i])
		}
		if got := s.without(tt.from, tt.to); got.String() != want.String() {
			t.Errorf("without %d to %d:\n%s\nwant\n%s", tt.from, tt.to, got.String(), want.String())
		}
	}
}

// What the last call refers to is kept, and the sysctl if it is asked for.
func TestSlice(t *testing.T) {
	s := sketch(world)
	const needed = `
actor a1 userns uid=1000 caps=all
actor a2 joins a1 caps=none
a1 bpffs cmds=map_create:btf_load maps=hash -> b1
a1 token_create bpffs=b1 -> t1
%sa1 send t1 a2
a2 map_create type=hash token=t1
`
	for sysctl, extra := range map[bool]string{false: "", true: "root sysctl unprivileged_bpf_disabled=0\n"} {
		got := s.slice(sysctl)
		if want := strings.TrimPrefix(fmt.Sprintf(needed, extra), "\n"); got.String() != want {
			t.Errorf("sysctl %v:\n%s\nwant\n%s", sysctl, got.String(), want)
		}
	}
}

// What has to do with the last call stays too: copies, and the sysctl.
func TestRelated(t *testing.T) {
	s := sketch(world)
	kept := s.related()
	for line, want := range map[string]bool{
		"a1 send t1 a2": true, "root sysctl unprivileged_bpf_disabled=0": true, "a1 token_create bpffs=b1 -> t1": true,
		"a1 dup t1 -> t3": true, "actor a3 init uid=7 caps=all": false,
	} {
		if strings.Contains(kept.String(), line+"\n") != want {
			t.Errorf("%q is kept: %v\n%s", line, !want, kept.String())
		}
	}
	if kept.Last() != s.Last() {
		t.Errorf("the last is %q", kept.Last())
	}
}

// A closed descriptor takes the place of one that lines have to make.
func TestClosed(t *testing.T) {
	s := sketch(world)
	list := s.closed()
	if len(list) != 1 {
		t.Fatalf("%d sketches", len(list))
	}
	want := `actor a1 userns uid=1000 caps=all
actor a2 joins a1 caps=none
root sysctl unprivileged_bpf_disabled=0
a2 map_create type=hash token=closed
`
	if got := list[0].String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	inside := sketch("a1 userns -> n1\nroot map_create type=hash inside=n1")
	if got := inside.closed(); got != nil {
		t.Errorf("the namespace to enter is closed: %v", got)
	}
}

// One step takes the place of those that mount a bpffs one by one.
func TestMounted(t *testing.T) {
	s := sketch(`
actor a1 userns
a1 fsopen -> c1
a1 send c1 root
root fsconfig c1 cmds=any maps=hash
root fscreate c1
root fsmount c1 -> m1
root open of=m1 -> b1
root send b1 a1
a1 token_create bpffs=b1
`)
	list := s.mounted()
	if len(list) != 1 {
		t.Fatalf("%d sketches", len(list))
	}
	want := `actor a1 userns
a1 bpffs cmds=any maps=hash -> b1
a1 send b1 root
a1 token_create bpffs=b1
`
	if got := list[0].String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	own := sketch("root fsopen -> c1\nroot fscreate c1\nroot fsmount c1 -> m1\nroot open of=m1 -> b1\n" +
		"root token_create bpffs=b1")
	if got, want := own.mounted()[0].String(), "root bpffs -> b1\nroot token_create bpffs=b1\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := (&Sketch{s.lines[:6]}).mounted(); got != nil {
		t.Errorf("a mount that nobody opens is replaced: %v", got)
	}
}

// Another actor does what one did, with the same capabilities.
func TestMerge(t *testing.T) {
	s := sketch(world)
	caps := map[string]string{"root": "all", "nobody": "none", "a1": "all", "a2": "none", "a3": "all"}
	got := s.merge("a2", "a1", caps)
	for line, want := range map[string]bool{
		"actor a2 joins a1 caps=none": false, "a1 send t1 a1": false, "a1 send t1 a2": false,
		"a1 map_create caps=none type=hash token=t1": true, "a1 dup t1 -> t3": true,
	} {
		if strings.Contains(got.String(), line+"\n") != want {
			t.Errorf("%q is there: %v\n%s", line, !want, got.String())
		}
	}
	same := s.merge("a3", "root", caps)
	if strings.Contains(same.String(), "a3") || len(same.lines) != len(s.lines)-1 {
		t.Errorf("an actor that does nothing:\n%s", same.String())
	}
	if n := len(s.merged()); n != 3*4 { // each of three by the two others, root and nobody
		t.Errorf("%d ways to merge", n)
	}
	if forks := sketch("actor a1 userns\nactor a2 child a1\na1 fork a2\na2 userns -> n1"); strings.Contains(
		func() string { m := forks.merge("a2", "a1", caps); return m.String() }(), "fork") {
		t.Error("the fork of an actor that is gone is left")
	}
}

// Fewer lines, then fewer words, then fewer letters make a sketch smaller.
func TestSmaller(t *testing.T) {
	order := []string{"a b", "a bb", "a b c", "a b\na b"}
	for i := range order {
		for j := range order {
			a, b := sketch(order[i]), sketch(order[j])
			if got := smaller(&a, &b); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%q and %q: %d", order[i], order[j], got)
			}
		}
	}
}

// A file has the sketch's actors before the controls, and its steps with what they must show.
func TestSketchFile(t *testing.T) {
	s := sketch(world)
	f := cases.FactsAt(uapi.Release{Major: 6, Minor: 12})
	text, err := s.File(t.Context(), []string{"found so", "on 6.12"}, f, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# found so\n# on 6.12\nabout a2 map_create type=hash token=t1\nneeds token\nactor a1 ",
		"actor a3 init uid=7 caps=all\ncontrol root map_create type=hash\ncontrol nobody btf_load => EPERM\na1 bpffs ",
		"a1 token_create bpffs=b1 -> t1\n", "a2 map_create type=hash token=t1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %q:\n%s", want, text)
		}
	}
	refused := sketch("actor a1 userns uid=1000 caps=all\na1 map_create type=hash")
	text, err = refused.File(t.Context(), nil, f, "")
	if err != nil || !strings.HasSuffix(text, "a1 map_create type=hash => EPERM\n") {
		t.Errorf("%v:\n%s", err, text)
	}
	text, err = refused.File(t.Context(), nil, f, "map_create/unprivileged-disabled")
	if err != nil || !strings.HasSuffix(text, "a1 map_create type=hash\n") {
		t.Errorf("without the rule: %v:\n%s", err, text)
	}
	config := sketch("actor a1 userns uid=1000 caps=all\na1 map_create type=devmap")
	if text, err = config.File(t.Context(), nil, f, ""); err != nil || !strings.Contains(text, "\nneeds config NET\n") {
		t.Errorf("a type that needs an option: %v:\n%s", err, text)
	}
	for name, bad := range map[string]string{
		"a descriptor that nobody has": "actor a1 userns uid=1000 caps=all\na1 send closed root\na1 userns -> n1",
		"an unknown step":              "root nonsense",
	} {
		s := sketch(bad)
		if _, err := s.File(t.Context(), nil, f, ""); err == nil {
			t.Errorf("%s makes a file", name)
		}
	}
}

// SketchOf writes a case as it was read, with its actors or up to a step of its set-up.
func TestSketchOf(t *testing.T) {
	const text = `about A case.
actor a1 userns uid=1000
actor a2 joins a1 caps=none
actor a3 child a1
actor a4 init uid=7
actor a5 userns in a1
a1 bpffs cmds=any -> b1
control root map_create type=hash
control nobody btf_load => EPERM
a1 token_create bpffs=b1
`
	g, err := parseGroup(t.Context(), "case", text)
	if err != nil {
		t.Fatal(err)
	}
	s := SketchOf(g.Cases[0], -1)
	want := `actor a1 userns uid=1000 caps=all
actor a2 joins a1 caps=none
actor a3 child a1 caps=all
actor a4 init uid=7 caps=none
actor a5 userns in a1 caps=all
a1 bpffs cmds=any -> b1
root map_create type=hash
nobody btf_load
a1 token_create bpffs=b1
`
	if got := s.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if none := SketchOf(g.Cases[0], 0); len(none.lines) != 5 {
		t.Errorf("no step:\n%s", none.String())
	}
}

// shrinkTo shrinks a sketch to what Try still calls a disagreement.
func shrinkTo(t *testing.T, s Sketch, k Shrinker, disagrees func(text string) bool) (Sketch, int, bool, bool) {
	t.Helper()
	k.Facts = cases.FactsAt(uapi.Release{Major: 6, Minor: 12})
	k.Try = func(_ int, list []*cases.Group) ([]bool, error) {
		out := make([]bool, len(list))
		for i, g := range list {
			small := SketchOf(g.Cases[0], -1)
			out[i] = disagrees(small.String())
		}
		return out, nil
	}
	out, rounds, repeats, smallest, err := k.Shrink(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return out, rounds, repeats, smallest
}

// What does not matter is taken out, and what does stays.
func TestShrinkKeepsWhatMatters(t *testing.T) {
	got, _, repeats, smallest := shrinkTo(t, sketch(world), Shrinker{Rounds: 20, Width: 200}, func(text string) bool {
		return strings.Contains(text, "map_create type=hash token=") && strings.Contains(text, "cmds=map_create")
	})
	want := []string{"cmds=map_create", "token=", "type=hash"}
	for _, w := range want {
		if !strings.Contains(got.String(), w) {
			t.Errorf("%q went:\n%s", w, got.String())
		}
	}
	if !repeats || !smallest || len(got.lines) > 4 || strings.Contains(got.String(), "sysctl") {
		t.Errorf("repeats %v, smallest %v:\n%s", repeats, smallest, got.String())
	}
}

// A sketch that does not disagree alone is given back as it is, in one round.
func TestShrinkThatDoesNotRepeat(t *testing.T) {
	s := sketch(world)
	got, rounds, repeats, _ := shrinkTo(t, s, Shrinker{Rounds: 20, Width: 50}, func(string) bool { return false })
	if got.String() != s.String() || rounds != 1 || repeats {
		t.Errorf("%d rounds, repeats %v:\n%s", rounds, repeats, got.String())
	}
}

// The rounds bound the work: what they leave is not called smallest.
func TestShrinkRounds(t *testing.T) {
	_, rounds, repeats, smallest := shrinkTo(t, sketch(world), Shrinker{Rounds: 1, Width: 2},
		func(string) bool { return true })
	if rounds != 1 || !repeats || smallest {
		t.Errorf("%d rounds, repeats %v, smallest %v", rounds, repeats, smallest)
	}
}

// Candidates are smaller than the sketch, playable, tried once, and no more than there is room for.
func TestCandidates(t *testing.T) {
	s := sketch(world)
	k := Shrinker{Facts: cases.FactsAt(uapi.Release{Major: 6, Minor: 12}), Width: 7}
	tried := map[string]bool{}
	first := k.candidates(t.Context(), &s, true, tried)
	if len(first) != k.Width || len(tried) != k.Width {
		t.Fatalf("%d candidates, %d tried", len(first), len(tried))
	}
	for i := range first {
		if smaller(&first[i], &s) >= 0 {
			t.Errorf("not smaller:\n%s", first[i].String())
		}
		if _, err := first[i].group(t.Context(), "c", k.Facts, ""); err != nil {
			t.Errorf("not playable: %v\n%s", err, first[i].String())
		}
	}
	for _, c := range k.candidates(t.Context(), &s, true, tried) {
		if slices.ContainsFunc(first, func(f Sketch) bool { return f.String() == c.String() }) {
			t.Errorf("tried twice:\n%s", c.String())
		}
	}
}

// Lines go with what refers to what they made, wherever it stands.
func TestWithoutLines(t *testing.T) {
	const text = "axis step\n  s1 a map_create token=t1\n  s2 a map_create type=hash\na bpffs -> b1\na token_create " +
		"bpffs=b1 -> t1\nroot userns -> n1\n"
	for _, tt := range []struct {
		bad  []int
		want string
	}{
		{nil, text},
		{[]int{4}, "axis step\n  s2 a map_create type=hash\nroot userns -> n1\n"},
		{[]int{3, 6}, "axis step\n  s1 a map_create token=t1\na bpffs -> b1\na token_create bpffs=b1 -> t1\n"},
	} {
		bad := map[int]bool{}
		for _, n := range tt.bad {
			bad[n] = true
		}
		if got := withoutLines(text, bad); got != tt.want {
			t.Errorf("without %v:\n%s\nwant\n%s", tt.bad, got, tt.want)
		}
	}
	if got := cellLines(text); len(got) != 2 || got["s1"] != 2 || got["s2"] != 3 {
		t.Errorf("the cells stand on %v", got)
	}
}

// The releases that a world must be playable on are in order, from the first with tokens on.
func TestReleases(t *testing.T) {
	list := tokenReleases()
	if list[0] != cases.TokenRelease || !slices.IsSortedFunc(list, func(a, b uapi.Release) int {
		if a.Less(b) {
			return -1
		}
		return 1
	}) {
		t.Errorf("got %v", list)
	}
	all := playableOn()
	for _, r := range append(list, uapi.Release{Major: 6, Minor: 15}, uapi.Release{Major: 7, Minor: 3}) {
		if n := len(slices.DeleteFunc(slices.Clone(all), func(x uapi.Release) bool { return x != r })); n != 1 {
			t.Errorf("%s is there %d times", r, n)
		}
	}
}

// A world has no expectation for its steps, and its name holds the seed.
func TestRandomText(t *testing.T) {
	text, err := Random(t.Context(), 5, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"about World 2 of seed 5.\n", "\nneeds token\n",
		"axis step\n  allow root map_create type=hash\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(strings.ReplaceAll(text, "=> ?\n", ""), "=>") {
		t.Errorf("a step has an expectation:\n%s", text)
	}
	if got := Name(5, 2); got != "random_5_2" {
		t.Errorf("its name is %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Random(ctx, 5, 2); err == nil {
		t.Error("a world is drawn although the context has ended")
	}
}

// Add draws as many worlds as are asked for, each under its name.
func TestAdd(t *testing.T) {
	c := &cases.Corpus{}
	names, texts, err := Add(t.Context(), c, 9, 3)
	if err != nil || !slices.Equal(names, []string{"random_9_0", "random_9_1", "random_9_2"}) {
		t.Fatalf("%q, %v", names, err)
	}
	for _, name := range names {
		if c.Group(name) == nil || texts[name] == "" {
			t.Errorf("%s is not there", name)
		}
	}
	if _, _, err := Add(t.Context(), c, 9, 1); err == nil || !strings.HasPrefix(err.Error(), "draw a world: ") {
		t.Errorf("the same world again: %v", err)
	}
}

// Only steps with capabilities are calls, and some arguments are the point of a step.
func TestIsCall(t *testing.T) {
	for op, want := range map[string]bool{"map_create": true, "send": false, "stat": false, "nonsense": false} {
		if isCall(op) != want {
			t.Errorf("%s is a call: %v", op, !want)
		}
	}
	for word, want := range map[string]bool{"token_create bpffs": true, "map_create type": true, "map_create token": false,
		"map_create nonsense": false} {
		op, key, _ := strings.Cut(word, " ")
		if isPoint(op, key) != want {
			t.Errorf("%s is the point: %v", word, !want)
		}
	}
	if step.OpNamed("map_create") == 0 {
		t.Error("no map_create")
	}
}

package mutate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"tokentest/cases"
	"tokentest/harness/cover"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// function decodes instructions.
func function(t *testing.T, text ...byte) *cover.Func {
	t.Helper()
	f := &cover.Func{Name: "f", From: 0x1000, To: 0x1000 + uint64(len(text))}
	for at := 0; at < len(text); {
		in, err := x86asm.Decode(text[at:], 64)
		if err != nil {
			t.Fatal(err)
		}
		f.Insns = append(f.Insns, cover.Insn{Inst: in, Bytes: text[at : at+in.Len], Addr: f.From + uint64(at),
			File: "f.c", Line: 7})
		at += in.Len
	}
	return f
}

// Whether an inlined fdput gives a file back is no change to measure.
func TestLeftOut(t *testing.T) {
	f := function(t, 0x74, 0x05)
	if len(changes(f, 0)) != 2 {
		t.Error("a jump has no changes")
	}
	f.Insns[0].In = "fdput"
	if len(changes(f, 0)) != 0 {
		t.Error("fdput has changes")
	}
}

// Each change keeps the length of its instruction, and a changed jump goes where it went.
func TestChanges(t *testing.T) {
	for _, tt := range []struct {
		name string
		text []byte
		want string
	}{
		{"short jump", []byte{0x74, 0x05}, "f+0x0/always eb05 JE is always taken; f+0x0/never 9090 JE is never taken"},
		{"long jump", []byte{0x0f, 0x85, 1, 2, 3, 0}, "f+0x0/always 90e901020300 JNE is always taken; " +
			"f+0x0/never 909090909090 JNE is never taken"},
		{"call", []byte{0xe8, 1, 0, 0, 0}, "f+0x0/zero b800000000 the result of the call is 0; " +
			"f+0x0/one b801000000 the result of the call is 1"},
		{"errno", []byte{0xb8, 0xff, 0xff, 0xff, 0xff}, "f+0x0/errno b8f3ffffff EACCES instead of EPERM"},
		{"number", []byte{0xb8, 39, 0, 0, 0}, ""},
		{"other", []byte{0x90}, ""},
	} {
		var got []string
		for _, m := range changes(function(t, tt.text...), 0) {
			if len(m.patch.New) != len(m.patch.Old) || !bytes.Equal(m.patch.Old, tt.text) || m.Line != 7 {
				t.Errorf("%s: %+v", tt.name, m)
			}
			got = append(got, strings.Join([]string{m.ID, inHex(m.patch.New), m.Change}, " "))
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, s, tt.want)
		}
	}
}

func inHex(b []byte) (s string) {
	for _, c := range b {
		s += string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15])
	}
	return s
}

// A sample is the same for the same seed, in the order of addresses.
func TestSample(t *testing.T) {
	var text []byte
	for range 40 {
		text = append(text, 0x74, 0)
	}
	c := &cover.Code{Units: []cover.Unit{{Funcs: []cover.Func{*function(t, text...)}}}}
	list := func(s Selection) (ids string) {
		last := uint64(0)
		for _, m := range mutants(c, &s) {
			if m.patch.At < last {
				t.Errorf("%s is not in order", m.ID)
			}
			last = m.patch.At
			ids += m.ID + " "
		}
		return ids
	}
	one, same := list(Selection{Sample: 5, Seed: 1}), list(Selection{Sample: 5, Seed: 1})
	other := list(Selection{Sample: 5, Seed: 2})
	if one != same || one == other || strings.Count(one, " ") != 5 {
		t.Errorf("%q, %q, %q", one, same, other)
	}
	if n := strings.Count(list(Selection{}), " "); n != 80 {
		t.Errorf("%d mutants of 40 jumps", n)
	}
	if n := strings.Count(list(Selection{Functions: []string{"g*"}}), " "); n != 0 {
		t.Errorf("%d mutants of other functions", n)
	}
	if n := strings.Count(list(Selection{Gates: true}), " "); n != 0 {
		t.Errorf("%d mutants of permission checks", n)
	}
}

// A change that no case executes, or that changes nothing, needs no machine.
func TestOutcomeWithoutMachine(t *testing.T) {
	ms := changes(function(t, 0x74, 0x05), 0)
	for _, tt := range []struct {
		executed []uint64
		m        *Mutant
		want     Verdict
	}{
		{nil, ms[0], NotReached},
		{[]uint64{0x1000, 0x1007}, ms[0], NoEffect}, // it is always taken anyway
		{[]uint64{0x1000, 0x1002}, ms[1], NoEffect},
	} {
		x := cover.Executed{}
		for _, at := range tt.executed {
			x[at] = struct{}{}
		}
		got, err := (&job{traces: &cover.Traces{}, executed: x}).outcome(t.Context(), tt.m)
		if err != nil || got.Verdict != tt.want {
			t.Errorf("%s, executed %x: %+v, %v", tt.m.ID, tt.executed, got, err)
		}
	}
}

// The end of a machine decides if no case noticed the mutant.
func TestEnded(t *testing.T) {
	for _, tt := range []struct {
		k    result.KernelRun
		want Verdict
	}{
		{result.KernelRun{Boots: []result.Boot{{Fate: vm.Clean}}}, Survived},
		{result.KernelRun{Boots: []result.Boot{{Fate: vm.Panicked}}}, ByMachine},
		{result.KernelRun{Boots: []result.Boot{{Fate: vm.Tainted}}}, ByMachine},
		{result.KernelRun{Boots: []result.Boot{{Fate: vm.Lost}}}, Unknown},
		{result.KernelRun{Boots: []result.Boot{{Fate: vm.Infra, Reason: "no memory"}}}, Unknown},
	} {
		o := &Outcome{}
		if err := o.ended(&tt.k); err != nil || o.Verdict != tt.want {
			t.Errorf("%+v: %s, %v", tt.k.Boots, o.Verdict, err)
		}
	}
	if err := (&Outcome{}).ended(&result.KernelRun{Error: "no such kernel"}); err == nil {
		t.Error("a kernel that cannot be had let a mutant survive")
	}
}

func TestBy(t *testing.T) {
	for _, tt := range []struct {
		status  result.Status
		control string
		fate    vm.Fate
		want    Verdict
	}{
		{result.Fail, "", vm.Lost, ByCase}, {result.Broken, "", vm.Lost, ByControl},
		{result.Fail, "allow", vm.Lost, ByControl},
		{result.Broken, "", vm.Panicked, ByMachine},
	} {
		o := &Outcome{}
		o.by(&cases.Case{ID: "g/c", Control: tt.control}, &result.CaseResult{Status: tt.status,
			Steps: []result.StepResult{{Rule: "r"}}}, &result.KernelRun{Boots: []result.Boot{{Fate: tt.fate}}})
		if o.Verdict != tt.want || o.Case != "g/c" || o.Rule != "r" {
			t.Errorf("%+v: %+v", tt, o)
		}
	}
}

// Finished outcomes are taken from the file, those of lost machines are not.
func TestResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	j := &job{Options: &Options{Results: path}}
	if known, err := j.open(); err != nil || len(known) != 0 {
		t.Fatalf("%v, %v", known, err)
	}
	for id, v := range map[string]Verdict{"a": Survived, "b": Unknown} {
		if err := j.keep(&Outcome{Mutant: Mutant{ID: id}, Verdict: v}); err != nil {
			t.Fatal(err)
		}
	}
	j.results.Write([]byte(`{"id":"c","verd`)) // the tool was killed
	j.results.Close()
	known, err := j.open()
	if err != nil || len(known) != 1 || known["a"].Verdict != Survived {
		t.Errorf("%v, %v", known, err)
	}
	if err := j.keep(&Outcome{Mutant: Mutant{ID: "d"}, Verdict: ByCase}); err != nil {
		t.Fatal(err)
	}
	j.results.Close()
	if known, err = j.open(); err != nil || len(known) != 2 {
		t.Errorf("after a killed process: %v, %v", known, err)
	}
	j.results.Close()
	other := &job{Options: j.Options, of: "another kernel"}
	if _, err := other.open(); err == nil || !strings.Contains(err.Error(), "of another kernel or of other cases") {
		t.Errorf("outcomes of another kernel: %v", err)
	}
	if _, err := (&job{Options: &Options{Results: filepath.Join(path, "x")}}).open(); err == nil {
		t.Error("a file that cannot be written was taken")
	}
	if err := os.WriteFile(path, []byte("no JSON\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := j.open(); err == nil {
		t.Error("a file of something else was taken")
	}
}

// Outcomes of other cases are refused before anything is traced: there is no kernel here.
func TestResultsOfOtherCases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	if err := os.WriteFile(path, []byte(`{"id":"a","verdict":"survived","of":"build cases"}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, full := range []bool{false, true} {
		o := Options{Results: path, Cover: cover.Options{Kernel: filepath.Join(path, "bzImage"), Full: full}}
		_, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "of another kernel or of other cases") {
			t.Errorf("full %v: %v", full, err)
		}
	}
}

func TestScore(t *testing.T) {
	var list []*Outcome
	for v, n := range map[Verdict]int{ByCase: 7, ByControl: 1, ByMachine: 1, Survived: 1, NotReached: 5, NoEffect: 2} {
		for range n {
			list = append(list, &Outcome{Mutant: Mutant{ID: "f+0x1/never", Func: "f", Operator: Never, File: "f.c", Line: 3,
				Change: "JE is never taken"}, Verdict: v})
		}
	}
	s := Count(list)
	if s.String() != "9 of 10 (90 %; 60 to 98 %)" {
		t.Errorf("got %s", &s)
	}
	empty := Count(nil)
	if low, high := empty.Interval(); low != 0 || high != 1 {
		t.Errorf("%v to %v of nothing", low, high)
	}
	var out strings.Builder
	if err := Write(&out, list, ""); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nnever     17       9 of 10 (90 %; 60 to 98 %)",
		"\nfunction  survived  noticed (of those that have an effect)\nf         1         9 of 10 (90 %; 60 to 98 %)\n",
		"\n  f.c:3  f+0x1/never  JE is never taken\n", "\nnot reached:\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

// The first cases are of as many groups as possible.
func TestSpread(t *testing.T) {
	var all []*cases.Case
	for _, g := range []*cases.Group{{Name: "a"}, {Name: "b"}, {Name: "c"}} {
		for i := range map[string]int{"a": 90, "b": 1, "c": 9}[g.Name] {
			all = append(all, &cases.Case{ID: fmt.Sprint(g.Name, i), Group: g})
		}
	}
	count, seen := map[string]int{}, map[string]bool{}
	for _, c := range spread(all, 20) {
		if seen[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		seen[c.ID] = true
		count[c.Group.Name]++
	}
	if count["b"] != 1 || count["c"] != 9 || count["a"] != 10 {
		t.Errorf("got %v", count)
	}
}

// The cases of a mutant are those that execute it, and those whose set-up does.
func TestCovering(t *testing.T) {
	p, err := plan.Load(t.Context(), plan.Request{Kernels: []string{"deb:6.12"},
		Args: []string{"token_create", "bpffs_mounts"}})
	if err != nil {
		t.Fatal(err)
	}
	one, two := p.Cases[3].ID, p.Cases[5].ID
	tr := &cover.Traces{
		Spans: []cover.Span{{Setup: true, Cases: []string{one}}, {Cases: []string{one}}, {Cases: []string{two, "no/such"}}},
		Blocks: []cover.Block{{Insns: []uint64{0x1000}, Spans: []int32{0}},
			{Insns: []uint64{0x1000, 0x1004}, Spans: []int32{2}}},
	}
	tr.Index(&cover.Code{})
	j := &job{plan: p, traces: tr}
	for at, want := range map[uint64][]string{0x1000: {one, two}, 0x1004: {two}, 0x2000: nil} {
		var got []string
		for _, c := range j.covering(&Mutant{patch: vm.Patch{At: at}}) {
			got = append(got, c.ID)
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Errorf("%#x: got %q, want %q", at, got, want)
		}
	}
}

// With all cases a mutant is tried with as many as the default suite has, and one that is judged with a hundred.
func TestMostFor(t *testing.T) {
	e, err := ParseExpected("l.txt", "f k/f.c:3 never # it is equal")
	if err != nil {
		t.Fatal(err)
	}
	m, other := &Mutant{ID: "f+0x1/never", Func: "f", File: "k/f.c", Line: 3, Operator: Never}, &Mutant{ID: "g+0x1/never"}
	for most, want := range map[int][2]int{0: {0, 0}, 2600: {few, 2600}} {
		j := &job{Options: &Options{Expect: e}, most: most}
		if got := [2]int{j.mostFor(m), j.mostFor(other)}; got != want {
			t.Errorf("of %d: got %v, want %v", most, got, want)
		}
	}
}

// Outcomes of the default suite that nothing notices are not final with --full.
func TestFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	var seen []string
	j := &job{first: true, Options: &Options{Results: path, Each: func(o *Outcome) { seen = append(seen, o.ID) }}}
	if _, err := j.open(); err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if err := j.keep(&Outcome{Mutant: Mutant{ID: fmt.Sprint(i)}, Verdict: v}); err != nil {
			t.Fatal(err)
		}
	}
	j.results.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tried := &Outcome{Verdict: Survived} // with all cases, and there is no file for outcomes
	if err := (&job{Options: &Options{}, of: "this"}).keep(tried); err != nil || len(final([]*Outcome{tried})) != 1 {
		t.Errorf("an interrupted command leaves out a survivor of all cases: %v", err)
	}
	ended := final([]*Outcome{{Verdict: Survived}, {Verdict: ByCase}, {Verdict: Survived, Of: "stored"},
		{Verdict: NotReached}})
	if len(ended) != 2 || ended[0].Verdict != ByCase || ended[1].Of == "" {
		t.Errorf("of an interrupted command %d outcomes are reported", len(ended))
	}
	if n := strings.Count(string(text), "\n"); n != 3 || strings.Join(seen, "") != "012" {
		t.Errorf("%d outcomes are stored, %q are reported:\n%s", n, seen, text)
	}
}

// A list of judged survivors takes what it names, and fails if that is noticed or is not there.
func TestExpect(t *testing.T) {
	list := func(v Verdict) []*Outcome {
		return []*Outcome{{Mutant: Mutant{ID: "f+0x1/never", Func: "f", File: "k/f.c", Line: 3, Operator: Never}, Verdict: v},
			{Mutant: Mutant{ID: "f+0x9/never", Func: "f", File: "k/f.c", Line: 9, Inner: "k/g.h:4", Operator: Never},
				Verdict: Survived}}
	}
	for _, tt := range []struct {
		text    string
		verdict Verdict
		want    string // of the error
		judged  int
	}{
		{"f k/f.c:3 never # it is equal", Survived, "", 1},
		{"f k/f.c:3 never # it is equal", Unknown, "", 0},
		{"f k/g.h:4 never # inlined", Survived, "", 1},
		{"f+0x9 k/f.c:9 never # one copy", Survived, "", 1},
		{"f+0x8 k/f.c:9 never # another", Survived, "nothing of f+0x8", 0},
		{"f k/f.c:9 never # where it is inlined\nf k/f.c:3 never # x", Survived, "", 2},
		{"f k/f.c:3 never # x", ByCase, "l.txt:1: f at k/f.c:3 by never is noticed now: remove it", 0},
		{"f k/f.c:3 never,always # x", Survived, "nothing of f at k/f.c:3 can be changed by always", 1},
		{"g k/f.c:3 never # x", Survived, "nothing of g", 0},
	} {
		e, err := ParseExpected("l.txt", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		got := list(tt.verdict)
		err = (&Options{Expect: e}).judge(got)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v", tt.text, err)
		}
		if s := Count(got); s.Of[Judged] != tt.judged {
			t.Errorf("%q: %d judged", tt.text, s.Of[Judged])
		}
	}
	part := &Options{Expect: []Expected{{Func: "g", Operators: []Operator{Never}}}, Selection: Selection{Sample: 3}}
	if err := part.judge(list(Survived)); err != nil {
		t.Errorf("an entry for what is not selected: %v", err)
	}
	for _, bad := range []string{"f k/f.c:3 never", "f k/f.c:3 # x", "f k 1 # x", "f k/f.c:3 no # x", "\xff\xfe"} {
		if _, err := ParseExpected("l.txt", bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// A survivor is shown with its source line and with what was changed.
func TestWriteSurvivors(t *testing.T) {
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "f.c"), []byte("a\n\tif (!capable(x))\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := changes(function(t, 0x74, 0x05), 0)[1]
	m.Line = 2
	var out strings.Builder
	o := &Outcome{Mutant: *m, Verdict: Survived, Cases: 9, Some: []string{"a/1", "b"}}
	if err := Write(&out, []*Outcome{o}, tree); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"  f.c:2  f+0x0/never  JE is never taken\n", "source  f.c:2  if (!capable(x))\n",
		"before  je ", "after   2 nop\n", "cases   9: a/1, b\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %q:\n%s", want, out.String())
		}
	}
}

package guided

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/cases/draw"
	"tokentest/harness/cover"
	"tokentest/harness/result"
)

const text = `about A world.
# drawn 7/1
needs token
actor a0 userns
axis step
  allow root map_create type=hash
  refuse nobody btf_load
  s00 a0 map_create type=hash
  s01 a0 btf_load
do $step
`

// traced are traces in which each named span executed its instructions, and a run in which each case's step was
// decided by the rule of its name.
func traced(spans map[string][]uint64) (*cover.Traces, *result.Run) {
	t, k := &cover.Traces{}, &result.KernelRun{}
	for id, insns := range spans {
		setup := strings.HasSuffix(id, "/setup")
		t.Spans = append(t.Spans, cover.Span{Setup: setup, Cases: []string{strings.TrimSuffix(id, "/setup")}})
		t.Blocks = append(t.Blocks, cover.Block{Insns: insns, Spans: []int32{int32(len(t.Spans) - 1)}})
		if !setup {
			_, name, _ := strings.Cut(id, "/")
			k.Cases = append(k.Cases, result.CaseResult{ID: id, Status: result.Pass, Steps: []result.StepResult{{ID: name}}})
		}
	}
	return t, &result.Run{Kernels: []*result.KernelRun{k}}
}

func newSearch(t *testing.T) *search {
	t.Helper()
	return &search{Options: Options{Dir: t.TempDir()}, seen: newFeatures(), found: map[string]bool{}}
}

// learn has the search learn from a world that showed something, and returns its file, "" if there is none.
func (s *search) learnFrom(t *testing.T, w *world, spans map[string][]uint64) string {
	t.Helper()
	if err := s.learn(w, showed(traced(spans))[w.name]); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(filepath.Join(s.Dir, w.name+".txt"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(out)
}

// A world is kept for a new instruction, and for a new pair of a rule and an instruction; another is dropped.
func TestKeepsWhatIsNew(t *testing.T) {
	s := newSearch(t)
	for _, tt := range []struct {
		name  string
		spans map[string][]uint64
		kept  bool
	}{
		{"first", map[string][]uint64{"first/s00": {1, 2}}, true},
		{"same", map[string][]uint64{"same/s00": {1, 2}}, false},
		{"other_rule", map[string][]uint64{"other_rule/s01": {2}}, true},
		{"same_pair", map[string][]uint64{"same_pair/s01": {2}, "same_pair/s00": {1}}, false},
		{"setup", map[string][]uint64{"setup/s00/setup": {3}}, true},
		{"setup_again", map[string][]uint64{"setup_again/s00/setup": {3}}, false},
	} {
		w := &world{name: tt.name, text: text}
		if kept := s.learnFrom(t, w, tt.spans) != ""; kept != tt.kept {
			t.Errorf("%s: kept %v, want %v", tt.name, kept, tt.kept)
		}
	}
	if s.report.Kept != 3 || len(s.seen.insns) != 3 {
		t.Errorf("kept %d, %d instructions", s.report.Kept, len(s.seen.insns))
	}
}

// A kept world loses the cells that showed nothing new, but only if it still shows all that it was kept for.
func TestTrims(t *testing.T) {
	for _, tt := range []struct {
		shows []uint64 // of the trimmed world
		trims bool
	}{{[]uint64{1, 2}, true}, {[]uint64{1}, false}} {
		s := newSearch(t)
		s.seen.add([]uint64{9}, "s01")
		s.learnFrom(t, &world{name: "w", text: text}, map[string][]uint64{"w/s00": {1, 2}, "w/s01": {9}})
		if len(s.queue) != 1 {
			t.Fatalf("%d worlds wait", len(s.queue))
		}
		less := s.queue[0]
		if strings.Contains(less.text, "s01 ") || !strings.Contains(less.text, "s00 ") {
			t.Fatalf("trimmed to %s", less.text)
		}
		got := s.learnFrom(t, less, map[string][]uint64{"w/s00": tt.shows})
		if trimmed := !strings.Contains(got, "s01 "); trimmed != tt.trims {
			t.Errorf("it shows %v, and is trimmed: %v", tt.shows, trimmed)
		}
	}
}

// The choices are the same with the same seed, and a world that is tried has what the oracle expects to be new.
func TestDraws(t *testing.T) {
	drawn := func() (out string) {
		s := newSearch(t)
		s.Seed, s.rand, s.expected = 3, rand.New(rand.NewPCG(3, 0)), map[string]bool{}
		s.known = &result.KernelRun{}
		if err := json.Unmarshal([]byte(`{"facts": {"release": "7.3.1", "token": true}}`), s.known); err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			before := len(s.expected)
			w, err := s.draw(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s.drawn != (n+1)*candidates || len(s.expected) == before || w.forecast.Beyond(s.expected) != 0 {
				t.Errorf("world %d: %d were drawn, %d aspects, %d before", n, s.drawn, len(s.expected), before)
			}
			out += w.text
		}
		return out
	}
	if one, two := drawn(), drawn(); one != two {
		t.Error("the same seed draws other worlds")
	}
}

// A run whose traces do not fit is tried again, once for each world; several in a row end the search.
func TestUntraced(t *testing.T) {
	s := newSearch(t)
	s.Log = t.Logf
	w := &world{name: "w", text: text}
	bad := func() error {
		_, run := traced(nil)
		return s.end(t.Context(), &try{list: []*world{w}, run: run, err: fmt.Errorf("x: %w", cover.ErrTrace)})
	}
	for n := range maxUntraced {
		if err := bad(); err != nil || len(s.queue) != 1 {
			t.Errorf("run %d: %v, %d worlds wait", n, err, len(s.queue))
		}
	}
	if err := bad(); !errors.Is(err, cover.ErrTrace) {
		t.Errorf("got %v", err)
	}
	tr, run := traced(map[string][]uint64{"w/s00": {1}})
	if err := s.end(t.Context(), &try{list: []*world{w}, run: run, traces: tr}); err != nil {
		t.Fatal(err)
	}
	if err := bad(); err != nil {
		t.Errorf("after one that fits: %v", err)
	}
}

// The corpus is read with its origins, smallest first, and a wrong file is named.
func TestOpen(t *testing.T) {
	s := newSearch(t)
	o := draw.Origin{Seed: 3, World: 5}
	for name, text := range map[string]string{"long": text + strings.Repeat("#\n", 200), "own": "about Mine.\n",
		"drawn": "about X.\n" + o.String() + "\n"} {
		if err := os.WriteFile(filepath.Join(s.Dir, name+".txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range s.queue {
		names = append(names, w.name)
	}
	if got := strings.Join(names, " "); got != "own drawn long" || s.queue[0].choices != 0 || s.queue[1].choices == 0 {
		t.Errorf("read %s, %d and %d choices", got, s.queue[0].choices, s.queue[1].choices)
	}
	bad := filepath.Join(s.Dir, "bad.txt")
	if err := os.WriteFile(bad, []byte("# drawn x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newSearchIn(s.Dir).open(t.Context()); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("%v", err)
	}
}

func newSearchIn(dir string) *search { return &search{Options: Options{Dir: dir}} }

func TestCheck(t *testing.T) {
	one := []string{"deb:6.12"}
	for _, tt := range []struct {
		given, kernels, args []string
		want                 string
	}{
		{[]string{"random", "guided"}, one, nil, ""},
		{[]string{"guided", "full"}, one, nil, "--guided does not go with --full"},
		{[]string{"guided"}, one, []string{"x"}, "one kernel, and no case"},
		{[]string{"guided"}, []string{"a", "b"}, nil, "one kernel, and no case"},
	} {
		if err := Check(tt.given, tt.kernels, tt.args); (err == nil) != (tt.want == "") ||
			err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v %v %v: %v", tt.given, tt.kernels, tt.args, err)
		}
	}
}

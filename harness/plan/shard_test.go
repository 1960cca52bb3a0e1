package plan

import (
	"fmt"
	"strings"
	"testing"

	"tokentest/cases"
)

func TestParseShard(t *testing.T) {
	for _, tt := range []struct {
		text, env string // NAME=value, separated by blanks
		want      string // the shard, or the beginning of the error
	}{
		{"1/4", "", "1/4"},
		{"4/4", "", "4/4"},
		{"5/4", "", `error "5/4": there is no part 5 of 4`},
		{"0/4", "", `error "0/4": there is no part`},
		{"x/4", "", `error "x/4": want I/N`},
		{"2", "", `error "2": want I/N`},
		{"auto", "", `error "auto": none of CI_NODE_INDEX, `},
		{"auto", "CI_NODE_INDEX=2 CI_NODE_TOTAL=3", "2/3"},
		{"auto", "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", "1/3"},
		{"auto", "CIRCLE_NODE_INDEX=2 CIRCLE_NODE_TOTAL=3", "3/3"},
		{"auto", "JOB_COMPLETION_INDEX=1", `error "auto": the environment tells the index 2 and not of how many: want auto/N`},
		{"auto/5", "JOB_COMPLETION_INDEX=1", "2/5"},
		{"auto", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_COUNT=4", "3/4"},
		{"auto", "SLURM_ARRAY_TASK_ID=x", `error SLURM_ARRAY_TASK_ID="x": want a number`},
		{"auto", "CI_NODE_INDEX=2 CI_NODE_TOTAL=many", `error CI_NODE_TOTAL="many": want a number`},
		{"auto/x", "JOB_COMPLETION_INDEX=1", `error "auto/x": want auto/N`},
	} {
		env := map[string]string{}
		for _, pair := range strings.Fields(tt.env) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		s, err := ParseShard(tt.text, func(name string) string { return env[name] })
		got := s.String()
		if err != nil {
			got = "error " + err.Error()
		}
		if !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s with %s: got %s, want %s", tt.text, tt.env, got, tt.want)
		}
	}
}

// The parts of a plan are the same each time, are about equal, hold each case
// with its controls, and together are the whole.
func TestCut(t *testing.T) {
	corpus, err := cases.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Expand(Spec{Kernels: []string{"a", "b", "c"}, Patterns: []string{"token_create", "map_create", "nested_userns"}}, corpus)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 7; n++ {
		seen := map[string]bool{}
		for i := 1; i <= n; i++ {
			part, again := p.Cut(Shard{i, n}, DefaultWeights), p.Cut(Shard{i, n}, DefaultWeights)
			if fmt.Sprint(part.Kernels) != fmt.Sprint(again.Kernels) {
				t.Errorf("part %d of %d is another one the second time", i, n)
			}
			for _, k := range part.Kernels {
				in := map[*cases.Case]bool{}
				for _, c := range part.Of(k) {
					in[c] = true
					seen[k+" "+c.ID] = true
				}
				for _, c := range part.Of(k) {
					for _, g := range c.Guards() {
						if !in[g] {
							t.Fatalf("part %d of %d: %s without its control %s", i, n, c.ID, g.ID)
						}
					}
				}
				if len(part.Of(k)) != len(again.Of(k)) {
					t.Errorf("part %d of %d: %d and %d cases", i, n, len(part.Of(k)), len(again.Of(k)))
				}
			}
		}
		if want := 3 * len(p.Cases); len(seen) != want {
			t.Errorf("%d parts hold %d cases, want %d", n, len(seen), want)
		}
	}
	half := p.Cut(Shard{1, 2}, DefaultWeights)
	if len(half.Kernels) == 0 || len(half.Kernels) == 3 {
		t.Errorf("half of three kernels: %v", half.Kernels)
	}
	// A kernel that is slow is a bigger share.
	slow := Weights{Boot: 1, Case: func(k string) float64 { return map[string]float64{"a": 100, "b": 1, "c": 1}[k] }}
	if first := p.Cut(Shard{1, 2}, slow); len(first.Kernels) != 1 || len(first.Of("a")) == len(p.Cases) {
		t.Errorf("the slow kernel is not split: %v", first.Kernels)
	}
}

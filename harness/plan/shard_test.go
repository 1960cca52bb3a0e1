package plan

import (
	"strings"
	"testing"
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
		{"x/4", "", `error "x/4": must be I/N`},
		{"2", "", `error "2": must be I/N`},
		{"auto", "", `error "auto": none of CI_NODE_INDEX, `},
		{"auto", "CI_NODE_INDEX=2 CI_NODE_TOTAL=3", "2/3"},
		{"auto", "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=3", "1/3"},
		{"auto", "CIRCLE_NODE_INDEX=2 CIRCLE_NODE_TOTAL=3", "3/3"},
		{"auto", "JOB_COMPLETION_INDEX=1",
			`error "auto": the environment has the index 2 but not the count: use auto/N`},
		{"auto/5", "JOB_COMPLETION_INDEX=1", "2/5"},
		{"auto", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_COUNT=4", "3/4"},
		{"auto", "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=1 SLURM_ARRAY_TASK_COUNT=2", "1/2"},
		// submitted again for one index, and for some
		{"auto", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=1",
			`error "auto": the indices of this Slurm array do not say`},
		{"auto", "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=1 SLURM_ARRAY_TASK_COUNT=1",
			`error "auto": the indices of this Slurm array do not say`},
		{"auto", "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=3",
			`error "auto": the indices of this Slurm array do not say`},
		{"auto", "SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=4 " +
			"SLURM_ARRAY_TASK_COUNT=3", `error "auto": the indices of this Slurm array do not say`},
		{"auto/4", "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MIN=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=1", "3/4"},
		{"auto/4", "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_COUNT=4", "4/4"},
		{"auto/4", "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=4",
			`error "auto/4": there is no part 0 of 4: give the array the indices 1 to 4`},
		{"auto/0", "SLURM_ARRAY_TASK_ID=1", `error "auto/0": must be auto/N`},
		{"auto/4", "SLURM_ARRAY_TASK_ID=1 CI_NODE_INDEX=2 CI_NODE_TOTAL=4", "2/4"},
		{"auto/3", "CI_NODE_INDEX=2 CI_NODE_TOTAL=3", "2/3"},
		{"auto/5", "CI_NODE_INDEX=2 CI_NODE_TOTAL=3", `error "auto/5": the environment says 3 parts`},
		{"auto", "SLURM_ARRAY_TASK_ID=x", `error SLURM_ARRAY_TASK_ID="x": must be a number`},
		{"auto", "CI_NODE_INDEX=2 CI_NODE_TOTAL=many", `error CI_NODE_TOTAL="many": must be a number`},
		{"auto/x", "JOB_COMPLETION_INDEX=1", `error "auto/x": must be auto/N`},
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

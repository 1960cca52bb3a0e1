package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Shard is one of N parts of a plan; I counts from 1.
type Shard struct{ I, N int }

// String is the form that ParseShard reads.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.I, s.N) }

// ParseShard reads I/N, or takes I, N or both from the variables that CI
// systems set: "auto", or "auto/N" if they set only the index.
func ParseShard(text string, env func(string) string) (Shard, error) {
	index, count, given := strings.Cut(text, "/")
	if index == "auto" {
		s, err := ciShard(env)
		if given && err == nil {
			n, bad := strconv.Atoi(count)
			switch {
			case bad != nil:
				return s, fmt.Errorf("%q: must be auto/N", text)
			case s.N != 0 && s.N != n:
				return s, fmt.Errorf("%q: the environment says %d parts", text, s.N)
			}
			s.N = n
		}
		if err == nil {
			err = s.check(text)
		}
		return s, err
	}
	i, err := strconv.Atoi(index)
	n, err2 := strconv.Atoi(count)
	if err != nil || err2 != nil {
		return Shard{}, fmt.Errorf("%q: must be I/N, such as 1/4, or auto", text)
	}
	s := Shard{i, n}
	if n < 1 {
		return s, noPart(text, s)
	}
	return s, s.check(text)
}

func noPart(text string, s Shard) error {
	return fmt.Errorf("%q: there is no part %d of %d", text, s.I, s.N)
}

func (s Shard) check(text string) error {
	switch {
	case s.N == 0:
		return fmt.Errorf("%q: the environment has the index %d but not the count: use auto/N", text, s.I)
	case s.N < 1 || s.I < 1 || s.I > s.N:
		return noPart(text, s)
	}
	return nil
}

// systems are the variables of CI systems, with the index of their first job.
var systems = []struct {
	name, index, count string
	first              int
}{
	{"GitLab", "CI_NODE_INDEX", "CI_NODE_TOTAL", 1},
	{"Buildkite", "BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0},
	{"CircleCI", "CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0},
	{"Kubernetes", "JOB_COMPLETION_INDEX", "", 0},
	{"Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", 0},
}

// number reads a variable that may be unset.
func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}

// ciShard returns the part that the CI system assigns to this job. N is 0 if the system does
// not set the number of parts.
func ciShard(env func(string) string) (Shard, error) {
	for _, s := range systems {
		text := env(s.index)
		if text == "" {
			continue
		}
		i, err := strconv.Atoi(text)
		if err != nil {
			return Shard{}, fmt.Errorf("%s=%q: must be a number", s.index, text)
		}
		i -= s.first
		if s.name == "Slurm" { // a job array has a first index and a step
			i = (i - number(env("SLURM_ARRAY_TASK_MIN"), 0)) / max(1, number(env("SLURM_ARRAY_TASK_STEP"), 1))
		}
		n := 0
		if s.count != "" && env(s.count) != "" {
			if n, err = strconv.Atoi(env(s.count)); err != nil {
				return Shard{}, fmt.Errorf("%s=%q: must be a number", s.count, env(s.count))
			}
		}
		return Shard{i + 1, n}, nil
	}
	var names []string
	for _, s := range systems {
		names = append(names, s.index)
	}
	return Shard{}, fmt.Errorf("\"auto\": none of %s is set; use I/N", strings.Join(names, ", "))
}

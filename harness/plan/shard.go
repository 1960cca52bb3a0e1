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
// systems set: "auto", or "auto/N" if they set only the index. An array of Slurm
// is numbered from 1 for "auto/N", so that one of its tasks can be submitted again.
func ParseShard(text string, env func(string) string) (Shard, error) {
	index, count, given := strings.Cut(text, "/")
	if index == "auto" && given && env(slurmIndex) != "" && !otherSystem(env) {
		return slurmTask(text, count, env)
	}
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
	{slurm, slurmIndex, slurmCount, 0},
}

// slurm is the system whose arrays can be submitted again for some of their indices, which the environment does
// not tell from the first time.
const (
	slurm      = "Slurm"
	slurmIndex = "SLURM_ARRAY_TASK_ID"
	slurmCount = "SLURM_ARRAY_TASK_COUNT"
)

// otherSystem reports whether a system before Slurm in the table set its index.
func otherSystem(env func(string) string) bool {
	for _, s := range systems {
		if s.name != slurm && env(s.index) != "" {
			return true
		}
	}
	return false
}

// slurmTask returns the part of "auto/N": the task's own index, from 1.
func slurmTask(text, count string, env func(string) string) (Shard, error) {
	i, err := strconv.Atoi(env(slurmIndex))
	if err != nil {
		return Shard{}, fmt.Errorf("%s=%q: must be a number", slurmIndex, env(slurmIndex))
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 {
		return Shard{}, fmt.Errorf("%q: must be auto/N", text)
	}
	s := Shard{i, n}
	if i < 1 || i > n {
		return s, fmt.Errorf("%q: there is no part %d of %d: give the array the indices 1 to %d (--array=1-%d)", text, i, n,
			n, n)
	}
	return s, nil
}

// slurmArray returns the part of "auto" if the array has every index from 0 or 1 on. An array that was submitted
// again for some indices would run other cases than the first time.
func slurmArray(i, n int, env func(string) string) (Shard, error) {
	first, step := number(env("SLURM_ARRAY_TASK_MIN"), 0), number(env("SLURM_ARRAY_TASK_STEP"), 1)
	last := number(env("SLURM_ARRAY_TASK_MAX"), first+n-1)
	if first > 1 || step > 1 || n < 2 || last-first+1 != n {
		return Shard{}, fmt.Errorf("\"auto\": the indices of this Slurm array do not say how many parts there are: that "+
			"needs several, without a gap, from 0 or from 1; use --shard %d/N, or --shard auto/N in an array from 1", i)
	}
	return Shard{i - first + 1, n}, nil
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
		n := 0
		if s.count != "" && env(s.count) != "" {
			if n, err = strconv.Atoi(env(s.count)); err != nil {
				return Shard{}, fmt.Errorf("%s=%q: must be a number", s.count, env(s.count))
			}
		}
		if s.name == slurm {
			return slurmArray(i, n, env)
		}
		return Shard{i + 1, n}, nil
	}
	var names []string
	for _, s := range systems {
		names = append(names, s.index)
	}
	return Shard{}, fmt.Errorf("\"auto\": none of %s is set; use I/N", strings.Join(names, ", "))
}

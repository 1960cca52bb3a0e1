package runs

import (
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

// WriteBaseline writes the decisions of a run to a baseline. The run may have failures: the baseline then
// holds them. A run without verdicts is an error.
func WriteBaseline(path, run string, note Note) error {
	s, err := Side(&result.Loader{}, run, "")
	if err != nil {
		return err
	}
	if len(s.Runs) != 1 {
		return usage.Errorf("%s holds %d runs, and a baseline is of one", run, len(s.Runs))
	}
	r := s.Runs[0]
	if r.Interrupted {
		return usage.Errorf("%s: %s; a baseline is of a whole run", run, r.Incomplete())
	}
	if err := Complete(r, note); err != nil {
		return err
	}
	for _, k := range r.Kernels {
		if why := r.Undecided(k); why != "" {
			return usage.Errorf("%s: %s on %s: a baseline is of decisions", run, why, k.Ref)
		}
	}
	if err := result.WriteBaseline(path, r); err != nil {
		return err
	}
	n := map[result.Status]int{}
	for _, k := range r.Kernels {
		for s, i := range k.Counts() {
			n[s] += i
		}
	}
	note("%s: %d pass, %d fail, %d broken, %d skip on %d kernels", path, n[result.Pass], n[result.Fail],
		n[result.Broken], n[result.Skip], len(r.Kernels))
	return nil
}

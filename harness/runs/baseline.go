package runs

import (
	"fmt"

	"tokentest/harness/report"
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
		return usage.Errorf("%s holds %s, and a baseline is of one", run, report.Count(len(s.Runs), "run"))
	}
	r := s.Runs[0]
	if r.Interrupted {
		return usage.Errorf("%s: %s; a baseline is of a whole run", run, r.Incomplete())
	}
	if why := r.Damaged(); why != "" {
		return usage.Errorf("%s: %s; a baseline is of a real run", run, why)
	}
	if err := Complete(r, note); err != nil {
		return err
	}
	for _, k := range r.Kernels {
		if why := r.Undecided(k); why != "" {
			return usage.Errorf("%s: %s on %s: a baseline is of decisions", run, why, k.Ref)
		}
		if n := k.Counts(); n[result.Pass]+n[result.Fail]+n[result.XFail] == 0 { // no verdict, and no mistake of the user
			return fmt.Errorf("write the baseline of %s: nothing was decided on %s: %s broken", run, k.Ref,
				report.Count(n[result.Broken], "case"))
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
	note("%s: %d pass, %d fail, %d broken, %d skip on %s", path, n[result.Pass], n[result.Fail],
		n[result.Broken], n[result.Skip], report.Count(len(r.Kernels), "kernel"))
	return nil
}

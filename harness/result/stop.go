package result

// Stop says why a run is incomplete.
type Stop string

// Reasons of a Stop. A run that a signal ended has none, and so has one of an older tokentest.
const (
	StopSignal   Stop = ""
	StopFailFast Stop = "failfast" // --failfast ended it
	StopDetached Stop = "detached" // a farm goes on with it
	StopRunning  Stop = "running"  // it has not ended; never stored
	StopKilled   Stop = "killed"   // its process ended without storing it; never stored
	StopStore    Stop = "store"    // its records could not be written; never stored
)

// stops has for each reason a word, the sentence about the run, and the reason of a case that did not run.
var stops = map[Stop]struct{ word, run, test string }{
	StopSignal:   {"interrupted", "the run was interrupted", "the run was interrupted"},
	StopFailFast: {"stopped", "--failfast stopped the run at the first failure", "not run: stopped by --failfast"},
	StopDetached: {"detached", "the farm goes on with the run", "no result yet: the farm goes on with the run"},
	StopRunning:  {"running", "the run is still running", "not run yet: the run is still running"},
	StopKilled:   {"killed", "the run was killed", "not run: the run was killed"},
	StopStore:    {"stopped", "the run could not be stored", "not run: the run could not be stored"},
}

// Word is the reason in a word, for a heading.
func (s Stop) Word() string { return stops[s].word }

// Case is the reason of a case that did not run because of it.
func (s Stop) Case() string { return stops[s].test }

// Kernel is the error of a kernel that was not tried because of it.
func (s Stop) Kernel() string {
	if s == StopSignal {
		return "interrupted before it was tried"
	}
	return s.Case()
}

// Incomplete says why a run is incomplete, "" if it is not.
func (r *Run) Incomplete() string {
	switch {
	case !r.Interrupted:
		return ""
	case r.StopError != "":
		return stops[r.Stopped].run + ": " + r.StopError
	}
	return stops[r.Stopped].run
}

package result

import "tokentest/harness/vm"

// Exit codes for "git bisect run": 125 means skip, any other code from 1 to 127 means bad,
// and 128 and more abort.
const (
	BisectGood  = 0
	BisectBad   = 1
	BisectSkip  = 125
	BisectAbort = 128
)

// BisectCode returns the exit code for "git bisect run". A kernel is bad only if a case
// failed: a splat or a panic may be another bug than the one that the user searches. A case
// that failed because of a wrong rule says nothing. A case whose expectation contradicts the
// rules too does count, because the user searches for the expectation.
func (r *Run) BisectCode() int {
	code := BisectGood
	if r.Interrupted && r.Stopped != StopFailFast || len(r.Missing) > 0 || len(r.Gaps()) > 0 || len(r.Kernels) == 0 {
		code = BisectAbort
	}
	for _, k := range r.Kernels {
		code = max(code, r.bisectCode(k))
	}
	return code
}

func (r *Run) bisectCode(k *KernelRun) int {
	n := k.Counts()
	skipped, _ := r.undecided(k)
	switch {
	case k.Unbuilt:
		return BisectSkip
	case k.Error != "" || k.hopeless():
		return BisectAbort
	case n[Fail] > 0 && k.differs():
		return BisectBad
	case n[Fail]+n[Broken] > 0 || n[Pass]+n[XFail] == 0 || skipped > 0:
		return BisectSkip
	}
	return BisectGood
}

// differs reports whether a case failed for another reason than a wrong rule.
func (k *KernelRun) differs() bool {
	for c := range k.distinct() {
		if c.Status == Fail && c.Fault != OracleWrong {
			return true
		}
	}
	return false
}

// hopeless reports whether the host could not run a machine of the kernel. A machine that
// had too little of a processor does not count: others followed it.
func (k *KernelRun) hopeless() bool {
	for i := range k.Boots {
		if b := &k.Boots[i]; b.Fate == vm.Infra && b.Host == nil {
			return true
		}
	}
	return false
}

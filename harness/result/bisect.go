package result

import "tokentest/harness/vm"

// Exit codes for "git bisect run", which takes 125 for skip, any other code up
// to 127 for bad, and 128 and more for a reason to stop.
const (
	BisectGood  = 0
	BisectBad   = 1
	BisectSkip  = 125
	BisectAbort = 128
)

// BisectCode maps a run to the exit code for "git bisect run". A kernel is bad
// when a case failed, and for nothing else: a splat or a panic may be another
// bug than the one that is looked for. A case that failed for a wrong rule says
// nothing; one whose expectation the rules contradict as well does, for it is
// the expectation that is looked for.
func (r *Run) BisectCode() int {
	code := BisectGood
	if r.Interrupted || len(r.Missing) > 0 || len(r.Gaps()) > 0 || len(r.Kernels) == 0 {
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

// differs tells whether a case failed for another reason than a wrong rule.
func (k *KernelRun) differs() bool {
	for c := range k.distinct() {
		if c.Status == Fail && c.Fault != OracleWrong {
			return true
		}
	}
	return false
}

// hopeless tells whether the host could not run a machine of the kernel. One to
// which it gave too little of a processor was followed by others.
func (k *KernelRun) hopeless() bool {
	for i := range k.Boots {
		if b := &k.Boots[i]; b.Fate == vm.Infra && b.Host == nil {
			return true
		}
	}
	return false
}

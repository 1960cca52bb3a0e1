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
// bug than the one that is looked for.
func (r *Run) BisectCode() int {
	code := BisectGood
	if r.Interrupted || len(r.Missing) > 0 || len(r.Gaps()) > 0 || len(r.Kernels) == 0 {
		code = BisectAbort
	}
	for _, k := range r.Kernels {
		code = max(code, k.bisectCode())
	}
	return code
}

func (k *KernelRun) bisectCode() int {
	n := k.Counts()
	switch {
	case k.Unbuilt:
		return BisectSkip
	case k.Error != "" || k.ended(vm.Infra):
		return BisectAbort
	case n[Fail] > 0:
		return BisectBad
	case n[Broken] > 0 || n[Pass] == 0:
		return BisectSkip
	}
	return BisectGood
}

// ended tells whether a machine of the kernel came to a fate.
func (k *KernelRun) ended(f vm.Fate) bool {
	for i := range k.Boots {
		if k.Boots[i].Fate == f {
			return true
		}
	}
	return false
}

package runs

import (
	"slices"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

// Unexpected lists the cases of a run that were not as expected on some kernel, in the order of
// the records: those that failed, were broken, or were interrupted, and those that a panic, a
// hang or a report in the kernel log is blamed on.
func Unexpected(r *result.Run) []string {
	var out []string
	seen := map[string]bool{}
	for _, k := range r.Kernels {
		for _, id := range UnexpectedOn(k) {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}

// UnexpectedOn is Unexpected for one kernel of a run.
func UnexpectedOn(k *result.KernelRun) []string {
	var out []string
	for c := range k.Where(func(c *result.CaseResult) bool { return wrong(c.Status) }) {
		out = append(out, c.ID)
	}
	for _, id := range blamed(k) {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// blamed lists the cases that a fault of a machine is blamed on, if the kernel ran them.
func blamed(k *result.KernelRun) []string {
	names := map[string]bool{}
	for i := range k.Boots {
		b := &k.Boots[i]
		if b.Known != "" {
			continue
		}
		if b.Fate == vm.Panicked || b.Fate == vm.Hung {
			names[b.Blamed.Case] = true
		}
		for j := range b.Findings {
			if f := &b.Findings[j]; f.Counts() {
				names[f.Case] = true
			}
		}
	}
	var out []string
	if len(names) == 0 {
		return nil
	}
	for c := range k.All() {
		if names[c.ID] {
			out = append(out, c.ID)
		}
	}
	return out
}

func wrong(s result.Status) bool {
	return s == result.Fail || s == result.Broken || s == result.Interrupted
}

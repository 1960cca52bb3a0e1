package result

import "strings"

// This file alone reads texts that tokentest wrote: those of records in which
// a type does not say the same yet.

// complete adds to a run that was read what its records say in words only,
// because an older tokentest wrote them.
func (r *Run) complete() {
	for _, k := range r.Kernels {
		if k.AccelName == "" {
			k.AccelName, _, _ = strings.Cut(k.Accel, ":")
		}
	}
}

package runs

import (
	"cmp"
	"strings"

	"tokentest/cases/step"
	"tokentest/harness/usage"
)

// Facts returns the facts of a run's kernels, or of the kernel that is named.
func Facts(dir, kernel string) ([]*step.Facts, error) {
	r, err := Head(dir)
	if err != nil {
		return nil, err
	}
	var out []*step.Facts
	var refs []string
	for _, k := range r.Kernels {
		refs = append(refs, k.Ref)
		if k.Facts != nil && (kernel == "" || kernel == k.Ref || kernel == k.Release) {
			out = append(out, k.Facts)
		}
	}
	if len(out) == 0 {
		return nil, usage.Errorf("--facts %s: no facts of %s; it has %s", dir, cmp.Or(kernel, "any kernel"),
			strings.Join(refs, " "))
	}
	return out, nil
}

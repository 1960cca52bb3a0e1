package plan

import (
	"maps"
	"slices"

	"tokentest/cases"
	"tokentest/harness/usage"
)

// Narrow leaves on each kernel the cases that are listed for it, and their controls; a kernel
// without a list keeps all, and one of whose list the plan has nothing is left out. It is a
// *usage.Error if nothing is left.
func (p *Plan) Narrow(only map[string][]string) error {
	parts, named := map[string][]*cases.Case{}, map[string]bool{}
	var kernels []string
	for _, k := range p.Kernels {
		chosen := p.Of(k)
		if list, narrow := only[k]; narrow {
			wanted := map[string]bool{}
			for _, id := range list {
				wanted[id] = true
			}
			chosen = slices.DeleteFunc(slices.Clone(chosen), func(c *cases.Case) bool { return !wanted[c.ID] })
		}
		for _, c := range chosen {
			named[c.ID] = true
		}
		if len(chosen) > 0 {
			kernels, parts[k] = append(kernels, k), WithGuards(p.Of(k), chosen)
		}
	}
	if len(kernels) == 0 {
		return usage.Errorf("none of the cases that were not as expected is among those that are named, or exists any more")
	}
	var union []*cases.Case
	for _, c := range p.Cases {
		if slices.ContainsFunc(kernels, func(k string) bool { return slices.Contains(parts[k], c) }) {
			union = append(union, c)
		}
	}
	p.Kernels, p.parts, p.Cases = kernels, parts, union
	if len(only) > 0 {
		p.Selection = slices.Sorted(maps.Keys(named))
	}
	return nil
}

package cases

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// suggest returns " (near: a, b)" with the names nearest to a misspelt one,
// or nothing.
func suggest(name string, names []string) string {
	if near := Near(name, names); len(near) > 0 {
		return " (near: " + strings.Join(near, ", ") + ")"
	}
	return ""
}

// Near returns up to three of the names that look most like name.
func Near(name string, names []string) []string {
	const most = 3
	type scored struct {
		name string
		d    int
	}
	var all []scored
	for _, n := range names {
		d := levenshtein.ComputeDistance(name, n)
		if strings.Contains(n, name) {
			d = 1
		}
		if d <= max(2, len(name)/3) {
			all = append(all, scored{n, d})
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return a.d - b.d })
	var out []string
	for _, s := range all[:min(most, len(all))] {
		out = append(out, s.name)
	}
	return out
}

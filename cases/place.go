package cases

import (
	"fmt"
	"hash/fnv"
	"path"
	"slices"
	"strings"

	"tokentest/cases/step"
)

// otherPlace is the bit of the number of a place that is not one of step.Places.
const otherPlace = 1 << 32

// placeArg reads a place: one of step.Places, or a path.
func placeArg(value string) (n uint64, file string, err error) {
	if n, err := step.KindPlace.Word(value); err == nil {
		return n, "", nil
	}
	inside := func(dir string) bool { return dir != "" && strings.HasPrefix(value, dir+"/") }
	switch {
	case !path.IsAbs(value) || path.Clean(value) != value || value == "/":
		return 0, "", fmt.Errorf("%q is no place: want one of %s, or an absolute path without . and ..", value,
			strings.Join(step.Places[1:], " "))
	case slices.ContainsFunc(step.Places, inside), inside("/proc"), inside("/dev"):
		return 0, "", fmt.Errorf("%q is no place: it is inside a place on which something else is mounted", value)
	}
	h := fnv.New32a()
	h.Write([]byte(value)) // it never fails
	return otherPlace | uint64(h.Sum32()), value, nil
}

// dirs are the places that steps name by their path, which are not there before.
func dirs(known []string, steps []step.Step) []string {
	for i := range steps {
		for _, a := range steps[i].Args {
			if p := steps[i].Op.Row().Of(a.Key); p != nil && p.Kind == step.KindPlace && a.Str != "" &&
				!slices.Contains(known, a.Str) {
				known = append(known, a.Str)
			}
		}
	}
	return known
}

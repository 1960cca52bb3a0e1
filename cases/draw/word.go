package draw

import (
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// isCall reports whether the capabilities of a step matter.
func isCall(op string) bool { return step.OpNamed(op).Row().Caps }

// isPoint reports whether a step without the argument tests nothing.
func isPoint(op, key string) bool {
	p := step.OpNamed(op).Row().Named(key)
	return p != nil && p.Point
}

// reduceWord returns the lines in which word j is removed or has a smaller value.
func reduceWord(l []string, j int) [][]string {
	var out [][]string
	drop := func(n int) { out = append(out, slices.Delete(slices.Clone(l), j, j+n)) }
	with := func(w string) {
		n := slices.Clone(l)
		n[j] = w
		out = append(out, n)
	}
	key, value, ok := strings.Cut(l[j], "=")
	switch {
	case l[j] == "in" && l[0] == "actor", l[j] == "->":
		drop(2)
	case l[0] == "actor" && j > 2 && slices.Contains(cases.FurtherNamespaces(), l[j]):
		drop(1)
	case l[j] == "joins":
		with("userns")
		out[0] = slices.Delete(out[0], j+1, j+2)
	case ok:
		if !isPoint(l[1], key) {
			drop(1)
		}
		for _, v := range lessOf(key, value) {
			with(key + "=" + v)
		}
	}
	return out
}

// lessOf returns smaller values: without one capability or one element of a list, or with
// half of a number's bits or one bit removed.
func lessOf(key, value string) []string {
	var out []string
	sep := ":"
	if key == "caps" {
		sep = "+"
		if strings.HasPrefix(value, "all-") {
			return []string{"all", "none"}
		}
	}
	if parts := strings.Split(value, sep); len(parts) > 1 {
		for i := range parts {
			out = append(out, strings.Join(slices.Delete(slices.Clone(parts), i, i+1), sep))
		}
		return out
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(value, "+"), 0, 64)
	isMask := slices.ContainsFunc(oracle.DelegateOptions, func(o struct {
		Name string
		Enum *uapi.Enum
	}) bool {
		return o.Name == "delegate_"+key
	})
	if err != nil || !isMask {
		return out
	}
	out = append(out, "any") // easier to read than a number
	low := uint64(0)
	for half := bits.OnesCount64(n) / 2; half > 0; half-- {
		low |= (n &^ low) & -(n &^ low)
	}
	for _, v := range []uint64{low, n &^ low, n & (n - 1), n &^ (1 << max(0, bits.Len64(n)-1))} {
		if v != n && v != 0 {
			out = append(out, fmt.Sprintf("%#x", v))
		}
	}
	return out
}

package step

import (
	"testing"

	"tokentest/cases/uapi"
)

// checkShapes says which types have no row of their own: they would get those of another type.
func checkShapes(maps []MapShape, progs []ProgShape) []string {
	var out []string
	hasMap, hasProg := map[uint32]bool{}, map[uint32]bool{}
	for _, s := range maps {
		if hasMap[uint32(s.Type)] {
			out = append(out, "map type "+s.Type.String()+" has two rows")
		}
		hasMap[uint32(s.Type)] = true
	}
	for _, s := range progs {
		hasProg[uint32(s.Type)] = true
	}
	for _, m := range uapi.MapTypes.Members {
		if m.Value != 0 && !hasMap[m.Value] {
			out = append(out, "map type "+m.Name+" has no row")
		}
	}
	for _, m := range uapi.ProgTypes.Members {
		if m.Value != 0 && !hasProg[m.Value] {
			out = append(out, "program type "+m.Name+" has no row")
		}
	}
	return out
}

// Every map type has a row of its own, and every program type one at least.
func TestEveryTypeHasAShape(t *testing.T) {
	for _, why := range checkShapes(mapShapes, ProgShapes) {
		t.Error(why)
	}
	if n := len(checkShapes(mapShapes[1:], ProgShapes[1:])); n != 2 {
		t.Errorf("without two rows %d mistakes are noticed", n)
	}
	if n := len(checkShapes(append(mapShapes[:1:1], mapShapes...), ProgShapes)); n != 1 {
		t.Errorf("with a row twice %d mistakes are noticed", n)
	}
}

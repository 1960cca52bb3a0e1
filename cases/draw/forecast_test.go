package draw

import (
	"fmt"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/uapi"
)

const foreseen = `about A world.
needs token
actor a0 userns
axis step
  allow root map_create type=hash
  refuse nobody btf_load
  s00 a0 map_create type=hash
  s01 a0 map_create type=hash
  s02 a0 map_create type=array
  s03 nobody map_create type=hash flags=0x1
root btf_load -> f0 => ?
do $step
control allow step=allow
control refuse step=refuse
`

// A forecast has the set-up and each cell; what was expected before is not worth a run again.
func TestForesee(t *testing.T) {
	facts := cases.FactsAt(uapi.Release{Major: 7, Minor: 3})
	f, err := Foresee(t.Context(), "w", foreseen, facts)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Setup) == 0 || len(f.Cells) != 4 {
		t.Fatalf("%d aspects of the set-up, %d cells: %v", len(f.Setup), len(f.Cells), f.Cells)
	}
	if a, b := fmt.Sprint(f.Cells["s00"]), fmt.Sprint(f.Cells["s02"]); a != fmt.Sprint(f.Cells["s01"]) || a == b {
		t.Errorf("s00 %s, s01 %s, s02 %s", a, f.Cells["s01"], b)
	}
	known, never := map[string]bool{}, func() bool { return false }
	if f.Beyond(known) == 0 {
		t.Error("a first world has nothing new")
	}
	less := f.Worth(foreseen, known, never)
	if Cells(less) != 3 || strings.Contains(less, "  s01 ") || f.Beyond(known) != 0 {
		t.Errorf("%d cells are left, and %d aspects:\n%s", Cells(less), f.Beyond(known), less)
	}
	if again := f.Worth(foreseen, known, never); Cells(again) != 0 {
		t.Errorf("the same world is worth %d cells again", Cells(again))
	}
	if all := f.Worth(foreseen, known, func() bool { return true }); all != foreseen {
		t.Errorf("cells that are to be kept are gone:\n%s", all)
	}
	if _, err := Foresee(t.Context(), "w", "axis\n", facts); err == nil {
		t.Error("a text that is no case file was taken")
	}
}

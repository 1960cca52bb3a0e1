package lab

import (
	"encoding/json"
	"testing"

	"tokentest/harness/wire"
)

// TestByHand: a case's file for the shell holds its program and the texts of its steps, but no
// expectation.
func TestByHand(t *testing.T) {
	p := newPlan(t, 0, "nested_userns")
	files, err := ByHand(p.Cases)
	if err != nil || len(files) != 2 || files[0].link != "/init" || files[1].To != "/cases/nested_userns" {
		t.Fatalf("got %+v, %v", files, err)
	}
	var c wire.ByHand
	if err := json.Unmarshal(files[1].data, &c); err != nil {
		t.Fatal(err)
	}
	world, err := wire.DecodeProgram(c.World)
	if err != nil || len(world.Setup) != len(c.Setup) {
		t.Errorf("%d set-up steps, %d texts, %v", len(world.Setup), len(c.Setup), err)
	}
	cells, err := wire.DecodeCells(c.Cells)
	if err != nil || len(cells.Cells) != 1 || len(cells.Cells[0]) != len(c.Steps) {
		t.Errorf("%+v, %d texts, %v", cells, len(c.Steps), err)
	}
}

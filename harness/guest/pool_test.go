package guest

import (
	"testing"

	"tokentest/cases/step"
)

// A world gets the actors that were started before it, and not again.
func TestPrestart(t *testing.T) {
	needTokens(t)
	g := newTestAgent(t)
	g.prestart()
	if len(g.idle) != len(usual) {
		t.Fatalf("%d actors wait, want %d", len(g.idle), len(usual))
	}
	waiting := map[*player]bool{}
	for _, p := range g.idle {
		waiting[p] = true
	}
	cast := []step.Actor{
		{Name: "a", Kind: step.Init, Parent: -1}, {Name: "b", Kind: step.Userns, UID: 1000, Parent: -1},
		{Name: "c", Kind: step.Userns, UID: 1000, Parent: -1},
	}
	if err := g.assemble(cast); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, true, false} {
		if got := waiting[g.players[i]]; got != want {
			t.Errorf("actor %s was started before: %v, want %v", cast[i].Name, got, want)
		}
	}
}

// Too many waiting actors end those that few worlds have; the usual ones wait on.
func TestUsualActorsStay(t *testing.T) {
	needTokens(t)
	g := newTestAgent(t)
	g.prestart()
	pids := map[int]bool{}
	for _, p := range g.idle {
		pids[p.pid] = true
	}
	for n := range maxIdle - len(usual) + 1 {
		if err := g.assemble([]step.Actor{{Name: "a", Kind: step.Init, UID: uint32(2000 + n), Parent: -1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.assemble(usual); err != nil {
		t.Fatal(err)
	}
	if len(g.idle) != 0 {
		t.Errorf("%d unusual actors still wait", len(g.idle))
	}
	for i, p := range g.players {
		if !pids[p.pid] {
			t.Errorf("actor %s was started again", usual[i].Name)
		}
	}
}

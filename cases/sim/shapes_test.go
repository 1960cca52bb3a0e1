package sim

import (
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// What the guest asks for with the row of a type is what the oracle's row of the type
// takes: root may create each map, and load a program of each type. A shape can have an
// attach type that its type refuses.
func TestShapesAreTaken(t *testing.T) {
	facts := &step.Facts{Release: "7.3.0", Token: true, StructOpsIndex: 2}
	p := &step.Program{Actors: []step.Actor{{Name: "root", Kind: step.Init, Parent: -1, Caps: uapi.AllCaps}}}
	play := func(op step.Op, args ...step.Arg) Expect {
		e, err := New(facts, p, false).Step(&step.Step{Op: op, Caps: uapi.AllCaps, Args: args})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	named := step.Arg{Key: step.KeyName, Str: "x"} // so that the attribute is looked at
	for _, m := range uapi.MapTypes.Members {
		if m.Value == 0 {
			continue
		}
		if e := play(step.OpMapCreate, step.Arg{Key: step.KeyType, Num: uint64(m.Value)}, named); !e.OK() {
			t.Errorf("map type %s: %+v", m.Name, e.Verdict)
		}
	}
	loads := map[uapi.ProgType]bool{}
	for _, s := range step.ProgShapes {
		attach := step.Arg{Key: step.KeyAttach, Num: uint64(s.Attach)}
		e := play(step.OpProgLoad, step.Arg{Key: step.KeyType, Num: uint64(s.Type)}, attach, named)
		loads[s.Type] = loads[s.Type] || e.OK()
		if !e.OK() && e.Verdict.ID != "prog_load/bad-attach-type" {
			t.Errorf("program %s: %+v", s.Name(), e.Verdict)
		}
	}
	for _, m := range uapi.ProgTypes.Members {
		if m.Value != 0 && !loads[uapi.ProgType(m.Value)] {
			t.Errorf("no program of type %s loads", m.Name)
		}
	}
	// The same with what the row does not have is refused.
	hash := step.Arg{Key: step.KeyType, Num: uint64(uapi.BPF_MAP_TYPE_HASH)}
	if e := play(step.OpMapCreate, hash, step.Arg{Key: step.KeyKeySize}); e.OK() {
		t.Error("a hash with keys of no bytes is allowed")
	}
}

package guest

import (
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Only the helpers that no table has are reported, as drift.
func TestNewHelpers(t *testing.T) {
	all := []step.Enumerator{{Name: "BPF_FUNC_unspec"}, {Name: "BPF_FUNC_jiffies64", Value: 118},
		{Name: "BPF_FUNC_novel", Value: 900}, {Name: "__BPF_FUNC_MAX_ID", Value: 901}}
	if got := newHelpers(all); len(got) != 1 || got[0] != "BPF_FUNC_novel" {
		t.Errorf("new helpers: %q", got)
	}
	if got := newHelpers(nil); got != nil {
		t.Errorf("a kernel without BTF has new helpers: %q", got)
	}
}

// Every body and every helper has a program, and no two have the same.
func TestProgramsOfBodies(t *testing.T) {
	types := typeIDs{IDs: map[string]uint32{}, Sizes: map[string]uint32{}}
	for i, name := range []string{step.FuncLock, step.FuncUnlock, step.FuncCast, step.FuncCrash, step.FuncContext} {
		types.IDs[typeKey(step.KindFunc, name)] = uint32(i + 1)
	}
	c, seen := caller{btf: types}, map[string]string{}
	see := func(what string, st step.Step, fds fdArgs) {
		insns := c.program(&st, fds, 0)
		if len(insns) == 0 || seen[string(insns)] != "" {
			t.Errorf("%s has %d bytes, those of %q", what, len(insns), seen[string(insns)])
		}
		seen[string(insns)] = what
	}
	num := func(k step.Key, n uint64) step.Step { return step.Step{Args: []step.Arg{{Key: k, Num: n}}} }
	fd := 3
	for b := 1; b < len(step.Bodies); b++ {
		fds := fdArgs{}
		if step.Body(b).UsesMap() {
			fds.uses = &fd
		}
		see(step.Bodies[b], num(step.KeyBody, uint64(b)), fds)
	}
	see("a lookup", step.Step{}, fdArgs{uses: &fd})
	own := map[string]bool{"jiffies64": true, "get_current_task": true} // bodies of the same name
	for i := range uapi.Helpers {
		if h := &uapi.Helpers[i]; !own[h.Name] {
			see(h.Name, num(step.KeyHelper, uint64(h.ID)), fdArgs{})
		}
	}
	st := step.Step{}
	if insns := c.program(&st, fdArgs{}, 0); insns != nil {
		t.Errorf("a step without a body has a program of %d bytes", len(insns))
	}
	st = num(step.KeyHelper, 1<<20)
	if insns := c.program(&st, fdArgs{}, 0); insns != nil {
		t.Error("a number that is no helper has a program")
	}
}

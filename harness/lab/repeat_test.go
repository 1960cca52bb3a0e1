package lab

import (
	"testing"

	"tokentest/harness/result"
	"tokentest/harness/vm"
)

func TestIsolate(t *testing.T) {
	for isolate, boots := range map[Isolation]int{Together: 1, GroupAlone: 2, CaseAlone: 3} {
		l := newLab(t, "clean")
		l.Isolate = isolate
		k := run(t, l, 0, "nested_userns", "token_create/zero/owner/none/0", "token_create/any/owner/none/1")
		n := k.Counts()
		if want := len(k.Cases); isolate == CaseAlone {
			boots = want
		}
		if len(k.Boots) != boots || n[result.Pass] != len(k.Cases) {
			t.Errorf("%q: %d machines for %d cases, want %d; %v", isolate, len(k.Boots), len(k.Cases), boots, n)
		}
	}
}

// TestIsolatedPanic: a panic breaks only the case in whose machine it comes.
func TestIsolatedPanic(t *testing.T) {
	l := newLab(t, "clean clean clean clean clean clean panic@0 clean")
	l.Isolate = CaseAlone
	k := run(t, l, 0, "token_create/zero/owner")
	if n := k.Counts(); n[result.Broken] != 1 || n[result.Pass] != len(k.Cases)-1 {
		t.Errorf("%v of %d", n, len(k.Cases))
	}
}

// TestRepeat: results that vary are counted, and the worst counts.
func TestRepeat(t *testing.T) {
	l := newLab(t, "clean lie@0 clean clean")
	l.Repeat = 4
	k := run(t, l, 0, "nested_userns")
	c := k.Cases[0]
	if k.Repeated != 4 || len(k.Boots) != 4 || c.Status != result.Fail || c.Times[result.Pass] != 3 ||
		c.Times[result.Fail] != 1 {
		t.Errorf("%d times: %+v", k.Repeated, c)
	}
	l = newLab(t, "clean")
	l.Repeat = 3
	if k := run(t, l, 0, "token_create"); k.Repeated != 3 || k.Cases[0].Times != nil ||
		k.Counts()[result.Pass] != tokenCreate() {
		t.Errorf("%d times: %+v", k.Repeated, k.Counts())
	}
}

func TestUntilFail(t *testing.T) {
	for acts, fate := range map[string]vm.Fate{"clean clean lie@0 clean": vm.Clean,
		"clean clean splat@0 clean": vm.Tainted, "clean clean off@0 clean": vm.Lost} {
		l := newLab(t, acts)
		l.UntilFail = true
		k := run(t, l, 0, "nested_userns")
		if last := k.Boots[len(k.Boots)-1]; k.Repeated != 3 || last.Fate != fate {
			t.Errorf("%s: %d times, the last machine %s", acts, k.Repeated, last.Fate)
		}
	}
	l := newLab(t, "refuse")
	l.UntilFail = true
	if k := run(t, l, 0, "nested_userns"); k.Repeated != 1 {
		t.Errorf("without a QEMU: %d times", k.Repeated)
	}
}

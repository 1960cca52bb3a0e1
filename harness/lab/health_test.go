package lab

import (
	"strings"
	"testing"
	"time"

	"tokentest/harness/vm"
)

// A splat is laid to the cases that were running, by the mark before it in the
// log or, where there is none, by what the control channel had announced.
func TestFindingIsPlaced(t *testing.T) {
	for _, acts := range []string{"splat@70", "nomarks@70"} {
		for _, batch := range []int{0, 1} {
			k := run(t, newLab(t, acts), batch, "token_create")
			b := k.Boots[0]
			if b.Fate != vm.Tainted || len(b.Findings) != 1 {
				t.Fatalf("%s: %s: %s, %+v", acts, b.Fate, b.Reason, b.Findings)
			}
			under := b.Findings[0].Case
			if several := strings.HasPrefix(under, "one of "); several != (batch == 0) || !strings.Contains(under, "token_create/") {
				t.Errorf("%s, batch %d: under %q", acts, batch, under)
			}
			if k.Counts()["pass"] != 219 {
				t.Errorf("%s: %v", acts, k.Counts())
			}
		}
	}
}

// What only the guest can see of the kernel's health turns a run red as well.
func TestGuestSeesFault(t *testing.T) {
	for acts, want := range map[string]string{
		"taint": "the kernel became tainted: O (out-of-tree module)",
		"leak":  "unreferenced object of bpf_token_create",
	} {
		b := run(t, newLab(t, acts), 0, "nested_userns").Boots[0]
		if b.Fate != vm.Tainted || !strings.HasPrefix(b.Reason, want) {
			t.Errorf("%s: %s: %s", acts, b.Fate, b.Reason)
		}
	}
}

func TestAllowedFinding(t *testing.T) {
	l := newLab(t, "splat@0")
	var err error
	if l.Allow, err = vm.ParseAllow(nil, "known.txt", "warn: WARNING in bpf_token_create* until=2999-01-01 # known", time.Now()); err != nil {
		t.Fatal(err)
	}
	b := run(t, l, 0, "nested_userns").Boots[0]
	if b.Fate != vm.Clean || len(b.Findings) != 1 || b.Findings[0].Allowed != "known (known.txt:1)" {
		t.Errorf("%s: %s, %+v", b.Fate, b.Reason, b.Findings)
	}
}

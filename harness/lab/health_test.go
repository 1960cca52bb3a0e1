package lab

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/splat"
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
			if several := strings.HasPrefix(under, "one of "); several != (batch == 0) ||
				!strings.Contains(under, "token_create/") {
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
		if under := b.Findings[0].Case; under != "" {
			t.Errorf("%s: it was noticed at the end, and is laid to %q", acts, under)
		}
	}
}

// What the kernel refused the agent stands in the record, with its errno.
func TestRefusedFixtures(t *testing.T) {
	for acts, want := range map[string][]step.Fixture{"refused": labtest.Refused, "clean": nil} {
		if b := run(t, newLab(t, acts), 0, "nested_userns").Boots[0]; !slices.Equal(b.Refused, want) {
			t.Errorf("%s: got %v, want %v", acts, b.Refused, want)
		}
	}
}

// A leak is laid to what ran when the object was allocated, not to what ran last.
func TestLeakIsPlaced(t *testing.T) {
	k := run(t, newLab(t, "oldleak"), 0, "nested_userns")
	f := k.Boots[0].Findings[0]
	if first := k.Cases[0].ID; f.Kind != splat.KindKmemleak || f.Case != "the set-up of "+first {
		t.Errorf("%s is laid to %q, want the set-up of %s", f.Title, f.Case, first)
	}
}

// A kernel whose kmemleak was left off is not to blame for there being no scan;
// one whose kmemleak gave up is.
func TestNoLeakScan(t *testing.T) {
	for arg, want := range map[string]vm.Fate{"": vm.Tainted, "kmemleak=off": vm.Clean, "kmemleak=on": vm.Tainted} {
		l := newLab(t, "noscan")
		if arg != "" {
			l.Append = append(l.Append, arg)
		}
		if b := run(t, l, 0, "nested_userns").Boots[0]; b.Fate != want {
			t.Errorf("%q: %s: %s", arg, b.Fate, b.Reason)
		}
	}
}

// Where nobody looks for a known defect, its finding does not count, on a
// kernel that is known to have it.
func TestKnownFinding(t *testing.T) {
	splat := func(since string) cases.Known {
		r, err := uapi.ParseRelease(since)
		if err != nil {
			t.Fatal(err)
		}
		return cases.Known{Fate: "tainted", Since: r, Titles: []string{"WARNING in bpf_token_create*"}, Reason: "known",
			Where: "known.txt:1"}
	}
	for since, want := range map[string]vm.Fate{"6.12": vm.Clean, "99.0": vm.Tainted} {
		l := newLab(t, "splat@0")
		l.Known = []cases.Known{splat(since)}
		b := run(t, l, 0, "nested_userns").Boots[0]
		if b.Fate != want || len(b.Findings) != 1 || (b.Findings[0].Allowed == "known (known.txt:1)") != (want == vm.Clean) {
			t.Errorf("since %s: %s: %s, %+v", since, b.Fate, b.Reason, b.Findings)
		}
	}
}

func TestAllowedFinding(t *testing.T) {
	l := newLab(t, "splat@0")
	var err error
	if l.Allow, err = splat.ParseAllow(nil, "known.txt", "warn: WARNING in bpf_token_create* until=2999-01-01 # known",
		time.Now()); err != nil {
		t.Fatal(err)
	}
	b := run(t, l, 0, "nested_userns").Boots[0]
	if b.Fate != vm.Clean || len(b.Findings) != 1 || b.Findings[0].Allowed != "known (known.txt:1)" {
		t.Errorf("%s: %s, %+v", b.Fate, b.Reason, b.Findings)
	}
}

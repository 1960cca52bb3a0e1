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

// TestFindingIsAttributed: a splat belongs to the cases that ran, by the mark before it in the
// log, else by the last one of the control channel.
func TestFindingIsAttributed(t *testing.T) {
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
			if k.Counts()["pass"] != tokenCreate() {
				t.Errorf("%s: %v", acts, k.Counts())
			}
		}
	}
}

// TestGuestSeesFault: what only the guest can see of the kernel's health turns a run red too.
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
			t.Errorf("%s: it was noticed at the end, and is attributed to %q", acts, under)
		}
	}
}

// TestRefusedFixtures: the record lists the fixtures that the kernel refused.
func TestRefusedFixtures(t *testing.T) {
	for acts, want := range map[string][]step.Fixture{"refused": labtest.Refused, "clean": nil} {
		if b := run(t, newLab(t, acts), 0, "nested_userns").Boots[0]; !slices.Equal(b.Refused, want) {
			t.Errorf("%s: got %v, want %v", acts, b.Refused, want)
		}
	}
}

// TestLeakIsAttributed: a leak belongs to what ran when the object was allocated, not to what
// ran last.
func TestLeakIsAttributed(t *testing.T) {
	k := run(t, newLab(t, "oldleak"), 0, "nested_userns")
	f := k.Boots[0].Findings[0]
	if first := k.Cases[0].ID; f.Kind != splat.KindKmemleak || f.Case != "the set-up of "+first {
		t.Errorf("%s is attributed to %q, want the set-up of %s", f.Title, f.Case, first)
	}
}

// TestNoLeakScan: a kernel whose kmemleak is configured off need not scan; one whose kmemleak
// gave up is at fault.
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

// TestKnownFinding: the finding of a known defect does not count on a kernel that is known to
// have it.
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

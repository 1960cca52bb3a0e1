package cases

import (
	"slices"
	"strings"
	"testing"

	"tokentest/cases/sim"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// enumsAt is what the BTF of a mainline release holds.
func enumsAt(r uapi.Release) map[string][]step.Enumerator {
	out := map[string][]step.Enumerator{}
	for _, e := range Enums() {
		for _, m := range e.Members {
			if !r.Less(m.Since) {
				out[e.Tag] = append(
					out[e.Tag],
					step.Enumerator{Name: e.Prefix + strings.ToUpper(m.Name), Value: uint64(m.Value)},
				)
			}
		}
	}
	return out
}

func TestFactsIn(t *testing.T) {
	for release, token := range map[string]bool{"5.10": false, "6.1": false, "6.9": true, "6.13": true, "7.2": true} {
		r, err := uapi.ParseRelease(release)
		if err != nil {
			t.Fatal(err)
		}
		f := FactsIn(release+".3-x", enumsAt(r), nil)
		if f.Token != token || !f.BTF || f.Release != release+".3-x" || len(Drift(f)) != 0 {
			t.Errorf("%s: %+v, drift %q", release, f, Drift(f))
		}
		if got, want := *sim.KernelOf(f), *sim.KernelOf(FactsAt(r)); got.MaxCmd != want.MaxCmd ||
			got.MaxMap != want.MaxMap || got.MaxProg != want.MaxProg || got.MaxAttach != want.MaxAttach {
			t.Errorf("%s: enumerations end at %+v, want %+v", release, got, want)
		}
		// Without a release, it is the youngest that added something.
		if got := FactsIn("", enumsAt(r), nil).Version(); r.Less(got) {
			t.Errorf("%s taken for %s", release, got)
		}
	}
}

// What only one of the two has is drift, or refutes what the release promises.
func TestFactsInOddKernel(t *testing.T) {
	r := uapi.Release{Major: 7, Minor: 3}
	enums := enumsAt(r)
	enums[uapi.MapTypes.Tag] = append(enums[uapi.MapTypes.Tag], step.Enumerator{Name: "BPF_MAP_TYPE_NOVEL", Value: 36})
	progs := enums[uapi.ProgTypes.Tag]
	enums[uapi.ProgTypes.Tag] = slices.DeleteFunc(progs,
		func(m step.Enumerator) bool { return m.Name == "BPF_PROG_TYPE_NETFILTER" })
	f := FactsIn("7.3.0", enums, nil)
	helper := FactsIn("7.3.0", enumsAt(r), nil)
	helper.Enumerators[uapi.HelperEnum] = []string{"BPF_FUNC_novel"}
	if got := Drift(helper); !slices.Equal(got, []string{"BPF_FUNC_novel"}) {
		t.Errorf("drift of a helper: %q", got)
	}
	if got := Differ(FactsIn("7.3.0", enumsAt(r), nil), helper); got != "" {
		t.Errorf("the image does not tell its helpers, and %s", got)
	}
	if got := Drift(f); !slices.Equal(got, []string{"BPF_MAP_TYPE_NOVEL"}) {
		t.Errorf("drift %q", got)
	}
	n := Need{Kind: NeedEnum, Tag: uapi.ProgTypes.Tag, Name: "BPF_PROG_TYPE_NETFILTER", Value: 32,
		Since: uapi.Release{Major: 6, Minor: 4}}
	if met, refuted := n.Check(f); met || !strings.Contains(refuted, "although the kernel is 7.3.0") {
		t.Errorf("met %v, refuted %q", met, refuted)
	}
}

func TestDiffer(t *testing.T) {
	r := uapi.Release{Major: 7, Minor: 3}
	image := FactsIn("7.3.0", enumsAt(r), nil)
	if d := Differ(image, FactsIn("7.3.0", enumsAt(r), nil)); d != "" {
		t.Errorf("the same differs: %s", d)
	}
	enums := enumsAt(r)
	enums[uapi.Cmds.Tag] = append(enums[uapi.Cmds.Tag][1:], step.Enumerator{Name: "BPF_NOVEL", Value: 39})
	d := Differ(image, FactsIn("7.3.0", enums, nil))
	for _, want := range []string{"BPF_NOVEL is in the running kernel and not in the image",
		"BPF_MAP_CREATE is in the image and not in the running kernel",
		"enum bpf_cmd ends at 39 in the image and at 40 in the running kernel"} {
		if !strings.Contains(d, want) {
			t.Errorf("got %q, want %q in it", d, want)
		}
	}
}

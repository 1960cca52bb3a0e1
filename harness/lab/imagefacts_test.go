package lab

import (
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/harness/kernel"
	"tokentest/harness/lab/labtest"
	"tokentest/harness/result"
)

// TestCompareImageFacts: a running kernel with other enumerators than its image is noted,
// after the notes before.
func TestCompareImageFacts(t *testing.T) {
	running := &step.Facts{Release: "7.3.4", BTF: true, Enumerators: map[string][]string{"bpf_cmd": {"BPF_A", "BPF_B"}}}
	image := &step.Facts{Release: "7.3.4", BTF: true, Enumerators: map[string][]string{"bpf_cmd": {"BPF_A"}}}
	for _, tt := range []struct {
		name           string
		image, running *step.Facts
		want           string
	}{
		{"the same", running, running, "before"},
		{"more", image, running, "before; the BTF in the image and that of the running kernel differ: " +
			"BPF_B is in the running kernel and not in the image"},
		{"image unread", nil, running, "before"},
		{"never booted", image, nil, "before"},
		{"no BTF", image, &step.Facts{Release: "7.3.4"}, "before"},
	} {
		tr := &trial{lab: &Lab{}, out: &result.KernelRun{Note: "before", Facts: tt.running},
			imageFacts: make(chan *step.Facts, 1)}
		tr.imageFacts <- tt.image
		tr.compareImageFacts()
		if tr.out.Note != tt.want {
			t.Errorf("%s: note %q, want %q", tt.name, tr.out.Note, tt.want)
		}
	}
}

func TestImageFacts(t *testing.T) {
	l := newLab(t, "")
	if _, err := ImageFacts(&kernel.Kernel{Image: "bzImage", Digest: "0"},
		kernel.Options{CacheDir: l.CacheDir}); err == nil || !strings.Contains(err.Error(), "bzImage") {
		t.Errorf("an image that holds no kernel: %v", err)
	}
	f, err := FileFacts(labtest.BTF, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cases.Drift(f); f.Release != "7.2" || !f.Token || len(d) != 1 || d[0] != labtest.Novel {
		t.Errorf("release %s, token %v, drift %q", f.Release, f.Token, d)
	}
}

package result

import (
	"strings"
	"testing"
)

// A kernel of another architecture than the default one is named so, once.
func TestKernelName(t *testing.T) {
	for _, tt := range []struct{ ref, arch, want string }{
		{"deb:6.12", "amd64", "deb:6.12"}, {"deb:6.12", "", "deb:6.12"}, {"deb:6.12/arm64", "arm64", "deb:6.12/arm64"},
		{"deb:7.3/arm64:arm64-16k", "arm64", "deb:7.3/arm64:arm64-16k"}, {"boot/Image", "arm64", "boot/Image (arm64)"},
		{"boot/bzImage", "s390x", "boot/bzImage (s390x)"},
	} {
		if got := (&KernelRun{Ref: tt.ref, Arch: tt.arch}).Name(); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// A baseline keeps the architecture, and a comparison names another one.
func TestArchOfPairs(t *testing.T) {
	base := &KernelRun{Ref: "Image", Arch: "arm64", Digest: "a"}
	other := &KernelRun{Ref: "Image", Arch: "riscv64", Digest: "b"}
	if got := (&Run{Kernels: []*KernelRun{base}}).bare().Kernels[0].Arch; got != "arm64" {
		t.Errorf("a baseline has %q", got)
	}
	side := func(k *KernelRun) *Side { return &Side{Runs: []*Run{{Kernels: []*KernelRun{k}}}} }
	got := strings.Join(otherDifferences(side(base), side(other), []*Pair{{Base: base, New: other}}), "; ")
	if !strings.Contains(got, "another architecture, arm64, then riscv64") {
		t.Errorf("got %q", got)
	}
}

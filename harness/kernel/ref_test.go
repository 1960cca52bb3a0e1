package kernel

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

// list is a mirror in short: suite, package, version, dependencies.
const list = `
bullseye          linux-image-cloud-amd64                    5.10.223-1         linux-image-5.10.0-32-cloud-amd64
bullseye          linux-image-5.10.0-32-cloud-amd64          5.10.223-1
bullseye          linux-image-5.10.0-32-cloud-amd64-unsigned 5.10.223-1
bullseye-security linux-image-5.10.0-46-cloud-amd64          5.10.262-1
bullseye-security linux-image-6.1-cloud-amd64                6.1.180-1~deb11u1  linux-image-6.1.0-0.deb11.52-cloud-amd64
bullseye-security linux-image-6.1.0-0.deb11.52-cloud-amd64   6.1.180-1~deb11u1
bookworm          linux-image-6.1.0-50-cloud-amd64           6.1.176-1
bookworm          linux-image-6.1.0-50-amd64                 6.1.176-1
bookworm          linux-image-6.1.0-50-amd64-dbg             6.1.176-1
bookworm          linux-image-6.1.0-50-rt-amd64              6.1.176-1
bookworm-backports linux-image-6.12.95+deb12-cloud-amd64     6.12.95-1~bpo12+1
trixie            linux-image-6.12.117+deb13-cloud-amd64     6.12.117-1
trixie-security   linux-image-6.12.117+deb13-cloud-amd64     6.12.117-1
trixie-security   linux-image-6.12.94+deb13-cloud-amd64      6.12.94-1
trixie-backports  linux-image-6.16.12+deb13-cloud-amd64      6.16.12-1~bpo13+1
trixie-backports  linux-image-7.3.4+deb13-cloud-amd64        7.3.4-1~bpo13+1    linux-binary-7.3.4+deb13-cloud-amd64
experimental      linux-image-7.3-cloud-amd64                7.3~rc7-1~exp1     linux-binary-7.3-cloud-amd64
`

func testIndex() *index {
	x := &index{Suites: map[string]string{"trixie": "stable", "trixie-backports": "stable-backports",
		"experimental": "experimental"}}
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) >= 3 {
			x.Packages = append(x.Packages, pkg{Suite: f[0], Name: f[1], Version: f[2], Depends: f[3:]})
		}
	}
	return x
}

func TestChoose(t *testing.T) {
	tests := []struct{ ref, want string }{
		{"deb:6.12", "6.12.117+deb13-cloud-amd64 trixie"},
		{"deb:6.12.94", "6.12.94+deb13-cloud-amd64 trixie-security"},
		{"deb:6.12.95-1~bpo12+1", "6.12.95+deb12-cloud-amd64 bookworm-backports"},
		{"deb:6.1", "6.1.0-0.deb11.52-cloud-amd64 bullseye-security"},
		{"deb:6.1.0-50", "6.1.0-50-cloud-amd64 bookworm"},
		{"deb:6.1:amd64", "6.1.0-50-amd64 bookworm"},
		{"deb:6.1:rt", "6.1.0-50-rt-amd64 bookworm"},
		{"deb:6.1:rt-amd64", "6.1.0-50-rt-amd64 bookworm"},
		{"deb:6.12:cloud", "6.12.117+deb13-cloud-amd64 trixie"},
		{"deb:5.10", "5.10.0-46-cloud-amd64 bullseye-security"},
		{"deb:7.3", "7.3.4+deb13-cloud-amd64 trixie-backports"},
		{"deb:7", "7.3.4+deb13-cloud-amd64 trixie-backports"},
		{"deb:7.3-rc7", "7.3-cloud-amd64 experimental"},
		{"deb:7.3~rc7", "7.3-cloud-amd64 experimental"},
		{"deb:experimental", "7.3-cloud-amd64 experimental"},
		{"deb:bullseye", "5.10.0-32-cloud-amd64 bullseye"},
		{"deb:trixie", "6.12.117+deb13-cloud-amd64 trixie"},
		{"deb:stable", "6.12.117+deb13-cloud-amd64 trixie"},
		{"deb:stable-backports", "7.3.4+deb13-cloud-amd64 trixie-backports"},
		{"deb:6.12/x86_64", "6.12.117+deb13-cloud-amd64 trixie"},
	}
	x := testIndex()
	for _, tt := range tests {
		r, err := parseDebRef(tt.ref, strings.TrimPrefix(tt.ref, "deb:"))
		if err != nil {
			t.Errorf("%s: %v", tt.ref, err)
			continue
		}
		got := "nothing"
		if all := x.choose(r); len(all) > 0 {
			got = all[0].release + " " + all[0].Suite
		}
		if got != tt.want {
			t.Errorf("%s means %s, want %s", tt.ref, got, tt.want)
		}
	}
}

// TestForeignReferences: a reference names an architecture by any of its names, and its flavour by either.
func TestForeignReferences(t *testing.T) {
	for ref, want := range map[string]string{
		"deb:6.12/arm64": "deb:6.12/arm64", "deb:6.12/aarch64:cloud": "deb:6.12/arm64",
		"deb:7.3/arm64:arm64-16k": "deb:7.3/arm64:arm64-16k", "deb:sid/ppc64le": "deb:sid/ppc64el",
		"deb:7.2/ppc64el:powerpc64le-64k": "deb:7.2/ppc64el:powerpc64le-64k", "deb:6.1/s390x:s390x": "deb:6.1/s390x",
	} {
		r, err := parseDebRef(ref, strings.TrimPrefix(ref, "deb:"))
		if err != nil || r.short() != want {
			t.Errorf("%s: got %s, %v, want %s", ref, r.short(), err, want)
		}
	}
	x := &index{arch: arch.Find("arm64"), Suites: map[string]string{"trixie": "stable"}, Packages: []pkg{
		{Name: "linux-image-6.12.117+deb13-cloud-arm64", Version: "6.12.117-1", Suite: "trixie"},
		{Name: "linux-image-6.12.117+deb13-arm64-16k", Version: "6.12.117-1", Suite: "trixie"},
		{Name: "linux-image-6.12.117+deb13-cloud-amd64", Version: "6.12.117-1", Suite: "trixie"},
	}}
	for ref, want := range map[string]string{
		"deb:6.12/arm64":           "linux-image-6.12.117+deb13-cloud-arm64",
		"deb:6.12/arm64:arm64-16k": "linux-image-6.12.117+deb13-arm64-16k",
	} {
		r, _ := parseDebRef(ref, strings.TrimPrefix(ref, "deb:"))
		if all := x.choose(r); len(all) != 1 || all[0].Name != want {
			t.Errorf("%s: got %v, want %s", ref, all, want)
		}
	}
	_, err := parseDebRef("deb:6.12/mips", "6.12/mips")
	if err == nil || !strings.Contains(err.Error(), "there are amd64, arm64, s390x") {
		t.Errorf("mips: got %v", err)
	}
}

func TestUnknownReferences(t *testing.T) {
	tests := []struct{ ref, reason, near string }{
		{"deb:6.13", "no such version", "deb:6.1 deb:6.12 deb:6.16 deb:7.3~rc7"},
		{"deb:6.12.100", "no such version", "deb:6.12.94 deb:6.12.95 deb:6.12.117 deb:6.16.12"},
		{"deb:9.9", "no such version", "deb:7.3~rc7 deb:7.3"},
		{"deb:4.19", "no such version", "deb:5.10 deb:6.1"},
		{"deb:6.1:cloudy", "no flavour cloudy-amd64", "deb:6.1 deb:6.1:amd64 deb:6.1:rt-amd64"},
		{"deb:forky", "no kernels in the suite forky", "deb:trixie deb:trixie-backports deb:experimental"},
		{"deb:trixi", "no such suite", "deb:trixie"},
		{"deb:nonsense", "no such suite; there are bullseye, ", ""},
		{"deb:", "no suite or version", ""},
		{"deb:6.12:", "no flavour after the colon", ""},
		{"deb:../etc", "no such suite", ""},
	}
	x := testIndex()
	for _, tt := range tests {
		r, err := parseDebRef(tt.ref, strings.TrimPrefix(tt.ref, "deb:"))
		if err == nil {
			err = x.unknown(tt.ref, r)
		}
		var bad *UsageError
		if !errors.As(err, &bad) || bad.Ref != tt.ref || !strings.Contains(bad.Reason, tt.reason) {
			t.Errorf("%s: got %v, want %q", tt.ref, err, tt.reason)
			continue
		}
		if got := strings.Join(bad.Near, " "); got != tt.near {
			t.Errorf("%s: near %q, want %q", tt.ref, got, tt.near)
		}
	}
}

// TestShortestRoundTrip: the reference that a list offers means that package.
func TestShortestRoundTrip(t *testing.T) {
	x := testIndex()
	seen := map[string]bool{}
	for _, a := range available(x, nil) {
		if seen[a.Ref] {
			t.Errorf("%s is offered twice", a.Ref)
		}
		seen[a.Ref] = true
		r, err := parseDebRef(a.Ref, strings.TrimPrefix(a.Ref, "deb:"))
		if err != nil {
			t.Fatal(err)
		}
		if got := x.choose(r); len(got) == 0 || got[0].Name != a.Package || got[0].Version != a.Version {
			t.Errorf("%s does not mean %s %s", a.Ref, a.Package, a.Version)
		}
		if a.Release == "6.12.117+deb13-cloud-amd64" && strings.Join(a.Suites, " ") != "trixie trixie-security" {
			t.Errorf("%s is in %v", a.Release, a.Suites)
		}
	}
	for _, want := range []string{"deb:6.12", "deb:7.3", "deb:7.3~rc7", "deb:6.12.94", "deb:6.1:amd64"} {
		if !seen[want] {
			t.Errorf("%s is not offered among %v", want, seen)
		}
	}
}

var versionOrder = []string{ // ascending
	"5.10.223-1", "6.1.176-1", "6.1.180-1~deb11u1", "6.1.180-1",
	"6.12.9-1", "6.12.95-1~bpo12+1", "6.12.95-1", "6.12.95-1.1", "6.12.95-2", "6.12.100-1",
	"7.3~rc4-1~exp1", "7.3~rc10-1~exp1", "7.3-1", "7.3.4-1~bpo13+1", "7.3.4-1", "7.3.4+dfsg-1", "1:0.1-1",
}

func TestCompareVersions(t *testing.T) {
	for i, a := range versionOrder {
		for j, b := range versionOrder {
			if got, want := compareVersions(a, b), sign(i-j); got != want {
				t.Errorf("compareVersions(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if compareVersions("6.01-1", "6.1-1") != 0 {
		t.Error("leading zeros count")
	}
}

// TestVersionOrder checks the table above against dpkg itself.
func TestVersionOrder(t *testing.T) {
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("needs dpkg to compare with")
	}
	for i, b := range versionOrder[1:] {
		if err := exec.Command("dpkg", "--compare-versions", versionOrder[i], "lt", b).Run(); err != nil {
			t.Errorf("dpkg does not say %s < %s", versionOrder[i], b)
		}
	}
}

// Patches apply to sources only, whether the file is there or not.
func TestPatchesNeedASource(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "here.patch", nil)
	write(t, "image+b.mbox", []byte("words"))
	for ref, near := range map[string]string{
		"deb:6.12+x.mbox":              "src:6.12+x.mbox",
		"deb:6.12+/nonexistent":        "src:6.12+/nonexistent",
		"deb:6.12.1+./a.mbox+b.patch":  "src:6.12.1+./a.mbox+b.patch",
		"deb:trixie+x.mbox":            "",
		"deb:6.12:amd64+patches/":      "",
		"oci:registry.test/x:1+x.mbox": "",
		"bzImage+here.patch":           "",
	} {
		_, err := Resolve(t.Context(), ref, Options{CacheDir: "cache", Offline: true})
		var bad *UsageError
		if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "patches need a source") ||
			strings.Join(bad.Near, " ") != near {
			t.Errorf("%s: %v, near %q", ref, err, bad)
		}
	}
	for ref, want := range map[string]string{
		"deb:6.12+deb13":        "none are cached", // a plus sign of a version
		"src:6.12+/nonexistent": "no patch file or directory /nonexistent",
		"image+b.mbox":          "not a kernel: a text file",
	} {
		if _, err := Resolve(t.Context(), ref, Options{CacheDir: "cache", Offline: true}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
}

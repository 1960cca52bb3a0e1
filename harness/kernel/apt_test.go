package kernel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tokentest/harness/arch"
)

func TestReadPackages(t *testing.T) {
	const packages = `Package: linux-image-6.1.0-50-cloud-amd64
Source: linux-signed-amd64 (6.1.176+1)
Version: 6.1.176-1
Depends: kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool
Description: Linux 6.1 for x86-64 cloud (signed)
 Filename: not this
Filename: pool/a.deb
Size: 123
SHA256: aa

Package: bash
Version: 5
Filename: pool/bash.deb

Package: linux-image-6.1.0-50-amd64-dbg
Version: 6.1.176-1
Filename: pool/dbg.deb

Package: linux-image-7.3.4+deb13-amd64
Version: 7.3.4-1~bpo13+1
Tag: ` + "\x78" + `%LONG%
Depends: dracut | x, linux-base-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1), ` +
		`linux-binary-7.3.4+deb13-amd64 (= 7.3.4-1~bpo13+1)
SHA256: bb
Filename: pool/b.deb
`
	long := strings.Repeat("x", 1<<17)
	got, err := readPackages(strings.NewReader(strings.Replace(packages, "%LONG%", long, 1)), "suite", arch.Default)
	if err != nil {
		t.Fatal(err)
	}
	want := []pkg{
		{Name: "linux-image-6.1.0-50-cloud-amd64", Version: "6.1.176-1", Suite: "suite", File: "pool/a.deb", SHA256: "aa",
			Size: 123},
		{Name: "linux-image-6.1.0-50-amd64-dbg", Version: "6.1.176-1", Suite: "suite", File: "pool/dbg.deb"},
		{
			Name: "linux-image-7.3.4+deb13-amd64", Version: "7.3.4-1~bpo13+1", Suite: "suite", File: "pool/b.deb", SHA256: "bb",
			Depends: []string{"linux-base-7.3.4+deb13-amd64", "linux-binary-7.3.4+deb13-amd64"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("got (+) differs from want (-):\n%s", diff)
	}
}

func TestParseMirror(t *testing.T) {
	tests := []struct {
		name, targets string
		want          mirror
	}{
		{"usual", "bookworm|main|http://m.test/debian/\nbookworm-updates|main|http://m.test/debian/\n" +
			"bookworm-security|main|http://s.test/debian-security/\n",
			mirror{"http://m.test/debian/", "http://s.test/debian-security/"}},
		{"third party first", "bookworm|main|https://vendor.test/apt/\ntrixie|main|http://m.test/debian\n",
			mirror{main: "http://m.test/debian"}},
		{"mirror below another path", "stable|main|http://m.test/cache/\nstable-security|main|http://m.test/cache-sec/\n",
			mirror{"http://m.test/cache/", "http://m.test/cache-sec/"}},
		{"older naming", "buster|main|http://m.test/debian/\nbuster/updates|main|http://m.test/debian-security/\n",
			mirror{"http://m.test/debian/", "http://m.test/debian-security/"}},
		{"other component", "bookworm|stable|https://vendor.test/debian/\n", mirror{}},
		{"disc", "bookworm|main|cdrom:[Debian 12]/\n", mirror{}},
		{"other distribution", "noble|main|http://u.test/ubuntu/\n", mirror{}},
		{"nothing", "", mirror{}},
	}
	for _, tt := range tests {
		if got := parseMirror(tt.targets); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestParseFailures(t *testing.T) {
	const out = `Hit:1 http://m.test/debian bullseye InRelease
W: Failed to fetch http://m.test/debian/dists/experimental/InRelease  Temporary failure resolving 'm.test'
W: GPG error: http://m.test/debian sid InRelease: The following signatures couldn't be verified: NO_PUBKEY 1
E: The repository 'http://m.test/debian sid InRelease' is not signed.
E: The repository 'http://m.test/debian forky Release' does not have a Release file.
W: An error occurred during the signature verification. The repository is not updated and the previous ` +
		`index files will be used. GPG error: http://s.test/debian-security trixie-security InRelease: bad signature
W: Some index files failed to download. They have been ignored, or old ones used instead.
`
	want := failures{
		"experimental":    "Temporary failure resolving 'm.test'",
		"sid":             "The following signatures couldn't be verified: NO_PUBKEY 1",
		"forky":           "does not have a Release file.",
		"trixie-security": "bad signature",
	}
	if diff := cmp.Diff(want, parseFailures(out)); diff != "" {
		t.Errorf("got (+) differs from want (-):\n%s", diff)
	}
}

// TestSettingsTrust: nothing here may weaken what the host's apt verifies.
func TestSettingsTrust(t *testing.T) {
	low := strings.ToLower(settings)
	for _, bad := range []string{"trusted", "allow-insecure", `repositories "true"`} {
		if strings.Contains(low, bad) {
			t.Errorf("settings contain %q", bad)
		}
	}
}

// Too little space is said before apt runs: apt would wait for ever.
func TestCheckRoom(t *testing.T) {
	a := &apt{dir: t.TempDir()}
	has := func(mib uint64) func(string) (uint64, error) {
		return func(string) (uint64, error) { return mib, nil }
	}
	if err := a.checkRoom(has(firstListsMiB)); err != nil {
		t.Errorf("enough for the first lists: %v", err)
	}
	if err := a.checkRoom(has(firstListsMiB - 1)); err == nil || !strings.Contains(err.Error(), "--cache") {
		t.Errorf("too little for the first lists: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(a.dir, "lists"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "lists", "x_Packages"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.checkRoom(has(updateListsMiB)); err != nil {
		t.Errorf("enough for an update: %v", err)
	}
	if err := a.checkRoom(has(updateListsMiB - 1)); err == nil {
		t.Error("too little for an update: no error")
	}
	if err := a.checkRoom(freeMiB); err != nil {
		t.Logf("the test's directory: %v", err)
	}
	if _, err := freeMiB(filepath.Join(a.dir, "nowhere")); err == nil {
		t.Error("no directory: no error")
	}
}

package main

import (
	"strings"
	"testing"
)

func TestFamily(t *testing.T) {
	for text, want := range map[string]string{
		"ID=debian\n": "debian", "NAME=x\nID=ubuntu\nID_LIKE=debian\n": "debian", "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "fedora",
		"ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n": "suse", "ID=other\n": "", "": "",
	} {
		if got := family(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestInstalls(t *testing.T) {
	list := []finding{{what: "qemu-system-x86_64", mend: "x"}, {what: "go"}, {what: "dpkg-deb", mend: "x"}, {what: "kvm", mend: "x"},
		{what: "kernel build", mend: "x", packages: []string{"flex", "bc"}}}
	for id, want := range map[string]string{"debian": "apt-get install -y qemu-system-x86 dpkg flex bc", "fedora": "dnf install -y qemu-system-x86-core dpkg", "": ""} {
		if got := installs(list, id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if got := installs(list[1:2], "debian"); got != "" {
		t.Errorf("nothing is missing: %q", got)
	}
}

func TestNewEnough(t *testing.T) {
	for has, want := range map[string]struct {
		state  string
		mended bool
	}{
		"go version go1.19.8 linux/amd64": {"too old", true}, "go version go1.22.1 linux/amd64": {"it fetches 1.26.0 once", false},
		"go version go1.26 linux/amd64": {"it fetches", false}, "go version go1.26.0 linux/amd64": {"go1.26.0 linux", false},
		"go version go1.27.1 linux/amd64": {"go1.27.1 linux", false}, "go version devel": {"devel", false},
	} {
		got := newEnough(finding{what: "go", state: has}, "1.26.0")
		if !strings.Contains(got.state, want.state) || (got.mend != "") != want.mended {
			t.Errorf("%s: %q, mend %q", has, got.state, got.mend)
		}
	}
}

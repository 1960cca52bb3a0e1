package main

import "testing"

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
	list := []finding{{what: "qemu-system-x86_64", mend: "x"}, {what: "go"}, {what: "dpkg-deb", mend: "x"}, {what: "kvm", mend: "x"}}
	for id, want := range map[string]string{"debian": "apt-get install -y qemu-system-x86 dpkg", "fedora": "dnf install -y qemu-system-x86-core dpkg", "": ""} {
		if got := installs(list, id); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if got := installs(list[1:2], "debian"); got != "" {
		t.Errorf("nothing is missing: %q", got)
	}
}

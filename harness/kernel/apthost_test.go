package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// foreign is a world on a host that is not Debian: its apt knows no mirror, and only what is named here is installed.
func foreign(t *testing.T, id string, programs ...string) *world {
	t.Helper()
	w := newWorld(t)
	w.opts.root = w.path("root")
	write(t, w.path("root/etc/os-release"), []byte("NAME=x\nID="+id+"\nVERSION_ID=1\n"))
	write(t, w.path("targets"), []byte("noble|main|http://mirror.test/ubuntu/\n"))
	bin := t.TempDir()
	for _, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	return w
}

// aptTools are what the fake programs call.
var aptTools = []string{"sh", "dirname", "cat", "cp", "sed", "ls", "basename", "printf", "tar", "xz"}

// On any host with apt, dpkg, a keyring and a mirror, packages are fetched as on Debian.
func TestForeignHost(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	w.opts.root = w.path("root")
	write(t, w.path("root/usr/lib/os-release"), []byte("ID=fedora\n"))
	write(t, w.path("root/usr/share/keyrings/debian-archive-keyring.gpg"), nil)
	write(t, w.path("targets"), nil)
	t.Setenv(MirrorVariable, "http://mirror.test/debian/")
	k, err := Resolve(t.Context(), "deb:6.1", w.opts)
	if err != nil || k.Release != "6.1.0-50-cloud-amd64" {
		t.Fatalf("got %v, %v", k, err)
	}
	sources := string(read(t, w.path("cache/apt/sources.list")))
	if !strings.Contains(sources, "signed-by="+w.path("root/usr/share/keyrings/debian-archive-keyring.gpg")+"] "+
		"http://mirror.test/debian/ bookworm main\n") || strings.Contains(sources, "-security") {
		t.Errorf("got %s", sources)
	}
	s, err := PackageSource(t.Context(), w.opts)
	if err != nil || !strings.HasPrefix(s, "http://mirror.test/debian/, verified by ") {
		t.Errorf("%s, %v", s, err)
	}
}

// For everything that a host lacks, one line says what to install and which other references there are.
func TestForeignHostLacks(t *testing.T) {
	all := append([]string{"apt-get", "apt-helper", "dpkg-deb"}, aptTools...)
	for _, c := range []struct {
		what     string
		programs []string
		keyring  bool
		id       string
		mirror   string
		want     string
	}{
		{"nothing", aptTools, true, "fedora", "",
			"need apt-get and dpkg-deb, which this host does not have: install the packages apt"},
		{"no dpkg", append([]string{"apt-get", "apt-helper"}, aptTools...), true, "arch", "", "need dpkg-deb, which"},
		{"no helper", append([]string{"apt-get", "dpkg-deb"}, aptTools...), true, "arch", "", "need apt-helper, which"},
		{"no keyring", all, false, "ubuntu", "", "need the keyring of Debian's archive, which this host does not have"},
		{"no mirror", all, true, "ubuntu", "", "name one in TOKENTEST_MIRROR"},
		{"no mirror on Debian", all, false, "debian", "", "name one in TOKENTEST_MIRROR"},
		{"a bad mirror", all, true, "ubuntu", "mirror.test/debian",
			`TOKENTEST_MIRROR="mirror.test/debian": must be the address`},
		{"a worse mirror", all, true, "ubuntu", "http://a/b http://c/d e", "must be the address"},
		{"a blank mirror", all, true, "ubuntu", " ", "TOKENTEST_MIRROR is blank"},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := foreign(t, c.id, c.programs...)
			if c.keyring {
				write(t, w.path("root/usr/share/keyrings/debian-archive-keyring.pgp"), nil)
			}
			t.Setenv(MirrorVariable, c.mirror)
			for _, ref := range []string{"deb:6.12", "src:6.12"} {
				k, err := Resolve(t.Context(), ref, w.opts)
				if err == nil || !strings.Contains(err.Error(), c.want) ||
					c.mirror == "" && !strings.Contains(err.Error(), "oci:IMAGE") {
					t.Errorf("%s: %v, %v", ref, k, err)
				}
				if s, err := PackageSource(t.Context(), w.opts); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, %v", s, err)
				}
			}
		})
	}
}

// A helper outside of PATH is found where distributions have it.
func TestFindHelper(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	root := t.TempDir()
	if got := findHelper(root); got != "" {
		t.Errorf("got %s", got)
	}
	for _, dir := range []string{"usr/lib64/apt", "usr/libexec/apt", "usr/lib/apt"} { // the preferred one last
		path := write(t, filepath.Join(root, dir, "apt-helper"), []byte("#!/bin/sh\n"))
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := findHelper(root); got != path {
			t.Errorf("%s: got %s", dir, got)
		}
	}
}

package kernel

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/lab/labtest"
	"tokentest/kconfig"
)

// publishSource packages a tree that builds like a kernel as Debian packages sources.
func (w *world) publishSource(suite, version string) {
	w.t.Helper()
	name := "linux-source-" + strings.Join(strings.Split(version, ".")[:2], ".")
	tree := w.path("source", name)
	if err := labtest.Source(tree); err != nil {
		w.t.Fatal(err)
	}
	tar := w.path(name + ".tar.xz")
	if out, err := exec.Command("tar", "-cJf", tar, "-C", filepath.Dir(tree), name).CombinedOutput(); err != nil {
		w.t.Fatalf("tar: %v\n%s", err, out)
	}
	packed, err := os.ReadFile(tar)
	if err != nil {
		w.t.Fatal(err)
	}
	w.publish(suite, name, version, nil, map[string][]byte{"usr/src/" + name + ".tar.xz": packed})
}

// newSources is a mirror with sources, on a host that can build.
func newSources(t *testing.T) *world {
	t.Helper()
	for _, need := range []string{"git", "make", "tar", "xz"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skip(err)
		}
	}
	w := newWorld(t)
	tools := w.path("tools")
	if err := labtest.Tools(tools); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	f, err := kconfig.ParseFragment("mine.config", []byte("CONFIG_NET=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Build.Fragments = []*kconfig.Fragment{f}
	w.old("bookworm", "6.12.117-cloud-amd64", "6.12.117-1") // a mirror without a kernel is not used
	w.publishSource("bookworm", "6.1.150-1")
	w.publishSource("bookworm", "6.12.117-1")
	return w
}

// The newest sources of the version are fetched and unpacked once. They are also used when the
// mirror is down later.
func TestSourcePackage(t *testing.T) {
	w := newSources(t)
	k := w.resolve("src:6.12")
	if k.Release != labtest.Release || k.Source != "linux-source-6.12 6.12.117-1" ||
		!w.logged("fetching linux-source-6.12 6.12.117-1") {
		t.Errorf("got %+v, %q", k, w.log)
	}
	w.log = nil
	if again := w.resolve("src:6.12"); again.Digest != k.Digest || !w.logged("is built already") || w.logged("unpacking") {
		t.Errorf("once more: got %+v, %q", again, w.log)
	}
	write(t, w.path("down"), nil)
	if err := os.RemoveAll(w.path("cache/apt")); err != nil {
		t.Fatal(err)
	}
	w.log = nil
	if again := w.resolve("src:6.12"); again.Digest != k.Digest ||
		!w.logged("using the sources of linux-source-6.12 6.12.117-1 that are here") {
		t.Errorf("without a mirror: got %+v, %q", again, w.log)
	}
	if _, err := Resolve(t.Context(), "src:6.1", w.opts); err == nil ||
		!strings.Contains(err.Error(), "Temporary failure") {
		t.Errorf("without a mirror and without sources: got %v", err)
	}
	if _, err := os.Stat(w.path("script-ran")); err == nil {
		t.Error("a script of the package ran")
	}
}

func TestSourceOfPatches(t *testing.T) {
	w := newSources(t)
	plain := w.resolve("src:6.12")
	mbox := write(t, w.path("fix.mbox"),
		[]byte("From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@test>\n"+
			"Date: Tue, 1 Jul 2025 00:00:00 +0000\nSubject: [PATCH] add\n\n---\n new.c | 1 +\n 1 file changed, 1 "+
			"insertion(+)\n create mode 100644 new.c\n\n"+
			"diff --git a/new.c b/new.c\nnew file mode 100644\nindex 0000000..f2ad6c7\n--- /dev/null\n+++ b/new.c\n@@ -0,0 +1 "+
			"@@\n+int new;\n-- \n2.39\n"))
	patched := w.resolve("src:6.12+" + mbox)
	if patched.Image == plain.Image || patched.Source != "linux-source-6.12 6.12.117-1 with 1 patch" {
		t.Errorf("got %+v, and without the patch %+v", patched, plain)
	}
}

func TestSourceErrors(t *testing.T) {
	w := newSources(t)
	var usage *UsageError
	if _, err := Resolve(t.Context(), "src:5.4", w.opts); !errors.As(err, &usage) ||
		strings.Join(usage.Near, " ") != "src:6.12 src:6.1" {
		t.Errorf("no such version: got %v", err)
	}
	w.publish("bookworm", "linux-source-6.16", "6.16.1-1", nil, map[string][]byte{"usr/share/doc/empty": nil})
	w.publish("bookworm", "linux-source-6.17", "6.17.1-1", nil,
		map[string][]byte{"usr/src/linux-source-6.17.tar.xz": []byte("no archive")})
	if err := os.RemoveAll(w.path("cache/apt")); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"src:6.16": "unpack linux-source-6.16 6.16.1-1: it holds no /usr/src/linux-source-*.tar",
		"src:6.17": "unpack linux-source-6.17 6.17.1-1: ",
	} {
		if _, err := Resolve(t.Context(), ref, w.opts); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", ref, err, want)
		}
	}
	w.opts.Offline = true
	if _, err := Resolve(t.Context(), "src:6.1", w.opts); err == nil ||
		!strings.Contains(err.Error(), "--offline forbids the network") {
		t.Errorf("offline: got %v", err)
	}
	if left, _ := filepath.Glob(w.path("cache/trees/.*")); len(left) > 0 {
		t.Errorf("left in the cache: %q", left)
	}
	if trees, _ := filepath.Glob(w.path("cache/trees/*")); len(trees) > 0 {
		t.Errorf("half a tree is in the cache: %q", trees)
	}
}

// The cache that tests of other packages begin with has an index that is read, so that none of them needs the network.
func TestLabtestCacheIsRead(t *testing.T) {
	dir := t.TempDir()
	if err := labtest.Cache(dir, ""); err != nil {
		t.Fatal(err)
	}
	x, err := loadIndex(filepath.Join(dir, "apt", "index.json"))
	if err != nil || len(x.Packages) != len(labtest.Packaged)+1 {
		t.Errorf("got %+v, %v; want %d kernels and a source package", x, err, len(labtest.Packaged))
	}
}

// The sources of a kernel are in the cache, or where its reference says.
func TestTreeOf(t *testing.T) {
	cache, dir := t.TempDir(), t.TempDir()
	src := filepath.Join(cache, "trees", "linux-source-6.12_6.12.118-1", "src")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][3]string{
		{"src:6.12", "linux-source-6.12 6.12.118-1", src},
		{"src:6.12", "linux-source-6.12 6.12.118-1 with 1 patch", src},
		{"src:6.12", "linux-source-6.12 6.12.119-1", ""},
		{"tree:" + dir, dir, dir},
		{"deb:6.12", "linux-image-6.12 6.12.118-1", ""},
		{"src:", "", ""},
	} {
		if got := TreeOf(tt[0], tt[1], cache); got != tt[2] {
			t.Errorf("%s, %s: got %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

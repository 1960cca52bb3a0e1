package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"tokentest/harness/cachedir"
)

// world is a fake host with a fake mirror: apt-get and apt-helper are scripts that log their
// calls, dpkg-deb is the real program.
type world struct {
	t    *testing.T
	dir  string
	opts Options

	mu  sync.Mutex
	log []string
}

// The scripts read the mirror's state from files beside them, so that a test
// can change it between two calls.
const fakeAptGet = `#!/bin/sh
here=$(dirname "$0")/..
echo "apt-get $*" >>"$here/calls"
case "$*" in
*"--no-release-info indextargets --format"*) cat "$here/targets" ;;
*" update")
	if [ -e "$here/down" ]; then
		sed -n 's|^deb \[.*\] \([^ ]*\) \([^ ]*\) main$|W: Failed to fetch \1dists/\2/InRelease  Temporary failure|p' \
			"$(dirname "$2")/sources.list"
		exit
	fi
	for suite in $(ls "$here/lists"); do
		list=$(dirname "$2")/lists/mirror.test_debian_dists_${suite}_
		cp "$here/lists/$suite" "${list}main_binary-amd64_Packages.x"
		printf 'Origin: Debian\nSuite: role-of-%s\nCodename: x\n' "$suite" >"${list}InRelease"
	done
	[ -e "$here/lost" ] || exit 0
	echo "E: The repository 'http://mirror.test/debian forky Release' does not have a Release file."
	exit 100 ;;
esac
exit 0
`

const fakeAptHelper = `#!/bin/sh
here=$(dirname "$0")/..
echo "apt-helper $*" >>"$here/calls"
case "$1" in
cat-file) exec cat "$2" ;;
esac
[ -e "$here/down" ] && { echo "E: Failed to fetch $4  Temporary failure"; exit 100; }
[ -e "$here/slow" ] && { { echo began; exec sleep 600; } >"$here/slow" & wait; }
case "$6" in SHA256:?*) ;; *) echo "E: no digest"; exit 100 ;; esac
deb=$here/pool/$(basename "$4")
[ -e "$deb" ] || { echo "E: Failed to fetch $4  404  Not Found [IP: 192.0.2.1 80]"; exit 100; }
cp "$deb" "$5"
`

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("needs dpkg-deb to build and to unpack packages")
	}
	w := &world{t: t, dir: t.TempDir()}
	for name, script := range map[string]string{"apt-get": fakeAptGet, "apt-helper": fakeAptHelper} {
		write(t, w.path("bin", name), []byte(script))
		if err := os.Chmod(w.path("bin", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, w.path("targets"),
		[]byte("bookworm|main|http://mirror.test/debian/\nbookworm-security|main|http://mirror.test/debian-security/\n"))
	t.Setenv("PATH", w.path("bin")+":"+os.Getenv("PATH"))
	w.opts = Options{CacheDir: w.path("cache"), Log: func(format string, args ...any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.log = append(w.log, fmt.Sprintf(format, args...))
	}}
	return w
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// publish builds a package and lists it. Its maintainer scripts would leave a
// trace, and nothing may run them.
func (w *world) publish(suite, name, version string, depends []string, files map[string][]byte) {
	w.t.Helper()
	tree := w.path("trees", name)
	for path, content := range files {
		write(w.t, filepath.Join(tree, path), content)
	}
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: Nobody <n@test>\nDescription: x\n",
		name, version)
	write(w.t, filepath.Join(tree, "DEBIAN/control"), []byte(control))
	for _, script := range []string{"preinst", "postinst"} {
		path := write(w.t, filepath.Join(tree, "DEBIAN", script), []byte("#!/bin/sh\ntouch "+w.path("script-ran")+"\n"))
		if err := os.Chmod(path, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	deb := name + "_" + version + "_amd64.deb"
	if err := os.MkdirAll(w.path("pool"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "-Zxz", "--root-owner-group", "-b", tree,
		w.path("pool", deb)).CombinedOutput(); err != nil {
		w.t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	sum, err := cachedir.Digest(w.path("pool", deb))
	if err != nil {
		w.t.Fatal(err)
	}
	var deps strings.Builder
	for _, d := range depends {
		fmt.Fprintf(&deps, ", %s (= %s)", d, version)
	}
	w.list(suite, fmt.Sprintf("Package: %s\nVersion: %s\nDepends: kmod%s\nFilename: pool/main/l/%s\nSize: 1000\nSHA256: "+
		"%s\n\n", name, version, deps.String(), deb, sum))
}

func (w *world) list(suite, stanza string) {
	w.t.Helper()
	old, _ := os.ReadFile(w.path("lists", suite))
	write(w.t, w.path("lists", suite), append(old, stanza...))
}

const modularVirtio = "CONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_CONSOLE=m\n"

// old is a kernel as it was packed up to 6.18, with modules.
func (w *world) old(suite, release, version string) {
	w.publish(suite, "linux-image-"+release, version, nil, map[string][]byte{
		"boot/vmlinuz-" + release:                                             bzImage(release),
		"boot/config-" + release:                                              []byte(modularVirtio),
		"lib/modules/" + release + "/kernel/drivers/virtio/virtio.ko":         module("virtio_ring"),
		"lib/modules/" + release + "/kernel/drivers/virtio/virtio_ring.ko.xz": xzPacked(w.t, module("")),
		"lib/modules/" + release + "/kernel/drivers/virtio/virtio_pci.ko":     module("virtio_ring,virtio,odd-helper"),
		"lib/modules/" + release + "/kernel/drivers/char/virtio_console.ko.zst": zstdPacked(w.t,
			module("virtio_ring,virtio,builtin")),
		"lib/modules/" + release + "/kernel/lib/odd-helper.ko":                   module(""),
		"lib/modules/" + release + "/kernel/drivers/net/virtio_net.ko":           module("failover"),
		"lib/modules/" + release + "/kernel/drivers/net/ethernet/other/other.ko": []byte("not even ELF"),
	})
}

// split is a kernel as it is packed since 6.19.
func (w *world) split(suite, release, version, virtio string) {
	base := "usr/lib/modules/" + release
	w.publish(suite, "linux-image-"+release, version,
		[]string{"linux-base-" + release, "linux-binary-" + release, "linux-modules-" + release}, nil)
	w.publish(suite, "linux-base-"+release, version, nil, map[string][]byte{
		base + "/config": []byte("CONFIG_VIRTIO_PCI=" + virtio + "\nCONFIG_VIRTIO_CONSOLE=" + virtio + "\n"),
	})
	w.publish(suite, "linux-binary-"+release, version, nil, map[string][]byte{base + "/vmlinuz": bzImage(release)})
	w.publish(suite, "linux-modules-"+release, version, nil, map[string][]byte{
		base + "/kernel/drivers/virtio/virtio_pci.ko":   module(""),
		base + "/kernel/drivers/char/virtio_console.ko": module(""),
	})
}

func xzPacked(t *testing.T, b []byte) []byte {
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstdPacked(t *testing.T, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func (w *world) resolve(ref string) *Kernel {
	w.t.Helper()
	k, err := Resolve(w.t.Context(), ref, w.opts)
	if err != nil {
		w.t.Fatalf("Resolve(%s): %v", ref, err)
	}
	return k
}

// calls returns the programs that ran since its last call.
func (w *world) calls() string {
	w.t.Helper()
	b, _ := os.ReadFile(w.path("calls"))
	os.Remove(w.path("calls"))
	return string(b)
}

func (w *world) logged(part string) bool {
	return slices.ContainsFunc(w.log, func(l string) bool { return strings.Contains(l, part) })
}

// leftovers are files of the cache that belong to no whole entry.
func (w *world) leftovers() []string {
	var left []string
	entries, _ := os.ReadDir(w.path("cache/kernels"))
	for _, e := range entries {
		if len(e.Name()) != 64 {
			left = append(left, e.Name())
		}
	}
	return left
}

func names(modules []Module) string {
	var all []string
	for _, m := range modules {
		all = append(all, m.Name)
	}
	return strings.Join(all, " ")
}

func TestOldLayout(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	k := w.resolve("deb:6.1")
	if k.Release != "6.1.0-50-cloud-amd64" || k.Format != BzImage ||
		k.Source != "linux-image-6.1.0-50-cloud-amd64 6.1.176-1 bookworm" {
		t.Errorf("got %+v", k)
	}
	if !k.Config.Has("VIRTIO_PCI") || k.ConfigPath == "" {
		t.Errorf("config %v of %q", k.Config, k.ConfigPath)
	}
	if got, want := names(k.Modules), "virtio_ring virtio odd_helper virtio_pci virtio_console"; got != want {
		t.Errorf("modules %q, want %q", got, want)
	}
	for _, m := range k.Modules {
		if b, err := os.ReadFile(m.Path); err != nil || !bytes.HasPrefix(b, []byte("\x7fELF")) {
			t.Errorf("module %s is not there, or still compressed: %v", m.Name, err)
		}
	}
	if exists(w.dir, "script-ran") {
		t.Error("a maintainer script ran")
	}
	if debs, _ := filepath.Glob(w.path("cache/*/*/*.deb")); len(debs) > 0 || len(w.leftovers()) > 0 {
		t.Errorf("left behind: %v %v", debs, w.leftovers())
	}
	sources, _ := os.ReadFile(w.path("cache/apt/sources.list"))
	if strings.Contains(string(sources), "trusted=") || !strings.Contains(string(sources),
		"http://mirror.test/debian-security/ trixie-security main") {
		t.Errorf("sources:\n%s", sources)
	}
}

func TestSecondRunNeedsNothing(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	first := w.resolve("deb:6.1")
	w.calls()
	t.Setenv("PATH", "/nonexistent")
	second := w.resolve("deb:6.1")
	if second.Digest != first.Digest || names(second.Modules) != names(first.Modules) ||
		len(second.Config) != len(first.Config) {
		t.Errorf("got %+v, then %+v", first, second)
	}
	if calls := w.calls(); calls != "" {
		t.Errorf("the second run ran\n%s", calls)
	}
	if !w.logged("cached; package lists of less than a minute ago") {
		t.Errorf("the age is not said: %q", w.log)
	}
}

func TestSplitLayout(t *testing.T) {
	tests := []struct {
		virtio, modules string
		fetched         bool
	}{
		{"y", "", false},
		{"m", "virtio_pci virtio_console", true},
	}
	for _, tt := range tests {
		t.Run("virtio="+tt.virtio, func(t *testing.T) {
			w := newWorld(t)
			w.split("trixie-backports", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", tt.virtio)
			k := w.resolve("deb:7.3")
			if k.Release != "7.3.4+deb13-cloud-amd64" || k.Config.Value("VIRTIO_PCI") != tt.virtio ||
				names(k.Modules) != tt.modules {
				t.Errorf("got %+v", k)
			}
			if got := strings.Contains(w.calls(), "/linux-modules-7.3.4"); got != tt.fetched {
				t.Errorf("modules fetched: %t, want %t", got, tt.fetched)
			}
		})
	}
}

func TestPackagesLostByTheMirror(t *testing.T) {
	w := newWorld(t)
	w.split("trixie-backports", "7.0.12+deb13-cloud-amd64", "7.0.12-1~bpo13+1", "y")
	w.split("trixie-backports", "7.0.13+deb13-cloud-amd64", "7.0.13-1~bpo13+1", "y")
	lists, _ := os.ReadFile(w.path("lists/trixie-backports"))
	lose := strings.NewReplacer("Package: linux-base-7.0.13", "Package: x", "Package: linux-modules-7.0.13", "Package: x")
	write(t, w.path("lists/trixie-backports"), []byte(lose.Replace(string(lists))))

	if k := w.resolve("deb:7.0"); k.Release != "7.0.12+deb13-cloud-amd64" || !w.logged("7.0.13-1~bpo13+1 is newer, but") {
		t.Errorf("got %s, want the whole one; log %q", k.Release, w.log)
	}
	k := w.resolve("deb:7.0.13")
	if k.Release != "7.0.13+deb13-cloud-amd64" || k.Config != nil || len(k.Modules) > 0 {
		t.Errorf("got %+v, want an image of which nothing more is known", k)
	}
	if !w.logged("is unknown: the mirror no longer has linux-base-7.0.13+deb13-cloud-amd64 and linux-modules") {
		t.Errorf("the loss is not said: %q", w.log)
	}
}

func TestPartsAreOfOneVersion(t *testing.T) {
	x := &index{Packages: []pkg{
		{Name: "linux-base-7.3-amd64", Version: "7.3~rc6-1", Suite: "sid"},
		{Name: "linux-base-7.3-amd64", Version: "7.3~rc7-1", Suite: "sid", File: "other suite"},
		{Name: "linux-base-7.3-amd64", Version: "7.3~rc7-1", Suite: "experimental", File: "own suite"},
	}}
	p := image{pkg: pkg{Version: "7.3~rc7-1", Suite: "experimental", Depends: []string{"linux-base-7.3-amd64"}}}
	if parts, lost := x.parts(p); len(parts) != 2 || parts[1].File != "own suite" || lost != nil {
		t.Errorf("got %+v, lost %v", parts, lost)
	}
	p.Suite = "forky"
	if parts, _ := x.parts(p); len(parts) != 2 || parts[1].Version != p.Version {
		t.Errorf("got %+v, want another suite's of the same version", parts)
	}
}

func TestNewestIsGone(t *testing.T) {
	w := newWorld(t)
	w.old("bullseye-security", "5.10.0-44-cloud-amd64", "5.10.251-1")
	w.old("bullseye-security", "5.10.0-45-cloud-amd64", "5.10.255-1")
	os.Remove(w.path("pool/linux-image-5.10.0-45-cloud-amd64_5.10.255-1_amd64.deb"))
	if k := w.resolve("deb:5.10"); k.Release != "5.10.0-44-cloud-amd64" {
		t.Errorf("got %s, want the next newest", k.Release)
	}
	if !w.logged("linux-image-5.10.0-45-cloud-amd64 5.10.255-1: the mirror's list has it, the mirror does not; taking " +
		"the next newest") {
		t.Errorf("not said: %q", w.log)
	}
	w.calls()
	w.resolve("deb:5.10")
	if calls := w.calls(); calls != "" {
		t.Errorf("the second run asked again:\n%s", calls)
	}
	os.Remove(w.path("pool/linux-image-5.10.0-44-cloud-amd64_5.10.251-1_amd64.deb"))
	os.RemoveAll(w.path("cache/kernels"))
	if _, err := Resolve(t.Context(), "deb:5.10", w.opts); err == nil ||
		!strings.Contains(err.Error(), "all of the 2 packages that match are gone") {
		t.Errorf("got %v", err)
	}
}

func TestDamagedEntries(t *testing.T) {
	tests := map[string]func(w *world, entry string) error{
		"changed image": func(w *world, e string) error {
			return os.WriteFile(filepath.Join(e, imageFile), bzImage("9.9"), 0o644)
		},
		"cut config":    func(w *world, e string) error { return os.Truncate(filepath.Join(e, configFile), 3) },
		"lost module":   func(w *world, e string) error { return os.Remove(filepath.Join(e, "virtio.ko")) },
		"cut manifest":  func(w *world, e string) error { return os.Truncate(filepath.Join(e, cachedir.ManifestFile), 30) },
		"lost manifest": func(w *world, e string) error { return os.Remove(filepath.Join(e, cachedir.ManifestFile)) },
		"other image": func(w *world, e string) error { // the manifest agrees with the files, not with the name
			b, err := os.ReadFile(filepath.Join(e, cachedir.ManifestFile))
			if err != nil {
				return err
			}
			other := bzImage("9.9")
			write(w.t, filepath.Join(e, imageFile), other)
			sum, err := cachedir.Digest(filepath.Join(e, imageFile))
			b = bytes.Replace(b, []byte(`"vmlinuz": "`+filepath.Base(e)), []byte(`"vmlinuz": "`+sum), 1)
			return errors.Join(err, os.WriteFile(filepath.Join(e, cachedir.ManifestFile), b, 0o644))
		},
		"moved": func(w *world, e string) error { return os.Rename(e, e[:len(e)-1]+"!") },
		"half filled one": func(w *world, e string) error {
			temp := w.path("cache/kernels/.fill-linux-image-6.1.0-50-cloud-amd64_6.1.176-1")
			write(w.t, filepath.Join(temp, "junk"), nil)
			write(w.t, filepath.Join(e, "junk"), nil)
			return errors.Join(os.Remove(filepath.Join(e, cachedir.ManifestFile)), os.Rename(e, filepath.Join(temp, entryDir)))
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
			first := w.resolve("deb:6.1")
			if err := damage(w, filepath.Dir(first.Image)); err != nil {
				t.Fatal(err)
			}
			offline := w.opts
			offline.Offline = true
			if k, err := Resolve(t.Context(), "deb:6.1", offline); err == nil {
				t.Errorf("used without a network: %+v", k)
			}
			second := w.resolve("deb:6.1")
			if second.Digest != first.Digest || names(second.Modules) != names(first.Modules) {
				t.Errorf("got %+v, then %+v", first, second)
			}
			if got, err := cachedir.Digest(second.Image); err != nil || got != first.Digest {
				t.Errorf("the image is %s, %v", got, err)
			}
			if exists(filepath.Dir(second.Image), "junk") {
				t.Error("files of the half filled entry are in the new one")
			}
			if left := w.leftovers(); len(left) > 0 && name != "moved" {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestBadPackages(t *testing.T) {
	const release, version = "6.1.0-50-cloud-amd64", "6.1.176-1"
	tests := []struct {
		name  string
		files map[string][]byte
		cut   bool
		want  string
	}{
		{"truncated", map[string][]byte{"boot/vmlinuz-" + release: bzImage(release)}, true,
			"unpack package linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb: "},
		{"no image", map[string][]byte{"boot/config-" + release: []byte("CONFIG_A=y\n")}, false,
			"no kernel image in its packages"},
		{"image is none", map[string][]byte{"boot/vmlinuz-" + release: []byte("hello\n")}, false,
			"its image is not a kernel: a text file"},
		{"bad config", map[string][]byte{"boot/vmlinuz-" + release: bzImage(release),
			"boot/config-" + release: []byte("?\n")}, false, "config: line 1"},
		{"lost module", map[string][]byte{
			"boot/vmlinuz-" + release: bzImage(release),
			"boot/config-" + release:  []byte("CONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_CONSOLE=m\n"),
		}, false, "find virtio_pci: no such module in the packages"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.publish("bookworm", "linux-image-"+release, version, nil, tt.files)
			if tt.cut {
				deb := w.path("pool", "linux-image-"+release+"_"+version+"_amd64.deb")
				b, err := os.ReadFile(deb)
				if err != nil {
					t.Fatal(err)
				}
				write(t, deb, b[:len(b)*3/4])
			}
			_, err := Resolve(t.Context(), "deb:6.1", w.opts)
			var usage *UsageError
			if err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
			if left := w.leftovers(); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestMirrorIsDown(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	write(t, w.path("down"), nil)
	_, err := Resolve(t.Context(), "deb:6.1", w.opts)
	var usage *UsageError
	if err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), "update package lists: ") {
		t.Errorf("got %v, want the mirror's fault", err)
	}
	os.Remove(w.path("down"))
	first := w.resolve("deb:6.1")
	write(t, w.path("down"), nil)

	refresh := w.opts
	refresh.Refresh = true
	w.calls()
	second, err := Resolve(t.Context(), "deb:6.1", refresh)
	if err != nil || second.Digest != first.Digest {
		t.Fatalf("got %v, %v", second, err)
	}
	if !strings.Contains(w.calls(), " update\n") ||
		!w.logged("package lists are less than a minute old: update package lists: Temporary failure") {
		t.Errorf("the mirror was not asked, or it is not said: %q", w.log)
	}

	os.Remove(w.path("cache/apt/index.json")) // and then not even lists
	third, err := Resolve(t.Context(), "deb:6", w.opts)
	if err != nil || third.Digest != first.Digest ||
		!w.logged("using the cached linux-image-6.1.0-50-cloud-amd64 6.1.176-1 bookworm for deb:6") {
		t.Errorf("got %v, %v; log %q", third, err, w.log)
	}
}

func TestIndexGrowsOld(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	w.resolve("deb:6.1")
	w.old("bookworm-security", "6.1.0-56-cloud-amd64", "6.1.192-2")
	if k := w.resolve("deb:6.1"); k.Release != "6.1.0-50-cloud-amd64" {
		t.Errorf("got %s although the lists are recent", k.Release)
	}
	path := w.path("cache/apt/index.json")
	x, err := loadIndex(path)
	if err != nil {
		t.Fatal(err)
	}
	x.Time = x.Time.Add(-maxAge)
	if err := x.save(path); err != nil {
		t.Fatal(err)
	}
	offline := w.opts
	offline.Offline = true
	if k, err := Resolve(t.Context(), "deb:6.1", offline); err != nil || k.Release != "6.1.0-50-cloud-amd64" {
		t.Errorf("offline: got %v, %v", k, err)
	}
	if k := w.resolve("deb:6.1"); k.Release != "6.1.0-56-cloud-amd64" {
		t.Errorf("got %s although the lists are old", k.Release)
	}
}

// TestSuiteOfTheMirrorFails: one suite's error does not lose the others.
func TestSuiteOfTheMirrorFails(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	write(t, w.path("lost"), nil)
	if k := w.resolve("deb:6.1"); k.Release != "6.1.0-50-cloud-amd64" {
		t.Errorf("got %s", k.Release)
	}
	if !w.logged("suite forky is not up to date or left out: does not have a Release file.") {
		t.Errorf("not said: %q", w.log)
	}
	x, err := loadIndex(w.path("cache/apt/index.json"))
	if err != nil || len(x.Suites) != 1 || x.Suites["bookworm"] != "role-of-bookworm" {
		t.Errorf("suites %v, %v", x, err)
	}
}

func TestUnknownAgainstTheMirror(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	_, err := Resolve(t.Context(), "deb:6.2", w.opts)
	var bad *UsageError
	if !errors.As(err, &bad) || !slices.Equal(bad.Near, []string{"deb:6.1"}) {
		t.Errorf("got %v, want deb:6.1 near", err)
	}
}

func TestParallelResolvesFetchOnce(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			if _, err := Resolve(t.Context(), "deb:6.1", w.opts); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	calls := w.calls()
	if n := strings.Count(calls, "download-file"); n != 1 {
		t.Errorf("%d downloads, want 1", n)
	}
	if n := strings.Count(calls, " update\n"); n != 1 {
		t.Errorf("%d updates, want 1", n)
	}
}

func TestListAndCached(t *testing.T) {
	w := newWorld(t)
	w.old("bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1")
	w.split("trixie-backports", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1", "y")
	if got, err := Cached(w.opts); err != nil || len(got) != 0 {
		t.Errorf("Cached of nothing = %v, %v", got, err)
	}
	w.resolve("deb:6.1")
	all, err := List(t.Context(), w.opts)
	if err != nil || len(all) != 2 {
		t.Fatalf("List = %+v, %v", all, err)
	}
	want := Available{
		Package: "linux-image-6.1.0-50-cloud-amd64", Version: "6.1.176-1", Release: "6.1.0-50-cloud-amd64",
		Flavour: "cloud-amd64", Ref: "deb:6.1", Cached: true,
	}
	if all[0].Ref != "deb:7.3" || all[0].Cached || fmt.Sprint(all[1].Suites) != "[bookworm]" {
		t.Errorf("List = %+v", all)
	}
	os.Remove(w.path("cache/apt/index.json"))
	cached, err := Cached(w.opts)
	if err != nil || fmt.Sprintf("%+v", cached) != fmt.Sprintf("%+v", []Available{want}) {
		t.Errorf("Cached without lists = %+v, %v, want %+v", cached, err, want)
	}
}

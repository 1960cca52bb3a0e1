package kernel

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// dock is a registry on loopback and a cache.
type dock struct {
	t        *testing.T
	host     string
	o        Options
	down     atomic.Bool
	requests atomic.Int32
	mu       sync.Mutex
	said     []string
}

func newDock(t *testing.T) *dock {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	d := &dock{t: t}
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.requests.Add(1)
		if d.down.Load() {
			w.WriteHeader(http.StatusTeapot) // an answer that is not tried again
			return
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	d.host = strings.TrimPrefix(server.URL, "http://")
	d.o = Options{CacheDir: t.TempDir(), Log: func(format string, args ...any) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.said = append(d.said, fmt.Sprintf(format, args...))
	}}
	return d
}

// push makes an image of layers of files, and returns its reference and its digest.
func (d *dock) push(tag string, layers ...map[string]string) (ref, digest string) {
	d.t.Helper()
	img := v1.Image(empty.Image)
	for _, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, path := range slices.Sorted(maps.Keys(files)) {
			h := &tar.Header{Name: path, Mode: 0o644, Size: int64(len(files[path])), Typeflag: tar.TypeReg}
			if target, ok := strings.CutPrefix(files[path], "-> "); ok {
				h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, target, 0
			}
			if err := w.WriteHeader(h); err != nil {
				d.t.Fatal(err)
			}
			if h.Size > 0 {
				w.Write([]byte(files[path]))
			}
		}
		w.Close()
		var err error
		if img, err = mutate.AppendLayers(img, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer)); err != nil {
			d.t.Fatal(err)
		}
	}
	n, err := name.ParseReference(d.host + "/kernels:" + tag)
	if err == nil {
		err = remote.Write(n, img)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	id, _ := img.Digest()
	return "oci:" + n.Name(), id.String()
}

// get resolves a reference that must work.
func (d *dock) get(ref string) *Kernel {
	d.t.Helper()
	k, err := Resolve(d.t.Context(), ref, d.o)
	if err != nil {
		d.t.Fatal(err)
	}
	return k
}

// moduleNames of a kernel, each of which is a file.
func moduleNames(t *testing.T, k *Kernel) (names []string) {
	t.Helper()
	for _, m := range k.Modules {
		names = append(names, m.Name)
		if _, err := os.Stat(m.Path); err != nil {
			t.Error(err)
		}
	}
	return names
}

const needsModules = "CONFIG_64BIT=y\nCONFIG_VIRTIO_PCI=m\nCONFIG_VIRTIO_CONSOLE=m\n"

// The catalogues' ways to lay out an image.
func TestOCILayouts(t *testing.T) {
	d := newDock(t)
	lvh := map[string]string{}
	for path, text := range map[string]string{"boot/vmlinuz-6.9.0": string(bzImage("6.9.0")),
		"boot/vmlinux-6.9.0": "symbols",
		"boot/config-6.9.0":  "CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n", "boot/System.map-6.9.0": "x"} {
		lvh["data/kernels/bpf-next/"+path] = text
	}
	for what, c := range map[string]struct {
		files   []map[string]string
		release string
		config  bool
		modules []string
	}{
		"ci-kernels": {[]map[string]string{{"boot/vmlinuz": string(bzImage("6.12.1"))}}, "6.12.1", false, nil},
		"lvh":        {[]map[string]string{lvh}, "6.9.0", true, nil},
		"debian": {[]map[string]string{{"boot/vmlinuz-6.1.0-1": string(bzImage("6.1.0-1")),
			"boot/config-6.1.0-1": needsModules,
			"vmlinuz":             "-> boot/vmlinuz-6.1.0-1",
			"usr/lib/modules/6.1.0-1/kernel/a/virtio_pci.ko":                       string(module("virtio-ring,helper")),
			"usr/lib/modules/6.1.0-1/kernel/a/virtio_console.ko":                   string(module("")),
			"usr/lib/modules/6.1.0-1/kernel/a/virtio_ring.ko":                      string(module("builtin_one")),
			"usr/lib/modules/6.1.0-1/kernel/b/helper.ko":                           string(module("")),
			"usr/lib/modules/6.1.0-1/kernel/b/large.ko":                            "not read",
			"usr/lib/modules/5.10.0/kernel/a/virtio_pci.ko":                        "of another kernel, and not read",
			"usr/lib/modules/6.1.0-1/build/drivers/virtio/not-a-module.ko.sources": "x",
		}}, "6.1.0-1", true, []string{"virtio_ring", "helper", "virtio_pci", "virtio_console"}},
		"bootc": {[]map[string]string{{"usr/lib/modules/6.14.0/vmlinuz": string(bzImage("6.14.0")),
			"usr/lib/modules/6.14.0/config": "CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n", "boot/config-6.13": "x=",
			"boot/vmlinuz-copy": string(bzImage("6.14.0"))}}, "6.14.0", true, nil},
		"no modules": {[]map[string]string{{"boot/vmlinuz": string(bzImage("6.2")), "boot/config": needsModules}}, "6.2",
			true, nil},
		"pvh": {[]map[string]string{{"boot/vmlinux": string(pvh("6.3"))}}, "6.3", false, nil},
		"replaced": {[]map[string]string{{"boot/vmlinuz-a": string(bzImage("6.1"))}, {"boot/.wh.vmlinuz-a": "",
			"boot/vmlinuz-b": string(bzImage("6.4"))}}, "6.4", false, nil},
	} {
		ref, digest := d.push("x", c.files...)
		d.o.CacheDir = t.TempDir()
		k := d.get(ref)
		if k.Release != c.release || (k.Config != nil) != c.config || !slices.Equal(moduleNames(t, k), c.modules) ||
			k.Source != d.host+"/kernels@"+digest || k.Ref != ref {
			t.Errorf("%s: %+v", what, k)
		}
	}
}

// A tag is asked once a day, a digest once; both work offline afterwards, and when the registry is away.
func TestOCICache(t *testing.T) {
	d := newDock(t)
	ref, digest := d.push("6.12", map[string]string{"boot/vmlinuz": string(bzImage("6.12.1"))})
	first := d.get(ref)
	n := d.requests.Load()
	if again := d.get(ref); again.Image != first.Image || d.requests.Load() != n {
		t.Errorf("the second time: %+v, %d requests more", again, d.requests.Load()-n)
	}
	_, next := d.push("6.12", map[string]string{"boot/vmlinuz": string(bzImage("6.12.2"))})
	if k := d.get(ref); k.Release != "6.12.1" {
		t.Errorf("within a day: %s", k.Release)
	}
	d.o.Refresh = true
	if k := d.get(ref); k.Release != "6.12.2" || !strings.HasSuffix(k.Source, next) {
		t.Errorf("with --refresh: %s", k.Release)
	}
	d.down.Store(true)
	if k := d.get(ref); k.Release != "6.12.2" || !slices.ContainsFunc(d.said, func(s string) bool {
		return strings.Contains(s, "it answers 418") && strings.Contains(s, "using the cached")
	}) {
		t.Errorf("the registry is away: %s, %q", k.Release, d.said)
	}
	d.o.Refresh, d.o.Offline = false, true
	n = d.requests.Load()
	if k := d.get(ref); k.Release != "6.12.2" {
		t.Errorf("offline: %s", k.Release)
	}
	byDigest := "oci:" + d.host + "/kernels@" + digest
	if k, err := Resolve(t.Context(), byDigest, d.o); err != nil || k.Release != "6.12.1" {
		t.Errorf("a digest that was fetched by its tag, offline: %v, %v", k, err)
	}
	for _, none := range []string{"oci:" + d.host + "/kernels:other",
		"oci:" + d.host + "/kernels@sha256:" + strings.Repeat("0", 64)} {
		var bad *UsageError
		if k, err := Resolve(t.Context(), none, d.o); err == nil || errors.As(err, &bad) ||
			!strings.Contains(err.Error(), "not cached, and --offline forbids the network") {
			t.Errorf("%s: %v, %v", none, k, err)
		}
	}
	if d.requests.Load() != n {
		t.Error("it asked the registry although it was to be offline")
	}
	// A damaged entry is fetched again.
	d.down.Store(false)
	d.o.Offline = false
	if err := os.WriteFile(first.Image, []byte("rot"), 0o644); err != nil {
		t.Fatal(err)
	}
	if k := d.get(byDigest); k.Release != "6.12.1" || !slices.ContainsFunc(d.said, func(s string) bool {
		return strings.Contains(s, "is damaged (vmlinuz has changed)")
	}) {
		t.Errorf("got %s, %q", k.Release, d.said)
	}
}

// Several processes fetch an image once.
func TestOCIOnce(t *testing.T) {
	d := newDock(t)
	ref, _ := d.push("1", map[string]string{"boot/vmlinuz": string(bzImage("6.12.1"))})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if k, err := Resolve(t.Context(), ref, d.o); err != nil || k.Release != "6.12.1" {
				t.Errorf("got %v, %v", k, err)
			}
		})
	}
	group.Wait()
	n := 0
	for _, line := range d.said {
		if strings.HasPrefix(line, "fetching oci:") {
			n++
		}
	}
	left, _ := filepath.Glob(filepath.Join(d.o.CacheDir, "oci", ".fill-*"))
	if n != 1 || left != nil {
		t.Errorf("fetched %d times, left %q", n, left)
	}
}

// What is wrong with a reference or an image, and that nothing of it stays.
func TestOCIRefused(t *testing.T) {
	d := newDock(t)
	kernel := string(bzImage("6.12"))
	for want, files := range map[string]map[string]string{
		"the image holds no kernel":                {"etc/passwd": "x"},
		"/boot/vmlinuz is a link to ../opt/kernel": {"boot/vmlinuz": "-> ../opt/kernel", "opt/kernel": kernel},
		"several kernels: /boot/vmlinuz-a and /boot/vmlinuz-b": {"boot/vmlinuz-a": kernel,
			"boot/vmlinuz-b": string(bzImage("6.1"))},
		"its /boot/vmlinuz is a 32-bit Arm kernel image": {"boot/vmlinuz": strings.Repeat("\x00", 36) +
			"\x18\x28\x6f\x01" + strings.Repeat("\x00", 1024)},
		"refused: read layer sha256:":             {"boot/../../x": kernel},
		"the link /boot/vmlinuz leaves the image": {"boot/vmlinuz": "-> ../../etc/shadow"},
		"its /boot/config: line 1":                {"boot/vmlinuz": kernel, "boot/config": "no configuration"},
		"/boot/config has 4194305 bytes; the limit is 4194304": {"boot/vmlinuz": kernel,
			"boot/config": strings.Repeat("x", 4<<20+1)},
	} {
		ref, _ := d.push("x", files)
		k, err := Resolve(t.Context(), ref, d.o)
		var bad *UsageError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got %v, %v", want, k, err)
		}
	}
	for ref, want := range map[string]string{
		"oci:":                        "want oci:REPOSITORY:TAG or",
		"oci:UPPER/x":                 "in lower case",
		"oci:" + d.host + "/none:1":   "has no such image",
		"oci:x@sha256:12":             "not an image's name",
		"oci:" + d.host + "/x+y.mbox": "patches need a source",
	} {
		var bad *UsageError
		if k, err := Resolve(t.Context(), ref, d.o); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", ref, k, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(d.o.CacheDir, "oci", "*")); left != nil {
		t.Errorf("left %q", left)
	}
}

// A huge image is refused before it is written.
func TestOCIHuge(t *testing.T) {
	u := &unpacker{dir: t.TempDir(), images: map[string]string{}, configs: map[string][]byte{},
		modules: map[string][]byte{}}
	for name, size := range map[string]int64{"/boot/vmlinuz": maxImageBytes + 1,
		"/lib/modules/6/kernel/virtio_pci.ko": maxModuleBytes + 1} {
		if err := u.file(name, size, strings.NewReader("")); err == nil || !strings.Contains(err.Error(), "the limit is") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range 3 * maxCandidates {
		if err := u.file(fmt.Sprintf("/boot/vmlinuz-%d", i), 0, strings.NewReader("")); (err != nil) != (i > maxCandidates) {
			t.Fatalf("candidate %d: %v", i, err)
		}
	}
	if _, err := decompressModule(io.LimitReader(zeros{}, maxModuleBytes+1), ""); err == nil {
		t.Error("a module without end is read")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A sighting that is a day old is not recent.
func TestOCISightingAge(t *testing.T) {
	d := newDock(t)
	ref, _ := d.push("1", map[string]string{"boot/vmlinuz": string(bzImage("6.12.1"))})
	d.get(ref)
	r, err := parseOCI(ref)
	if err != nil {
		t.Fatal(err)
	}
	x := &container{cache: cache{d.o.CacheDir}, parsed: r}
	s, err := x.seen()
	if err != nil || time.Since(s.Time) > time.Minute {
		t.Fatal(s, err)
	}
	text := strings.Replace(string(read(t, x.sightingPath())), s.Time.Format("2006-01-02"), "2001-01-01", 1)
	write(t, x.sightingPath(), []byte(text))
	n := d.requests.Load()
	if d.get(ref); d.requests.Load() == n {
		t.Error("a tag that was read years ago is not asked again")
	}
	write(t, x.sightingPath(), []byte("{rot"))
	if k := d.get(ref); k.Release != "6.12.1" {
		t.Errorf("a damaged record: %v", k)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The releases between two tags of one repository that end alike.
func TestOCIBetween(t *testing.T) {
	d := newDock(t)
	kernels := map[string]string{}
	for _, tag := range []string{"6.9.1-main", "6.10.3-main", "6.10.12-main", "6.12-rc1-main", "6.12.1-main",
		"6.10.5-selftests",
		"6.13.1-main", "latest", "bpf-next-main"} {
		kernels[tag], _ = d.push(tag, map[string]string{"boot/vmlinuz": string(bzImage(tag))})
	}
	refs := func(list []Available) (out []string) {
		for _, a := range list {
			out = append(out, strings.TrimPrefix(a.Ref, "oci:"+d.host+"/kernels:"))
		}
		return out
	}
	for every, want := range map[bool]string{false: "6.9.1-main 6.10.12-main 6.12.1-main",
		true: "6.9.1-main 6.10.3-main 6.10.12-main 6.12-rc1-main 6.12.1-main"} {
		got, err := Between(t.Context(), kernels["6.9.1-main"], kernels["6.12.1-main"], every, d.o)
		if err != nil || strings.Join(refs(got), " ") != want || got[0].Release != "6.9.1" {
			t.Errorf("every %v: %q, %v", every, refs(got), err)
		}
	}
	all, err := Tags(t.Context(), kernels["latest"], d.o)
	if want := "6.13.1-main 6.12.1-main 6.12-rc1-main 6.10.12-main 6.10.5-selftests 6.10.3-main 6.9.1-main"; err != nil ||
		strings.Join(refs(all), " ") != want {
		t.Errorf("got %q, %v", refs(all), err)
	}
	for _, bad := range []struct{ good, bad, want string }{
		{kernels["latest"], kernels["6.12.1-main"], "no tag that begins with a release"},
		{kernels["6.9.1-main"], kernels["6.10.5-selftests"], "must differ in their releases only"},
		{kernels["6.12.1-main"], kernels["6.9.1-main"], "not newer than"},
		{kernels["6.9.1-main"], "oci:" + d.host + "/other:6.12.1-main", "not of the same repository"},
		{kernels["6.9.1-main"], "deb:6.12", "not an image"},
	} {
		list, err := Between(t.Context(), bad.good, bad.bad, false, d.o)
		var mistake *UsageError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s to %s: %v, %v", bad.good, bad.bad, refs(list), err)
		}
	}
}

// Images in the cache are listed by the name that meant them last.
func TestOCICached(t *testing.T) {
	d := newDock(t)
	old, digest := d.push("6.12", map[string]string{"boot/vmlinuz": string(bzImage("6.12.1"))})
	d.get(old)
	d.push("6.12", map[string]string{"boot/vmlinuz": string(bzImage("6.12.2"))})
	d.o.Refresh = true
	d.get(old)
	list, err := Cached(d.o)
	if err != nil || len(list) != 2 || list[0].Ref != old || list[0].Release != "6.12.2" || !list[0].Cached ||
		list[1].Ref != "oci:"+d.host+"/kernels@"+digest {
		t.Errorf("got %+v, %v", list, err)
	}
	for _, a := range list {
		d.o.Refresh, d.o.Offline = false, true
		if k := d.get(a.Ref); k.Release != a.Release {
			t.Errorf("%s is %s", a.Ref, k.Release)
		}
	}
	if same, err := OfFlavour(list, "cloud"); err != nil || len(same) != 2 {
		t.Errorf("they have no flavour: %v, %v", same, err)
	}
}

func TestOfFlavour(t *testing.T) {
	list := []Available{{Ref: "a", Flavour: "cloud-amd64"}, {Ref: "b", Flavour: "rt-amd64"}, {Ref: "c"}}
	for flavour, want := range map[string]int{"cloud-amd64": 2, "cloud": 2, "rt": 2, "all": 3} {
		if got, err := OfFlavour(list, flavour); err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", flavour, got, err)
		}
	}
	_, err := OfFlavour(list, "nosuch")
	var bad *UsageError
	if !errors.As(err, &bad) ||
		err.Error() != `flavour "nosuch": no kernel has it; there are cloud-amd64, rt-amd64, and all for every one` {
		t.Errorf("got %v", err)
	}
	if got, err := OfFlavour(nil, "nosuch"); got != nil || err != nil {
		t.Errorf("no kernels at all: %v, %v", got, err)
	}
}

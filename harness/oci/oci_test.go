package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
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
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// serve starts a registry on loopback and returns its name. front, if not nil, sees every request first.
func serve(t *testing.T, front func(w http.ResponseWriter, r *http.Request) (done bool)) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if front == nil || !front(w, r) {
			reg.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// item is an entry of a layer: a file, or a link if it has a target.
type item struct {
	name, text string
	kind       byte // 0 is a file
	size       int64
}

// archive makes a tar file.
func archive(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, it := range items {
		h := &tar.Header{Name: it.name, Mode: 0o644, Size: int64(len(it.text)), Typeflag: tar.TypeReg}
		if it.kind != 0 {
			h.Typeflag, h.Linkname, h.Size = it.kind, it.text, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			w.Write([]byte(it.text))
		}
	}
	w.Close()
	return b.Bytes()
}

// gzipped is a layer as docker pushes it.
func gzipped(b []byte) v1.Layer {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return static.NewLayer(out.Bytes(), types.OCILayer)
}

// image stacks layers, the lowest first.
func image(t *testing.T, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// push stores an image or an index and returns its name.
func push(t *testing.T, to string, what any) Ref {
	t.Helper()
	r, err := Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(r.name, what)
	case v1.ImageIndex:
		err = remote.WriteIndex(r.name, what)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns the files below /boot and the links there.
func read(ctx context.Context, r Ref) (files map[string]string, err error) {
	img, err := Open(ctx, r, "amd64")
	if err != nil {
		return nil, err
	}
	files = map[string]string{}
	return files, img.Visit(ctx, Visitor{
		Wants: func(name string) bool { return strings.HasPrefix(name, "/boot/") },
		Take: func(name string, size int64, r io.Reader) error {
			b, err := io.ReadAll(r)
			if int64(len(b)) != size {
				return fmt.Errorf("%s: %d bytes, want %d", name, len(b), size)
			}
			files[name] = string(b)
			return err
		},
		Link: func(name, target string) { files[name] = "-> " + target },
	})
}

func TestParse(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for in, want := range map[string]Ref{
		"registry.example/x/y:6.12":            {Repo: "registry.example/x/y", Tag: "6.12"},
		"registry.example/x/y":                 {Repo: "registry.example/x/y", Tag: "latest"},
		"localhost:5000/k:v":                   {Repo: "localhost:5000/k", Tag: "v"},
		"registry.example/x/y@sha256:" + hex:   {Repo: "registry.example/x/y", Digest: "sha256:" + hex},
		"registry.example/x/y:1@sha256:" + hex: {Repo: "registry.example/x/y", Digest: "sha256:" + hex},
	} {
		r, err := Parse(in)
		if err != nil || r.Repo != want.Repo || r.Tag != want.Tag || r.Digest != want.Digest {
			t.Errorf("%s: %+v, %v", in, r, err)
		}
	}
	for _, bad := range []string{"", "UPPER/x", "x@sha256:1", "a b", "x:", "http://x/y"} {
		if r, err := Parse(bad); err == nil {
			t.Errorf("%q is taken: %+v", bad, r)
		}
	}
}

// Upper layers replace and remove files of lower ones, as layer.md of the image specification says.
func TestLayers(t *testing.T) {
	host := serve(t, nil)
	low := gzipped(archive(t, item{name: "boot/a", text: "low"}, item{name: "./boot/b", text: "low"},
		item{name: "/boot/c/1", text: "low"}, item{name: "boot/d/1", text: "low"}, item{name: "boot/e", text: "low"},
		item{name: "boot/f/1", text: "low"}, item{name: "boot/g", text: "first"}, item{name: "boot/g", text: "last"},
		item{name: "etc/x", text: "no"}))
	mid := gzipped(archive(t, item{name: "boot/.wh.b"}, item{name: "boot/c/.wh..wh..opq"},
		item{name: "boot/c/2", text: "mid"}, item{name: "boot/.wh.d"}, item{name: "boot/f", text: "now a file"},
		item{name: "boot/h", text: "../etc/x", kind: tar.TypeSymlink},
		item{name: "boot/i", text: "boot/g", kind: tar.TypeLink}))
	var z bytes.Buffer
	w, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(archive(t, item{name: "boot/a", text: "top"}, item{name: "boot/d/2", text: "top"},
		item{name: "boot/.wh.i"}, item{name: "boot/i", text: "again"}))
	w.Close()
	top := static.NewLayer(z.Bytes(), types.OCILayerZStd)
	got, err := read(t.Context(), push(t, host+"/k:1", image(t, low, mid, top)))
	want := map[string]string{"/boot/a": "top", "/boot/c/2": "mid", "/boot/d/2": "top", "/boot/e": "low",
		"/boot/f": "now a file", "/boot/g": "last", "/boot/h": "-> ../etc/x", "/boot/i": "again"}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

// An image that leaves its root, or that is too large, is refused.
func TestRefused(t *testing.T) {
	host := serve(t, nil)
	for what, it := range map[string]item{
		"leaves the image":              {name: "boot/../../etc/passwd", text: "x"},
		`"/../x" leaves the image`:      {name: "/../x", text: "x"},
		"link /boot/v leaves the image": {name: "boot/v", text: "../../../etc/passwd", kind: tar.TypeSymlink},
		"link /boot/w leaves the image": {name: "boot/w", text: "../x", kind: tar.TypeLink},
		"neither a file nor a link":     {name: "boot/fifo", kind: tar.TypeFifo},
	} {
		_, err := read(t.Context(), push(t, host+"/k:bad", image(t, gzipped(archive(t, it)))))
		var bad *DamageError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	// One that does not matter may be as it likes: whole distributions have such links.
	if _, err := read(t.Context(), push(t, host+"/k:ok", image(t, gzipped(archive(t,
		item{name: "usr/x", text: "../../../y", kind: tar.TypeSymlink}))))); err != nil {
		t.Error(err)
	}
	_, err := read(t.Context(), push(t, host+"/k:text", image(t, static.NewLayer([]byte("words"), types.OCILayer))))
	if err == nil || !strings.Contains(err.Error(), "read layer sha256:") {
		t.Errorf("not an archive: %v", err)
	}
}

// A decompressed stream without end is cut off.
func TestLimit(t *testing.T) {
	left := int64(10)
	n, err := io.Copy(io.Discard, &limited{r: strings.NewReader(strings.Repeat("x", 100)), left: &left})
	var bad *DamageError
	if n != 0 || !errors.As(err, &bad) {
		t.Errorf("read %d, %v", n, err)
	}
	w := &walk{Visitor: Visitor{Wants: func(string) bool { return false }}, above: newHidden(), entries: 1}
	for i := range 2 {
		err := w.entry(&tar.Header{Name: "x", Typeflag: tar.TypeReg}, nil, newHidden())
		if errors.As(err, &bad) != (i == 1) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

// A registry that sends other bytes than the digests name is found out, wherever they are.
func TestVerified(t *testing.T) {
	layer := gzipped(archive(t, item{name: "boot/a", text: strings.Repeat("kernel", 1000)}))
	digest, _ := layer.Digest()
	whole, _ := layer.Compressed()
	good, _ := io.ReadAll(whole)
	other, _ := gzipped(archive(t, item{name: "boot/a", text: "evil"})).Compressed()
	evil, _ := io.ReadAll(other)
	body := good
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+digest.String()) {
			w.Write(body)
			return true
		}
		return false
	})
	r := push(t, host+"/k:1", image(t, layer))
	if _, err := read(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"another": evil, "more": append(slices.Clone(good), 0),
		"less": good[:len(good)-1]} {
		body = b
		if _, err := read(t.Context(), r); err == nil || !strings.Contains(err.Error(), "read layer sha256:") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// A name with a digest refuses another manifest.
func TestManifestVerified(t *testing.T) {
	img := image(t, gzipped(archive(t, item{name: "boot/a", text: "x"})))
	other, _ := image(t, gzipped(archive(t, item{name: "boot/a", text: "y"}))).RawManifest()
	lie := false
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if lie && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
			w.Write(other)
		}
		return lie && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/")
	})
	digest, _ := img.Digest()
	r := push(t, host+"/k:1", img).At(digest.String())
	if got, err := read(t.Context(), r); err != nil || got["/boot/a"] != "x" {
		t.Fatal(got, err)
	}
	if lie = true; true {
		if _, err := read(t.Context(), r); err == nil || !strings.Contains(err.Error(), "digest") {
			t.Errorf("got %v", err)
		}
	}
}

// Of an index, the image for the architecture is taken, and its digest is the image's own.
func TestIndex(t *testing.T) {
	host := serve(t, nil)
	of := func(text string) v1.Image { return image(t, gzipped(archive(t, item{name: "boot/a", text: text}))) }
	add := func(x v1.ImageIndex, what mutate.Appendable, os, arch string) v1.ImageIndex {
		d := v1.Descriptor{}
		if os != "" {
			d.Platform = &v1.Platform{OS: os, Architecture: arch}
		}
		return mutate.AppendManifests(x, mutate.IndexAddendum{Add: what, Descriptor: d})
	}
	x := add(empty.Index, of("unknown"), "unknown", "unknown")
	x = add(x, of("arm"), "linux", "arm64")
	none := push(t, host+"/k:arm", x)
	nested := add(add(empty.Index, x, "", ""), of("amd"), "linux", "amd64")
	for what, r := range map[string]Ref{"amd": push(t, host+"/k:nested", nested),
		"only": push(t, host+"/k:any", add(empty.Index, of("only"), "", ""))} {
		if got, err := read(t.Context(), r); err != nil || got["/boot/a"] != what {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	var bad *MistakeError
	if _, err := read(t.Context(), none); !errors.As(err, &bad) ||
		!strings.Contains(err.Error(), "no image for linux/amd64; there are linux/arm64") {
		t.Errorf("got %v", err)
	}
	img, err := Open(t.Context(), push(t, host+"/k:nested", nested), "amd64")
	if want, _ := of("amd").Digest(); err != nil || img.Digest != want.String() || img.Layers != 1 || img.Size == 0 {
		t.Errorf("got %+v, %v", img, err)
	}
}

func TestMistakes(t *testing.T) {
	host := serve(t, nil)
	r, _ := Parse(host + "/none:1")
	var bad *MistakeError
	if _, err := Open(t.Context(), r, "amd64"); !errors.As(err, &bad) || !strings.Contains(err.Error(), "no such image") {
		t.Errorf("got %v", err)
	}
	if _, err := Tags(t.Context(), r); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
	push(t, host+"/k:2", image(t))
	push(t, host+"/k:1", image(t))
	tags, err := Tags(t.Context(), push(t, host+"/k:3", image(t)))
	if err != nil || !slices.Equal(tags, []string{"1", "2", "3"}) {
		t.Errorf("got %v, %v", tags, err)
	}
}

// The login is that of the user's docker configuration; without one, the error says what to do.
func TestLogin(t *testing.T) {
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if user == "me" && password == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	n, _ := name.ParseReference(host + "/k:1")
	if err := remote.Write(n, image(t, gzipped(archive(t, item{name: "boot/a", text: "x"}))),
		remote.WithAuth(&authn.Basic{Username: "me", Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	r, _ := Parse(host + "/k:1")
	if _, err := read(t.Context(), r); err == nil || !strings.Contains(err.Error(), "docker login "+host) {
		t.Errorf("without a login: %v", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":"bWU6c2VjcmV0"}}}`, host)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), r); err != nil || got["/boot/a"] != "x" {
		t.Errorf("with a login: %v, %v", got, err)
	}
}

// A download ends with its context.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	var stalled string
	release := make(chan struct{})
	host := serve(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || stalled == "" || !strings.HasSuffix(r.URL.Path, stalled) {
			return false
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		cancel(errors.New("enough"))
		select {
		case <-release:
		case <-time.After(time.Minute):
		}
		return true
	})
	defer close(release)
	layer := gzipped(archive(t, item{name: "boot/a", text: "x"}))
	r := push(t, host+"/k:1", image(t, layer))
	digest, _ := layer.Digest()
	stalled = digest.String()
	if _, err := read(ctx, r); err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
}

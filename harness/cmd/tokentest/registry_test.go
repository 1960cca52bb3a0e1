package main

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/rogpeppe/go-internal/testscript"
)

// registryKey is the key of a script's registry.
const registryKey = "registry"

// loopback is a registry, nil until it is needed.
type loopback struct{ *httptest.Server }

// pushes TAG [PATH=FILE...]: the image $REPO:TAG, in a registry on loopback, has the files. Without TAG, the registry
// ends.
func pushes(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: pushes [TAG [PATH=FILE...]]")
	}
	server := ts.Value(registryKey).(*loopback)
	if len(args) == 0 {
		server.Close()
		return
	}
	if server.Server == nil {
		server.Server = httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
		ts.Defer(server.Close)
		ts.Setenv("REPO", strings.TrimPrefix(server.URL, "http://")+"/kernels")
		ts.Setenv("DOCKER_CONFIG", ts.MkAbs("none"))
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, arg := range args[1:] {
		path, file, _ := strings.Cut(arg, "=")
		text := ts.ReadFile(file)
		ts.Check(w.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}))
		w.Write([]byte(text)) // into memory
	}
	w.Close()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(b.Bytes(), types.OCIUncompressedLayer))
	ts.Check(err)
	ref, err := name.ParseReference(ts.Getenv("REPO") + ":" + args[0])
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
}

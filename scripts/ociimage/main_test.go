package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// layer writes a tar file with one file.
func layer(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "layer.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// The layout is valid, holds an image for each architecture, and is the same each time.
func TestRun(t *testing.T) {
	base, program := layer(t, "etc/passwd", "root"), layer(t, "usr/bin/tokentest", "program")
	var digests []string
	for range 2 {
		dir := filepath.Join(t.TempDir(), "image")
		for _, arch := range []string{"amd64", "arm64"} {
			if err := run([]string{dir, "v1", "1000", arch, base, program}); err != nil {
				t.Fatal(err)
			}
		}
		path, err := layout.FromPath(dir)
		if err != nil {
			t.Fatal(err)
		}
		index, err := path.ImageIndex()
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
		m, err := index.IndexManifest()
		if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Platform.Architecture != "arm64" {
			t.Fatalf("got %+v, %v", m, err)
		}
		img, err := index.Image(m.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil || config.Config.Entrypoint[0] != "/usr/bin/tokentest" || len(config.RootFS.DiffIDs) != 2 ||
			config.Architecture != "amd64" || config.Created.Unix() != 1000 {
			t.Errorf("got %+v, %v", config, err)
		}
		digests = append(digests, m.Manifests[0].Digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("two images differ: %v", digests)
	}
}

func TestRunErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "image")
	for _, args := range [][]string{
		nil, {dir, "v1", "1000", "amd64"}, {dir, "v1", "now", "amd64", "x.tar"}, {dir, "v1", "1000", "amd64", "none.tar"},
	} {
		if err := run(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

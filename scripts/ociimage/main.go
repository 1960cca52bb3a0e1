// Command ociimage adds a container image to an OCI layout: each layer is a tar file, and the entry point is tokentest.
// The same layers give the same image.
//
// It fetches and unpacks nothing; image.sh makes the layers. Usage: ociimage LAYOUT VERSION TIME ARCH LAYER...; TIME is
// when the image was made, in seconds. Start with run.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ociimage:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 5 {
		return errors.New("usage: ociimage LAYOUT VERSION TIME ARCH LAYER...")
	}
	dir, version, arch, files := args[0], args[1], args[3], args[4:]
	seconds, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return fmt.Errorf("read the time: %w", err)
	}
	img, err := image(version, time.Unix(seconds, 0).UTC(), arch, files)
	if err != nil {
		return err
	}
	path, err := layout.FromPath(dir)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	}
	if err != nil {
		return fmt.Errorf("open the layout: %w", err)
	}
	err = path.AppendImage(img, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}),
		layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": version}))
	if err != nil {
		return fmt.Errorf("write the image: %w", err)
	}
	return nil
}

// image is the image of layers.
func image(version string, made time.Time, arch string, files []string) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	config := &v1.ConfigFile{
		OS: "linux", Architecture: arch, Created: v1.Time{Time: made}, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/usr/bin/tokentest"}, WorkingDir: "/work",
			Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"},
			Labels: map[string]string{
				"org.opencontainers.image.title": "tokentest", "org.opencontainers.image.version": version,
			},
		},
	}
	img, err := mutate.ConfigFile(img, config)
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		layer, err := tarball.LayerFromFile(name, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("read the layer %s: %w", name, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
			History: v1.History{Created: v1.Time{Time: made}, CreatedBy: filepath.Base(name)}})
		if err != nil {
			return nil, fmt.Errorf("add the layer %s: %w", name, err)
		}
	}
	return img, nil
}

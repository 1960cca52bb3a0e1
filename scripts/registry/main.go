// Command registry packs a kernel into a container image, serves it from a registry on loopback, and runs a command,
// in whose arguments {} becomes the image's name. Standard input is what "tokentest kernel fetch --json" prints.
//
// The image is one of an index for two architectures, and has an older kernel in a lower layer, which is removed.
// Only scripts/oci.sh uses it. Start with run.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"tokentest/harness/arch"
)

func main() {
	err := run(os.Args[1:])
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(3)
	}
}

// fetched is a kernel as "tokentest kernel fetch --json" prints it.
type fetched struct{ Release, Image, Config string }

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: tokentest kernel fetch --json REF | registry COMMAND [ARG...]")
	}
	var k fetched
	if err := json.NewDecoder(os.Stdin).Decode(&k); err != nil {
		return fmt.Errorf("read the kernel from standard input: %w", err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/kernels:test")
	if err != nil {
		return err
	}
	index, err := k.index()
	if err != nil {
		return fmt.Errorf("pack %s: %w", k.Image, err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		return fmt.Errorf("push the image: %w", err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{}", ref.Name())
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// index holds the kernel's image for the default architecture, and a file without a kernel for another one.
func (k *fetched) index() (v1.ImageIndex, error) {
	files := map[string]string{"/boot/vmlinuz-" + k.Release: k.Image}
	if k.Config != "" {
		files["/boot/config-"+k.Release] = k.Config
	}
	modules, err := filepath.Glob(filepath.Join(filepath.Dir(k.Image), "*.ko"))
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		files["/usr/lib/modules/"+k.Release+"/kernel/"+filepath.Base(m)] = m
	}
	kernel, err := image(map[string]string{"/boot/vmlinuz-0.1": "/dev/null"},
		map[string]string{"/boot/.wh.vmlinuz-0.1": "/dev/null"}, files)
	if err != nil {
		return nil, err
	}
	other, err := image(map[string]string{"/boot/vmlinuz": "/dev/null"})
	if err != nil {
		return nil, err
	}
	index := v1.ImageIndex(empty.Index)
	for of, img := range map[*arch.Arch]v1.Image{arch.Default: kernel, arch.All[1]: other} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: of.GOARCH}}})
	}
	return index, nil
}

// image stacks layers, each of which maps the paths in the image to files of this host.
func image(layers ...map[string]string) (v1.Image, error) {
	img := v1.Image(empty.Image)
	for _, files := range layers {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for to, from := range files {
			text, err := os.ReadFile(from)
			if err != nil {
				return nil, err
			}
			if err := w.WriteHeader(&tar.Header{Name: to, Mode: 0o644, Size: int64(len(text))}); err != nil {
				return nil, err
			}
			w.Write(text) // into memory
		}
		w.Close()
		layer, err := tarball.LayerFromReader(&b)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			return nil, err
		}
	}
	return img, nil
}

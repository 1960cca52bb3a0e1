// Package images provides the initramfs that the test machine boots into, with the
// guest agent as PID 1. The image is reproducible byte for byte, and cached by the
// digest of its sources, so a second build runs no compiler.
//
// The images that "make build" embeds need no compiler at all (builtin.go). A checkout takes
// their place if its sources differ (origin.go).
//
// It builds no kernel; package kernel does. Start with Build.
package images

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
)

// Options sets the sources of an image and its cache. The zero value works inside a checkout, and everywhere if the
// images are built in.
type Options struct {
	// Source is the root of a checkout of the module tokentest. Empty means one above the working directory, then the
	// built-in images, then one above the running program or where that was compiled.
	Source string
	// Arch is the architecture of the machine; nil means arch.Default.
	Arch *arch.Arch
	// CacheDir is where images are kept; empty means tokentest in the user's cache directory.
	CacheDir string
	// Go is the go command; empty means "go".
	Go string
	// Shared are the sources that the caller has in common with the agent, by their folders. If the agent's differ,
	// Build refuses them, because the two might not understand each other.
	Shared Shared
	// Log, if set, gets a line for each slow step.
	Log func(format string, args ...any)
}

// Image is an initramfs that a kernel can boot.
type Image struct {
	// Path is the file, an uncompressed cpio archive.
	Path string
	// Digest is the SHA-256 of the file, in hex.
	Digest string
	// BuildID is a digest of the sources and the toolchain of the init. It is linked into the init as main.buildID, so
	// that the host recognizes a stale init.
	BuildID string
}

// The images, and the folder of each one's PID 1.
const (
	agentName, agentPkg = "agent", "images/init"
)

// nameFor is the name of an image for an architecture.
func nameFor(name string, of *arch.Arch) string {
	if of == arch.Default {
		return name
	}
	return name + "-" + of.Name
}

// Check returns why Build would fail before it compiles anything. It logs a line if a checkout takes the place of the
// built-in images.
func (o Options) Check() error {
	from, err := o.find()
	if err != nil {
		return fmt.Errorf("find the agent: %w", err)
	}
	if from.note != "" && o.Log != nil {
		o.Log("%s", from.note)
	}
	return nil
}

// Needs returns the root of the sources that Build compiles, and the Go version in their go.mod; both are empty if the
// built-in agent is used.
func (o Options) Needs() (root, version string, err error) {
	from, err := o.find()
	if err != nil || from.source == "" {
		return "", "", err
	}
	mod, err := os.ReadFile(filepath.Join(from.source, "go.mod"))
	if err != nil {
		return "", "", fmt.Errorf("read the Go version of the sources: %w", err)
	}
	for line := range strings.Lines(string(mod)) {
		if text, ok := strings.CutPrefix(line, "go "); ok {
			version = strings.TrimSpace(text)
		}
	}
	return from.source, version, nil
}

// Build returns the agent's initramfs.
func Build(ctx context.Context, o Options) (*Image, error) {
	img, err := o.build(ctx, agentName, agentPkg)
	if err != nil {
		return nil, fmt.Errorf("build agent: %w", err)
	}
	return img, nil
}

// build returns the image, named name in the cache, whose init is the package in the folder pkg of the source.
func (o Options) build(ctx context.Context, name, pkg string) (*Image, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	from, err := o.find()
	if err != nil {
		return nil, err
	}
	o.Source = from.source
	p := fullPart(pkg, o.Arch)
	if b, ok := from.has(nameFor(name, o.Arch), func() (string, error) { return sourceID(o.Source, p) }); ok {
		return o.fromBuiltin(ctx, nameFor(name, o.Arch), b)
	}
	if o.Source == "" {
		return nil, fmt.Errorf("no image %s is built into tokentest: run it in a checkout of tokentest, with Go",
			nameFor(name, o.Arch))
	}
	id, err := buildID(ctx, o, p)
	if err != nil {
		return nil, err
	}
	img := &Image{BuildID: id}
	img.Path, img.Digest, err = o.cache().get(ctx, nameFor(name, o.Arch)+"-"+id, func(work, out string) error {
		o.Log("compiling %s", pkg)
		init := filepath.Join(work, "init")
		if err := compile(ctx, o, p, id, init); err != nil {
			return err
		}
		return writeImage(out, init)
	})
	return img, err
}

// complete sets the defaults.
func (o Options) complete() (Options, error) {
	var err error
	o.Arch = arch.Or(o.Arch)
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Go == "" {
		o.Go = "go"
	}
	if o.CacheDir == "" {
		if o.CacheDir, err = cachedir.Default(); err != nil {
			return o, fmt.Errorf("find the cache directory: %w", err)
		}
	}
	o.CacheDir, err = filepath.Abs(o.CacheDir) // compilers run elsewhere
	return o, err
}

// cache is the directory of images in the cache directory.
func (o Options) cache() cache {
	return cache{filepath.Join(o.CacheDir, "images"), o.Log}
}

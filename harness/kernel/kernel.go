// Package kernel turns a kernel reference into an image, its configuration, its
// release and the modules that a control channel needs. It builds kernels from
// source. The host's apt fetches packaged kernels into a private state; they are
// unpacked and not installed. Kernels in container images come from their registry.
//
// It boots nothing; package vm does. It does not interpret a configuration; package
// kconfig does.
//
// Start with Resolve; ref.go parses references.
package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// Kernel is a bootable kernel.
type Kernel struct {
	Ref     string // the reference that was resolved
	Release string // the text of uname -r, from the image; "" if it cannot be read
	Image   string // path
	Format  string // BzImage, Vmlinux or Raw
	Digest  string // SHA-256 of the image, in hex
	Arch    *arch.Arch

	Config     kconfig.Config // nil when it is not known
	ConfigPath string         // "" if Config was in the image, or is unknown

	// Modules are what a virtio-serial control channel needs, in the order in
	// which to load them. It is empty when the kernel has it built in, and for
	// a bare image.
	Modules []Module

	Source string // for people: the package, its version and suite, or the path
	Note   string // for people: why it may be another kernel than they expect
}

// The formats that QEMU enters with -kernel.
const (
	BzImage = string(arch.BzImage)
	Vmlinux = string(arch.Vmlinux)
	Raw     = string(arch.Raw)
)

// host is the architecture of this host.
var host = arch.Or(arch.Find(runtime.GOARCH))

// ArchOf returns the architecture that a reference means, as far as that is known before it is resolved.
func ArchOf(ref string) *arch.Arch {
	if spec, ok := strings.CutPrefix(ref, "deb:"); ok {
		if r, err := parseDebRef(ref, spec); err == nil {
			return r.arch
		}
		return host
	}
	if r, err := parseSource(ref); isSource(ref) && err == nil && r.arch != nil {
		return r.arch
	}
	info, err := os.Stat(ref) // before it is opened, which waits if it is a named pipe
	if err != nil || !info.Mode().IsRegular() {
		return host
	}
	f, err := os.Open(ref)
	if err != nil {
		return host
	}
	defer f.Close()
	if h, err := inspect(f, info.Size()); err == nil {
		return h.arch
	}
	return host
}

// Module is one loadable module, decompressed.
type Module struct {
	Name string // as in lsmod
	Path string
}

// Options set where kernels are cached and whether the network may be used.
type Options struct {
	CacheDir string // "" means cachedir.Default
	Offline  bool   // do not use the network, even if the cache is old
	Refresh  bool   // ask the mirror even if the cache is recent

	Arch  *arch.Arch   // that List lists; nil means the host's
	Build BuildOptions // for references to sources
	// Elsewhere builds kernels in place of this host; nil builds them here.
	Elsewhere func(ctx context.Context, b *Built, bo BuildOptions, o Options) (*Kernel, error)

	// Log gets a line for each slow step and each fallback; nil discards them.
	Log func(format string, args ...any)
	// Step gets what a long step does and how far it is, such as "fetching x, 3.1 of 9.9 MB",
	// about twice a second, and "" when the step ends; nil discards it.
	Step func(text string)

	root string // of the host's files, for tests
}

func (o Options) arch() *arch.Arch {
	if o.Arch != nil {
		return o.Arch
	}
	return host
}

func (o Options) log(format string, args ...any) {
	if o.Log != nil {
		o.Log(format, args...)
	}
}

// cacheDir returns the directory, without making it.
func (o Options) cacheDir() (string, error) {
	if o.CacheDir != "" {
		return filepath.Abs(o.CacheDir)
	}
	dir, err := cachedir.Default()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return dir, nil
}

// Forms describes the forms of a reference, for help and errors.
const Forms = "a path to a bzImage or a PVH vmlinux, deb:SUITE|VERSION[/ARCH][:FLAVOUR], oci:IMAGE, host, tree:DIR, " +
	"src:VERSION[/ARCH] or git:DIR#REV, the last three with +PATCHES"

// UsageError means that the reference is at fault, not the host or the mirror.
type UsageError struct {
	Ref    string
	Reason string
	Near   []string // similar references that exist
	// Advised says that Reason names the command that helps.
	Advised bool
	// Err is a cause that callers test for with errors.Is, or nil.
	Err error

	what string // which part of Ref is at fault; "" means "kernel"
}

// ErrNoSource means that a reference does not name a source.
var ErrNoSource = errors.New("no source")

func (e *UsageError) Unwrap() error { return e.Err }

func (e *UsageError) Error() string {
	s := fmt.Sprintf("%s %q: %s", cmp.Or(e.what, "kernel"), e.Ref, e.Reason)
	if len(e.Near) > 0 {
		s += "; near ones: " + strings.Join(e.Near, ", ")
	}
	return s
}

// Resolve returns the kernel that ref names, and fetches or builds it if necessary. If ref is at
// fault, the error is a *UsageError; any other error is a fault of the host or the mirror.
func Resolve(ctx context.Context, ref string, o Options) (*Kernel, error) {
	if plain, digest := cutPin(ref); digest != "" {
		return resolvePinned(ctx, ref, plain, digest, o)
	}
	if isSource(ref) {
		return resolveSource(ctx, ref, o)
	}
	if ref == hostRef {
		return resolveHost(ctx, o)
	}
	if _, err := os.Stat(ref); err == nil && !scheme.MatchString(ref) {
		return resolveFile(ref) // whatever it is called
	}
	if err := refusePatches(ref); err != nil {
		return nil, err
	}
	spec, isDeb := strings.CutPrefix(ref, "deb:")
	switch {
	case isDeb:
		return resolveDeb(ctx, ref, spec, o)
	case strings.HasPrefix(ref, ociScheme):
		return resolveOCI(ctx, ref, o)
	}
	return resolveFile(ref)
}

// resolveSource uses the existing build of a tree, and builds every other source.
func resolveSource(ctx context.Context, ref string, o Options) (*Kernel, error) {
	r, err := parseSource(ref)
	if err != nil {
		return nil, err
	}
	if r.scheme == "tree" && len(r.patches) == 0 {
		return resolveTree(ref, r.name, o)
	}
	b, err := Source(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return b.Build(ctx, o.Build, o)
}

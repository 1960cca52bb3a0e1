package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
	"tokentest/kconfig"
)

// cache is a directory with apt's private state, and one entry per kernel that
// is named by the digest of its image.
type cache struct{ dir string }

func (c cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// entry is the manifest of a cached kernel, written last. The kernel is from a package, or from a container image.
type entry struct {
	Package pkg
	Origin  origin `json:",omitzero"`
	Made    time.Time
	Release string
	Format  string
	Arch    string // "" is arch.Default
	Digest  string // of the image
	cachedir.Sums
	Modules []string // in load order
}

// entryOf begins the manifest of a kernel.
func entryOf(k *Kernel) entry { return entry{Release: k.Release, Format: k.Format, Arch: k.Arch.Name} }

// place is the directory of an entry, below the cache. It is named by the digest of the kernel, or of the container
// image.
func (e *entry) place() string {
	if e.Origin != (origin{}) {
		return e.Origin.place()
	}
	return filepath.Join(packagesDir, e.Digest)
}

// The directories of the entries.
const (
	packagesDir = "kernels"
	imagesDir   = "oci"
	hostDir     = "host"
)

// entries returns the manifests of kernels from packages that can be read, in no particular order.
func (c cache) entries() ([]entry, error) { return c.entriesIn(packagesDir) }

func (c cache) entriesIn(dir string) ([]entry, error) {
	dirs, err := os.ReadDir(c.path(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read kernel cache: %w", err)
	}
	var all []entry
	for _, d := range dirs {
		var e entry
		if cachedir.Read(c.path(dir, d.Name()), &e) == nil && e.place() == filepath.Join(dir, d.Name()) {
			all = append(all, e)
		} // any other is incomplete or damaged, and counts as missing
	}
	return all, nil
}

// find returns the kernel from package p, nil if it is not cached or its entry is damaged.
func (c cache) find(ref string, p pkg, o Options) (*Kernel, error) {
	all, err := c.entries()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(e entry) bool { return e.Package.same(p) })
	if i < 0 {
		return nil, nil
	}
	k, err := c.open(ref, all[i])
	if err != nil {
		o.log("cached kernel %s %s is damaged (%v) and not used", p.Name, p.Version, err)
		return nil, nil
	}
	return k, nil
}

func (p pkg) same(q pkg) bool {
	return p.Name == q.Name && p.Version == q.Version && p.SHA256 == q.SHA256
}

// open verifies an entry.
func (c cache) open(ref string, e entry) (*Kernel, error) {
	dir := c.path(e.place())
	e = entry{}
	if err := cachedir.Open(dir, &e); err != nil {
		return nil, err
	}
	if e.Files[imageFile] != e.Digest || c.path(e.place()) != dir {
		return nil, errors.New("its manifest names another image")
	}
	k := &Kernel{
		Ref: ref, Release: e.Release,
		Image: filepath.Join(dir, imageFile), Format: e.Format, Digest: e.Digest,
		Arch:   arch.Or(arch.Find(e.Arch)),
		Source: e.Package.Name + " " + e.Package.Version + " " + e.Package.Suite,
	}
	if e.Origin != (origin{}) {
		k.Source = e.Origin.String()
	}
	for _, name := range e.Modules {
		k.Modules = append(k.Modules, Module{name, filepath.Join(dir, name+".ko")})
	}
	if e.Files[configFile] == "" {
		k.Config, _ = kconfig.ReadImage(k.Image) // without a configuration it is still a kernel
		return k, nil
	}
	k.ConfigPath = filepath.Join(dir, configFile)
	var err error
	k.Config, err = readConfig(k.ConfigPath)
	return k, err
}

// The directories that fill offers.
const (
	entryDir = "entry" // becomes the entry
	debsDir  = "debs"  // is removed
)

// filler makes the entry of a kernel.
type filler struct {
	name string // of its lock
	dir  string // that the entry is in, below the cache
	find func() (*Kernel, error)
	// make gets a directory with entryDir and debsDir in it.
	make func(ctx context.Context, dir string) (entry, error)
}

// fill makes an entry. A second process waits for the first and uses its entry.
func (c cache) fill(ctx context.Context, ref string, f filler, o Options) (*Kernel, error) {
	ctx, unlock, err := c.lock(ctx, f.name, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if k, err := f.find(); k != nil || err != nil {
		return k, err
	}
	temp, remove, err := cachedir.Temp(c.path(f.dir), f.name)
	if err != nil {
		return nil, fmt.Errorf("fill kernel cache: %w", err)
	}
	defer remove()
	for _, dir := range []string{entryDir, debsDir} {
		if err := os.Mkdir(filepath.Join(temp, dir), 0o755); err != nil {
			return nil, fmt.Errorf("fill kernel cache: %w", err)
		}
	}
	e, err := f.make(ctx, temp)
	if err != nil {
		return nil, err
	}
	e.Made = time.Now()
	if err := c.install(filepath.Join(temp, entryDir), &e); err != nil {
		return nil, fmt.Errorf("fill kernel cache: %w", err)
	}
	return c.open(ref, e)
}

// install makes the directory the entry of its image.
func (c cache) install(temp string, e *entry) error {
	if err := cachedir.Seal(temp, e); err != nil {
		return err
	}
	e.Digest = e.Files[imageFile]
	return cachedir.Install(temp, c.path(e.place()), e)
}

// heldKey is the key of a context's locks, which programs inherit.
type heldKey struct{}

// held returns the locks of a context.
func held(ctx context.Context) []*os.File {
	list, _ := ctx.Value(heldKey{}).([]*os.File)
	return list
}

// lock waits for a lock until ctx is done. Programs that are started with the returned context
// inherit the lock: if they outlive this process, the next one waits for them.
func (c cache) lock(ctx context.Context, name string, o Options) (locked context.Context, unlock func(), err error) {
	if err := os.MkdirAll(c.path("locks"), 0o755); err != nil {
		return nil, nil, fmt.Errorf("lock kernel cache: %w", err)
	}
	leave, err := enter(ctx, c.path("locks", name))
	if err != nil {
		return nil, nil, fmt.Errorf("lock kernel cache: %w", err)
	}
	f, err := lockfile.Lock(ctx, c.path("locks", name), func() {
		o.log("waiting for another process that holds the lock of %s", name)
	})
	if err != nil {
		leave()
		return nil, nil, fmt.Errorf("lock kernel cache: %w", err)
	}
	unlock = func() {
		f.Close()
		leave()
	}
	return context.WithValue(ctx, heldKey{}, append(slices.Clone(held(ctx)), f)), unlock, nil
}

// inside has for each lock a channel with one place: the kernels of this process wait for each
// other there, so that only a wait for another process is reported.
var inside sync.Map

// enter waits until no other goroutine of this process is inside of a lock.
func enter(ctx context.Context, path string) (leave func(), err error) {
	place, _ := inside.LoadOrStore(path, make(chan struct{}, 1))
	in := place.(chan struct{})
	select {
	case in <- struct{}{}:
		return sync.OnceFunc(func() { <-in }), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// cache is a directory with apt's private state, and one entry per kernel that
// is named by the digest of its image.
type cache struct{ dir string }

func (c cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

// entry is the manifest of a cached kernel, written last.
type entry struct {
	Package pkg
	Made    time.Time
	Release string
	Format  string
	Digest  string            // of the image
	Files   map[string]string // to their digests
	Modules []string          // in load order
}

const manifest = "manifest.json"

// entries returns the manifests that can be read, in no particular order.
func (c cache) entries() ([]entry, error) {
	dirs, err := os.ReadDir(c.path("kernels"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read kernel cache: %w", err)
	}
	var all []entry
	for _, d := range dirs {
		b, err := os.ReadFile(c.path("kernels", d.Name(), manifest))
		if err != nil {
			continue // half filled or damaged: as if it were not there
		}
		var e entry
		if json.Unmarshal(b, &e) == nil && e.Digest == d.Name() {
			all = append(all, e)
		}
	}
	return all, nil
}

// find returns the kernel made of p, nil when it is not cached. Every byte is
// compared with the manifest, and a damaged entry is not there.
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
	dir := c.path("kernels", e.Digest)
	for name, want := range e.Files {
		if err := verify(filepath.Join(dir, name), want); err != nil {
			return nil, err
		}
	}
	if e.Files[imageFile] != e.Digest {
		return nil, errors.New("its manifest does not name its image")
	}
	k := &Kernel{
		Ref: ref, Release: e.Release,
		Image: filepath.Join(dir, imageFile), Format: e.Format, Digest: e.Digest,
		Source: e.Package.Name + " " + e.Package.Version + " " + e.Package.Suite,
	}
	for _, name := range e.Modules {
		k.Modules = append(k.Modules, Module{name, filepath.Join(dir, name+".ko")})
	}
	if e.Files[configFile] == "" {
		return k, nil
	}
	k.ConfigPath = filepath.Join(dir, configFile)
	var err error
	k.Config, err = readConfig(k.ConfigPath)
	return k, err
}

func verify(path, want string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := digest(f)
	if err == nil && got != want {
		err = fmt.Errorf("%s has changed", filepath.Base(path))
	}
	return err
}

// The directories that fill offers.
const (
	entryDir = "entry" // what becomes the entry
	debsDir  = "debs"  // what is thrown away
)

// fill makes the entry of a kernel with make, which gets a directory with
// those two in it. The entry is renamed into place whole; whoever comes second
// finds it there, and clears up after one that was killed.
func (c cache) fill(ctx context.Context, ref string, p pkg, o Options, make func(ctx context.Context, dir string) (entry, error)) (*Kernel, error) {
	ctx, unlock, err := c.lock(ctx, p.Name+"_"+p.Version, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if k, err := c.find(ref, p, Options{}); k != nil || err != nil {
		return k, err
	}
	temp := c.path("kernels", ".fill-"+p.Name+"_"+p.Version)
	if err := errors.Join(
		os.RemoveAll(temp),
		os.MkdirAll(filepath.Join(temp, entryDir), 0o755),
		os.MkdirAll(filepath.Join(temp, debsDir), 0o755),
	); err != nil {
		return nil, fmt.Errorf("fill kernel cache: %w", err)
	}
	defer os.RemoveAll(temp)
	e, err := make(ctx, temp)
	if err != nil {
		return nil, err
	}
	e.Package, e.Made = p, time.Now()
	if err := c.install(filepath.Join(temp, entryDir), &e); err != nil {
		return nil, fmt.Errorf("fill kernel cache: %w", err)
	}
	return c.open(ref, e)
}

// install adds the manifest and renames, replacing a damaged entry.
func (c cache) install(temp string, e *entry) error {
	e.Files = map[string]string{}
	files, err := os.ReadDir(temp)
	if err != nil {
		return err
	}
	for _, f := range files {
		if e.Files[f.Name()], err = digestFile(filepath.Join(temp, f.Name())); err != nil {
			return err
		}
	}
	e.Digest = e.Files[imageFile]
	b, err := json.MarshalIndent(e, "", "\t")
	if err != nil {
		return err
	}
	final := c.path("kernels", e.Digest)
	return errors.Join(
		os.WriteFile(filepath.Join(temp, manifest), b, 0o644),
		os.RemoveAll(final),
		os.Rename(temp, final))
}

func digestFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(f)
}

// heldKey is where a context keeps the locks that programs hold as well.
type heldKey struct{}

// held returns the locks under which a context's work is done.
func held(ctx context.Context) []*os.File {
	list, _ := ctx.Value(heldKey{}).([]*os.File)
	return list
}

// lock takes a lock. Programs that are started with the context that it returns
// hold it, too: should they outlive this process, the next one waits for them.
// Waiting for another process ends with ctx.
func (c cache) lock(ctx context.Context, name string, o Options) (locked context.Context, unlock func(), err error) {
	if err := os.MkdirAll(c.path("locks"), 0o755); err != nil {
		return nil, nil, fmt.Errorf("lock kernel cache: %w", err)
	}
	f, err := lockFile(ctx, c.path("locks", name), func() {
		o.log("waiting for another process that holds the lock of %s", name)
	})
	if err != nil {
		return nil, nil, err
	}
	return context.WithValue(ctx, heldKey{}, append(slices.Clone(held(ctx)), f)), func() { f.Close() }, nil
}

// lockFile locks a file until it is closed, here and by every program that has
// inherited it.
func lockFile(ctx context.Context, path string, waits func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock kernel cache: %w", err)
	}
	for waiting := false; ; waiting = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock kernel cache: %w", err)
		}
		if !waiting {
			waits()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

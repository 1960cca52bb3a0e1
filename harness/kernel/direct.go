package kernel

import (
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
	"tokentest/kconfig"
)

// ErrNoPVH means that a kernel was built without CONFIG_PVH: QEMU cannot enter its ELF file.
var ErrNoPVH = errors.New("no PVH entry point (CONFIG_PVH is off)")

// unpacked is the manifest of an ELF file unpacked from a bzImage. An entry without the
// file means that QEMU cannot enter the file.
type unpacked struct {
	PVH bool `json:"pvh"`
	cachedir.Sums
}

// maxUnpacked is how many ELF files the cache keeps; each has about 60 MB.
const maxUnpacked = 32

// Direct returns the path of the kernel's ELF file, which QEMU enters through its PVH note
// (arch/x86/platform/pvh/head.S). Other formats than a bzImage are not
// compressed, and QEMU enters them. The file in a bzImage is
// unpacked once, and kept in the cache by the image's digest. A kernel that is entered there
// has not randomized its address: choose_random_location of arch/x86/boot/compressed/kaslr.c
// is part of what a bzImage does before it unpacks itself.
//
// The error is ErrNoPVH for a kernel without that note; any other says why the image could
// not be unpacked.
func (k *Kernel) Direct(ctx context.Context, o Options) (string, error) {
	if k.Format != BzImage {
		return k.Image, nil
	}
	if !arch.Or(k.Arch).Image.Direct {
		return "", ErrNoPVH
	}
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(dir, "direct")
	known, err := k.kept(ctx, dir, o)
	if err != nil {
		return "", err
	}
	if !known.PVH {
		return "", ErrNoPVH
	}
	return filepath.Join(dir, k.Digest, Vmlinux), nil
}

// kept makes the kernel's cache entry if it does not exist.
func (k *Kernel) kept(ctx context.Context, dir string, o Options) (*unpacked, error) {
	entry, known := filepath.Join(dir, k.Digest), &unpacked{}
	if cachedir.Open(entry, known) == nil {
		return known, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockfile.Lock(ctx, filepath.Join(dir, "lock"), func() {
		o.log("waiting for another process that fills the cache %s", dir)
	})
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if cachedir.Open(entry, known) == nil { // another process made it while this one waited
		return known, nil
	}
	temp, remove, err := cachedir.Temp(dir, k.Digest)
	if err != nil {
		return nil, err
	}
	defer remove()
	known = &unpacked{}
	if known.PVH, err = k.unpack(filepath.Join(temp, Vmlinux)); err != nil {
		return nil, fmt.Errorf("unpack the ELF file in %s: %w", k.Image, err)
	}
	if err := errors.Join(cachedir.Seal(temp, known), cachedir.Install(temp, entry, known)); err != nil {
		return nil, err
	}
	return known, forgetUnpacked(dir)
}

// unpackedIn returns the path of the kernel's ELF file in a cache, and that of the image if the
// cache does not have it: a bzImage takes a quarter of a second to unpack.
func (k *Kernel) unpackedIn(cache string) string {
	entry, known := filepath.Join(cache, "direct", k.Digest), &unpacked{}
	if k.Format != BzImage || cachedir.Open(entry, known) != nil || !known.PVH {
		return k.Image
	}
	return filepath.Join(entry, Vmlinux)
}

// unpack writes the ELF file in the image to a path, and reports whether QEMU can enter it.
// It removes a file that QEMU cannot enter.
func (k *Kernel) unpack(path string) (pvh bool, err error) {
	image, err := os.Open(k.Image)
	if err != nil {
		return false, err
	}
	defer image.Close()
	from, err := kconfig.Unpack(image)
	if err != nil {
		return false, err
	}
	to, err := os.Create(path)
	if err != nil {
		return false, err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return false, err
	}
	e, err := elf.NewFile(to)
	if err != nil {
		return false, fmt.Errorf("a damaged ELF file: %w", err)
	}
	if !hasPVH(e) {
		return false, os.Remove(path)
	}
	return true, to.Close()
}

// forgetUnpacked removes the entries that were not used for longest.
func forgetUnpacked(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type entry struct {
		name string
		used time.Time
	}
	var entries []entry
	for _, d := range list {
		if info, err := d.Info(); err == nil && d.IsDir() && !cachedir.Unfinished(d.Name()) {
			entries = append(entries, entry{d.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.name, b.name))
	})
	for _, e := range entries[min(maxUnpacked, len(entries)):] {
		if err := cachedir.Remove(filepath.Join(dir, e.name)); err != nil && !errors.Is(err, cachedir.ErrInUse) {
			return err
		}
	}
	return nil
}

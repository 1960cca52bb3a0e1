package kernel

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"tokentest/harness/arch"
)

// debugFile is the ELF file with debug information in a package linux-image-RELEASE-dbg.
var debugFile = regexp.MustCompile(`^/usr/lib/debug/(boot/vmlinux-[^/]+|(usr/)?lib/modules/[^/]+/vmlinux)$`)

// FetchSymbols fetches the debug package of a kernel that came from a package, and returns
// the path of its vmlinux, in dir. It takes about 350 MB from the mirror, and as much again on the disk.
func (k *Kernel) FetchSymbols(ctx context.Context, dir string, o Options) (string, error) {
	d, x, err := readDebian(ctx, o, arch.Or(k.Arch))
	if err != nil {
		return "", err
	}
	all, err := d.entries()
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(all, func(e entry) bool { return e.Digest == k.Digest && e.Package.Name != "" })
	if i < 0 {
		return "", fmt.Errorf("fetch the symbols of %s: it is not from a package of the mirror", k.Ref)
	}
	p, ok := x.lookup(all[i].Package.Name+"-dbg", image{pkg: all[i].Package})
	switch {
	case !ok:
		return "", fmt.Errorf("fetch the symbols of %s: the mirror has no %s-dbg %s", k.Ref, all[i].Package.Name,
			all[i].Package.Version)
	case o.Offline:
		return "", fmt.Errorf("fetch %s %s: --offline forbids the network", p.Name, p.Version)
	}
	a, err := d.apt(ctx)
	if err != nil {
		return "", err
	}
	o.log("fetching %s %s (%.1f MB)", p.Name, p.Version, float64(p.Size)/1e6)
	stop := d.during(fetched(p, dir))
	paths, err := a.fetch(ctx, dir, []pkg{p})
	stop()
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, Vmlinux)
	err = untar(ctx, paths[0], func(name string, r io.Reader) error {
		if !debugFile.MatchString(name) {
			return nil
		}
		if err := writeFile(to, r); err != nil {
			return err
		}
		return errEnough
	})
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(to); err != nil {
		return "", fmt.Errorf("fetch the symbols of %s: %s has no vmlinux", k.Ref, p.Name)
	}
	return to, os.Remove(paths[0])
}

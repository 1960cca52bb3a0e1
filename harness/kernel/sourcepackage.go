package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/cachedir"
)

// sourceTar matches the path of the tree in linux-source.
var sourceTar = regexp.MustCompile(`^/usr/src/linux-source-[^/]+\.tar\.[a-z0-9]+$`)

// sourcePackage returns a repository with a distribution's sources in one commit. It is made once
// for each version.
func (c cache) sourcePackage(ctx context.Context, ref, version string, o Options) (*repo, string, string, error) {
	d := &debian{cache: c, Options: o, of: host}
	p, err := d.chooseSource(ctx, ref, version)
	if err != nil {
		return nil, "", "", err
	}
	name := p.Name + " " + p.Version
	r := &repo{dir: c.path("trees", p.Name+"_"+p.Version), name: name}
	if _, err := os.Stat(r.src()); err != nil { // it appears as a whole
		ctx, unlock, err := c.lock(ctx, "tree-"+filepath.Base(r.dir), o)
		if err != nil {
			return nil, "", "", err
		}
		defer unlock()
		if err := d.fillSource(ctx, p, r); err != nil {
			return nil, "", "", err
		}
	}
	commit, err := r.git(ctx, "rev-parse", "--verify", "refs/tokentest/base")
	if err = errors.Join(err, cachedir.Hold(r.dir)); err != nil {
		return nil, "", "", fmt.Errorf("read the sources of %s in %s: %w: remove that directory to fetch them anew", name,
			r.src(), err)
	}
	return r, commit, name, nil
}

// chooseSource returns the newest package that matches a version. Without a network it returns an
// unpacked one.
func (d *debian) chooseSource(ctx context.Context, ref, version string) (pkg, error) {
	x, err := d.index(ctx)
	if err != nil {
		return d.unpackedSource(version, err)
	}
	choices := x.sources(version)
	if len(choices) == 0 {
		bad := &UsageError{Ref: ref, Reason: "the mirror has no sources of such a version"}
		for _, p := range x.sources("") {
			if near := "src:" + cut(upstream(p.Version), 2); !slices.Contains(bad.Near, near) && len(bad.Near) < 4 {
				bad.Near = append(bad.Near, near)
			}
		}
		return pkg{}, bad
	}
	return choices[0], nil
}

// sources returns the linux-source packages of a version, the newest first;
// "" means every version.
func (x *index) sources(version string) []pkg {
	var out []pkg
	for _, p := range x.Packages {
		if strings.HasPrefix(p.Name, "linux-source-") && (version == "" || beginsAt(p.Version, version)) && !p.Gone {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b pkg) int { return compareVersions(b.Version, a.Version) })
	return out
}

func (d *debian) unpackedSource(version string, err error) (pkg, error) {
	dirs, _ := filepath.Glob(d.path("trees", "linux-source-*_*"))
	slices.Reverse(dirs)
	for _, dir := range dirs {
		name, v, _ := strings.Cut(filepath.Base(dir), "_")
		if beginsAt(v, version) {
			d.log("%v: using the sources of %s %s that are here", err, name, v)
			return pkg{Name: name, Version: v}, nil
		}
	}
	return pkg{}, err
}

// fillSource fetches and unpacks a package and commits its files. The repository appears as a
// whole.
func (d *debian) fillSource(ctx context.Context, p pkg, r *repo) error {
	if _, err := os.Stat(r.src()); err == nil { // another process made it meanwhile
		return nil
	}
	if d.Offline {
		return fmt.Errorf("fetch %s %s: not cached, and --offline forbids the network", p.Name, p.Version)
	}
	a, err := d.apt(ctx)
	if err != nil {
		return err
	}
	temp, remove, err := cachedir.Temp(d.path("trees"), filepath.Base(r.dir))
	if err != nil {
		return fmt.Errorf("make a work tree: %w", err)
	}
	defer remove()
	if err := os.Mkdir(filepath.Join(temp, "src"), 0o755); err != nil {
		return fmt.Errorf("make a work tree: %w", err)
	}
	d.log("fetching %s %s (%.0f MB)", p.Name, p.Version, float64(p.Size)/1e6)
	debs, err := a.fetch(ctx, temp, []pkg{p})
	if err != nil {
		return err
	}
	d.log("unpacking %s, once for this version: it takes a minute or more", p.Name)
	fresh := &repo{dir: temp, name: r.name}
	if err := untarSource(ctx, debs[0], fresh.src()); err != nil {
		return fmt.Errorf("unpack %s %s: %w", p.Name, p.Version, err)
	}
	if err := fresh.commitAll(ctx, p.Name+" "+p.Version); err != nil {
		return fmt.Errorf("unpack %s %s: %w", p.Name, p.Version, err)
	}
	if err := os.Remove(debs[0]); err != nil {
		return fmt.Errorf("unpack %s %s: %w", p.Name, p.Version, err)
	}
	if err := os.Rename(temp, r.dir); err != nil {
		return fmt.Errorf("keep the sources: %w", err)
	}
	return nil
}

// untarSource unpacks the tree inside a package.
func untarSource(ctx context.Context, deb, dir string) error {
	found := false
	err := untar(ctx, deb, func(name string, r io.Reader) error {
		if !sourceTar.MatchString(name) {
			return nil
		}
		found = true
		flag := map[string]string{".xz": "--xz", ".zst": "--zstd", ".gz": "--gzip", ".bz2": "--bzip2"}[filepath.Ext(name)]
		tar := command(ctx, "tar", "-x", flag, "--strip-components=1", "-C", dir)
		tar.Stdin = r
		if _, err := run(tar); err != nil {
			return err
		}
		return errEnough
	})
	if err == nil && !found {
		err = errors.New("it holds no /usr/src/linux-source-*.tar")
	}
	return err
}

// commitAll makes a repository of the files. As "big" files they go into one
// pack without a search for differences, in a third of the time.
func (r *repo) commitAll(ctx context.Context, message string) error {
	for _, args := range [][]string{
		{"init", "-q"},
		{"-c", "core.bigFileThreshold=1", "-c", "core.compression=1", "add", "--force", "--all", "."},
		{"commit", "-q", "--no-gpg-sign", "-m", message},
		{"update-ref", "refs/tokentest/base", "HEAD"},
	} {
		if _, err := r.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

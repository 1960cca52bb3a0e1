package kernel

import (
	"context"
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// Available is a kernel that a deb: or an oci: reference can name.
type Available struct {
	Package string   // linux-image-RELEASE; "" in a container image
	Version string   // Debian's, or the release
	Release string   // as in uname -r, or as the tag says
	Flavour string   // "" in a container image
	Suites  []string // none for a kernel that is only cached
	Ref     string   // the shortest reference that means it
	Cached  bool
}

// List returns the kernels on the mirror and in the cache, the newest first. It asks the mirror if
// the package lists are more than a day old.
func List(ctx context.Context, o Options) ([]Available, error) {
	d, x, err := readDebian(ctx, o, o.arch())
	if err != nil {
		return nil, err
	}
	entries, err := d.entries()
	if err != nil {
		return nil, err
	}
	images, err := d.cachedContainers()
	return append(available(x, entries), images...), err
}

// Cached returns the kernels that Resolve returns without a network.
func Cached(o Options) ([]Available, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	entries, err := c.entries()
	if err != nil {
		return nil, err
	}
	x, err := (&debian{cache: c, of: o.arch()}).loadIndex()
	if err != nil { // without the lists, references are as if the mirror had no other kernel
		x = &index{arch: o.arch()}
	}
	images, err := c.cachedContainers()
	all := append(available(x, entries), images...)
	return slices.DeleteFunc(all, func(a Available) bool { return !a.Cached }), err
}

// AllFlavours selects every flavour.
const AllFlavours = "all"

// OfFlavour selects kernels of a flavour, whole or without its architecture, such as cloud, and those of container
// images, which have none.
// The error names the flavours that there are.
func OfFlavour(all []Available, flavour string) ([]Available, error) {
	var out []Available
	var there []string
	for _, k := range all {
		if flavour == AllFlavours || k.Flavour == "" || k.Flavour == flavour || hasFlavour(k, flavour) {
			out = append(out, k)
		}
		if k.Flavour != "" && !slices.Contains(there, k.Flavour) {
			there = append(there, k.Flavour)
		}
	}
	if slices.Sort(there); len(there) > 0 && !slices.ContainsFunc(out, func(k Available) bool { return k.Flavour != "" }) {
		return nil, &UsageError{what: "flavour", Ref: flavour, Advised: true,
			Reason: "no kernel has it; there are " + strings.Join(there, ", ") + ", and all for every one"}
	}
	return out, nil
}

// hasFlavour reports whether a kernel has a flavour that is given without the architecture.
func hasFlavour(k Available, flavour string) bool {
	for _, of := range arch.All {
		for _, suffix := range of.Suffix {
			if k.Flavour == flavour+"-"+suffix {
				return true
			}
		}
	}
	return false
}

// available merges the suites with the same package, and adds the cached kernels that are no
// longer in any suite.
func available(x *index, entries []entry) []Available {
	known := *x
	for _, e := range entries {
		if !slices.ContainsFunc(x.Packages, e.Package.same) {
			e.Package.Suite = ""
			known.Packages = append(slices.Clip(known.Packages), e.Package)
		}
	}
	images := known.images()
	var all []Available
	for _, p := range images {
		cached := slices.ContainsFunc(entries, func(e entry) bool { return e.Package.same(p.pkg) })
		if p.Gone && !cached {
			continue
		}
		if n := len(all) - 1; n >= 0 && all[n].Package == p.Name && all[n].Version == p.Version {
			all[n].Suites = append(all[n].Suites, p.Suite)
			all[n].Cached = all[n].Cached || cached
			continue
		}
		a := Available{
			Package: p.Name, Version: p.Version, Release: p.release, Flavour: p.flavour,
			Ref: known.shortest(images, p), Cached: cached,
		}
		if p.Suite != "" {
			a.Suites = []string{p.Suite}
		}
		all = append(all, a)
	}
	return all
}

// shortest tries references from the broadest to the exact one.
func (x *index) shortest(images []image, p image) string {
	version := upstream(p.Version)
	for _, v := range []string{cut(version, 2), version, p.Version, strings.TrimSuffix(p.release, "-"+p.flavour)} {
		r := debRef{version: v, flavour: p.flavour, arch: x.arch}
		i := slices.IndexFunc(images, func(q image) bool { return r.matches(x, q) })
		if i >= 0 && images[i].Name == p.Name && images[i].Version == p.Version {
			return r.short()
		}
	}
	return debRef{version: p.Version, flavour: p.flavour, arch: x.arch}.short()
}

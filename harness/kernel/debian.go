package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tokentest/harness/arch"
)

// resolveDeb resolves a deb: reference with the package lists, and gets the kernel from the cache
// or the mirror.
func resolveDeb(ctx context.Context, ref, spec string, o Options) (*Kernel, error) {
	r, err := parseDebRef(ref, spec)
	if err != nil {
		return nil, err
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	d := &debian{cache: cache{dir}, Options: o, of: r.arch}
	k, err := d.resolve(ctx, ref, r)
	var bad *UsageError
	switch {
	case err == nil || errors.As(err, &bad):
		return k, err
	case ctx.Err() != nil: // the errors of the ended programs add nothing
		return nil, fmt.Errorf("resolve %s: %w", ref, context.Cause(ctx))
	}
	return d.fallBack(ref, r, err)
}

// debian is the state of one call.
type debian struct {
	cache
	Options
	of *arch.Arch // whose package lists are read
}

// state is the name of apt's private state, of which each architecture has its own: apt drops a whole suite if the list
// of one architecture is out of date.
func (d *debian) state() string {
	if d.of == arch.Default {
		return "apt"
	}
	return "apt-" + d.of.Name
}

// readDebian starts a call and reads the package lists.
func readDebian(ctx context.Context, o Options, of *arch.Arch) (*debian, *index, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, nil, err
	}
	d := &debian{cache: cache{dir}, Options: o, of: of}
	x, err := d.index(ctx)
	return d, x, err
}

func (d *debian) resolve(ctx context.Context, ref string, r debRef) (*Kernel, error) {
	x, err := d.index(ctx)
	if err != nil {
		return nil, err
	}
	choices := x.choose(r)
	if len(choices) == 0 {
		return nil, x.unknown(ref, r)
	}
	choices = d.wholeFirst(x, choices)
	var gone *goneError
	for _, p := range choices {
		k, err := d.obtain(ctx, ref, x, p)
		if !errors.As(err, &gone) {
			return k, err
		}
		d.log("%v; taking the next newest", err)
		if !gone.pkg.Gone {
			d.remember(ctx, gone.pkg)
		}
	}
	return nil, fmt.Errorf("resolve %s: all of the %d packages that match are gone from the mirror", ref, len(choices))
}

// wholeFirst prefers kernels of which the mirror has every package. Without its configuration and
// modules a kernel still boots, but less is known about it.
func (d *debian) wholeFirst(x *index, choices []image) []image {
	whole := func(p image) bool {
		_, lost := x.parts(p)
		return len(lost) == 0
	}
	var first, rest []image
	for _, p := range choices {
		if whole(p) {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	if len(first) > 0 && !whole(choices[0]) {
		d.log("%s %s is newer, but the mirror has only a part of it", choices[0].Name, choices[0].Version)
	}
	return append(first, rest...)
}

// obtain returns the kernel from package p.
func (d *debian) obtain(ctx context.Context, ref string, x *index, p image) (*Kernel, error) {
	if k, err := d.find(ref, p.pkg, d.Options); k != nil || err != nil {
		if k != nil {
			d.log("%s is %s (cached; package lists of %s ago)", ref, k.Source, age(x.Time))
		}
		return k, err
	}
	if d.Offline {
		return nil, fmt.Errorf("fetch %s %s: not cached, and --offline forbids the network", p.Name, p.Version)
	}
	parts, lost := x.parts(p)
	if i := slices.IndexFunc(parts, func(q pkg) bool { return q.Gone }); i >= 0 {
		return nil, &goneError{parts[i]}
	}
	a, err := d.apt(ctx)
	if err != nil {
		return nil, err
	}
	return d.fill(ctx, ref, filler{
		name: p.Name + "_" + p.Version, dir: packagesDir,
		find: func() (*Kernel, error) { return d.find(ref, p.pkg, Options{}) },
		make: func(ctx context.Context, dir string) (entry, error) {
			b := &build{
				apt: a, Options: d.Options, image: p, parts: parts, lost: lost,
				dir: filepath.Join(dir, entryDir), temp: filepath.Join(dir, debsDir),
			}
			e, err := b.make(ctx)
			e.Package = p.pkg
			return e, err
		},
	}, d.Options)
}

// apt returns the host's apt with a new configuration, because the host's mirror or the cache
// directory may have changed since the lists were read.
func (d *debian) apt(ctx context.Context) (*apt, error) {
	a, err := newApt(d.path(d.state()), d.root, d.of)
	if err != nil {
		return nil, err
	}
	ctx, unlock, err := d.lock(ctx, d.state(), d.Options)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return a, a.configure(ctx)
}

func (d *debian) indexPath() string { return d.path(d.state(), "index.json") }

// index returns the kernels of the package lists: cached lists if they are less than a day old,
// else new ones, else old ones with a log line.
func (d *debian) index(ctx context.Context) (*index, error) {
	if x := d.recent(); x != nil {
		return x, nil
	}
	if d.Offline {
		return nil, errors.New("read package lists: none are cached, and --offline forbids the network")
	}
	began := time.Now()
	ctx, unlock, err := d.lock(ctx, d.state(), d.Options)
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, _ := d.loadIndex()
	if old != nil && old.Time.After(began) { // another process updated them meanwhile
		return old, nil
	}
	x, err := d.update(ctx)
	if err != nil && old != nil && ctx.Err() == nil {
		d.log("package lists are %s old: %v", age(old.Time), err)
		return old, nil
	}
	return x, err
}

// loadIndex reads the cached index.
func (d *debian) loadIndex() (*index, error) {
	x, err := loadIndex(d.indexPath())
	if x != nil {
		x.arch = d.of
	}
	return x, err
}

// recent returns the cached index if no update is needed.
func (d *debian) recent() *index {
	x, err := d.loadIndex()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log("cached package lists are damaged (%v) and not used", err)
		}
		return nil
	}
	if d.Offline || !d.Refresh && time.Since(x.Time) < maxAge {
		return x
	}
	return nil
}

// update reads the package lists from the mirror.
func (d *debian) update(ctx context.Context) (*index, error) {
	a, err := newApt(d.path(d.state()), d.root, d.of)
	if err != nil {
		return nil, err
	}
	d.log("updating package lists of Debian's suites")
	stop := d.during(listsText(filepath.Join(a.dir, "lists")))
	failed, err := a.update(ctx, d.log)
	stop()
	if err != nil {
		return nil, err
	}
	x, err := a.readIndex(ctx)
	if err != nil {
		return nil, err
	}
	for _, suite := range suites {
		if failed[suite] != "" {
			d.log("suite %s is not up to date or left out: %s", suite, failed[suite])
		}
	}
	x.arch = d.of
	if len(x.images()) == 0 {
		return nil, errors.New("update package lists: they contain no kernel")
	}
	if err := x.save(d.indexPath()); err != nil {
		return nil, fmt.Errorf("save package lists: %w", err)
	}
	return x, nil
}

// remember marks a package as gone, so that the next run does not ask the mirror for it. If the
// mark cannot be stored, the next run asks again.
func (d *debian) remember(ctx context.Context, gone pkg) {
	_, unlock, err := d.lock(ctx, d.state(), d.Options)
	if err != nil {
		return
	}
	defer unlock()
	x, err := d.loadIndex()
	if err != nil {
		return
	}
	for i := range x.Packages {
		if x.Packages[i].same(gone) && x.Packages[i].File == gone.File {
			x.Packages[i].Gone = true
		}
	}
	_ = x.save(d.indexPath())
}

// fallBack returns a cached kernel that matches r, else err.
func (d *debian) fallBack(ref string, r debRef, err error) (*Kernel, error) {
	all, listErr := d.entries()
	if listErr != nil {
		return nil, err
	}
	x := &index{arch: d.of}
	for _, e := range all {
		x.Packages = append(x.Packages, e.Package)
	}
	for _, p := range x.choose(r) {
		if k, _ := d.find(ref, p.pkg, Options{}); k != nil {
			d.log("%v: using the cached %s for %s", err, k.Source, ref)
			return k, nil
		}
	}
	return nil, err
}

// age is the time since t as text, in minutes, hours or days.
func age(t time.Time) string {
	switch d := time.Since(t); {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	default:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
}

// build fetches and unpacks one kernel.
type build struct {
	*apt
	Options
	dir   string // to fill
	temp  string // for packages
	image image
	parts []pkg
	lost  []string // packages that the mirror does not have
	debs  []string // paths of those that were fetched
}

// make fetches the modules only if the configuration needs them, or if the other packages lack a
// file.
func (b *build) make(ctx context.Context) (entry, error) {
	first := slices.IndexFunc(b.parts, func(p pkg) bool { return late(p) == 1 })
	if first < 0 {
		first = len(b.parts)
	}
	if err := b.unpack(ctx, b.parts[:first]); err != nil {
		return entry{}, err
	}
	rest := b.parts[first:]
	if !exists(b.dir, imageFile) || !exists(b.dir, configFile) {
		if err := b.unpack(ctx, rest); err != nil {
			return entry{}, err
		}
		rest = nil
	}
	k, err := b.describe()
	if err != nil {
		return entry{}, err
	}
	e := entryOf(k)
	if k.Config == nil {
		b.log("the configuration of %s %s is unknown%s", b.image.Name, b.image.Version, b.because())
	}
	if want := missing(k.Config, k.Arch); len(want) > 0 {
		if err := b.unpack(ctx, rest); err != nil {
			return entry{}, err
		}
		e.Modules, err = b.modules(ctx, want)
	}
	return e, err
}

// because names the missing packages, if any.
func (b *build) because() string {
	if len(b.lost) == 0 {
		return ""
	}
	return ": the mirror no longer has " + strings.Join(b.lost, " and ")
}

// unpack fetches packages and unpacks the image and the configuration.
func (b *build) unpack(ctx context.Context, packages []pkg) error {
	for _, p := range packages {
		b.log("fetching %s %s (%.1f MB)", p.Name, p.Version, float64(p.Size)/1e6)
		stop := b.during(fetched(p, b.temp))
		paths, err := b.fetch(ctx, b.temp, []pkg{p})
		stop()
		if err != nil {
			return err
		}
		if err := unpackKernel(ctx, paths[0], b.dir); err != nil {
			return err
		}
		b.debs = append(b.debs, paths...)
	}
	return nil
}

// describe reads the unpacked image.
func (b *build) describe() (*Kernel, error) {
	if !exists(b.dir, imageFile) {
		return nil, fmt.Errorf("unpack %s %s: no kernel image in its packages%s", b.image.Name, b.image.Version, b.because())
	}
	k, err := readImage(filepath.Join(b.dir, imageFile))
	var bad *UsageError
	if errors.As(err, &bad) {
		return nil, fmt.Errorf("unpack %s %s: its image is %s", b.image.Name, b.image.Version, bad.Reason)
	}
	if err == nil && exists(b.dir, configFile) {
		k.Config, err = readConfig(filepath.Join(b.dir, configFile))
	}
	return k, err
}

// modules unpacks the modules that the control channel needs. Modules that the mirror no longer
// has are no error, because a kernel without them uses a slower channel.
func (b *build) modules(ctx context.Context, want []string) ([]string, error) {
	set, names, err := unpackModules(ctx, b.debs, want)
	switch {
	case errors.Is(err, errNoModule) && len(b.lost) > 0:
		b.log("no modules for %s %s%s", b.image.Name, b.image.Version, b.because())
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("unpack %s %s: %w", b.image.Name, b.image.Version, err)
	}
	if err := set.write(b.dir, names); err != nil {
		return nil, fmt.Errorf("fill kernel cache: %w", err)
	}
	return names, nil
}

package kernel

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"tokentest/harness/cachedir"
	"tokentest/harness/oci"
)

// ModuleTree is all modules of a kernel, by the names and aliases that modprobe(8) knows.
type ModuleTree struct {
	facts   map[string]moduleFacts // by the module's name
	builtin map[string]bool        // names of what the image has built in
	open    func(file string) (io.ReadCloser, error)
}

// moduleFacts is what .modinfo says of a module.
type moduleFacts struct {
	File    string   // as the kernel's package names it, without the directory
	Depends []string `json:",omitempty"`
	Soft    []string `json:",omitempty"` // softdep=: it works without them
	Aliases []string `json:",omitempty"` // patterns as of fnmatch(3)
}

// LoadStep is a module to load.
type LoadStep struct {
	Name string
	Soft bool // the others work without it
}

// ErrNoModules means that the modules of a kernel are not at hand.
var ErrNoModules = errors.New("the kernel's modules are not known")

// modulesDir holds an entry a kernel, which is named by the digest of its image.
const (
	modulesDir  = "modules"
	modulesFile = "modules.zip"
)

// moduleEntry is the manifest of a kernel's modules in the cache.
type moduleEntry struct {
	cachedir.Sums
	Facts   map[string]moduleFacts
	Builtin []string
}

// AllModules returns the modules of a kernel that has files of them: from the packages or the image that it came from,
// from the tree that built it, or from this host's /lib/modules. It fetches packages again. The error is ErrNoModules
// if they are nowhere.
func (k *Kernel) AllModules(ctx context.Context, o Options) (*ModuleTree, error) {
	if k.Config != nil && !k.Config.Has("MODULES") {
		return &ModuleTree{}, nil
	}
	if dir := k.tree(); dir != "" {
		return readTree(dir)
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	if t, err := c.moduleTree(k.Digest); t != nil || err != nil {
		return t, err
	}
	ctx, unlock, err := c.lock(ctx, modulesDir+"-"+k.Digest, o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t, err := c.moduleTree(k.Digest); t != nil || err != nil {
		return t, err
	}
	temp, remove, err := cachedir.Temp(c.path(modulesDir), k.Digest)
	if err != nil {
		return nil, fmt.Errorf("fill module cache: %w", err)
	}
	defer remove()
	e, err := k.collect(ctx, c, o, temp)
	if err != nil {
		return nil, err
	}
	if err := cachedir.Seal(temp, e); err != nil {
		return nil, fmt.Errorf("fill module cache: %w", err)
	}
	if err := cachedir.Install(temp, c.path(modulesDir, k.Digest), e); err != nil {
		return nil, fmt.Errorf("fill module cache: %w", err)
	}
	return c.moduleTree(k.Digest)
}

// moduleTree opens an entry; nil if there is none, or it is damaged.
func (c cache) moduleTree(digest string) (*ModuleTree, error) {
	var e moduleEntry
	dir := c.path(modulesDir, digest)
	if err := cachedir.Open(dir, &e); err != nil {
		return nil, nil //nolint:nilerr // it is made again
	}
	z, err := zip.OpenReader(filepath.Join(dir, modulesFile))
	if err != nil {
		return nil, fmt.Errorf("read module cache: %w", err)
	}
	t := &ModuleTree{facts: e.Facts, builtin: map[string]bool{}, // the file is open until the process ends
		open: func(file string) (io.ReadCloser, error) { return z.Open(file) }}
	for _, name := range e.Builtin {
		t.builtin[name] = true
	}
	return t, nil
}

// builtinPath is the list of what an image has built in, as kmod reads it.
var builtinPath = regexp.MustCompile(`^(?:/usr)?/lib/modules/[^/]+/modules\.builtin$`)

// collector copies modules into a zip file, and collects their facts.
type collector struct {
	zip   *zip.Writer
	entry *moduleEntry
	files []collected
}

// collected is a module's file, as the package has it.
type collected struct {
	name, suffix string
	data         []byte
}

// collect writes the files of an entry.
func (k *Kernel) collect(ctx context.Context, c cache, o Options, dir string) (*moduleEntry, error) {
	f, err := os.Create(filepath.Join(dir, modulesFile))
	if err != nil {
		return nil, fmt.Errorf("fill module cache: %w", err)
	}
	defer f.Close()
	all := &collector{zip: zip.NewWriter(f), entry: &moduleEntry{Facts: map[string]moduleFacts{}}}
	if err := k.visitModules(ctx, c, o, all.file); err != nil {
		return nil, err
	}
	if len(all.files) == 0 {
		return nil, ErrNoModules
	}
	o.log("reading the %d modules of %s", len(all.files), cmp.Or(k.Release, k.Ref))
	if err := all.read(ctx, o); err != nil {
		return nil, err
	}
	if err := all.zip.Close(); err != nil {
		return nil, fmt.Errorf("fill module cache: %w", err)
	}
	return all.entry, f.Close()
}

// file takes a file, if it belongs to the modules.
func (c *collector) file(name string, r io.Reader) error {
	if builtinPath.MatchString(name) {
		text, err := io.ReadAll(io.LimitReader(r, maxConfigBytes))
		c.entry.Builtin = builtinNames(string(text))
		return err
	}
	m := modulePath.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxModuleBytes+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxModuleBytes:
		return fmt.Errorf("%s: more than %d bytes", name, maxModuleBytes)
	}
	c.files = append(c.files, collected{moduleName(m[1]), m[2], data})
	w, err := c.zip.CreateHeader(&zip.FileHeader{Name: moduleName(m[1]) + ".ko" + m[2], Method: zip.Store})
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// builtinNames reads the lines of modules.builtin, such as kernel/fs/ext4/ext4.ko.
func builtinNames(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), ".ko"); ok {
			out = append(out, moduleName(path.Base(name)))
		}
	}
	return out
}

// read reads what the modules say of themselves, on all processors: decompressing takes the time. What cannot be read
// is no module.
func (c *collector) read(ctx context.Context, o Options) error {
	facts := make([]moduleFacts, len(c.files))
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(runtime.NumCPU())
	for i, f := range c.files {
		all.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			module, err := decompressModule(bytes.NewReader(f.data), f.suffix)
			if err == nil {
				facts[i], err = readFacts(bytes.NewReader(module), f.name+".ko"+f.suffix)
			}
			if err != nil {
				facts[i].File = ""
				o.log("read module %s: %v: it is left out", f.name, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	for i, f := range c.files {
		if facts[i].File != "" {
			c.entry.Facts[f.name] = facts[i]
		}
	}
	return nil
}

// readFacts reads a module's .modinfo section, which scripts/mod/modpost and include/linux/module.h write.
func readFacts(module io.ReaderAt, file string) (moduleFacts, error) {
	f := moduleFacts{File: file}
	e, err := elf.NewFile(module)
	if err != nil {
		return f, err
	}
	section := e.Section(".modinfo")
	if section == nil {
		return f, errors.New("no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return f, err
	}
	for tag := range bytes.SplitSeq(info, []byte{0}) {
		switch key, value, _ := strings.Cut(string(tag), "="); {
		case key == "depends" && value != "":
			f.Depends = strings.Split(moduleName(value), ",")
		case key == "alias":
			f.Aliases = append(f.Aliases, value)
		case key == "softdep":
			for word := range strings.FieldsSeq(value) {
				if word != "pre:" && word != "post:" {
					f.Soft = append(f.Soft, moduleName(word))
				}
			}
		}
	}
	return f, nil
}

// visitModules calls take for the files of the kernel's packages, of its container image, or of this host.
func (k *Kernel) visitModules(ctx context.Context, c cache, o Options, take func(string, io.Reader) error) error {
	var e entry
	from := cachedir.Read(filepath.Dir(k.Image), &e)
	switch {
	case k.Ref == hostRef:
		return visitHost(filepath.Join("/", o.root), k.Release, take)
	case from != nil || e.Origin.Repo == "" && e.Package.Name == "":
		return ErrNoModules // an image of the user's, or a build, of which only the image is kept
	case o.Offline:
		return fmt.Errorf("%w: they are not cached, and --offline forbids the network", ErrNoModules)
	case e.Origin.Repo != "":
		ref, err := oci.Parse(e.Origin.Repo + "@" + e.Origin.Digest)
		if err != nil {
			return err
		}
		img, err := oci.Open(ctx, ref, architecture)
		if err != nil {
			return err
		}
		return img.Visit(ctx, oci.Visitor{
			Wants: func(name string) bool {
				in := inner(name)
				return strings.Contains(in, "/"+k.Release+"/") && (modulePath.MatchString(in) || builtinPath.MatchString(in))
			},
			Take: func(name string, _ int64, r io.Reader) error { return take(inner(name), r) },
			Link: func(string, string) {}})
	}
	d, x, err := readDebian(ctx, o, k.Arch)
	if err != nil {
		return err
	}
	return d.visitPackages(ctx, x, e.Package, take)
}

// visitPackages fetches the packages of an image again.
func (d *debian) visitPackages(ctx context.Context, x *index, of pkg, take func(string, io.Reader) error) error {
	i := slices.IndexFunc(x.images(), func(p image) bool { return p.same(of) })
	if i < 0 {
		return fmt.Errorf("the mirror no longer has %s %s: %w", of.Name, of.Version, ErrNoModules)
	}
	parts, _ := x.parts(x.images()[i])
	if i := slices.IndexFunc(parts, func(p pkg) bool { return late(p) == 1 }); i >= 0 {
		parts = parts[i:] // the others have none
	}
	a, err := d.apt(ctx)
	if err != nil {
		return err
	}
	temp, remove, err := cachedir.Temp(d.path(modulesDir), "debs")
	if err != nil {
		return fmt.Errorf("fill module cache: %w", err)
	}
	defer remove()
	for _, p := range parts {
		d.log("fetching %s %s (%.1f MB) for its modules", p.Name, p.Version, float64(p.Size)/1e6)
		stop := d.during(fetched(p, temp))
		paths, err := a.fetch(ctx, temp, []pkg{p})
		stop()
		if err != nil {
			return err
		}
		if err := untar(ctx, paths[0], take); err != nil {
			return err
		}
	}
	return nil
}

// visitHost visits the modules that this host has installed for a release.
func visitHost(root, release string, take func(string, io.Reader) error) error {
	dir := filepath.Join(root, "lib/modules", release)
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // what cannot be read is missing
		}
		f, err := os.Open(name)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		defer f.Close()
		return take(path.Join("/lib/modules", release, strings.TrimPrefix(name, dir)), f)
	})
}

// tree is the directory of the tree that built the image, "" if the image is not in one.
func (k *Kernel) tree() string {
	image, err := filepath.Abs(k.Image)
	if err != nil {
		return ""
	}
	dir, ok := strings.CutSuffix(image, "/arch/"+k.Arch.Dir+"/boot/"+filepath.Base(image))
	if !ok && filepath.Base(image) == "vmlinux" {
		dir, ok = filepath.Dir(image), true
	}
	if info, err := os.Stat(filepath.Join(dir, "modules.order")); !ok || err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return dir
}

// readTree reads the modules that a tree has built: those of modules.order, which make modules writes.
func readTree(dir string) (*ModuleTree, error) {
	order, err := os.ReadFile(filepath.Join(dir, "modules.order"))
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	t := &ModuleTree{facts: map[string]moduleFacts{}, builtin: map[string]bool{},
		open: func(file string) (io.ReadCloser, error) { return os.Open(file) }}
	for line := range strings.Lines(string(order)) {
		file := strings.TrimSpace(line)
		file = filepath.Join(dir, strings.TrimSuffix(strings.TrimSuffix(file, ".o"), ".ko")+".ko") // .o since 6.3
		f, err := os.Open(file)
		if err != nil {
			continue // make modules did not build it
		}
		facts, err := readFacts(f, file)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read module %s: %w", file, err)
		}
		t.facts[moduleName(strings.TrimSuffix(filepath.Base(file), ".ko"))] = facts
	}
	if text, err := os.ReadFile(filepath.Join(dir, "modules.builtin")); err == nil {
		for _, name := range builtinNames(string(text)) {
			t.builtin[name] = true
		}
	}
	return t, nil
}

// Find returns what modprobe(8) loads for a name or an alias, in order, and whether there is anything: the list is
// empty for what the image has built in.
func (t *ModuleTree) Find(name string) (steps []LoadStep, ok bool) {
	var found []string
	plain := moduleName(name)
	if _, there := t.facts[plain]; there {
		found = []string{plain}
	} else {
		for _, module := range slices.Sorted(maps.Keys(t.facts)) {
			if slices.ContainsFunc(t.facts[module].Aliases, func(a string) bool { return aliasMatches(a, name) }) {
				found = append(found, module)
			}
		}
	}
	seen := map[string]bool{}
	for _, module := range found {
		steps = t.add(steps, LoadStep{Name: module}, seen)
	}
	return steps, len(found) > 0 || t.builtin[plain]
}

// add appends a module after what it depends on.
func (t *ModuleTree) add(to []LoadStep, s LoadStep, seen map[string]bool) []LoadStep {
	f, there := t.facts[s.Name]
	if seen[s.Name] || !there { // a dependency that is not there is built in
		return to
	}
	seen[s.Name] = true
	for _, d := range f.Soft {
		to = t.add(to, LoadStep{Name: d, Soft: true}, seen)
	}
	for _, d := range f.Depends {
		to = t.add(to, LoadStep{Name: d, Soft: s.Soft}, seen)
	}
	return append(to, s)
}

// aliasMatches compares as kmod does: - is _ outside of brackets. path.Match knows the same patterns for names without
// a slash.
func aliasMatches(pattern, name string) bool {
	ok, err := path.Match(underscores(pattern), underscores(name))
	return ok && err == nil
}

// underscores replaces each - outside of brackets.
func underscores(s string) string {
	inside := false
	return strings.Map(func(r rune) rune {
		switch {
		case r == '[':
			inside = true
		case r == ']':
			inside = false
		case r == '-' && !inside:
			return '_'
		}
		return r
	}, s)
}

// Read returns a module that Find named, decompressed.
func (t *ModuleTree) Read(name string) ([]byte, error) {
	file := t.facts[name].File
	f, err := t.open(file)
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	defer f.Close()
	_, suffix, _ := strings.Cut(filepath.Base(file), ".ko")
	module, err := decompressModule(f, suffix)
	if err != nil {
		return nil, fmt.Errorf("decompress module %s: %w", name, err)
	}
	return module, nil
}

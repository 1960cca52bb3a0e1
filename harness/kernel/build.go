package kernel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// BuildOptions say how a kernel is built from source.
type BuildOptions struct {
	Config    string              // the base .config, or :PATH[+PATH] of the source; "" means allnoconfig
	Fragments []*kconfig.Fragment // merged into it, later ones win; nil means base and token
	Make      []string            // variables for make, such as LLVM=1; ARCH is the architecture
	Jobs      int                 // 0 means one for each processor
	Objects   string              // the name of the directory of objects; "" means one for each configuration
}

// Built is a source of a kernel: a commit in our work tree, with the patches applied.
type Built struct {
	Ref     string
	Base    string   // the commit below the patches
	Commit  string   // the commit to build
	Patches []string // the commits of the patches, oldest first, Commit the last
	Name    string   // for people

	repo *repo
	tree string
	arch *arch.Arch // that the reference names; nil is none
}

// BuildError means that the source does not compile, which is the kernel's fault and not the
// host's.
type BuildError struct {
	Ref   string
	Lines []string // the compiler's error lines
	Log   string   // the path of the whole log
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("build %s: it does not compile\n  %s\n  the whole log is %s", e.Ref, strings.Join(e.Lines, "\n  "),
		e.Log)
}

// ConfigError means that the kernel's dependencies changed requested options.
type ConfigError struct {
	Ref  string
	Lost []string
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("configure %s: olddefconfig changed requested options\n  %s", e.Ref,
		strings.Join(e.Lost, "\n  "))
}

// NoKernelError means that the source is not a Linux kernel that can be tested: it lacks files that every
// kernel has, or make succeeded without an image.
type NoKernelError struct {
	Ref string
	Why string
}

func (e *NoKernelError) Error() string {
	return fmt.Sprintf("build %s: it is not a Linux kernel that can be tested: %s", e.Ref, e.Why)
}

// Unbuildable reports whether an error means that the source is at fault, not the host: it is not
// a kernel, does not compile, cannot be configured as requested, or its patches do not apply.
func Unbuildable(err error) bool {
	var build *BuildError
	var config *ConfigError
	var patch *PatchError
	var none *NoKernelError
	return errors.As(err, &build) || errors.As(err, &config) || errors.As(err, &patch) || errors.As(err, &none)
}

// built is the manifest of a cached build.
type built struct {
	Release, Format string
	Commit, Name    string
	Made            time.Time
	Took            time.Duration
	cachedir.Sums
}

const buildLog = "build.log"

// Source resolves a reference to a source and applies its patches. It only reads the user's
// tree.
func Source(ctx context.Context, ref string, o Options) (*Built, error) {
	if !isSource(ref) {
		return nil, &UsageError{Ref: ref, Reason: "no source; use src:VERSION, git:DIR#REV or tree:DIR, with +PATCHES",
			Err: ErrNoSource}
	}
	r, err := parseSource(ref)
	if err != nil {
		return nil, err
	}
	files, err := patchFiles(ref, r.patches)
	if err != nil {
		return nil, err
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	b := &Built{Ref: ref, arch: r.arch}
	if b.repo, b.Base, b.Name, err = c.base(ctx, ref, r, o); err != nil {
		return nil, err
	}
	b.Commit = b.Base
	if len(files) > 0 {
		lock := func() (context.Context, func(), error) { return c.lock(ctx, "tree-"+filepath.Base(b.repo.dir), o) }
		if b.Patches, err = b.repo.am(ctx, ref, b.Base, files, o, lock); err != nil {
			return nil, err
		}
		b.Commit = b.Patches[len(b.Patches)-1]
		if b.Name += fmt.Sprintf(" with %d patch", len(b.Patches)); len(b.Patches) > 1 {
			b.Name += "es"
		}
	}
	b.tree, err = b.repo.treeOf(ctx, b.Commit)
	return b, err
}

// base resolves a reference to a commit, without its patches.
func (c cache) base(ctx context.Context, ref string, r sourceRef, o Options) (*repo, string, string, error) {
	if r.scheme == "src" {
		return c.sourcePackage(ctx, ref, r.name, o)
	}
	var commit, name string
	var err error
	if r.scheme == "git" {
		commit, err = commitOf(ctx, ref, r.name, r.rev)
		name = fmt.Sprintf("%s %.12s", r.name, commit)
	} else {
		var changed bool
		commit, changed, err = snapshot(ctx, ref, r.name, o)
		name = fmt.Sprintf("%s %.12s", r.name, commit)
		if changed {
			name = r.name + " with its changes"
		}
	}
	if err != nil {
		return nil, "", "", err
	}
	rp, err := c.borrow(ctx, r.name)
	return rp, commit, name, err
}

// At is the source at another commit of the same repository.
func (b *Built) At(ctx context.Context, commit string) (*Built, error) {
	n := *b
	n.Commit, n.Patches = commit, nil
	n.Name = fmt.Sprintf("%s %.12s", b.repo.name, commit)
	n.Ref = fmt.Sprintf("%s@%.12s", b.Ref, commit)
	var err error
	n.tree, err = b.repo.treeOf(ctx, commit)
	return &n, err
}

// Git runs git in the work tree of the source, to read its history.
func (b *Built) Git(ctx context.Context, args ...string) (string, error) {
	return b.repo.git(ctx, args...)
}

// SameTree reports whether two sources are in one repository.
func (b *Built) SameTree(other *Built) bool { return b.repo.dir == other.repo.dir }

// Tree is the digest of the files.
func (b *Built) Tree() string { return b.tree }

// Build compiles the source, or returns the cached kernel of the same source, configuration and
// tools.
func (b *Built) Build(ctx context.Context, bo BuildOptions, o Options) (*Kernel, error) {
	if o.Elsewhere != nil {
		return o.Elsewhere(ctx, b, bo, o)
	}
	return b.build(ctx, bo, o, "")
}

// build compiles the source here. A key that is not "" must be that of the build: else the tools are others.
func (b *Built) build(ctx context.Context, bo BuildOptions, o Options, key string) (*Kernel, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	j := &job{Built: b, BuildOptions: bo, Options: o, cache: cache{dir}}
	if err := j.prepare(ctx); err != nil {
		return nil, err
	}
	if key != "" && key != j.key {
		return nil, fmt.Errorf("build %s: this host has other tools than the build asks for: %s", b.Ref,
			strings.ReplaceAll(j.tools.id, "\n", ", "))
	}
	if k := j.find(); k != nil {
		o.log("%s is built already (%s)", b.Ref, k.Release)
		return k, nil
	}
	ctx, unlock, err := j.lock(ctx, "tree-"+filepath.Base(b.repo.dir), o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	slot, err := j.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer slot()
	if k := j.find(); k != nil { // another process built it meanwhile
		return k, nil
	}
	if err := j.make(ctx); err != nil {
		switch {
		case Unbuildable(err):
		case ctx.Err() != nil:
			err = &interruptedError{j.Ref}
		case roomless.MatchString(err.Error()):
			err = j.full()
		}
		return nil, err
	}
	k := j.find()
	if k == nil {
		return nil, fmt.Errorf("build %s: cannot read the new kernel from %s", b.Ref, j.entry())
	}
	return k, nil
}

// job is one build.
type job struct {
	*Built
	BuildOptions
	Options
	cache
	target *arch.Arch
	tools  *toolchain
	config []byte   // the base .config
	key    string   // of source, configuration and tools
	out    string   // the directory of objects for this configuration
	hold   *os.File // the lock of out, which every program of the build inherits
}

func (j *job) prepare(ctx context.Context) (err error) {
	if err := j.inputs(ctx); err != nil {
		return err
	}
	if j.tools, err = findToolchain(ctx, j.target, j.Make); err != nil {
		return err
	}
	for _, v := range ignored(os.Environ()) {
		j.log("%s of the environment is not used: --make %[1]s gives it to make", v)
	}
	j.identify(j.tools.id)
	return nil
}

// inputs decides for which architecture the kernel is, and reads the configuration.
func (j *job) inputs(ctx context.Context) (err error) {
	if j.target, j.Make, err = targetOf(j.Built, j.Make); err != nil {
		return err
	}
	if j.Fragments == nil {
		if j.Fragments, err = kconfig.Builtin("base", "token"); err != nil {
			return err
		}
	}
	j.Fragments = kconfig.For(j.target, j.Fragments...)
	if j.BuildOptions.Config != "" {
		if j.config, err = j.readStart(ctx); err != nil {
			return &UsageError{Ref: j.Ref, Reason: fmt.Sprintf("cannot read the base configuration: %v", err)}
		}
		if _, err := kconfig.Parse(bytes.NewReader(j.config)); err != nil {
			return &UsageError{Ref: j.Ref, Reason: fmt.Sprintf("%s: %v", j.BuildOptions.Config, err)}
		}
	}
	return nil
}

// identify computes the key of the build with tools.
func (j *job) identify(tools string) {
	h := sha256.New()
	fmt.Fprintf(h, "1\n%s\n%d\n%s\n", tools, len(j.config), j.config)
	for _, f := range j.Fragments { // only options: a comment does not change the kernel
		for _, o := range f.Options {
			fmt.Fprintln(h, o.String(), o.Since, o.Until)
		}
	}
	if j.target != arch.Default {
		fmt.Fprintln(h, j.target.Name)
	}
	how := hex.EncodeToString(h.Sum(nil))
	j.out = filepath.Join(j.repo.dir, "out-"+cmp.Or(j.Objects, how[:12]))
	sum := sha256.Sum256([]byte(j.tree + how))
	j.key = hex.EncodeToString(sum[:])
}

// readStart reads the base configuration: a file, or after a colon files of the source, of which
// later ones override earlier ones.
func (j *job) readStart(ctx context.Context) ([]byte, error) {
	paths, inTree := strings.CutPrefix(j.BuildOptions.Config, ":")
	if !inTree {
		return os.ReadFile(j.BuildOptions.Config)
	}
	var out []byte
	for _, path := range strings.Split(paths, "+") {
		text, err := j.repo.git(ctx, "show", j.Commit+":"+path)
		if err != nil {
			return nil, fmt.Errorf("read %s of the source: %w", path, err)
		}
		out = append(append(out, text...), '\n')
	}
	return out, nil
}

func (j *job) entry() string { return j.path("builds", j.key) }

// find returns the cached build, nil if it is missing or damaged.
func (j *job) find() *Kernel {
	var m built
	if err := cachedir.Open(j.entry(), &m); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			j.log("cached build of %s is damaged (%v) and not used", j.Ref, err)
		}
		return nil
	}
	k := &Kernel{
		Ref: j.Ref, Release: m.Release, Format: m.Format, Digest: m.Files[imageFile],
		Arch:  j.target,
		Image: filepath.Join(j.entry(), imageFile), ConfigPath: filepath.Join(j.entry(), configFile), Source: j.Name,
	}
	var err error
	if k.Config, err = readConfig(k.ConfigPath); err != nil {
		return nil
	}
	return k
}

// slot waits until fewer than two builds run.
func (j *job) slot(ctx context.Context) (func(), error) {
	for said := false; ; said = true {
		for _, name := range []string{"build0", "build1"} {
			try, cancel := context.WithTimeout(ctx, time.Millisecond)
			_, unlock, err := j.lock(try, name, Options{})
			cancel()
			if err == nil {
				return unlock, nil
			}
		}
		if !said {
			j.log("waiting for one of the two other kernel builds of this host to end")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// install makes a cache entry with the image, its configuration and the log.
func (j *job) install(release string, took time.Duration) error {
	temp, remove, err := cachedir.Temp(j.path("builds"), j.key)
	if err != nil {
		return err
	}
	defer remove()
	for to, from := range map[string]string{imageFile: j.target.Image.Path, configFile: ".config", buildLog: buildLog} {
		f, err := os.Open(filepath.Join(j.out, from))
		if err != nil {
			return err
		}
		err = writeFile(filepath.Join(temp, to), f)
		f.Close()
		if err != nil {
			return err
		}
	}
	m := &built{Release: release, Format: string(j.target.Image.Kind), Commit: j.Commit, Name: j.Name,
		Made: time.Now(), Took: took}
	if err := cachedir.Seal(temp, m); err != nil {
		return err
	}
	if err := cachedir.Install(temp, j.entry(), m); err != nil {
		return err
	}
	return j.keepSymbols()
}

// targetOf returns the architecture of a build: that of the reference, of the variable ARCH, or the host's. It also
// returns the other variables.
func targetOf(b *Built, vars []string) (*arch.Arch, []string, error) {
	target := b.arch
	var others []string
	for _, v := range vars {
		name, isArch := strings.CutPrefix(v, "ARCH=")
		if !isArch {
			others = append(others, v)
			continue
		}
		of := arch.Find(name)
		switch {
		case of == nil:
			return nil, nil, noArch(name)
		case target != nil && target != of:
			return nil, nil, &UsageError{Ref: b.Ref, Reason: fmt.Sprintf("is for %s, and --make %s for %s", target, v, of)}
		}
		target = of
	}
	if target == nil {
		target = host
	}
	return target, others, nil
}

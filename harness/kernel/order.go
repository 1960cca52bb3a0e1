package kernel

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// Order is a build that another host makes: a source, a configuration and the key of the result. It is data, but the
// source is a program: its makefiles run on the host that builds it.
type Order struct {
	Key  string `json:"key"`
	Ref  string `json:"ref"`  // for people
	Name string `json:"name"` // for people
	// Base is a source that hosts may have already; Source is the one to build, which follows it.
	Base      Snapshot            `json:"base"`
	Source    Snapshot            `json:"source"`
	Start     []byte              `json:"start,omitempty"` // the base .config
	Fragments []*kconfig.Fragment `json:"fragments"`
	Make      []string            `json:"make,omitempty"`
	Arch      string              `json:"arch,omitempty"` // "" is the default
}

// Snapshot is the files of a source in a commit without history: the same files make the same commit everywhere.
type Snapshot struct {
	Commit string `json:"commit"`
	Tree   string `json:"tree"`
	Bundle string `json:"bundle,omitempty"` // the SHA-256 of a git bundle that has it
}

// Tools identifies the tools that build kernels on this host.
func Tools(ctx context.Context) (string, error) {
	t, err := findToolchain(ctx, host, nil)
	if err != nil {
		return "", err
	}
	return t.id, nil
}

// The references in our work trees.
const (
	basePin   = "refs/tokentest/farm/base" // the source that a farm was given whole
	baseRefs  = "refs/tokentest/farm/base-"
	afterRefs = "refs/tokentest/farm/at-"
)

// harmless are the variables for make that another host takes: make runs what the value of any other one may hold.
var harmless = regexp.MustCompile(`^(LLVM=(1|-[0-9]+)|LLVM_IAS=[01]|[VW]=[0-9a-z]+)$`)

var objectName = regexp.MustCompile(`^[0-9a-f]{40}$`)

// target is the architecture of the kernel; nil is none that is known.
func (o *Order) target() *arch.Arch {
	if o.Arch == "" {
		return arch.Default
	}
	return arch.Find(o.Arch)
}

// check refuses an order whose words are not what they must be: they become arguments of programs.
func (o *Order) check() error {
	for _, name := range []string{o.Base.Commit, o.Base.Tree, o.Source.Commit, o.Source.Tree} {
		if !objectName.MatchString(name) {
			return fmt.Errorf("build %s: %q is no object of git with a SHA-1", o.Ref, name)
		}
	}
	if b, err := hex.DecodeString(o.Key); err != nil || len(b) != 32 {
		return fmt.Errorf("build %s: %q is no key of a build", o.Ref, o.Key)
	}
	if o.target() == nil {
		return noArch(o.Arch)
	}
	if len(o.Fragments) == 0 {
		return fmt.Errorf("build %s: it has no fragment of a configuration", o.Ref)
	}
	return checkMake(o.Ref, o.Make)
}

func checkMake(ref string, vars []string) error {
	for _, v := range vars {
		if !harmless.MatchString(v) {
			return &UsageError{Ref: ref, Reason: "--make " + v + ": a farm takes only LLVM, LLVM_IAS, V and W, because make " +
				"runs what other variables hold"}
		}
	}
	return nil
}

// Cached returns the kernel if this host built it before, with its own tools; else nil.
func (b *Built) Cached(ctx context.Context, bo BuildOptions, o Options) *Kernel {
	dir, err := o.cacheDir()
	if err != nil {
		return nil
	}
	j := &job{Built: b, BuildOptions: bo, Options: o, cache: cache{dir}}
	if err := j.prepare(ctx); err != nil {
		return nil
	}
	return j.find()
}

// Order makes an order of a build with the tools of another host. It names no bundle yet: Bundle makes them.
func (b *Built) Order(ctx context.Context, bo BuildOptions, tools string, o Options) (*Order, error) {
	j := &job{Built: b, BuildOptions: bo, Options: o}
	if err := j.inputs(ctx); err != nil {
		return nil, err
	}
	if err := checkMake(b.Ref, j.Make); err != nil {
		return nil, err
	}
	if len(j.Make) > 0 || j.target != host { // the farm's hosts told of their own tools without these
		own, err := findToolchain(ctx, j.target, j.Make)
		if err != nil {
			return nil, fmt.Errorf("with other tools than a farm's hosts say they have: %w", err)
		}
		tools = own.id
	}
	j.identify(tools)
	out := &Order{Key: j.key, Ref: b.Ref, Name: b.Name, Start: j.config, Fragments: j.Fragments, Make: j.Make}
	if j.target != arch.Default {
		out.Arch = j.target.Name
	}
	var err error
	if out.Base, err = b.repo.base(ctx, b.Base); err == nil {
		out.Source, err = b.repo.snapshot(ctx, b.tree, out.Base)
	}
	if err != nil {
		return nil, fmt.Errorf("make a snapshot of %s: %w", b.Name, err)
	}
	return out, out.check()
}

// base is the source that a farm was given whole before, or else one of the files of a commit.
func (r *repo) base(ctx context.Context, commit string) (s Snapshot, err error) {
	if s.Commit, err = r.git(ctx, "rev-parse", "--verify", "--quiet", basePin); err == nil {
		s.Tree, err = r.treeOf(ctx, s.Commit)
		return s, err
	}
	if s.Tree, err = r.treeOf(ctx, commit); err != nil {
		return s, err
	}
	if s, err = r.snapshot(ctx, s.Tree, Snapshot{}); err == nil {
		_, err = r.git(ctx, "update-ref", basePin, s.Commit)
	}
	return s, err
}

// snapshot makes a commit of a tree alone, which follows that of base.
func (r *repo) snapshot(ctx context.Context, tree string, base Snapshot) (Snapshot, error) {
	if tree == base.Tree {
		return base, nil
	}
	args := []string{"commit-tree", tree, "-m", "tokentest"}
	if base.Commit != "" {
		args = append(args, "-p", base.Commit)
	}
	commit, err := r.git(ctx, args...)
	return Snapshot{Commit: commit, Tree: tree}, err
}

// NewBase makes the next order begin with this source: the farm does not have the base of the last one.
func (b *Built) NewBase(ctx context.Context) error {
	_, err := b.repo.git(ctx, "update-ref", "-d", basePin)
	return err
}

// Bundle writes a git bundle with a snapshot of the source, without what base has; the zero base has nothing.
func (b *Built) Bundle(ctx context.Context, s, base Snapshot, path string) error {
	name := refOf(s, base)
	args := []string{"bundle", "create", "-q", path, name}
	if base.Commit != "" {
		args = append(args, "^"+base.Commit)
	}
	_, err := b.repo.git(ctx, "update-ref", name, s.Commit)
	if err == nil {
		_, err = b.repo.git(ctx, args...)
	}
	if err != nil {
		return fmt.Errorf("bundle the sources of %s: %w", b.Name, err)
	}
	return nil
}

// refOf is the reference of a snapshot in a bundle and in a mirror.
func refOf(s, base Snapshot) string {
	if base.Commit == "" {
		return baseRefs + s.Commit
	}
	return afterRefs + s.Commit
}

// Outcome is what came of an order: a kernel, or why the source makes none.
type Outcome struct {
	Kernel *Portable `json:"kernel,omitempty"`
	Fault  Fault     `json:"fault,omitempty"`
	Lines  []string  `json:"lines,omitempty"`
	Log    string    `json:"log,omitempty"` // the SHA-256 of the build's log
}

// Fault is why a source makes no kernel.
type Fault string

// The faults of a source.
const (
	NotCompiled   Fault = "not compiled"
	NotConfigured Fault = "not configured"
	NotKernel     Fault = "no kernel"
)

// OutcomeOf makes an outcome of what a build returned, and names the files that belong to it by their digests. An error
// that is not the source's is returned.
func OutcomeOf(k *Kernel, failed error) (*Outcome, map[string]string, error) {
	var build *BuildError
	var config *ConfigError
	var none *NoKernelError
	switch {
	case errors.As(failed, &build):
		digest, err := cachedir.Digest(build.Log)
		if err != nil {
			return nil, nil, fmt.Errorf("read the build's log: %w", err)
		}
		return &Outcome{Fault: NotCompiled, Lines: build.Lines, Log: digest}, map[string]string{digest: build.Log}, nil
	case errors.As(failed, &config):
		return &Outcome{Fault: NotConfigured, Lines: config.Lost}, nil, nil
	case errors.As(failed, &none):
		return &Outcome{Fault: NotKernel, Lines: []string{none.Why}}, nil, nil
	case failed != nil:
		return nil, nil, failed
	}
	p, files, err := k.Portable()
	return &Outcome{Kernel: &p}, files, err
}

// Err is the error of an outcome without a kernel, nil if it has one. log is the path of the build's log.
func (o *Outcome) Err(ref, log string) error {
	lines := o.Lines
	if len(lines) == 0 {
		lines = []string{string(o.Fault)}
	}
	switch o.Fault {
	case NotCompiled:
		return &BuildError{Ref: ref, Lines: lines, Log: log}
	case NotConfigured:
		return &ConfigError{Ref: ref, Lost: lines}
	case NotKernel:
		return &NoKernelError{ref, lines[0]}
	}
	if o.Kernel == nil {
		return fmt.Errorf("build %s: the farm returned no kernel", ref)
	}
	return nil
}

// KeepLog returns where the log of a build that another host made is kept here.
func KeepLog(key string, o Options) (string, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	c := cache{dir}
	if err := os.MkdirAll(c.path("builds"), 0o755); err != nil {
		return "", fmt.Errorf("make a place for the build's log: %w", err)
	}
	return c.path("builds", "failed-"+key[:16]+".log"), nil
}

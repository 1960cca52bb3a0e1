package kernel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/cachedir"
)

// Mirror is the sources that a host which builds for others keeps.
type Mirror struct {
	// Borrow is a git repository whose objects are used; "" is none. It is only read.
	Borrow string
	Options
	Fetch Fetch
}

// Build builds an order, or finds it in the cache. Its errors are those of Built.Build.
func (m *Mirror) Build(ctx context.Context, o *Order) (*Kernel, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := m.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	r := &repo{dir: c.path("trees", "farm-"+o.Base.Tree[:12]), name: "the farm's sources"}
	if err := m.fill(ctx, c, r, o); err != nil {
		return nil, fmt.Errorf("get the sources of %s: %w", o.Name, err)
	}
	bo := m.Options.Build
	bo.Fragments, bo.Make, bo.Objects = o.Fragments, o.Make, ""
	if bo.Config = ""; len(o.Start) > 0 {
		f, err := os.CreateTemp("", "tokentest-config-*")
		if err != nil {
			return nil, fmt.Errorf("write the base configuration: %w", err)
		}
		defer os.Remove(f.Name())
		_, err = f.Write(o.Start)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("write the base configuration: %w", err)
		}
		bo.Config = f.Name()
	}
	b := &Built{Ref: o.Ref, Base: o.Base.Commit, Commit: o.Source.Commit, Name: o.Name, repo: r, tree: o.Source.Tree,
		arch: o.target()}
	return b.build(ctx, bo, m.Options, o.Key)
}

// fill gets the snapshots of an order into the mirror, unless they are there.
func (m *Mirror) fill(ctx context.Context, c cache, r *repo, o *Order) error {
	ctx, unlock, err := c.lock(ctx, "tree-"+filepath.Base(r.dir), m.Options)
	if err != nil {
		return err
	}
	defer unlock()
	if err := m.open(ctx, r); err != nil {
		return err
	}
	if err := m.get(ctx, r, o.Base, Snapshot{}); err != nil {
		return err
	}
	if o.Source.Commit == o.Base.Commit {
		return nil
	}
	return m.get(ctx, r, o.Source, o.Base)
}

// open makes the mirror, unless it exists.
func (m *Mirror) open(ctx context.Context, r *repo) error {
	if err := errors.Join(os.MkdirAll(r.src(), 0o755), cachedir.Hold(r.dir)); err != nil {
		return err
	}
	if _, err := r.git(ctx, "init", "-q", "--template="); err != nil {
		return err
	}
	if m.Borrow == "" {
		return nil
	}
	cmd := command(ctx, "git", "-C", m.Borrow, "rev-parse", "--path-format=absolute", "--git-common-dir")
	cmd.Env = without(cmd.Env, "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
	common, err := output(cmd)
	if err != nil {
		return fmt.Errorf("read the git repository %s: %w", m.Borrow, err)
	}
	info := filepath.Join(r.src(), ".git", "objects", "info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "alternates"), []byte(filepath.Join(common, "objects")+"\n"), 0o644)
}

// get gets one snapshot. If its files are there it makes the commit of them; else it fetches the bundle.
func (m *Mirror) get(ctx context.Context, r *repo, s, base Snapshot) error {
	name := refOf(s, base)
	if _, err := r.git(ctx, "rev-parse", "--verify", "--quiet", name); err == nil {
		return r.holds(ctx, s)
	}
	if _, err := r.git(ctx, "cat-file", "-e", s.Tree+"^{tree}"); err == nil {
		made, err := r.snapshot(ctx, s.Tree, base)
		if err == nil && made.Commit == s.Commit {
			_, err = r.git(ctx, "update-ref", name, s.Commit)
			return err
		}
	}
	f, err := os.CreateTemp(r.dir, "bundle-*")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := m.Fetch(ctx, s.Bundle, f.Name()); err != nil {
		return err
	}
	if _, err := r.git(ctx, "-c", "fetch.fsckObjects=true", "fetch", "-q", "--no-tags", "--no-write-fetch-head",
		"--no-recurse-submodules", f.Name(), "+"+name+":"+name); err != nil {
		return fmt.Errorf("read the bundle of the sources: %w", err)
	}
	return r.holds(ctx, s)
}

// holds returns an error if a commit has other files than its order says.
func (r *repo) holds(ctx context.Context, s Snapshot) error {
	tree, err := r.treeOf(ctx, s.Commit)
	if err == nil && tree != s.Tree {
		err = fmt.Errorf("commit %.12s has other files than the order says", s.Commit)
	}
	return err
}

package cache

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
)

// kind is one sort of entries, in a directory of its own.
type kind struct {
	name, about string
	list        func(dir, name string) ([]Entry, error)
}

// kinds are those that there are. Small files beside them, such as the times that kernels took, are not listed, and
// stay.
var kinds = []kind{
	{"kernels", "kernels of deb: references", sealed},
	{"oci", "kernels of oci: references", sealed},
	{"host", "copies of this host's kernel", sealed},
	{"given", "kernels that a farm's worker was given", sealed},
	{"builds", "kernels that were built from source", sealed},
	{"trees", "sources, and objects of earlier builds", trees},
	{"direct", "ELF files that were unpacked from bzImages", sealed},
	{"images", "initramfs images", images},
	{"snapshots", "saved machines", snapshots},
	{"btf", "what was read of the types of kernels", files},
	{"symbols", "code and source lines of kernels, for cover", files},
	{"traces", "which cases execute what, for mutate", files},
	{"apt", "package lists and packages", apt},
}

// sealed lists the entries of cachedir, and what killed processes left of some.
func sealed(dir, name string) ([]Entry, error) {
	list, err := os.ReadDir(filepath.Join(dir, name))
	var out []Entry
	for _, d := range list {
		path := filepath.Join(dir, name, d.Name())
		if !d.IsDir() || d.Name() == sightings {
			continue
		}
		e, ok := entry(path, d)
		if ok {
			e.Name = describe(path)
			out = append(out, e)
		}
	}
	return out, err
}

// sightings is the directory of what names of container images mean; its files are small.
const sightings = "names"

// entry is a file or directory that was last used when it was changed.
func entry(path string, d fs.DirEntry) (Entry, bool) {
	info, err := d.Info()
	if err != nil { // it went away
		return Entry{}, false
	}
	return Entry{Name: d.Name(), Path: path, Used: info.ModTime()}, true
}

// manifest has the fields that name an entry, of all manifests.
type manifest struct {
	Release string
	Name    string // of a built source
	Package struct{ Name, Version string }
	Origin  struct{ Repo, Host, Digest string }
}

// describe names an entry by its manifest.
func describe(path string) string {
	base := filepath.Base(path)
	if cachedir.Unfinished(base) {
		return "unfinished, of a process that was killed: " + base
	}
	var m manifest
	text, err := os.ReadFile(filepath.Join(path, cachedir.ManifestFile))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return "damaged: " + base
	}
	switch {
	case m.Origin.Host != "":
		return m.Release + ", " + m.Origin.Host
	case m.Origin.Repo != "":
		return m.Release + ", " + m.Origin.Repo + "@" + m.Origin.Digest
	case m.Package.Name != "":
		return m.Package.Name + " " + m.Package.Version
	case m.Name != "":
		return m.Release + ", " + m.Name
	}
	return cmp.Or(m.Release, base)
}

// trees lists the work trees, each with its locks.
func trees(dir, name string) ([]Entry, error) {
	out, err := sealed(dir, name)
	for i := range out {
		e := &out[i]
		e.Name = filepath.Base(e.Path)
		e.locks = []string{filepath.Join(dir, "locks", "tree-"+e.Name)}
		builds, _ := filepath.Glob(filepath.Join(e.Path, "*.lock")) // the pattern is well formed
		e.locks = append(e.locks, builds...)
	}
	return out, err
}

// images lists the initramfs images, and the files of older versions.
func images(dir, name string) ([]Entry, error) {
	list, err := os.ReadDir(filepath.Join(dir, name))
	lock := filepath.Join(dir, name, "lock")
	var out []Entry
	for _, d := range list {
		if e, ok := entry(filepath.Join(dir, name, d.Name()), d); ok && e.Path != lock {
			e.locks = []string{lock}
			out = append(out, e)
		}
	}
	return out, err
}

// snapshots lists the saved machines, each of which has two files. A run that is about to start from one that goes away
// boots.
func snapshots(dir, name string) ([]Entry, error) {
	const state = ".state"
	list, err := os.ReadDir(filepath.Join(dir, name))
	var out []Entry
	for _, d := range list {
		short, ok := strings.CutSuffix(d.Name(), state)
		if !ok {
			continue
		}
		path := filepath.Join(dir, name, short)
		if e, ok := entry(path+state, d); ok {
			e.Name, e.parts = short, []string{path + ".json", path + state}
			out = append(out, e)
		}
	}
	return out, err
}

// files lists single files. They are read at once, and made again if they are missing.
func files(dir, name string) ([]Entry, error) {
	list, err := os.ReadDir(filepath.Join(dir, name))
	var out []Entry
	for _, d := range list {
		if e, ok := entry(filepath.Join(dir, name, d.Name()), d); ok && d.Type().IsRegular() {
			out = append(out, e)
		}
	}
	return out, err
}

// apt lists the private state of apt as one entry.
func apt(dir, name string) ([]Entry, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return []Entry{{Name: "lists and packages", Path: path, Used: info.ModTime(),
		locks: []string{filepath.Join(dir, "locks", "apt"), filepath.Join(path, "lists", "lock")}}}, nil
}

// lockAll takes locks that are free. The error is cachedir.ErrInUse if one is not. A lock that is no file is free.
func lockAll(paths []string) (unlock func(), err error) {
	var held []*os.File
	unlock = func() {
		for _, f := range held {
			f.Close()
		}
	}
	for _, path := range paths {
		if pid, err := lockfile.Holder(path); err == nil && pid != 0 { // apt's are of another sort
			unlock()
			return nil, cachedir.ErrInUse
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			held = append(held, f)
			err = lockfile.TryLock(f)
		}
		if errors.Is(err, lockfile.ErrLocked) {
			err = cachedir.ErrInUse
		}
		if err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

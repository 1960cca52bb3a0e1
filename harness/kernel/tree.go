package kernel

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tokentest/harness/arch"
	"tokentest/kconfig"
)

// resolveTree returns the image that was built in a kernel tree, or in its O= or KBUILD_OUTPUT
// directory.
func resolveTree(ref, dir string, o Options) (*Kernel, error) {
	out, image, err := builtImage(ref, dir)
	if err != nil {
		return nil, err
	}
	k, err := readImage(image)
	if err != nil {
		return nil, err
	}
	k.Ref, k.Source = ref, image
	if k.ConfigPath = filepath.Join(out, ".config"); !exists(out, ".config") {
		k.ConfigPath = ""
	} else if k.Config, err = readConfig(k.ConfigPath); err != nil {
		return nil, err
	}
	if late := stale(dir, out, image); late != "" {
		k.Note = fmt.Sprintf("the image is older than %s: make has not run since", late)
		o.log("%s: %s", ref, k.Note)
	}
	return k, nil
}

// builtImage finds the image in a tree, an O= directory, or the KBUILD_OUTPUT directory.
func builtImage(ref, dir string) (out, image string, err error) {
	dirs := []string{dir}
	if env := os.Getenv("KBUILD_OUTPUT"); env != "" {
		if !filepath.IsAbs(env) {
			env = filepath.Join(dir, env)
		}
		dirs = append(dirs, env)
	}
	for _, d := range dirs {
		for _, name := range builtNames() {
			if exists(d, name) {
				return d, filepath.Join(d, name), nil
			}
		}
	}
	reason, advised := noImage(dir)
	return "", "", &UsageError{Ref: ref, Reason: reason, Advised: advised}
}

// builtNames are the paths of images that make writes, the vmlinux of every architecture last.
func builtNames() []string {
	var out []string
	for _, of := range arch.All {
		if of.Image.Path != Vmlinux {
			out = append(out, of.Image.Path)
		}
	}
	return append(out, Vmlinux)
}

// noImage describes a directory without an image, and reports whether the text names the command
// that makes one.
func noImage(dir string) (reason string, advised bool) {
	if text, err := os.ReadFile(filepath.Join(dir, ".config")); err == nil {
		if name, _ := kconfig.Banner(text); name != "" && arch.OfConfig(name) == nil {
			return fmt.Sprintf("%s is configured for %s; there are %s", dir, name, strings.Join(arch.Names(), ", ")), false
		}
	}
	if exists(dir, "Kconfig") || exists(dir, "source") {
		return fmt.Sprintf("no %s below %s: run make there, name the directory that O= named, or let \"tokentest kernel "+
			"build tree:%s\" build it",
			host.Image.Path, dir, dir), true
	}
	return dir + " is not a kernel tree", false
}

// slack is how much newer a source may be than the image, because both can be unpacked at the same
// moment.
const slack = time.Second

// stale returns a source that is newer than the image, "" for none. It looks only at the sources
// of the image's architecture.
func stale(dir, out, image string) string {
	stat, err := os.Stat(image)
	if err != nil {
		return ""
	}
	sources := arch.Or(ArchOf(image)).Dir
	src := dir
	if link, err := filepath.EvalSymlinks(filepath.Join(out, "source")); err == nil {
		src = link
	}
	when := stat.ModTime().Add(slack)
	if c, err := os.Stat(filepath.Join(out, ".config")); err == nil && c.ModTime().After(when) {
		return filepath.Join(out, ".config")
	}
	entries, err := os.ReadDir(src)
	if err != nil {
		return ""
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	newest := ""
	for _, e := range entries {
		if !e.IsDir() || slices.Contains([]string{".git", "Documentation", "tools", "samples", "LICENSES"}, e.Name()) {
			continue
		}
		wait.Go(func() {
			if late := newer(filepath.Join(src, e.Name()), when, sources); late != "" {
				mu.Lock()
				newest = late
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	return newest
}

// newer returns the first source below a directory that is newer than a time.
func newer(dir string, when time.Time, sources string) (found string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case d.IsDir():
			if filepath.Base(filepath.Dir(path)) == "arch" && d.Name() != sources {
				return filepath.SkipDir
			}
			return nil
		case !isCode(d.Name()):
			return nil
		}
		if info, err := d.Info(); err == nil && info.ModTime().After(when) {
			found = path
			return filepath.SkipAll
		}
		return nil
	})
	return found
}

// isCode excludes files that make writes into a tree that is built in place.
func isCode(name string) bool {
	if strings.HasSuffix(name, ".mod.c") || strings.HasPrefix(name, ".") {
		return false
	}
	switch filepath.Ext(name) {
	case ".c", ".h", ".S", ".lds":
		return true
	}
	return name == "Makefile" || name == "Kbuild" || strings.HasPrefix(name, "Kconfig")
}

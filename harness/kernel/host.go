package kernel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"tokentest/harness/arch"
	"tokentest/kconfig"
)

// hostRef is the reference to the kernel that this host runs.
const hostRef = "host"

// running is the running kernel, and where this host keeps its files.
type running struct {
	root    string // "" is the host's own
	release string
	machine string
}

// resolveHost returns the kernel that this host runs, from the image that the distribution has installed for it.
func resolveHost(ctx context.Context, o Options) (*Kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("ask for the running kernel's release: %w", err)
	}
	r := &running{release: unix.ByteSliceToString(u.Release[:]), machine: unix.ByteSliceToString(u.Machine[:])}
	return r.resolve(ctx, o)
}

// resolve copies the image, its configuration and its modules into the cache, which holds modules decompressed.
func (r *running) resolve(ctx context.Context, o Options) (*Kernel, error) {
	if arch.Find(r.machine) == nil {
		return nil, r.without("this host is " + r.machine + ", and only kernels of " + strings.Join(arch.Names(), ", ") +
			" can be tested")
	}
	image, err := r.image()
	if err != nil {
		return nil, err
	}
	k, err := readImage(image)
	var bad *UsageError
	switch {
	case errors.As(err, &bad):
		return nil, r.without(fmt.Sprintf("%s is %s", image, bad.Reason))
	case err != nil:
		return nil, err
	case k.Release != r.release:
		return nil, r.without(fmt.Sprintf("%s is the kernel %s, and this host runs %s: it was replaced since the boot", image,
			k.Release, r.release))
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	from := origin{Host: image, Digest: "sha256:" + k.Digest}
	find := func() (*Kernel, error) {
		k, err := c.open(hostRef, entry{Origin: from})
		if err != nil { // damaged, or there is none
			return nil, nil
		}
		return k, nil
	}
	if k, err := find(); k != nil || err != nil {
		return k, err
	}
	return c.fill(ctx, hostRef, filler{name: "host-" + k.Digest, dir: hostDir, find: find,
		make: func(_ context.Context, dir string) (entry, error) {
			e, err := r.copy(k, filepath.Join(dir, entryDir))
			e.Origin = from
			return e, err
		}}, o)
}

// without is the error for a host whose kernel cannot be booted again.
func (r *running) without(why string) error {
	return &UsageError{Ref: hostRef, Reason: why + "; give the path of an image, or deb:VERSION, oci:IMAGE or src:VERSION",
		Advised: true}
}

// path is one of the files that distributions install for a kernel.
func (r *running) path(format string) string {
	return filepath.Join(r.root, strings.ReplaceAll(format, "RELEASE", r.release))
}

// image finds the image of the running release.
func (r *running) image() (string, error) {
	names := []string{r.path("/boot/vmlinuz-RELEASE"), r.path("/usr/lib/modules/RELEASE/vmlinuz"),
		r.path("/lib/modules/RELEASE/vmlinuz")}
	for _, name := range names {
		f, err := os.Open(name)
		switch {
		case err == nil:
			f.Close()
			return name, nil
		case errors.Is(err, fs.ErrPermission):
			return "", r.without(fmt.Sprintf("no right to read %s: sudo install -m 644 %[1]s ~/ makes a copy that "+
				"you can read; give tokentest the copy's path", name))
		}
	}
	return "", r.without(fmt.Sprintf("this host runs %s, and has neither %s nor %s: it is a container, or its kernel "+
		"is not on its disk", r.release, names[0], names[1]))
}

// copy fills an entry.
func (r *running) copy(k *Kernel, to string) (entry, error) {
	e := entryOf(k)
	if err := copyFile(k.Image, filepath.Join(to, imageFile)); err != nil {
		return e, fmt.Errorf("fill kernel cache: %w", err)
	}
	config, err := r.config()
	if err != nil {
		return e, err
	}
	if k.Config = config; config == nil {
		k.Config, _ = kconfig.ReadImage(k.Image) // some hold theirs
	} else if err := copyFile(r.configPath(), filepath.Join(to, configFile)); err != nil {
		return e, fmt.Errorf("fill kernel cache: %w", err)
	}
	set, names, err := r.modules(missing(k.Config, k.Arch))
	if err != nil {
		return e, err
	}
	if err := set.write(to, names); err != nil {
		return e, fmt.Errorf("fill kernel cache: %w", err)
	}
	e.Modules = names
	return e, nil
}

func copyFile(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return writeFile(to, f)
}

// configPath is the path of the configuration, "" if there is none that can be read.
func (r *running) configPath() string {
	for _, name := range []string{r.path("/boot/config-RELEASE"), r.path("/usr/lib/modules/RELEASE/config"),
		r.path("/lib/modules/RELEASE/config"), r.path("/lib/modules/RELEASE/build/.config")} {
		if f, err := os.Open(name); err == nil {
			f.Close()
			return name
		}
	}
	return ""
}

// config reads the configuration, nil if there is none.
func (r *running) config() (kconfig.Config, error) {
	if path := r.configPath(); path != "" {
		return readConfig(path)
	}
	return nil, nil
}

// modules reads the modules that the control channel needs, and returns their names in load order. A kernel without
// them uses a slower channel.
func (r *running) modules(want []string) (moduleSet, []string, error) {
	set, paths := moduleSet{}, map[string]string{}
	root := r.path("/lib/modules/RELEASE")
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if m := modulePath.FindStringSubmatch(strings.TrimPrefix(path, r.root)); err == nil && m != nil {
			paths[moduleName(m[1])] = path
		}
		return nil // what cannot be read is missing
	})
	for {
		names, absent, err := set.order(want)
		if err != nil {
			return nil, nil, err
		}
		more := false
		for _, name := range absent { // any other is built in
			path, there := paths[name]
			if !there {
				continue
			}
			if set[name], err = readModule(path); err != nil {
				return nil, nil, err
			}
			more = true
		}
		switch {
		case more:
		case lacking(want, absent) != nil:
			return set, nil, nil
		default:
			return set, names, nil
		}
	}
}

// readModule decompresses a module.
func readModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	defer f.Close()
	module, err := decompressModule(f, modulePath.FindStringSubmatch(path[strings.Index(path, "/lib/modules/"):])[2])
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", path, err)
	}
	return module, nil
}

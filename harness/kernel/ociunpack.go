package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/cachedir"
	"tokentest/harness/oci"
	"tokentest/kconfig"
)

// The paths of a kernel's files in a container image: those of a root file system, or the same below /data/kernels/NAME
// as in little-vm-helper's images.
var (
	inImage      = regexp.MustCompile(`^(?:/data/kernels/[^/]+)?(/.*)$`)
	ociImagePath = regexp.MustCompile(`^(?:/boot/(?:vmlinuz|bzImage|vmlinux)(?:-[^/]+)?|` +
		`(?:/usr)?/lib/modules/[^/]+/vmlinuz)$`)
	ociConfig = regexp.MustCompile(`^(?:/boot/config(?:-[^/]+)?|(?:/usr)?/lib/modules/[^/]+/\.?config)$`)
)

// Limits of a container image's files. The largest vmlinux with symbols has less than a GiB.
const (
	maxImageBytes  = 1 << 30
	maxConfigBytes = 4 << 20
	maxModuleBytes = 32 << 20
	maxCandidates  = 32 // images, or configurations
)

// unpacker collects a kernel's files from a container image.
type unpacker struct {
	dir     string            // holds the candidates; names in the image never become names here
	images  map[string]string // by the path in the image, the path of the copy
	configs map[string][]byte
	links   []string          // for the error if there is no image
	modules map[string][]byte // by the path in the image
	listed  map[string]bool   // the paths of all modules
	more    map[string]bool   // names of further modules to take, each tried once
}

// unpack fills dir with the kernel's files.
func (x *container) unpack(ctx context.Context, img *oci.Image, dir string) (entry, error) {
	u := &unpacker{dir: filepath.Join(dir, debsDir), images: map[string]string{}, configs: map[string][]byte{},
		modules: map[string][]byte{}, listed: map[string]bool{}, more: map[string]bool{}}
	if err := u.visit(ctx, img); err != nil {
		return entry{}, err
	}
	image, err := u.image()
	if err != nil {
		return entry{}, err
	}
	to := filepath.Join(dir, entryDir)
	if err := os.Rename(u.images[image], filepath.Join(to, imageFile)); err != nil {
		return entry{}, fmt.Errorf("fill kernel cache: %w", err)
	}
	k, err := readImage(filepath.Join(to, imageFile))
	var bad *UsageError
	if errors.As(err, &bad) {
		return entry{}, &oci.MistakeError{Reason: fmt.Sprintf("its %s is %s", image, bad.Reason)}
	} else if err != nil {
		return entry{}, err
	}
	if err := u.configure(k, to); err != nil {
		return entry{}, err
	}
	e := entryOf(k)
	e.Modules, err = u.take(ctx, img, k, to)
	if err == nil && k.Config == nil {
		x.log("the configuration of %s is unknown: the image has none", x.ref)
	}
	return e, err
}

func (u *unpacker) visit(ctx context.Context, img *oci.Image) error {
	return img.Visit(ctx, oci.Visitor{Wants: u.wants, Take: u.file,
		Link: func(name, target string) { u.links = append(u.links, name+" is a link to "+target) }})
}

// inner is a path of a root file system, without little-vm-helper's prefix.
func inner(name string) string { return inImage.FindStringSubmatch(name)[1] }

func (u *unpacker) wants(name string) bool {
	in := inner(name)
	if m := modulePath.FindStringSubmatch(in); m != nil {
		u.listed[name] = true
		return strings.HasPrefix(moduleName(m[1]), "virtio") || u.more[moduleName(m[1])]
	}
	return ociImagePath.MatchString(in) || ociConfig.MatchString(in)
}

// file stores one file that is wanted.
func (u *unpacker) file(name string, size int64, r io.Reader) (err error) {
	tooLarge := func(limit int64) error {
		return &oci.DamageError{Reason: fmt.Sprintf("%s has %d bytes; the limit is %d", name, size, limit)}
	}
	in := inner(name)
	m := modulePath.FindStringSubmatch(in)
	switch {
	case m != nil && size > maxModuleBytes:
		return tooLarge(maxModuleBytes)
	case m != nil:
		if u.modules[name], err = decompressModule(r, m[2]); err != nil {
			return fmt.Errorf("decompress %s: %w", name, err)
		}
	case len(u.images) > maxCandidates || len(u.configs) > maxCandidates:
		return &oci.DamageError{Reason: "more kernels than one could choose from"}
	case ociConfig.MatchString(in):
		if size > maxConfigBytes {
			return tooLarge(maxConfigBytes)
		}
		u.configs[name], err = io.ReadAll(r)
	case size > maxImageBytes:
		return tooLarge(maxImageBytes)
	default:
		u.images[name] = cmp.Or(u.images[name], filepath.Join(u.dir, fmt.Sprintf("image%d", len(u.images))))
		err = writeFile(u.images[name], r)
	}
	return err
}

// image chooses the kernel's image: a bzImage before a vmlinux, which may be there for its symbols. The same image may
// be there under several names.
func (u *unpacker) image() (string, error) {
	rank := func(name string) int {
		if strings.HasPrefix(path.Base(name), "vmlinux") {
			return 1
		}
		return 0
	}
	names := slices.SortedFunc(maps.Keys(u.images), func(a, b string) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a, b))
	})
	if len(names) == 0 {
		reason := "the image holds no kernel: no /boot/vmlinuz* and no /lib/modules/RELEASE/vmlinuz"
		if len(u.links) > 0 {
			reason += "; " + u.links[0]
		}
		return "", &oci.MistakeError{Reason: reason}
	}
	first, err := cachedir.Digest(u.images[names[0]])
	if err != nil {
		return "", fmt.Errorf("fill kernel cache: %w", err)
	}
	for _, other := range names[1:] {
		if rank(other) != rank(names[0]) {
			continue
		}
		if digest, err := cachedir.Digest(u.images[other]); err != nil || digest != first {
			return "", errors.Join(err, &oci.MistakeError{
				Reason: fmt.Sprintf("the image holds several kernels: %s and %s", names[0], other)})
		}
	}
	return names[0], nil
}

// configure stores the configuration of a kernel: that of its release, else the only one, else the one in the kernel.
func (u *unpacker) configure(k *Kernel, to string) (err error) {
	names := slices.Sorted(maps.Keys(u.configs))
	of := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !strings.Contains(name, "config-"+k.Release) && !strings.Contains(name, "/"+k.Release+"/")
	})
	switch {
	case len(of) > 0 && k.Release != "":
		names = of[:1]
	case len(names) != 1:
		k.Config, _ = kconfig.ReadImage(filepath.Join(to, imageFile)) // most kernels hold none
		return nil
	}
	file := filepath.Join(to, configFile)
	if err := os.WriteFile(file, u.configs[names[0]], 0o644); err != nil {
		return fmt.Errorf("fill kernel cache: %w", err)
	}
	if k.Config, err = readConfig(file); err != nil {
		return &oci.MistakeError{Reason: fmt.Sprintf("its %s: %v", names[0], errors.Unwrap(err))}
	}
	return nil
}

// take stores the modules that the control channel needs. A kernel without them uses a slower channel.
func (u *unpacker) take(ctx context.Context, img *oci.Image, k *Kernel, to string) ([]string, error) {
	want := missing(k.Config, k.Arch)
	for {
		set, there := u.of(k.Release)
		names, absent, err := set.order(want)
		if err != nil {
			return nil, err
		}
		again := false
		for _, name := range absent { // any other is built in, or the image does not have it
			again = again || there[name] && !u.more[name]
			u.more[name] = true
		}
		if again {
			if err := u.visit(ctx, img); err != nil {
				return nil, err
			}
			continue
		}
		if lacking(want, absent) != nil {
			return nil, nil
		}
		if err := set.write(to, names); err != nil {
			return nil, fmt.Errorf("fill kernel cache: %w", err)
		}
		return names, nil
	}
}

// of returns the modules of a release, and the names of all that the image has.
func (u *unpacker) of(release string) (moduleSet, map[string]bool) {
	set, there := moduleSet{}, map[string]bool{}
	for name := range u.listed {
		in := inner(name)
		if !strings.Contains(in, "/lib/modules/"+release+"/") {
			continue
		}
		short := moduleName(modulePath.FindStringSubmatch(in)[1])
		if data := u.modules[name]; data != nil {
			set[short] = data
		} else {
			there[short] = true
		}
	}
	return set, there
}

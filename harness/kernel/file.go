package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// resolveFile resolves ref as the path of an image.
func resolveFile(ref string) (*Kernel, error) {
	k, err := readImage(ref)
	if err != nil {
		return nil, err
	}
	return k, k.findConfig()
}

// readImage reads the release and the digest of an image. If the file is not a kernel, the error is
// a *UsageError.
func readImage(ref string) (*Kernel, error) {
	stat, err := os.Stat(ref) // before it is opened: a FIFO would wait for a writer
	switch {
	case err != nil:
		return nil, pathError(ref, err)
	case stat.IsDir():
		return nil, &UsageError{Ref: ref, Reason: "a directory; want " + Forms}
	case !stat.Mode().IsRegular():
		return nil, &UsageError{Ref: ref, Reason: "not a regular file; want " + Forms}
	}
	f, err := os.Open(ref)
	if err != nil {
		return nil, pathError(ref, err)
	}
	defer f.Close()
	head, err := inspect(f, stat.Size())
	var bad *formatError
	if errors.As(err, &bad) {
		return nil, &UsageError{Ref: ref, Reason: bad.Error()}
	} else if err != nil {
		return nil, fmt.Errorf("read kernel image %s: %w", ref, err)
	}
	k := &Kernel{Ref: ref, Release: head.release, Image: ref, Format: head.format, Arch: head.arch, Source: ref}
	if k.Digest, err = cachedir.Digest(ref); err != nil {
		return nil, fmt.Errorf("read kernel image %s: %w", ref, err)
	}
	return k, nil
}

// findConfig looks for the configuration next to the image, then inside it. The names are those of
// a build tree, of /boot, and of /usr/lib/modules/RELEASE.
func (k *Kernel) findConfig() error {
	names := []string{"config-" + k.Release, ".config"}
	if filepath.Base(k.Image) == imageFile {
		names = append(names, configFile)
	}
	for _, name := range names {
		path := filepath.Join(filepath.Dir(k.Image), name)
		config, err := readConfig(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		}
		k.Config, k.ConfigPath = config, path
		return nil
	}
	// An image whose configuration cannot be read is still a kernel.
	k.Config, _ = kconfig.ReadImage(k.Image)
	return nil
}

func readConfig(path string) (kconfig.Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, err := kconfig.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return config, nil
}

var (
	scheme     = regexp.MustCompile(`^[a-z]+:`)
	likeDebian = regexp.MustCompile(`^([0-9]+(\.[0-9]+)+|[a-z]+(-security|-backports)?)$`)
)

// pathError explains a path that cannot be opened.
func pathError(ref string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read kernel image: %w", err)
	}
	bad := &UsageError{Ref: ref, Reason: "no such file; a kernel is " + Forms}
	switch {
	case ref == "":
		bad.Reason = "empty; a kernel is " + Forms
	case scheme.MatchString(ref):
		bad.Reason = "no such form; a kernel is " + Forms
	case likeDebian.MatchString(ref) && (strings.ContainsAny(ref[:1], "0123456789") || isSuite(ref)):
		bad.Near = []string{"deb:" + ref}
	}
	return bad
}

package kernel

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
)

// untar walks the files of a package without installing it: it runs no maintainer script and
// writes no file. take returns errEnough to end the walk.
func untar(ctx context.Context, deb string, take func(name string, r io.Reader) error) error {
	err := stream(command(ctx, "dpkg-deb", "--fsys-tarfile", deb), func(r io.Reader) error {
		for files := tar.NewReader(r); ; {
			h, err := files.Next()
			if err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if h.Typeflag != tar.TypeReg {
				continue
			}
			if err := take(path.Join("/", h.Name), files); err != nil {
				return err
			}
		}
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("unpack package %s: %w", filepath.Base(deb), err)
	}
	return nil
}

// The paths of a kernel's files in Debian's packages: up to 6.18 in linux-image under /boot; since
// then the image in linux-binary and the configuration in linux-base, both under
// /usr/lib/modules/RELEASE.
var (
	imagePath  = regexp.MustCompile(`^(/boot/vmlinu[xz]-([^/]+)|(?:/usr)?/lib/modules/([^/]+)/vmlinu[xz])$`)
	configPath = regexp.MustCompile(`^(/boot/config-[^/]+|(?:/usr)?/lib/modules/[^/]+/\.?config)$`)
	modulePath = regexp.MustCompile(`^(?:/usr)?/lib/modules/[^/]+/.*/([^/]+)\.ko(\.[a-z0-9]+)?$`)
)

// The names in a cache entry.
const (
	imageFile  = "vmlinuz"
	configFile = "config"
)

// unpackKernel writes a package's image and configuration into dir.
func unpackKernel(ctx context.Context, deb, dir string) error {
	return untar(ctx, deb, func(name string, r io.Reader) error {
		switch {
		case imagePath.MatchString(name):
			if err := writeFile(filepath.Join(dir, imageFile), r); err != nil {
				return err
			}
		case configPath.MatchString(name):
			if err := writeFile(filepath.Join(dir, configFile), r); err != nil {
				return err
			}
		default:
			return nil
		}
		if exists(dir, imageFile) && exists(dir, configFile) {
			return errEnough
		}
		return nil
	})
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}

// writeFile copies r into a new file.
func writeFile(path string, r io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

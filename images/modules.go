package images

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/ulikunitz/xz"
)

// Module is a kernel module that PID 1 loads before anything else.
type Module struct {
	Name string // as modprobe knows it: "virtio_console"
	Path string // its .ko file, which may be compressed with xz, zstd or gzip
}

// WithModules returns img with modules that its init loads in the given order.
func WithModules(ctx context.Context, img *Image, mods []Module, o Options) (*Image, error) {
	if len(mods) == 0 {
		return img, nil
	}
	files := make([][]byte, len(mods))
	for i, m := range mods {
		var err error
		if files[i], err = os.ReadFile(m.Path); err != nil {
			return nil, fmt.Errorf("add module %s: %w", m.Name, err)
		}
	}
	key := sha256.New()
	for i, m := range mods {
		fmt.Fprintf(key, "%q %x\n", m.Name, sha256.Sum256(files[i]))
	}
	with, err := o.extend(ctx, img, "modules", key.Sum(nil), func(w io.Writer) error {
		records, err := moduleRecords(mods, files)
		if err != nil {
			return err
		}
		return writeArchive(w, records)
	})
	if err != nil {
		return nil, fmt.Errorf("add modules: %w", err)
	}
	return with, nil
}

// extend returns img followed by a second archive, which the kernel unpacks over the first. name is its name in the
// cache, and key the digest of everything the second archive is made from. extend calls write only if the image is
// not cached.
func (o Options) extend(ctx context.Context, img *Image, name string, key []byte,
	write func(io.Writer) error) (*Image, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte(img.Digest), key...))
	with := &Image{BuildID: img.BuildID}
	name += "-" + hex.EncodeToString(sum[:16])
	with.Path, with.Digest, err = o.cache().get(ctx, name, func(_, out string) error {
		return appendArchive(out, img.Path, write)
	})
	return with, err
}

// appendArchive writes the file path: a copy of the archive base, then what write writes.
func appendArchive(path, base string, write func(io.Writer) error) error {
	first, err := os.Open(base)
	if err != nil {
		return err
	}
	defer first.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, first); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	return f.Close()
}

// moduleRecords returns the files of modules for the init, which loads them in lexical order. It decompresses them,
// because that is slow in an emulated machine.
func moduleRecords(mods []Module, files [][]byte) ([]cpio.Record, error) {
	records := []cpio.Record{cpio.Directory("modules", 0o755)}
	for i, m := range mods {
		ko, err := unpack(files[i])
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", m.Path, err)
		}
		records = append(records, cpio.StaticFile(fmt.Sprintf("modules/%03d-%s.ko", i, m.Name), string(ko), 0o644))
	}
	return records, nil
}

// unpack returns the ELF object in the contents of a module's file.
func unpack(file []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(file)
	var err error
	switch {
	case bytes.HasPrefix(file, []byte("\xfd7zXZ\x00")):
		r, err = xz.NewReader(r)
	case bytes.HasPrefix(file, []byte("\x28\xb5\x2f\xfd")):
		r, err = zstd.NewReader(r)
	case bytes.HasPrefix(file, []byte("\x1f\x8b")):
		r, err = gzip.NewReader(r)
	}
	if err != nil {
		return nil, err
	}
	ko, err := io.ReadAll(r)
	if err == nil && !bytes.HasPrefix(ko, []byte("\x7fELF")) {
		err = errors.New("not a kernel module: no ELF header")
	}
	return ko, err
}

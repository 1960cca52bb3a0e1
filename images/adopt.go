package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"tokentest/harness/cachedir"
)

// Name is what the cache calls the image: it says what the image is made from.
func (i *Image) Name() string { return filepath.Base(filepath.Dir(i.Path)) }

// Adopt returns an image that another host made, by its digest and build ID. name is what that host's cache calls it:
// if this one's has the same under that name, it is taken; else fetch writes it into a file. Every byte is verified.
func Adopt(ctx context.Context, name, digest, id string, o Options, fetch func(path string) error) (*Image, error) {
	if b, err := hex.DecodeString(digest); err != nil || len(b) != sha256.Size || filepath.Base(name) != name {
		return nil, fmt.Errorf("take the image %q: %q is no SHA-256", name, digest)
	}
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	img := &Image{BuildID: id, Digest: digest, Path: filepath.Join(o.cache().dir, name, imageFile)}
	if have, ok := o.cache().find(name); ok && have == digest {
		return img, nil
	}
	// Not under its own name: that would say what it is made from, which this host did not see.
	img.Path, img.Digest, err = o.cache().get(ctx, "given-"+digest, func(_, out string) error {
		if err := fetch(out); err != nil {
			return err
		}
		got, err := cachedir.Digest(out)
		if err == nil && got != digest {
			err = fmt.Errorf("it has the digest %s", got)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("fetch the image %s: %w", digest, err)
	}
	return img, nil
}

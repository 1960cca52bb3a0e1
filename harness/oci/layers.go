package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Limits of an image. One that exceeds them is refused, because it is no kernel and fills memory or time.
const (
	maxEntries = 1 << 20
	maxBytes   = 16 << 30 // of all layers, decompressed
)

// A Visitor gets the files of an image.
type Visitor struct {
	// Wants says which of the files and links that no layer hides matter; their paths are absolute and clean.
	Wants func(name string) bool
	// Take gets each file that matters, and reads it or not. If an image holds a name twice in one layer, the
	// later file counts.
	Take func(name string, size int64, r io.Reader) error
	// Link gets each symbolic or hard link that matters. Links are never followed.
	Link func(name, target string)
}

// DamageError means that the content of an image is refused.
type DamageError struct{ Reason string }

func (e *DamageError) Error() string { return e.Reason }

func damage(format string, args ...any) error { return &DamageError{fmt.Sprintf(format, args...)} }

// Visit streams the layers of an image from the last to the first. A file of an upper layer hides the files of the same
// name below it, and so do the marks for removed files. Every layer is read to its end, where its digest is verified:
// until Visit returns nil, what Take got is not to be trusted.
func (m *Image) Visit(ctx context.Context, v Visitor) error {
	layers, err := m.image.Layers()
	if err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	w := &walk{Visitor: v, ctx: ctx, above: newHidden(), bytes: maxBytes, entries: maxEntries}
	for i := len(layers) - 1; i >= 0; i-- {
		if err := w.layer(layers[i], i > 0); err != nil {
			return err
		}
	}
	return nil
}

// walk is the state of one Visit.
type walk struct {
	Visitor
	ctx context.Context

	above   *hidden // by the layers that were read
	bytes   int64   // that may still come
	entries int
}

// hidden is what layers hide of those below them.
type hidden struct {
	replaced map[string]bool // these paths and all below
	emptied  map[string]bool // all below these directories
}

func newHidden() *hidden { return &hidden{map[string]bool{}, map[string]bool{}} }

// add adds what another layer hides.
func (h *hidden) add(other *hidden) {
	maps.Copy(h.replaced, other.replaced)
	maps.Copy(h.emptied, other.emptied)
}

// hides reports whether a path is hidden.
func (h *hidden) hides(name string) bool {
	for p := name; ; p = path.Dir(p) {
		if h.replaced[p] || p != name && h.emptied[p] {
			return true
		}
		if p == "/" {
			return false
		}
	}
}

// layer reads one layer. Its names hide those of lower layers, if there are any.
func (w *walk) layer(l v1.Layer, lower bool) error {
	digest, err := l.Digest()
	if err != nil {
		return fmt.Errorf("read the image's manifest: %w", err)
	}
	wrap := func(err error) error {
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
		return fmt.Errorf("read layer %.19s of the image: %w", digest, err)
	}
	r, err := l.Uncompressed()
	if err != nil {
		return wrap(err)
	}
	defer r.Close()
	limited := &limited{r: r, left: &w.bytes}
	here := newHidden()
	for files := tar.NewReader(limited); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = w.entry(h, files, here)
		}
		if !lower { // nothing is below, and the last layer is often the largest
			clear(here.replaced)
		}
		if err != nil {
			return wrap(err)
		}
	}
	if _, err := io.Copy(io.Discard, limited); err != nil { // the digest is verified at the end
		return wrap(err)
	}
	w.above.add(here)
	return nil
}

// Marks of removed files, as the image specification's layer.md describes them.
const (
	removed = ".wh."
	opaque  = ".wh..wh..opq"
)

// entry handles one entry of a layer. What it hides of lower layers goes to here.
func (w *walk) entry(h *tar.Header, r io.Reader, here *hidden) error {
	if w.entries--; w.entries < 0 {
		return damage("more than %d files in the image", maxEntries)
	}
	if !inside(h.Name) {
		return damage("the path %q leaves the image", h.Name)
	}
	name := path.Join("/", h.Name)
	dir, base := path.Split(name)
	switch {
	case base == opaque:
		here.emptied[path.Clean(dir)] = true
		return nil
	case strings.HasPrefix(base, removed):
		here.replaced[path.Join(dir, strings.TrimPrefix(base, removed))] = true
		return nil
	case h.Typeflag == tar.TypeDir:
		return nil
	}
	here.replaced[name] = true
	if w.above.hides(name) || !w.Wants(name) {
		return nil
	}
	switch h.Typeflag {
	case tar.TypeReg:
		return w.Take(name, h.Size, r)
	case tar.TypeSymlink, tar.TypeLink:
		target := h.Linkname
		if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
			target = path.Join(strings.TrimPrefix(dir, "/"), target)
		}
		if !inside(target) {
			return damage("the link %s leaves the image: its target is %q", name, h.Linkname)
		}
		w.Link(name, h.Linkname)
		return nil
	}
	return damage("%s is neither a file nor a link", name)
}

// inside reports whether a path in an archive stays below the archive's root.
func inside(name string) bool {
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return false
			}
		default:
			depth++
		}
	}
	return !strings.ContainsRune(name, 0)
}

// limited ends a stream that is too long.
type limited struct {
	r    io.Reader
	left *int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if *l.left -= int64(n); *l.left < 0 {
		return 0, damage("more than %d GiB in the image", maxBytes>>30)
	}
	return n, err
}

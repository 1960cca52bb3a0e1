package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"
)

// actorName is the archive with the program of actors of 32 bits, and actorPkg its folder.
const actorName, actorPkg = "init32", "images/init32"

// WithActors32 returns img with the program of actors of 32 bits, which the agent starts as /init32. It returns img as
// it is for an architecture without such programs, and where this tokentest has none and is in no checkout.
func WithActors32(ctx context.Context, img *Image, o Options) (*Image, error) {
	with, err := o.withActors32(ctx, img)
	if err != nil {
		return nil, fmt.Errorf("build the program of 32 bits: %w", err)
	}
	return with, nil
}

func (o Options) withActors32(ctx context.Context, img *Image) (*Image, error) {
	o, err := o.complete()
	if err != nil || o.Arch.Compat.GOARCH == "" {
		return img, err
	}
	from, err := o.find()
	if err != nil {
		return nil, err
	}
	o.Source = from.source
	p, name := part32(actorPkg, o.Arch), nameFor(actorName, o.Arch)
	if b, ok := from.has(name, func() (string, error) { return sourceID(o.Source, p) }); ok {
		return o.extend(ctx, img, name, []byte(b.ID), func(w io.Writer) error {
			text, err := unpackBuiltin(Builtin, name, b)
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		})
	}
	if o.Source == "" {
		if o.Source = o.compiles(); o.Source == "" {
			return img, nil
		}
	}
	id, err := buildID(ctx, o, p)
	if err != nil {
		return nil, err
	}
	return o.extend(ctx, img, name, []byte(id), func(w io.Writer) error {
		o.Log("compiling %s", actorPkg)
		work, err := os.MkdirTemp("", "tokentest-init32-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		return o.actorArchive(ctx, id, work, w)
	})
}

// compiles returns the checkout in which this runs, if it has the agent that is built in and there is Go; else "".
func (o Options) compiles() string {
	wd, err := os.Getwd()
	if err != nil {
		return ""
	}
	root, ok := above(wd)
	if _, err := exec.LookPath(o.Go); !ok || err != nil || o.Shared.same(root) != nil {
		return ""
	}
	return root
}

// actorArchive compiles the program and writes its archive.
func (o Options) actorArchive(ctx context.Context, id, work string, to io.Writer) error {
	out := filepath.Join(work, actorName)
	if err := compile(ctx, o, part32(actorPkg, o.Arch), id, out); err != nil {
		return err
	}
	program, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	return writeArchive(to, []cpio.Record{cpio.StaticFile(actorName, string(program), 0o755)})
}

package watch

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/usage"
)

// settle is how long no file may change before a run begins.
const settle = 300 * time.Millisecond

// Images lists those of the kernels that are files, and the images of those that are trees. o finds a tree's image.
func Images(ctx context.Context, kernels []string, o kernel.Options) []string {
	var names []string
	for _, ref := range kernels {
		dir, isTree := strings.CutPrefix(ref, "tree:")
		if isTree && !kernel.IsBuilt(ref) {
			image := filepath.Join(dir, arch.Default.Image.Path)
			if k, err := kernel.Resolve(ctx, ref, o); err == nil {
				image = k.Image
			}
			names = append(names, image)
		} else if !strings.Contains(ref, ":") && ref != "host" {
			names = append(names, ref)
		}
	}
	return names
}

// Repeat calls run, and calls it again each time that one of the files changes, until ctx ends; that is no error. It
// notes what it waits for and what changed. A file whose directory does not exist is a *usage.Error.
func Repeat(ctx context.Context, names []string, note func(format string, args ...any), run func()) error {
	for ctx.Err() == nil {
		files, err := New(names...)
		if err != nil {
			return usage.Of(err)
		}
		run()
		if ctx.Err() == nil {
			note("waiting for a change of %s; Ctrl-C ends it", strings.Join(names, ", "))
		}
		name, err := files.Wait(ctx, settle)
		files.Close()
		if err == nil {
			note("%s has changed", name)
		} else if ctx.Err() == nil {
			return err
		}
	}
	return nil
}

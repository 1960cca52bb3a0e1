package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var headerPath = regexp.MustCompile(`/include/uapi/linux/bpf\.h$`)

// Header returns include/uapi/linux/bpf.h of the newest packaged kernel whose
// version begins with release, such as "6.12". It caches nothing: only the generator of package
// uapi calls it.
func Header(ctx context.Context, release string, o Options) ([]byte, error) {
	d, x, err := readDebian(ctx, o, host)
	if err != nil {
		return nil, err
	}
	choices := x.headers(release)
	var gone *goneError
	for _, p := range choices {
		text, err := d.header(ctx, p)
		if !errors.As(err, &gone) {
			return text, err
		}
		d.log("%v; taking the next newest", err)
	}
	return nil, &UsageError{Ref: release, Reason: "the mirror has no headers of this release"}
}

// headers returns the header packages of a release, the newest first.
func (x *index) headers(release string) []pkg {
	var out []pkg
	for _, p := range x.Packages {
		if v, ok := strings.CutPrefix(p.Name, "linux-headers-"); ok && beginsAt(v, release) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b pkg) int { return compareVersions(b.Version, a.Version) })
	return out
}

func (d *debian) header(ctx context.Context, p pkg) (text []byte, err error) {
	a, err := d.apt(ctx)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "tokentest-headers-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the headers: %w", err)
	}
	defer os.RemoveAll(temp)
	paths, err := a.fetch(ctx, temp, []pkg{p})
	if err != nil {
		return nil, err
	}
	err = untar(ctx, paths[0], func(name string, r io.Reader) (err error) {
		if headerPath.MatchString(name) {
			text, err = io.ReadAll(r)
		}
		return err
	})
	if err == nil && text == nil {
		err = fmt.Errorf("read %s: it contains no include/uapi/linux/bpf.h", filepath.Base(paths[0]))
	}
	return text, err
}

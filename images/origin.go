package images

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"tokentest/harness/arch"
)

// origin is where the programs of images come from.
type origin struct {
	source  string            // the root of a checkout; empty if the built-in images are used
	builtin map[string]packed // nil if none are built in
	note    string            // says which checkout takes the place of the built-in images
}

// has returns a built-in image, unless the checkout has other sources. id returns the digest of those.
func (f *origin) has(name string, id func() (string, error)) (packed, bool) {
	b, ok := f.builtin[name]
	if !ok || f.source == "" {
		return b, ok
	}
	now, err := id()
	return b, err == nil && now == b.Sources // the compiler says what is wrong with the sources
}

// sameAgent reports whether the checkout would make the agent that is built in.
func (f *origin) sameAgent() bool {
	_, ok := f.has(agentName, func() (string, error) { return sourceID(f.source, fullPart(agentPkg, arch.Default)) })
	return ok
}

// find chooses between the built-in images and a checkout.
func (o Options) find() (*origin, error) {
	builtin, stale := o.builtin()
	if o.Source != "" {
		return o.explicit(builtin)
	}
	wd, err := os.Getwd()
	root, ok := above(wd)
	switch {
	case ok && err == nil && builtin != nil:
		return o.replace(root, builtin), nil
	case ok && err == nil:
		return &origin{source: root}, o.Shared.same(root)
	case builtin != nil:
		return &origin{builtin: builtin}, nil
	}
	exe, err := os.Executable()
	if root, ok := above(filepath.Dir(exe)); ok && err == nil {
		return &origin{source: root}, o.Shared.same(root)
	}
	if CompiledIn != "" && isSource(CompiledIn) {
		return &origin{source: CompiledIn}, o.Shared.same(CompiledIn)
	}
	return nil, cmp.Or(stale, errors.New("this tokentest was built without the agent; run make build in a checkout of "+
		"its sources and use that bin/tokentest, or name the checkout with --agent"))
}

// explicit is the checkout that the user named.
func (o Options) explicit(builtin map[string]packed) (*origin, error) {
	root, err := filepath.Abs(o.Source)
	if err != nil {
		return nil, err
	}
	if !isSource(root) {
		return nil, fmt.Errorf("no sources in %s: no go.mod of module %s there", o.Source, module)
	}
	from := &origin{source: root, builtin: builtin}
	if builtin != nil {
		from.note = fmt.Sprintf("the agent is the one of the checkout %s", root)
	}
	if from.sameAgent() {
		from.source = ""
	}
	return from, o.Shared.same(root)
}

// replace lets a checkout take the place of the built-in images, if its sources differ and this program understands
// the agent that they make.
func (o Options) replace(root string, builtin map[string]packed) *origin {
	from := &origin{source: root, builtin: builtin}
	if from.sameAgent() {
		return &origin{builtin: builtin}
	}
	if err := o.Shared.same(root); err != nil {
		return &origin{builtin: builtin, note: fmt.Sprintf("the built-in agent is used, not the checkout %s, whose sources "+
			"make another tokentest; make build makes it", root)}
	}
	from.note = fmt.Sprintf("the agent is the one of the checkout %s, which differs from the built-in one", root)
	return from
}

// CompiledIn is the checkout that this program was compiled in, or empty if -trimpath has removed its name. Tests
// change it.
var CompiledIn = compiledIn()

func compiledIn() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return ""
	}
	return filepath.Dir(filepath.Dir(file))
}

// above searches for the root in dir and its parents.
func above(dir string) (string, bool) {
	for ; ; dir = filepath.Dir(dir) {
		if isSource(dir) {
			return dir, true
		}
		if dir == filepath.Dir(dir) {
			return "", false
		}
	}
}

func isSource(dir string) bool {
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && slices.Contains(strings.Split(string(mod), "\n"), "module "+module)
}

// Shared are folders of sources, by their names in the checkout.
type Shared map[string]fs.FS

// each calls f with every source, sorted by its name.
func (s Shared) each(f func(name string, text []byte) error) error {
	for _, dir := range slices.Sorted(maps.Keys(s)) {
		names, err := fs.Glob(s[dir], "*.go")
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			text, err := fs.ReadFile(s[dir], name)
			if err != nil {
				return err
			}
			if err := f(path.Join(dir, name), text); err != nil {
				return err
			}
		}
	}
	return nil
}

// same returns an error unless the files equal those in the source. If they differ, the caller is older or newer than
// the source.
func (s Shared) same(root string) error {
	return s.each(func(name string, ours []byte) error {
		theirs, err := os.ReadFile(filepath.Join(root, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read sources: %w", err)
		}
		if err != nil || !bytes.Equal(ours, theirs) {
			return fmt.Errorf("this tokentest was not made from the sources in %s: %s differs, and the agent that they make "+
				"would not be understood; make it again there with make build", root, name)
		}
		return nil
	})
}

// digest is the digest of the files.
func (s Shared) digest() (string, error) {
	h := sha256.New()
	err := s.each(func(name string, text []byte) error {
		_, err := fmt.Fprintf(h, "%q %d\n%s", name, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:16]), err
}

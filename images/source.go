package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path of our module; its packages are the sources of an image.
const module = "tokentest"

// findSource returns the root of the module: dir unless it is empty.
func findSource(dir string) (string, error) {
	if dir != "" {
		if !isSource(dir) {
			return "", fmt.Errorf("no sources in %s: no go.mod of module %s there", dir, module)
		}
		return filepath.Abs(dir)
	}
	wd, wdErr := os.Getwd()
	exe, exeErr := os.Executable()
	for _, start := range []struct {
		dir string
		err error
	}{{wd, wdErr}, {filepath.Dir(exe), exeErr}} {
		if root, ok := above(start.dir); ok && start.err == nil {
			return root, nil
		}
	}
	return "", fmt.Errorf("no sources found: no go.mod of module %s in or above %s or %s", module, wd, filepath.Dir(exe))
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

// sameSources returns an error unless Shared equals the files in the source. If they differ, the caller is older or
// newer than the source.
func (o Options) sameSources() error {
	for _, dir := range slices.Sorted(maps.Keys(o.Shared)) {
		names, err := fs.Glob(o.Shared[dir], "*.go")
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			ours, err := fs.ReadFile(o.Shared[dir], name)
			if err != nil {
				return err
			}
			theirs, err := os.ReadFile(filepath.Join(o.Source, dir, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("read sources: %w", err)
			}
			if err != nil || !bytes.Equal(ours, theirs) {
				return fmt.Errorf("this tokentest was not made from the sources in %s: %s differs, and the agent that they make "+
					"would not be understood; make it again there with make build", o.Source, path.Join(dir, name))
			}
		}
	}
	return nil
}

// buildID is the digest of everything that the init in folder pkg and its archive are made from.
func buildID(ctx context.Context, o Options, pkg string) (string, error) {
	version, err := goVersion(ctx, o)
	if err != nil {
		return "", err
	}
	files, err := sources(o.Source, pkg)
	if err != nil {
		return "", fmt.Errorf("read sources: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", version, pinned, buildArgs("", "", pkg))
	if err := writeArchive(h, layout("")); err != nil {
		return "", err
	}
	for _, name := range files {
		if err := hashFile(h, o.Source, name); err != nil {
			return "", fmt.Errorf("read sources: %w", err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// hashFile adds a file's name and contents, with their lengths so that two files never hash like one.
func hashFile(h hash.Hash, root, name string) error {
	data, err := os.ReadFile(filepath.Join(root, name))
	fmt.Fprintf(h, "%q %d\n%s", name, len(data), data)
	return err
}

// sources lists, sorted and relative to root, the files of our module that the package in folder pkg is built from. It
// reads import clauses itself, because `go list` takes longer than everything else together.
func sources(root, pkg string) ([]string, error) {
	seen := map[string]bool{}
	files := []string{"go.mod", "go.sum"}
	for todo := []string{pkg}; len(todo) > 0; todo = todo[1:] {
		dir := todo[0]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		p, err := target.ImportDir(filepath.Join(root, dir), 0)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		for _, imp := range p.Imports {
			if rest, ours := strings.CutPrefix(imp, module+"/"); ours {
				todo = append(todo, rest)
			}
		}
		for _, name := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles) {
			files = append(files, path.Join(dir, name))
		}
		embedded, err := embedded(root, dir, p.EmbedPatterns)
		if err != nil {
			return nil, err
		}
		files = append(files, embedded...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// embedded lists the files that match the go:embed patterns of the package in dir, and possibly hidden files.
func embedded(root, dir string, patterns []string) ([]string, error) {
	var files []string
	for _, pattern := range patterns {
		matches, err := fs.Glob(os.DirFS(root), path.Join(dir, strings.TrimPrefix(pattern, "all:")))
		if err != nil {
			return nil, fmt.Errorf("%s: embed %s: %w", dir, pattern, err)
		}
		for _, match := range matches {
			err := fs.WalkDir(os.DirFS(root), match, func(name string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					files = append(files, name)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path of our module; its packages are the sources of an image.
const module = "tokentest"

// buildID is the digest of everything that a program and its archive are made from.
func buildID(ctx context.Context, o Options, p part) (string, error) {
	version, err := goVersion(ctx, o)
	if err != nil {
		return "", err
	}
	id, err := sourceID(o.Source, p)
	if err != nil {
		return "", err
	}
	return withVersion(id, version), nil
}

// withVersion is the digest of a toolchain and of what it compiles.
func withVersion(sourceID, version string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", version, sourceID)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// sourceID is the part of a build ID that does not depend on the toolchain.
func sourceID(root string, p part) (string, error) {
	files, err := sources(root, p)
	if err != nil {
		return "", fmt.Errorf("read sources: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", p.pinned(), buildArgs("", "", p.pkg))
	if err := writeArchive(h, layout("")); err != nil {
		return "", err
	}
	for _, name := range files {
		if err := hashFile(h, root, name); err != nil {
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

// sources lists, sorted and relative to root, the files of our module that a program is built from. It
// reads import clauses itself, because `go list` takes longer than everything else together.
func sources(root string, of part) ([]string, error) {
	seen := map[string]bool{}
	files := []string{"go.mod", "go.sum"}
	for todo := []string{of.pkg}; len(todo) > 0; todo = todo[1:] {
		dir := todo[0]
		if seen[dir] {
			continue
		}
		seen[dir] = true
		p, err := of.context().ImportDir(filepath.Join(root, dir), 0)
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

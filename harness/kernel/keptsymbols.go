package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tokentest/harness/cachedir"
)

// keptSymbols is the number of builds that keep their ELF file, which takes 200 MB.
const keptSymbols = 4

// keepSymbols links the ELF file of the new kernel next to its image, for source lines in findings
// and for debuggers. The link takes no space until the next build makes a new file. If it fails,
// findings have no source lines.
func (j *job) keepSymbols() error {
	err := os.Link(filepath.Join(j.out, Vmlinux), filepath.Join(j.entry(), Vmlinux))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.log("%s: findings will have no source lines: %v", j.Ref, err)
	}
	if err := pruneSymbols(j.path("builds")); err != nil {
		return fmt.Errorf("prune the symbols of older builds: %w", err)
	}
	return nil
}

// pruneSymbols removes the ELF files of all builds but the last.
func pruneSymbols(builds string) error {
	all, err := filepath.Glob(filepath.Join(builds, "*", Vmlinux))
	if err != nil {
		return err
	}
	made := func(path string) int64 { // a build's manifest is written once
		info, err := os.Stat(filepath.Join(filepath.Dir(path), cachedir.ManifestFile))
		if err != nil {
			return 0
		}
		return info.ModTime().UnixNano()
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(made(b), made(a)) })
	for _, path := range all[min(keptSymbols, len(all)):] {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

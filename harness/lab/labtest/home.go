package labtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Packaged are the versions of the packaged kernels that Cache holds.
var Packaged = []string{"6.1.1", "6.12.1", "6.16.1", "7.3.1"}

// pack is a package as the lists of a kernel cache name it.
type pack struct {
	Name, Version, Suite, SHA256 string
}

// indexVersion is that of package kernel, whose tests read what Cache writes and use this package. An index
// of another version is fetched anew, from the network.
const indexVersion = 2

// Cache fills a cache directory as one is that has fetched kernels and the
// sources of one of them, so that references to packages need no network. All
// have the same configuration.
func Cache(dir, config string) error {
	index := struct {
		Version  int
		Time     time.Time
		Suites   map[string]string
		Packages []pack
	}{indexVersion, time.Now(), map[string]string{"trixie": "stable"}, []pack{{Name: "linux-source-6.12",
		Version: "6.12.1-1", Suite: "trixie"}}}
	for _, v := range Packaged {
		p, err := cacheKernel(dir, v, config)
		if err != nil {
			return err
		}
		index.Packages = append(index.Packages, p)
	}
	list, err := json.Marshal(index)
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "trees", "linux-source-6.12_6.12.1-1", "src")
	return errors.Join(writeAll(filepath.Join(dir, "apt"), 0o644, map[string]string{"index.json": string(list)}),
		Source(tree), commitAll(tree))
}

// cacheKernel adds one kernel.
func cacheKernel(dir, version, config string) (pack, error) {
	release := version + "-" + of.Flavour
	sum := func(text string) string { s := sha256.Sum256([]byte(text)); return hex.EncodeToString(s[:]) }
	image := string(Kernel(release))
	p := pack{"linux-image-" + release, version + "-1", "trixie", sum(release)}
	manifest, err := json.Marshal(map[string]any{
		"Package": p, "Made": time.Now(), "Release": release, "Format": "bzImage", "Digest": sum(image),
		"Files": map[string]string{"vmlinuz": sum(image), "config": sum(config)},
	})
	if err != nil {
		return p, err
	}
	return p, writeAll(filepath.Join(dir, "kernels", sum(image)), 0o644,
		map[string]string{"vmlinuz": image, "config": config, "manifest.json": string(manifest)})
}

// commitAll makes a repository of a tree, with the reference of a package's sources.
func commitAll(dir string) error {
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "base"},
		{"update-ref", "refs/tokentest/base", "HEAD"}, {"tag", "v6.12"},
	} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=t", "-c", "user.email=t@t"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %v: %w: %s", args, err, out)
		}
	}
	return nil
}

// Linux writes a kernel tree that is a repository and was built, with v6.12 at
// its base and a change to it.
func Linux(dir, config string) error {
	image := string(Kernel(Release))
	err := errors.Join(Source(dir), commitAll(dir))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "kernel/bpf/token.c"), []byte("act=lie@3\n"), 0o644)
	}
	if err == nil {
		err = commitChange(dir)
	}
	return errors.Join(err, writeAll(dir, 0o644, map[string]string{"vmlinux": image, of.Image.Path: image,
		".config": config}))
}

func commitChange(dir string) error {
	out, err := exec.Command("git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-a", "-m",
		"change 1").CombinedOutput()
	if err != nil {
		return fmt.Errorf("git commit: %w: %s", err, out)
	}
	return nil
}

package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"tokentest/harness/cachedir"
	"tokentest/kconfig"
)

// Portable names a kernel that was resolved, for a host which gets its files by their digests. It leaves out the
// modules, which the image of the guest holds.
type Portable struct {
	Ref     string `json:"ref"`
	Release string `json:"release,omitempty"`
	Format  string `json:"format"`
	Digest  string `json:"digest"`           // SHA-256 of the image
	Config  string `json:"config,omitempty"` // SHA-256 of the file with the configuration; "" if the image has it
	Source  string `json:"source,omitempty"`
	Note    string `json:"note,omitempty"`
}

// Portable returns the name of a kernel, and the paths of its files by their digests.
func (k *Kernel) Portable() (p Portable, files map[string]string, err error) {
	p = Portable{Ref: k.Ref, Release: k.Release, Format: k.Format, Digest: k.Digest, Source: k.Source, Note: k.Note}
	files = map[string]string{k.Digest: k.Image}
	if k.ConfigPath != "" {
		if p.Config, err = cachedir.Digest(k.ConfigPath); err != nil {
			return p, nil, fmt.Errorf("read the kernel's configuration: %w", err)
		}
		files[p.Config] = k.ConfigPath
	}
	return p, files, nil
}

// givenDir is the directory of kernels that another host resolved.
const givenDir = "given"

// given is the manifest of such a kernel.
type given struct {
	Release string
	Kernel  Portable
	cachedir.Sums
}

// Fetch writes the bytes with a digest into a file.
type Fetch func(ctx context.Context, digest, path string) error

// Import returns a kernel that another host resolved. It fetches the files that the cache does not have, and verifies
// every byte.
func Import(ctx context.Context, p Portable, o Options, fetch Fetch) (*Kernel, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	c := cache{dir}
	if k := c.packaged(p); k != nil {
		return k, nil
	}
	place := p.place()
	if k, err := c.openGiven(place, p); err == nil {
		return k, nil
	}
	ctx, unlock, err := c.lock(ctx, givenDir+"-"+filepath.Base(place), o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if k, err := c.openGiven(place, p); err == nil {
		return k, nil
	}
	if err := c.fetchGiven(ctx, place, p, fetch); err != nil {
		return nil, err
	}
	return c.openGiven(place, p)
}

// check refuses names that are no digests: they become names of files.
func (p *Portable) check() error {
	for _, d := range []string{p.Digest, p.Config} {
		if b, err := hex.DecodeString(d); d != "" && (err != nil || len(b) != sha256.Size) || p.Digest == "" {
			return fmt.Errorf("take the kernel %s: %q is no SHA-256", p.Ref, d)
		}
	}
	if p.Format != BzImage && p.Format != Vmlinux && p.Format != Raw {
		return fmt.Errorf("take the kernel %s: unknown format %q", p.Ref, p.Format)
	}
	return nil
}

// place is the directory of the kernel, below the cache: the same for the same files.
func (p *Portable) place() string {
	sum := sha256.Sum256([]byte(p.Digest + " " + p.Config + " " + p.Format))
	return filepath.Join(givenDir, hex.EncodeToString(sum[:]))
}

// packaged returns the kernel if this host fetched it itself, with the same configuration; else nil.
func (c cache) packaged(p Portable) *Kernel {
	var e entry
	path := filepath.Join(packagesDir, p.Digest)
	if cachedir.Read(c.path(path), &e) != nil || e.Files[configFile] != p.Config || e.place() != path {
		return nil
	}
	k, err := c.open(p.Ref, e)
	if err != nil || k.Digest != p.Digest || k.Format != p.Format {
		return nil
	}
	k.Release, k.Source, k.Note = p.Release, p.Source, p.Note
	return k
}

// openGiven verifies the entry of a kernel.
func (c cache) openGiven(place string, p Portable) (*Kernel, error) {
	var e given
	dir := c.path(place)
	if err := cachedir.Open(dir, &e); err != nil {
		return nil, err
	}
	if e.Files[imageFile] != p.Digest || e.Files[configFile] != p.Config {
		return nil, errors.New("its manifest names other files")
	}
	k := &Kernel{Ref: p.Ref, Release: p.Release, Image: filepath.Join(dir, imageFile), Format: p.Format,
		Digest: p.Digest, Source: p.Source, Note: p.Note}
	if p.Config == "" {
		k.Config, _ = kconfig.ReadImage(k.Image) // without a configuration it is still a kernel
		return k, nil
	}
	var err error
	k.ConfigPath = filepath.Join(dir, configFile)
	k.Config, err = readConfig(k.ConfigPath)
	return k, err
}

// fetchGiven makes the entry of a kernel. The caller holds its lock.
func (c cache) fetchGiven(ctx context.Context, place string, p Portable, fetch Fetch) error {
	temp, remove, err := cachedir.Temp(c.path(givenDir), filepath.Base(place))
	if err != nil {
		return fmt.Errorf("fill kernel cache: %w", err)
	}
	defer remove()
	want := map[string]string{imageFile: p.Digest}
	if p.Config != "" {
		want[configFile] = p.Config
	}
	for name, digest := range want {
		if err := fetch(ctx, digest, filepath.Join(temp, name)); err != nil {
			return fmt.Errorf("fetch the kernel %s: %w", p.Ref, err)
		}
	}
	e := given{Release: p.Release, Kernel: p}
	if err := cachedir.Seal(temp, &e); err != nil {
		return fmt.Errorf("fill kernel cache: %w", err)
	}
	for name, digest := range want {
		if e.Files[name] != digest {
			return fmt.Errorf("fetch the kernel %s: %s has another digest than %s", p.Ref, name, digest)
		}
	}
	return cachedir.Install(temp, c.path(place), &e)
}

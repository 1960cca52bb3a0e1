package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/klauspost/compress/zstd"

	"tokentest/harness/arch"
)

//go:embed builtin
var builtinDir embed.FS

// Builtin holds the images that are built into this program: a manifest and a compressed archive for each. In a
// program that was built without make build it holds none of them. Tests replace it.
var Builtin fs.FS = func() fs.FS {
	dir, err := fs.Sub(builtinDir, "builtin")
	if err != nil {
		panic(err) // the name is a constant
	}
	return dir
}()

const (
	manifestFile  = "manifest.json"
	archiveSuffix = ".cpio.zst"
)

// manifest describes the built-in images.
type manifest struct {
	Shared string            `json:"shared"` // the digest of the sources that the host must have in common
	Images map[string]packed `json:"images"`
}

// packed is a built-in image.
type packed struct {
	ID      string `json:"id"`      // the image's build ID
	Sources string `json:"sources"` // the part of it that does not depend on the toolchain
	SHA256  string `json:"sha256"`  // of the archive, uncompressed
}

// errStale says that the program was rebuilt without make build.
var errStale = errors.New("the built-in agent is older than this tokentest and would not be understood; " +
	"run make build in the checkout again")

// builtin returns the images that are built in; nil, and perhaps why, if there are none that this program understands.
func (o Options) builtin() (map[string]packed, error) {
	m, err := readManifest(Builtin)
	if err != nil {
		return nil, nil //nolint:nilerr // the program was built without them
	}
	now, err := o.Shared.digest()
	if err != nil {
		return nil, err
	}
	if len(o.Shared) > 0 && now != m.Shared {
		return nil, errStale
	}
	return m.Images, nil
}

// BuiltinAgent returns the build ID of the agent that is built into this program, or "" if there is none.
func BuiltinAgent() string {
	m, err := readManifest(Builtin)
	if err != nil {
		return ""
	}
	return m.Images[agentName].ID
}

func readManifest(dir fs.FS) (*manifest, error) {
	text, err := fs.ReadFile(dir, manifestFile)
	if err != nil {
		return nil, err
	}
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read %s: %w", manifestFile, err)
	}
	return m, nil
}

// fromBuiltin returns the image that is built in.
func (o Options) fromBuiltin(ctx context.Context, name string, b packed) (*Image, error) {
	img := &Image{BuildID: b.ID}
	var err error
	img.Path, img.Digest, err = o.cache().get(ctx, name+"-"+b.ID, func(_, out string) error {
		text, err := unpackBuiltin(Builtin, name, b)
		if err != nil {
			return err
		}
		return os.WriteFile(out, text, 0o644)
	})
	return img, err
}

// unpackBuiltin returns the archive of a packed image in dir.
func unpackBuiltin(dir fs.FS, name string, b packed) ([]byte, error) {
	small, err := fs.ReadFile(dir, name+archiveSuffix)
	if err != nil {
		return nil, fmt.Errorf("unpack the built-in %s: %w", name, err)
	}
	r, err := zstd.NewReader(bytes.NewReader(small))
	if err != nil {
		return nil, fmt.Errorf("unpack the built-in %s: %w", name, err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack the built-in %s: %w", name, err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != b.SHA256 {
		return nil, fmt.Errorf("unpack the built-in %s: its digest is not the one in %s", name, manifestFile)
	}
	return text, nil
}

// Pack writes the images that a program embeds into dir. It compiles only those whose sources or toolchain differ from
// what dir holds. o.Source and o.Shared must be set.
func Pack(ctx context.Context, o Options, dir string) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	if err := o.Shared.same(o.Source); err != nil {
		return err
	}
	version, err := goVersion(ctx, o)
	if err != nil {
		return err
	}
	m := &manifest{Images: map[string]packed{}}
	if m.Shared, err = o.Shared.digest(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	before, err := readManifest(os.DirFS(dir))
	if err != nil {
		before = &manifest{}
	}
	for _, p := range o.packers() {
		if m.Images[p.name], err = o.pack(ctx, p, version, before.Images[p.name], dir); err != nil {
			return fmt.Errorf("pack %s: %w", p.name, err)
		}
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeChanged(filepath.Join(dir, manifestFile), append(text, '\n')); err != nil {
		return err
	}
	return m.removeOthers(dir)
}

// removeOthers removes the archives that the manifest does not name: go:embed would take them along.
func (m *manifest) removeOthers(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "*"+archiveSuffix))
	for _, path := range found {
		if _, ok := m.Images[strings.TrimSuffix(filepath.Base(path), archiveSuffix)]; !ok {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// packers are the archives to embed: for every architecture the agent, for the default one also the shell, which is the
// largest, and the actors of 32 bits.
func (o Options) packers() []packer {
	var out []packer
	inits := func(of *arch.Arch, name, pkg string) {
		o := o
		o.Arch = of
		out = append(out, packer{nameFor(name, of),
			func() (string, error) { return sourceID(o.Source, fullPart(pkg, of)) }, o.initArchive(pkg)})
	}
	for _, of := range arch.All {
		inits(of, agentName, agentPkg)
	}
	o.Arch = arch.Default
	out = append(out, packer{actorName, func() (string, error) { return sourceID(o.Source, part32(actorPkg, o.Arch)) },
		o.actorArchive})
	return append(out, packer{shellName, func() (string, error) { return shellID(o.Source, o.Arch) }, o.shellArchive})
}

// packer makes one image to embed.
type packer struct {
	name    string
	sources func() (string, error)                                               // the digest of its sources
	archive func(ctx context.Context, id, work string, to io.Writer) (err error) // work is a directory for its files
}

// pack writes one image, unless dir has it already.
func (o Options) pack(ctx context.Context, p packer, version string, before packed, dir string) (packed, error) {
	id, err := p.sources()
	if err != nil {
		return packed{}, err
	}
	b := packed{ID: withVersion(id, version), Sources: id}
	if before.ID == b.ID {
		if _, err := unpackBuiltin(os.DirFS(dir), p.name, before); err == nil {
			return before, nil
		}
	}
	o.Log("compiling the image %s", p.name)
	work, err := os.MkdirTemp("", "tokentest-pack-")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(work)
	var archive, small bytes.Buffer
	if err := p.archive(ctx, b.ID, work, &archive); err != nil {
		return b, err
	}
	sum := sha256.Sum256(archive.Bytes())
	b.SHA256 = hex.EncodeToString(sum[:])
	// The output of one encoder at a time depends on its input alone.
	w, err := zstd.NewWriter(&small, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return b, err
	}
	if _, err := w.Write(archive.Bytes()); err != nil {
		return b, err
	}
	if err := w.Close(); err != nil {
		return b, err
	}
	return b, renameio.WriteFile(filepath.Join(dir, p.name+archiveSuffix), small.Bytes(), 0o644)
}

// initArchive makes the archive whose init is the package in the folder pkg.
func (o Options) initArchive(pkg string) func(context.Context, string, string, io.Writer) error {
	return func(ctx context.Context, id, work string, to io.Writer) error {
		init := filepath.Join(work, "init")
		if err := compile(ctx, o, fullPart(pkg, o.Arch), id, init); err != nil {
			return err
		}
		program, err := os.ReadFile(init)
		if err != nil {
			return err
		}
		return writeArchive(to, layout(string(program)))
	}
}

// writeChanged writes a file unless it has that content, so that go build need not look at it again.
func writeChanged(name string, text []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return renameio.WriteFile(name, text, 0o644)
}

package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/harness/oci"
)

// ociScheme begins a reference to a container image.
const ociScheme = "oci:"

// architecture of the kernels, in Go's spelling.
var architecture = host.GOARCH

// origin is the container image that a cached kernel is from, or the file of this host.
type origin struct {
	Repo   string `json:",omitempty"` // with its registry
	Host   string `json:",omitempty"` // or the path on this host
	Digest string // of the image's manifest, or of the file, sha256:HEX
}

func (o origin) String() string {
	if o.Host != "" {
		return "this host's kernel, " + o.Host
	}
	return o.Repo + "@" + o.Digest
}

// place is the directory of the origin's entry, below the cache.
func (o origin) place() string {
	dir := imagesDir
	if o.Host != "" {
		dir = hostDir
	}
	return filepath.Join(dir, strings.TrimPrefix(o.Digest, "sha256:"))
}

// resolveOCI returns the kernel in a container image, from the cache or the registry.
func resolveOCI(ctx context.Context, ref string, o Options) (*Kernel, error) {
	r, err := parseOCI(ref)
	if err != nil {
		return nil, err
	}
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	x := &container{cache: cache{dir}, Options: o, ref: ref, parsed: r}
	if r.Digest != "" {
		if k, err := x.find(r.Digest); k != nil || err != nil {
			x.logCached(k, nil)
			return k, err
		}
	}
	seen, seenErr := x.seen()
	recent := seenErr == nil && (o.Offline || r.Digest != "" || !o.Refresh && time.Since(seen.Time) < maxAge)
	if recent {
		if k, err := x.find(seen.Digest); k != nil || err != nil {
			x.logCached(k, seen)
			return k, err
		}
	}
	if o.Offline {
		return nil, fmt.Errorf("fetch %s: not cached, and --offline forbids the network", ref)
	}
	k, err := x.fetch(ctx)
	var bad *UsageError
	switch {
	case err == nil || errors.As(err, &bad):
		return k, err
	case ctx.Err() != nil:
		return nil, fmt.Errorf("resolve %s: %w", ref, context.Cause(ctx))
	case seenErr != nil:
		return nil, err
	}
	if k, _ := x.find(seen.Digest); k != nil {
		o.log("%v: using the cached %s for %s", err, k.Source, ref)
		return k, nil
	}
	return nil, err
}

func parseOCI(ref string) (oci.Ref, error) {
	if err := refusePatches(ref); err != nil {
		return oci.Ref{}, err
	}
	r, err := oci.Parse(strings.TrimPrefix(ref, ociScheme))
	if err != nil {
		return r, &UsageError{Ref: ref, Reason: "not an image's name; want oci:REPOSITORY:TAG or " +
			"oci:REPOSITORY@sha256:DIGEST, the repository in lower case"}
	}
	return r, nil
}

// container is the state of one call.
type container struct {
	cache
	Options
	ref    string
	parsed oci.Ref
}

// sighting says which image a name meant when the registry was asked.
type sighting struct {
	Name   string
	Digest string // of the image's manifest, for our architecture
	Time   time.Time
}

// sightingPath is the file of the name's last sighting. The name of an index, too, means one image.
func (x *container) sightingPath() string {
	sum := sha256.Sum256([]byte(x.parsed.String() + "/" + architecture))
	return x.path(imagesDir, "names", hex.EncodeToString(sum[:16])+".json")
}

func (x *container) seen() (*sighting, error) {
	text, err := os.ReadFile(x.sightingPath())
	if err != nil {
		return nil, err
	}
	s := &sighting{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	if s.Name != x.parsed.String() {
		return nil, errors.New("a record of another image")
	}
	return s, nil
}

// remember stores a sighting.
func (x *container) remember(digest string) error {
	text, err := json.MarshalIndent(sighting{x.parsed.String(), digest, time.Now()}, "", "\t")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(x.sightingPath()), 0o755)
	}
	if err == nil {
		err = renameio.WriteFile(x.sightingPath(), text, 0o644)
	}
	if err != nil {
		return fmt.Errorf("fill kernel cache: %w", err)
	}
	return nil
}

func (x *container) logCached(k *Kernel, s *sighting) {
	switch {
	case k == nil:
	case x.parsed.Digest != "":
		x.log("%s is %s (cached)", x.ref, k.Release)
	default:
		x.log("%s is %s, %s (cached; the registry was asked %s ago)", x.ref, k.Release, s.Digest, age(s.Time))
	}
}

// find returns the kernel of an image, nil if it is not cached or its entry is damaged.
func (x *container) find(digest string) (*Kernel, error) {
	e := entry{Origin: origin{Repo: x.parsed.Repo, Digest: digest}}
	k, err := x.open(x.ref, e)
	switch {
	case err == nil:
		return k, nil
	case !errors.Is(err, os.ErrNotExist):
		x.log("cached kernel of %s is damaged (%v) and not used", x.ref, err)
	}
	return nil, nil
}

// fetch asks the registry which image the name means, and unpacks its kernel if that is not cached.
func (x *container) fetch(ctx context.Context) (*Kernel, error) {
	img, err := oci.Open(ctx, x.parsed, architecture)
	if err != nil {
		return nil, x.mistake(err)
	}
	k, err := x.find(img.Digest)
	if k == nil && err == nil {
		k, err = x.cache.fill(ctx, x.ref, filler{
			name: "oci-" + strings.TrimPrefix(img.Digest, "sha256:"), dir: imagesDir,
			find: func() (*Kernel, error) { return x.find(img.Digest) },
			make: func(ctx context.Context, dir string) (entry, error) {
				x.log("fetching %s, %s (%.1f MB)", x.ref, img.Digest, float64(img.Size)/1e6)
				e, err := x.unpack(ctx, img, dir)
				e.Origin = origin{Repo: x.parsed.Repo, Digest: img.Digest}
				return e, err
			},
		}, x.Options)
	}
	if err != nil {
		return nil, x.mistake(err)
	}
	return k, x.remember(img.Digest)
}

// mistake makes a usage error of an error that only another reference avoids.
func (x *container) mistake(err error) error {
	var none *oci.MistakeError
	var damaged *oci.DamageError
	switch {
	case errors.As(err, &none):
		return &UsageError{Ref: x.ref, Reason: none.Reason}
	case errors.As(err, &damaged):
		return &UsageError{Ref: x.ref, Reason: "refused: " + err.Error()}
	}
	return err
}

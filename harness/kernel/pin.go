package kernel

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"tokentest/harness/cachedir"
)

// pinned is a reference with the digest of the image that it must be: REF@sha256:DIGEST.
var pinned = regexp.MustCompile(`^(.+)@sha256:([0-9a-f]{64})$`)

// cutPin returns the reference without the digest. The digest of an oci: reference is that of the container image, and
// stays.
func cutPin(ref string) (plain, digest string) {
	if m := pinned.FindStringSubmatch(ref); m != nil && !strings.HasPrefix(ref, ociScheme) {
		return m[1], m[2]
	}
	return ref, ""
}

// Pin returns a reference with the digest of its image, for hosts whose package lists are older or newer.
func Pin(ctx context.Context, ref string, o Options) (string, error) {
	switch _, digest := cutPin(ref); {
	case digest != "":
		return ref, nil
	case IsBuilt(ref):
		return "", &UsageError{Ref: ref, Reason: "it is built, and a build elsewhere may have other bytes: build it once, " +
			"and name the image's path"}
	case strings.HasPrefix(ref, ociScheme):
		return "", &UsageError{Ref: ref, Reason: "name the container image by its own digest: " + ociScheme +
			"IMAGE@sha256:DIGEST"}
	}
	k, err := Resolve(ctx, ref, o)
	if err != nil {
		return "", err
	}
	return ref + "@sha256:" + k.Digest, nil
}

// resolvePinned returns the kernel with the digest: from the cache, or what the plain reference is if that is it.
func resolvePinned(ctx context.Context, ref, plain, digest string, o Options) (*Kernel, error) {
	dir, err := o.cacheDir()
	if err != nil {
		return nil, err
	}
	c := cache{dir}
	var e entry
	place := filepath.Join(packagesDir, digest)
	if cachedir.Read(c.path(place), &e) == nil && e.place() == place && e.couldBe(plain) {
		if k, err := c.open(ref, e); err == nil && k.Digest == digest {
			return k, nil
		}
	}
	k, err := Resolve(ctx, plain, o)
	if err != nil {
		return nil, err
	}
	if k.Digest != digest {
		return nil, &UsageError{Ref: plain, Reason: fmt.Sprintf("here it is another image, sha256:%s (%s), than the plan "+
			"has, sha256:%s: make a new plan (tokentest plan --pin), or give --refresh", k.Digest, k.Source, digest)}
	}
	k.Ref = ref
	return k, nil
}

// couldBe reports whether a deb: reference can mean the kernel, by its version. What a suite holds changes.
func (e *entry) couldBe(plain string) bool {
	spec, isDeb := strings.CutPrefix(plain, "deb:")
	r, err := parseDebRef(plain, spec)
	return isDeb && err == nil && (r.suite != "" || beginsAt(e.Package.Version, r.version) ||
		beginsAt(e.Release, r.version))
}

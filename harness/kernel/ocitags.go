package kernel

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tokentest/harness/oci"
)

// tagForm is a tag that begins with a release; what follows is the variant, such as -main or -selftests.
var tagForm = regexp.MustCompile(`^v?([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:-rc[0-9]+)?)(|[-_].*)$`)

// taggedAs is what a tag says of a kernel; false if it does not begin with a release.
func taggedAs(repo, tag string) (Available, bool) {
	m := tagForm.FindStringSubmatch(tag)
	if m == nil {
		return Available{}, false
	}
	return Available{Ref: ociScheme + repo + ":" + tag, Release: m[1], Version: strings.Replace(m[1], "-rc", "~rc", 1),
		Flavour: m[2]}, true
}

// Tags returns the kernels that the tags of a container image's repository name, the newest first. A tag that does not
// begin with a release is left out. It asks the registry.
func Tags(ctx context.Context, ref string, o Options) ([]Available, error) {
	r, err := parseOCI(ref)
	if err != nil {
		return nil, err
	}
	x := &container{Options: o, ref: ref, parsed: r}
	tags, err := oci.Tags(ctx, r)
	if err != nil {
		return nil, x.mistake(err)
	}
	var out []Available
	for _, tag := range tags {
		if a, ok := taggedAs(r.Repo, tag); ok {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b Available) int { return compareVersions(b.Version, a.Version) })
	if len(out) == 0 {
		return nil, &UsageError{Ref: ref, Reason: "no tag of its repository begins with a release, such as 6.12"}
	}
	return out, nil
}

// betweenTags is Between for two tags of one repository.
func betweenTags(ctx context.Context, good, bad string, every bool, o Options) ([]Available, error) {
	from, err := tagOf(good)
	if err != nil {
		return nil, err
	}
	to, err := tagOf(bad)
	if err != nil {
		return nil, err
	}
	switch {
	case repoOf(good) != repoOf(bad):
		return nil, &UsageError{Ref: bad, Reason: "not of the same repository as " + good}
	case from.Flavour != to.Flavour:
		return nil, &UsageError{Ref: bad, Reason: "the tags must differ in their releases only; " + good +
			" ends otherwise"}
	case compareVersions(from.Version, to.Version) >= 0:
		return nil, &UsageError{Ref: bad, Reason: "not newer than " + good}
	}
	all, err := Tags(ctx, good, o)
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	end := func(a Available) image { return image{pkg: pkg{Version: a.Version}, flavour: a.Flavour} }
	return between(all, end(from), end(to), good, bad, every), nil
}

// tagOf reads a reference with a tag that begins with a release.
func tagOf(ref string) (Available, error) {
	if !strings.HasPrefix(ref, ociScheme) {
		return Available{}, &UsageError{Ref: ref, Reason: "not an image's tag, as the other end is"}
	}
	r, err := parseOCI(ref)
	if err != nil {
		return Available{}, err
	}
	a, ok := taggedAs(r.Repo, r.Tag)
	if !ok {
		return a, &UsageError{Ref: ref, Reason: "no tag that begins with a release, such as 6.12, which gives the order"}
	}
	return a, nil
}

// repoOf is a reference without its tag or digest.
func repoOf(ref string) string {
	r, err := parseOCI(ref)
	if err != nil {
		return ""
	}
	return r.Repo
}

// cachedContainers lists the kernels of container images that are in the cache, each by the name that meant it last.
func (c cache) cachedContainers() ([]Available, error) {
	entries, err := c.entriesIn(imagesDir)
	if err != nil {
		return nil, err
	}
	named := c.sightings()
	var out []Available
	for _, e := range entries {
		ref := named[e.Origin.Digest].Name
		if ref == "" {
			ref = e.Origin.String()
		}
		out = append(out, Available{Ref: ociScheme + ref, Release: e.Release, Version: e.Release, Cached: true})
	}
	slices.SortFunc(out, func(a, b Available) int { return compareVersions(b.Version, a.Version) })
	return out, nil
}

// sightings are the last ones of each image, by its digest.
func (c cache) sightings() map[string]sighting {
	out := map[string]sighting{}
	files, _ := filepath.Glob(c.path(imagesDir, "names", "*.json")) // the pattern is well formed
	for _, name := range files {
		var s sighting
		text, err := os.ReadFile(name)
		if err == nil && json.Unmarshal(text, &s) == nil && s.Time.After(out[s.Digest].Time) {
			out[s.Digest] = s
		}
	}
	return out
}

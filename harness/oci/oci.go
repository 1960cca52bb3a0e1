// Package oci reads files of container images from a registry: it finds the image that a name means for one
// architecture, and streams the files of the image's layers. Every manifest and every layer is verified by its digest.
//
// It stores nothing, runs nothing, and knows nothing of kernels. Registries that need a login get it from the user's
// docker configuration.
//
// Start with Parse and Open; layers.go reads the files.
package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Ref is the name of an image.
type Ref struct {
	Repo   string // with its registry, such as registry.example/kernels
	Tag    string // "" if there is a digest
	Digest string // sha256:HEX, "" if there is a tag

	name name.Reference
}

// Parse reads REPOSITORY[:TAG] or REPOSITORY[:TAG]@DIGEST, as docker does: the tag is "latest" if there is none.
func Parse(s string) (Ref, error) {
	n, err := name.ParseReference(s)
	if err != nil {
		return Ref{}, fmt.Errorf("parse the image's name: %w", err)
	}
	r := Ref{Repo: n.Context().Name(), name: n}
	switch n := n.(type) {
	case name.Digest:
		r.Digest = n.DigestStr()
	case name.Tag:
		r.Tag = n.TagStr()
	}
	return r, nil
}

// String is the whole name.
func (r Ref) String() string { return r.name.Name() }

// At is the image of the same repository with another digest.
func (r Ref) At(digest string) Ref {
	n := r.name.Context().Digest(digest)
	return Ref{Repo: r.Repo, Digest: digest, name: n}
}

// Image is an image in a registry.
type Image struct {
	Digest string // of its manifest, sha256:HEX
	Size   int64  // of its layers as they are downloaded, in bytes
	Layers int

	image v1.Image
}

// MistakeError means that the name is at fault: the registry answers, and has no such image.
type MistakeError struct{ Reason string }

func (e *MistakeError) Error() string { return e.Reason }

func mistake(format string, args ...any) error { return &MistakeError{fmt.Sprintf(format, args...)} }

// Open asks the registry for an image for linux on an architecture, in Go's spelling. It downloads the manifest only.
// The image can be read until ctx ends.
func Open(ctx context.Context, r Ref, arch string) (*Image, error) {
	d, err := remote.Get(r.name, options(ctx)...)
	if err != nil {
		return nil, explain(ctx, r, err)
	}
	img, err := choose(d, arch)
	if err != nil {
		return nil, explain(ctx, r, err)
	}
	return describe(ctx, r, img)
}

func describe(ctx context.Context, r Ref, img v1.Image) (*Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return nil, explain(ctx, r, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, explain(ctx, r, err)
	}
	m := &Image{Digest: digest.String(), Layers: len(layers), image: img}
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return nil, explain(ctx, r, err)
		}
		m.Size += size
	}
	return m, nil
}

// Tags lists the tags of the image's repository.
func Tags(ctx context.Context, r Ref) ([]string, error) {
	tags, err := remote.List(r.name.Context(), options(ctx)...)
	if err != nil {
		return nil, explain(ctx, r, err)
	}
	return tags, nil
}

func options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain),
		remote.WithUserAgent("tokentest")}
}

// choose returns the image for an architecture.
func choose(d *remote.Descriptor, arch string) (v1.Image, error) {
	switch {
	case d.MediaType.IsIndex():
		x, err := d.ImageIndex()
		if err != nil {
			return nil, err
		}
		return chooseIn(x, arch, maxDepth)
	case d.MediaType.IsImage():
		return d.Image()
	case d.MediaType == types.DockerManifestSchema1, d.MediaType == types.DockerManifestSchema1Signed:
		return nil, mistake("an image in docker's old format (schema 1); push it again with a newer tool")
	}
	return nil, mistake("not a container image: its type is %s", d.MediaType)
}

// maxDepth is how deep indexes may be in indexes.
const maxDepth = 4

// chooseIn searches an index. An image without a platform is of any.
func chooseIn(x v1.ImageIndex, arch string, depth int) (v1.Image, error) {
	m, err := x.IndexManifest()
	if err != nil {
		return nil, err
	}
	var there []string
	for _, d := range m.Manifests {
		switch p := d.Platform; {
		case d.MediaType.IsIndex() && depth > 1:
			inner, err := x.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			img, err := chooseIn(inner, arch, depth-1)
			var none *MistakeError
			if !errors.As(err, &none) {
				return img, err
			}
		case !d.MediaType.IsImage():
		case p == nil, p.OS == "linux" && p.Architecture == arch:
			return x.Image(d.Digest)
		case p.OS != "unknown": // attestations of docker build
			there = append(there, p.String())
		}
	}
	slices.Sort(there)
	if there = slices.Compact(there); len(there) == 0 {
		return nil, mistake("an index without images")
	}
	return nil, mistake("no image for linux/%s; there are %s", arch, strings.Join(there, ", "))
}

// explain turns a registry's answer into what the user can do.
func explain(ctx context.Context, r Ref, err error) error {
	var none *MistakeError
	var answer *transport.Error
	var network *net.OpError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &none):
		return err
	case errors.As(err, &network): // the library's error has a line for each way that it tried
		return fmt.Errorf("ask the registry for %s: %w", r, network)
	case !errors.As(err, &answer):
		return fmt.Errorf("ask the registry for %s: %w", r, err)
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return mistake("the registry %s has no such image", r.name.Context().RegistryStr())
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("ask the registry for %s: it denies access: check the name, or log in with docker login %s "+
			"(its configuration is used)", r, r.name.Context().RegistryStr())
	}
	reason := http.StatusText(answer.StatusCode)
	if len(answer.Errors) > 0 {
		reason = answer.Errors[0].String()
	}
	return fmt.Errorf("ask the registry for %s: it answers %d: %s", r, answer.StatusCode, reason)
}

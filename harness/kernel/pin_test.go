package kernel

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/cachedir"
)

func TestPin(t *testing.T) {
	image := write(t, filepath.Join(t.TempDir(), "bzImage"), bzImage("6.12.1"))
	o := Options{CacheDir: t.TempDir(), Offline: true}
	ref, err := Pin(t.Context(), image, o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Pin(t.Context(), ref, o); err != nil || again != ref {
		t.Errorf("pinned twice: %s, %v", again, err)
	}
	k, err := Resolve(t.Context(), ref, o)
	if err != nil || k.Ref != ref || k.Image != image || !strings.HasSuffix(ref, "@sha256:"+k.Digest) {
		t.Fatalf("%s: %+v, %v", ref, k, err)
	}
	write(t, image, bzImage("6.12.2"))
	var bad *UsageError
	if _, err := Resolve(t.Context(), ref, o); !errors.As(err, &bad) || !strings.Contains(err.Error(), "another image") {
		t.Errorf("an image that changed: %v", err)
	}
	for _, ref := range []string{"oci:kernel", "git:linux#v6.12"} {
		if _, err := Pin(t.Context(), ref, o); !errors.As(err, &bad) {
			t.Errorf("%s: %v, want a UsageError", ref, err)
		}
	}
}

// A kernel that another host resolved is fetched once, and verified.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	image := write(t, filepath.Join(dir, "bzImage"), bzImage("6.12.1"))
	write(t, filepath.Join(dir, "config-6.12.1"), []byte("CONFIG_A=y\n"))
	k, err := Resolve(t.Context(), image, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, files, err := k.Portable()
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	fetched, damage := 0, false
	fetch := func(_ context.Context, digest, path string) error {
		fetched++
		text, err := os.ReadFile(files[digest])
		if damage {
			text[0] ^= 1
		}
		return errors.Join(err, os.WriteFile(path, text, 0o644))
	}
	o := Options{CacheDir: t.TempDir()}
	damage = true
	if _, err := Import(t.Context(), p, o, fetch); err == nil || !strings.Contains(err.Error(), "another digest") {
		t.Errorf("damaged files: %v", err)
	}
	damage, fetched = false, 0
	for range 2 {
		got, err := Import(t.Context(), p, o, fetch)
		if err != nil || got.Digest != k.Digest || got.Release != "6.12.1" || got.Config["A"] != "y" || got.Ref != image {
			t.Fatalf("%+v, %v", got, err)
		}
		if sum, err := cachedir.Digest(got.Image); err != nil || sum != k.Digest {
			t.Errorf("the image has the digest %s, %v", sum, err)
		}
	}
	if fetched != 2 {
		t.Errorf("%d files were fetched, want 2", fetched)
	}
	p.Digest = "../" + p.Digest[3:]
	if _, err := Import(t.Context(), p, o, fetch); err == nil {
		t.Error("a path as a digest is no error")
	}
}

package images

import (
	"bytes"
	"os"
	"testing"
	"testing/fstest"

	"tokentest/harness/arch"
)

// The program of 32 bits comes behind the agent: compiled in a checkout, or built in. Where neither has one, and for an
// architecture without such programs, the image stays as it is.
func TestWithActors32(t *testing.T) {
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	o, dir := packTiny(t, o)
	img := mustBuild(t, o)
	with := func(o Options) bool {
		t.Helper()
		got, err := WithActors32(t.Context(), img, o)
		if err != nil {
			t.Fatal(err)
		}
		if base := read(t, img.Path); !bytes.HasPrefix(read(t, got.Path), base) {
			t.Errorf("%s does not begin with the agent", got.Path)
		}
		has := bytes.Contains(read(t, got.Path), []byte("init32"))
		if has != (got.Digest != img.Digest) || got.BuildID != img.BuildID {
			t.Errorf("got %+v of %+v", got, img)
		}
		return has
	}
	if !with(o) {
		t.Error("a checkout: no program")
	}
	other := o
	other.Arch = arch.Find("arm64")
	if !with(other) {
		t.Error("a checkout, for arm64: no program")
	}
	other.Arch = arch.Find("s390x")
	if with(other) {
		t.Error("s390x: a program")
	}
	builtIn(t, os.DirFS(dir))
	t.Chdir(t.TempDir())
	alone := Options{CacheDir: t.TempDir()}
	if !with(alone) {
		t.Error("built in: no program")
	}
	alone.Arch = arch.Find("arm64")
	if with(alone) {
		t.Error("built in, for arm64: a program")
	}
	builtIn(t, fstest.MapFS{})
	if _, err := WithActors32(t.Context(), img, Options{CacheDir: t.TempDir()}); err == nil {
		t.Error("neither a checkout nor built in: no error")
	}
}

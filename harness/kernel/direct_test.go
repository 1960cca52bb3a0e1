package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tokentest/harness/cachedir"
)

func TestDirect(t *testing.T) {
	banner := []byte("Linux version 6.12.1 (builder@host)\x00")
	withNote := elfFile(elf.EM_X86_64, banner, note("Xen\x00", 18, "\x00\x00\x00\x01"))
	without := elfFile(elf.EM_X86_64, banner, note("GNU\x00", 3, "build"))
	resolve := func(t *testing.T, image []byte) *Kernel {
		path := filepath.Join(t.TempDir(), "bzImage")
		if err := os.WriteFile(path, image, 0o644); err != nil {
			t.Fatal(err)
		}
		k, err := resolveFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}

	t.Run("unpacked once", func(t *testing.T) {
		k, o := resolve(t, packedImage(t, withNote, "6.12.1")), Options{CacheDir: t.TempDir()}
		path, err := k.Direct(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, withNote) {
			t.Fatalf("%d bytes, error %v; want the %d bytes of the ELF file", len(got), err, len(withNote))
		}
		if from := k.unpackedIn(o.CacheDir); from != path {
			t.Errorf("its types are read from %s, want %s", from, path)
		}
		if from := k.unpackedIn(t.TempDir()); from != k.Image {
			t.Errorf("without a cache its types are read from %s, want %s", from, k.Image)
		}
		k.Image = "gone" // what is kept is enough
		if again, err := k.Direct(t.Context(), o); err != nil || again != path {
			t.Errorf("the second time: %q, %v; want %q", again, err, path)
		}
	})
	t.Run("damaged in the cache", func(t *testing.T) {
		for name, harm := range map[string]func(path string) error{
			"edited": func(path string) error { return os.WriteFile(path, bytes.ToUpper(withNote), 0o644) },
			"cut":    func(path string) error { return os.Truncate(path, 100) },
			"gone":   os.Remove,
			"no manifest": func(path string) error {
				return os.Remove(filepath.Join(filepath.Dir(path), cachedir.ManifestFile))
			},
			"half a manifest": func(path string) error {
				return os.WriteFile(filepath.Join(filepath.Dir(path), cachedir.ManifestFile), []byte(`{"pvh": tr`), 0o644)
			},
		} {
			k, o := resolve(t, packedImage(t, withNote, "6.12.1")), Options{CacheDir: t.TempDir()}
			path, err := k.Direct(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := harm(path); err != nil {
				t.Fatal(err)
			}
			if _, err := k.Direct(t.Context(), o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got, _ := os.ReadFile(path); !bytes.Equal(got, withNote) {
				t.Errorf("%s: the damage stays", name)
			}
		}
	})
	t.Run("without the note", func(t *testing.T) {
		k, o := resolve(t, packedImage(t, without, "6.12.1")), Options{CacheDir: t.TempDir()}
		for range 2 { // the second answer is from the cache
			if _, err := k.Direct(t.Context(), o); !errors.Is(err, ErrNoPVH) {
				t.Errorf("got %v, want ErrNoPVH", err)
			}
			k.Image = "gone"
		}
		if left, _ := filepath.Glob(filepath.Join(o.CacheDir, "direct", "*", Vmlinux)); len(left) != 0 {
			t.Errorf("the cache keeps %v, which is of no use", left)
		}
	})
	t.Run("not unpacked", func(t *testing.T) {
		image := packedImage(t, withNote, "6.12.1")
		image[len(image)-30] ^= 0xff
		_, err := resolve(t, image).Direct(t.Context(), Options{CacheDir: t.TempDir()})
		if err == nil || errors.Is(err, ErrNoPVH) || !strings.Contains(err.Error(), "bzImage") {
			t.Errorf("got %v, want an error that names the image", err)
		}
	})
	t.Run("forgotten", func(t *testing.T) {
		k, o := resolve(t, packedImage(t, withNote, "6.12.1")), Options{CacheDir: t.TempDir()}
		dir := filepath.Join(o.CacheDir, "direct")
		for i := range maxUnpacked {
			entry := filepath.Join(dir, fmt.Sprintf("%02d", i))
			if err := os.MkdirAll(entry, 0o755); err != nil {
				t.Fatal(err)
			}
			used := time.Now().Add(time.Duration(i-maxUnpacked) * time.Hour)
			if err := os.Chtimes(entry, used, used); err != nil {
				t.Fatal(err)
			}
		}
		path, err := k.Direct(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, "*"))
		for want, name := range map[string]string{"kept": "01", "gone": "00"} {
			_, err := os.Stat(filepath.Join(dir, name))
			if (err == nil) != (want == "kept") {
				t.Errorf("entry %s is not %s: %v", name, want, left)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	})
	t.Run("vmlinux", func(t *testing.T) {
		k := resolve(t, withNote)
		if path, err := k.Direct(t.Context(), Options{CacheDir: t.TempDir()}); err != nil || path != k.Image {
			t.Errorf("got %q, %v; want the image itself", path, err)
		}
	})
}

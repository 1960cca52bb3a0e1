package images

import (
	"bytes"
	"compress/gzip"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/u-root/u-root/pkg/cpio"
	"github.com/ulikunitz/xz"
)

// compressed returns the bytes that a compressor makes of text.
func compressed[W io.WriteCloser](t *testing.T, open func(io.Writer) (W, error), text string) string {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// records reads an archive from its bytes.
func records(t *testing.T, data []byte) []cpio.Record {
	t.Helper()
	recs, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func TestLayout(t *testing.T) {
	var buf bytes.Buffer
	if err := writeArchive(&buf, layout("program")); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, rec := range records(t, buf.Bytes()) {
		names = append(names, rec.Name)
		if rec.MTime != 0 || rec.Ino != 0 || rec.UID != 0 || rec.NLink != 0 {
			t.Errorf("%s depends on where it was made: %+v", rec.Name, rec.Info)
		}
	}
	want := []string{"dev", "dev/console", "dev/null", "init", "proc", "sys", "tmp"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if buf.Len()%4 != 0 {
		t.Errorf("a second archive cannot follow %d bytes", buf.Len())
	}
}

// Modules given in load order keep it, whatever their names and compression.
func TestModulesFollowInLoadOrder(t *testing.T) {
	elf := func(name string) string { return "\x7fELF " + name }
	dir := tree(t, map[string]string{
		"zebra.ko": elf("zebra"),
		"middle.ko.xz": compressed(t, func(w io.Writer) (*xz.Writer, error) { return xz.NewWriter(w) },
			elf("middle")),
		"apple.ko.zst": compressed(t, func(w io.Writer) (*zstd.Encoder, error) { return zstd.NewWriter(w) },
			elf("apple")),
		"last.ko.gz": compressed(t, func(w io.Writer) (*gzip.Writer, error) { return gzip.NewWriter(w), nil },
			elf("last")),
	})
	mods := []Module{
		{"zebra", filepath.Join(dir, "zebra.ko")},
		{"middle", filepath.Join(dir, "middle.ko.xz")},
		{"apple", filepath.Join(dir, "apple.ko.zst")},
		{"last", filepath.Join(dir, "last.ko.gz")},
	}
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	base := mustBuild(t, o)
	img, err := WithModules(t.Context(), base, mods, o)
	if err != nil {
		t.Fatal(err)
	}
	first, second := read(t, base.Path), read(t, img.Path)
	if img.BuildID != base.BuildID || !bytes.HasPrefix(second, first) {
		t.Errorf("%+v does not begin with %+v", img, base)
	}
	var got []string
	for _, rec := range records(t, second[len(first):]) {
		text, err := io.ReadAll(io.NewSectionReader(rec, 0, int64(rec.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(rec.Name+" "+strings.TrimPrefix(string(text), "\x7fELF ")))
	}
	want := []string{"modules", "modules/000-zebra.ko zebra", "modules/001-middle.ko middle",
		"modules/002-apple.ko apple", "modules/003-last.ko last"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if again, err := WithModules(t.Context(), base, mods, o); err != nil || *again != *img {
		t.Errorf("again: got %+v, %v, want %+v", again, err, img)
	}
	slices.Reverse(mods)
	if other, err := WithModules(t.Context(), base, mods, o); err != nil || other.Digest == img.Digest {
		t.Errorf("in another order: got %+v, %v, want another image", other, err)
	}
}

func TestNoModulesIsTheSameImage(t *testing.T) {
	img := &Image{Path: "x"}
	if got, err := WithModules(t.Context(), img, nil, Options{}); got != img || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, img)
	}
}

func TestBadModules(t *testing.T) {
	dir := tree(t, map[string]string{"text.ko": "text", "empty.ko": "", "half.ko.xz": "\xfd7zXZ\x00", "base": ""})
	for name, want := range map[string]string{
		"missing.ko": "add module m: open ",
		"text.ko":    "text.ko: not a kernel module",
		"empty.ko":   "empty.ko: not a kernel module",
		"half.ko.xz": "half.ko.xz: ",
	} {
		mods := []Module{{"m", filepath.Join(dir, name)}}
		_, err := WithModules(t.Context(), &Image{Path: filepath.Join(dir, "base")}, mods, Options{CacheDir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}

package images

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/u-root/u-root/pkg/cpio"
)

// writesArgs is a go command whose programs are the arguments that they were built with.
const writesArgs = `case "$*" in
"env GOVERSION") echo go1.26.0;;
"tool -n makebb") echo "$0";;
"-g -gen-dir"*) mkdir -p "$3/src/bb.u-root.com/bb";;
"build -C"*) echo bb >"$5";;
build*) echo "$*" | sed 's/ -o [^ ]*//' >"$3";;
*) exit 1;;
esac`

// packTiny packs the images of the tiny module and returns its sources and the directory of the images.
func packTiny(t *testing.T, o Options) (Options, string) {
	t.Helper()
	dir := t.TempDir()
	if o.Source == "" {
		o.Source = tree(t, tiny)
	}
	if o.Go == "" {
		o.Go = fakeGo(t, writesArgs)
	}
	if err := Pack(t.Context(), o, dir); err != nil {
		t.Fatal(err)
	}
	return o, dir
}

// What is built in is what the sources make, byte for byte, and needs neither them nor Go.
func TestBuiltinIsTheImage(t *testing.T) {
	o, dir := packTiny(t, Options{})
	o.CacheDir = t.TempDir()
	want := mustBuild(t, o)
	wantBare, err := Bare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	builtIn(t, os.DirFS(dir))
	t.Chdir(t.TempDir())
	none := Options{CacheDir: t.TempDir(), Go: "no-such-go"}
	if err := none.Check(); err != nil {
		t.Fatal(err)
	}
	got := mustBuild(t, none)
	bare, err := Bare(t.Context(), none)
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != want.Digest || got.BuildID != want.BuildID || bare.Digest != wantBare.Digest {
		t.Errorf("got %+v and %+v, want those of %+v and %+v", got, bare, want, wantBare)
	}
	if !bytes.Equal(read(t, got.Path), read(t, want.Path)) {
		t.Error("the images differ")
	}
	if BuiltinAgent() != want.BuildID {
		t.Errorf("the built-in agent is %s, want %s", BuiltinAgent(), want.BuildID)
	}
	if root, version, err := none.Needs(); root != "" || version != "" || err != nil {
		t.Errorf("it needs %s with Go %s, %v", root, version, err)
	}
}

// The shell that is built in is appended to an image as the one from sources is.
func TestBuiltinShell(t *testing.T) {
	o, dir := packTiny(t, Options{})
	o.CacheDir = t.TempDir()
	want, err := WithShell(t.Context(), mustBuild(t, o), o)
	if err != nil {
		t.Fatal(err)
	}
	builtIn(t, os.DirFS(dir))
	t.Chdir(t.TempDir())
	none := Options{CacheDir: t.TempDir(), Go: "no-such-go"}
	got, err := WithShell(t.Context(), mustBuild(t, none), none)
	if err != nil || got.Digest != want.Digest {
		t.Fatalf("got %+v, %v, want the digest of %+v", got, err, want)
	}
	image, _ := strings.CutPrefix(string(read(t, got.Path)), string(read(t, mustBuild(t, none).Path)))
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(strings.NewReader(image)))
	links := map[string]string{}
	for _, r := range records {
		if r.ReaderAt != nil {
			text, _ := io.ReadAll(io.NewSectionReader(r.ReaderAt, 0, int64(r.FileSize)))
			links[r.Name] = string(text)
		}
	}
	if err != nil || links["bin/bb"] != "bb\n" || links["bin/uname"] != busybox || links["bin/sh"] != busybox {
		t.Errorf("got %q, %v", links, err)
	}
}

// A checkout takes the place of what is built in if its sources differ, and one line says so.
func TestCheckoutReplacesBuiltin(t *testing.T) {
	shared := func(text string) Shared { return Shared{"part": fstest.MapFS{"part.go": {Data: []byte(text)}}} }
	same := func(*testing.T, string) {}
	edit := func(t *testing.T, root string) {
		write(t, filepath.Join(root, "part/part.go"), tiny["part/part.go"]+"\nvar More int\n")
	}
	for _, tt := range []struct {
		name     string
		edit     func(t *testing.T, root string)
		explicit bool
		shared   Shared
		compiles bool
		note     string
	}{
		{"the same sources", same, false, nil, false, ""},
		{"the same sources, named", same, true, nil, false, "the agent is the one of the checkout "},
		{"others", edit, false, nil, true, "the agent is the one of the checkout "},
		{"others, named", edit, true, nil, true, "the agent is the one of the checkout "},
		{"those of another version", edit, false, shared(tiny["part/part.go"]), false,
			"the built-in agent is used, not the checkout "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, dir := packTiny(t, Options{Shared: tt.shared})
			before := o.Source
			tt.edit(t, o.Source)
			builtIn(t, os.DirFS(dir))
			t.Chdir(o.Source)
			if !tt.explicit {
				o.Source = ""
			}
			var said []string
			o.Log = func(format string, args ...any) { said = append(said, format) }
			o.CacheDir = t.TempDir()
			compiled := filepath.Join(t.TempDir(), "compiled")
			o.Go = fakeGo(t, "case $1 in build) : >'"+compiled+"';; esac\n"+writesArgs)
			if err := o.Check(); err != nil {
				t.Fatal(err)
			}
			from, err := o.find()
			if err != nil || !strings.HasPrefix(from.note, tt.note) || (tt.note == "") != (from.note == "") {
				t.Errorf("note %q, %v, want %q", from.note, err, tt.note)
			}
			if want := min(1, len(tt.note)); len(said) != want {
				t.Errorf("Check says %q, want %d lines", said, want)
			}
			img := mustBuild(t, o)
			_, err = os.Stat(compiled)
			if (err == nil) != tt.compiles || (img.BuildID == BuiltinAgent()) == tt.compiles {
				t.Errorf("from %s: compiled %t, built %s of %s; want compiled %t", before, err == nil, img.BuildID, BuiltinAgent(),
					tt.compiles)
			}
		})
	}
}

// A named checkout of another version is refused: the user wants that agent and no other.
func TestNamedCheckoutIsRefused(t *testing.T) {
	o, dir := packTiny(t, Options{})
	builtIn(t, os.DirFS(dir))
	o.Shared = Shared{"part": fstest.MapFS{"part.go": {Data: []byte("package other\n")}}}
	if err := o.Check(); err == nil || !strings.Contains(err.Error(), "part/part.go differs") {
		t.Errorf("got %v", err)
	}
}

// A program that was rebuilt without make build does not use an agent that would not understand it.
func TestStaleBuiltin(t *testing.T) {
	_, dir := packTiny(t, Options{})
	builtIn(t, os.DirFS(dir))
	t.Chdir(t.TempDir())
	o := Options{Shared: Shared{"part": fstest.MapFS{"part.go": {Data: []byte("package other\n")}}}}
	if err := o.Check(); !errors.Is(err, errStale) {
		t.Errorf("got %v, want %v", err, errStale)
	}
}

// A damaged file is found before a machine boots it.
func TestDamagedBuiltin(t *testing.T) {
	_, dir := packTiny(t, Options{})
	name := filepath.Join(dir, agentName+archiveSuffix)
	text := read(t, name)
	for _, damage := range []func() error{
		func() error { text[len(text)/2] ^= 1; return os.WriteFile(name, text, 0o644) },
		func() error { return os.Truncate(name, 100) },
		func() error { return os.Remove(name) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		builtIn(t, os.DirFS(dir))
		t.Chdir(t.TempDir())
		_, err := Build(t.Context(), Options{CacheDir: t.TempDir()})
		if err == nil || !strings.HasPrefix(err.Error(), "build agent: unpack the built-in agent: ") {
			t.Errorf("got %v", err)
		}
	}
}

// Pack compiles only what differs, repairs what is damaged, and writes the same bytes each time.
func TestPackAgain(t *testing.T) {
	o, dir := packTiny(t, Options{})
	first := contents(t, dir)
	quiet := o
	quiet.Go = fakeGo(t, "test $1 = env && echo go1.26.0 && exit\necho a compiler ran >&2; exit 1")
	if err := Pack(t.Context(), quiet, dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, actorName+archiveSuffix), 10); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "old"+archiveSuffix), "an archive that another version packed")
	if err := Pack(t.Context(), o, dir); err != nil {
		t.Fatal(err)
	}
	if contents(t, dir)["old"+archiveSuffix] != "" {
		t.Error("an archive that no manifest names is still there")
	}
	_, other := packTiny(t, o)
	for name, text := range first {
		if contents(t, dir)[name] != text || contents(t, other)[name] != text {
			t.Errorf("%s differs", name)
		}
	}
	write(t, filepath.Join(o.Source, "images/init/more.go"), "package main\n")
	if err := Pack(t.Context(), quiet, dir); err == nil || !strings.Contains(err.Error(), "pack agent: ") {
		t.Errorf("new sources: got %v, want that a compiler runs", err)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out[name] = string(read(t, filepath.Join(dir, name)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

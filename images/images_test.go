package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"tokentest/harness/arch"
	"tokentest/harness/cachedir"
	"tokentest/harness/lockfile"
)

// tiny is a module whose agent is built in no time, with one of everything that an init can be made from.
var tiny = map[string]string{
	"go.mod": "module tokentest\n\ngo 1.26.0\n",
	"go.sum": "",
	"images/init/main.go": "package main\n\nimport \"tokentest/part\"\n\nvar buildID string\n\nfunc main() { " +
		"println(part.Text, buildID) }\n",
	"images/init/main_test.go": "package main\n",
	"images/init/other.go":     "//go:build windows\n\npackage main\n",
	"images/init32/main.go":    "package main\n\nvar buildID string\n\nfunc main() { println(buildID) }\n",
	"images/sh/main.go":        "package main\n\nfunc main() {}\n",
	"part/part.go":             "package part\n\nimport _ \"embed\"\n\n//go:embed data\nvar Text string\n",
	"part/data":                "a",
	"stranger/stranger.go":     "package stranger\n",
}

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fakeGo is a go command made of shell lines, which may call the real one as $go.
func fakeGo(t *testing.T, lines string) string {
	t.Helper()
	real, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "go")
	script := fmt.Sprintf("#!/bin/sh\ngo='%s'\n%s\n", real, lines)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

const noCompiler = `case $1 in env) exec "$go" "$@";; esac
echo 'a compiler ran' >&2; exit 1`

// checkout is the root of the checkout that the tests run in.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil || !isSource(root) {
		t.Fatalf("the tests do not run in a checkout: %s, %v", root, err)
	}
	return root
}

// builtIn replaces the built-in images until the test ends.
func builtIn(t *testing.T, files fs.FS) {
	t.Helper()
	images, dir := Builtin, CompiledIn
	t.Cleanup(func() { Builtin, CompiledIn = images, dir })
	Builtin, CompiledIn = files, ""
}

// TestMain has every test begin without built-in images, as in a fresh checkout.
func TestMain(m *testing.M) {
	Builtin, CompiledIn = fstest.MapFS{}, ""
	os.Exit(m.Run())
}

func mustBuild(t *testing.T, o Options) *Image {
	t.Helper()
	img, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// The real agent, from a copy of exactly the files that count as its sources, in an environment that asks for a
// different program, is the same byte for byte. That the copy compiles shows that no source is missing from the list.
func TestBuildIsReproducible(t *testing.T) {
	root := checkout(t)
	files, err := sources(root, fullPart("images/init", arch.Default))
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]string{}
	for _, name := range files {
		copied[name] = string(read(t, filepath.Join(root, name)))
	}
	first := mustBuild(t, Options{Source: root, CacheDir: t.TempDir()})
	for key, value := range map[string]string{
		"GOFLAGS": "-tags=other", "GOAMD64": "v3", "GOARCH": "arm64", "CGO_ENABLED": "1", "GOEXPERIMENT": "fieldtrack",
		"TZ": "Asia/Tokyo",
	} {
		t.Setenv(key, value)
	}
	second := mustBuild(t, Options{Source: tree(t, copied), CacheDir: t.TempDir()})
	if first.BuildID != second.BuildID || first.Digest != second.Digest {
		t.Errorf("got %+v from a copy, want the digest and build ID of %+v", second, first)
	}
	if !bytes.Equal(read(t, first.Path), read(t, second.Path)) {
		t.Error("the images differ")
	}
	if !bytes.Contains(read(t, first.Path), []byte(first.BuildID)) {
		t.Error("the build ID is not linked into the agent")
	}
}

func TestBareBuilds(t *testing.T) {
	img, err := Bare(t.Context(), Options{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if size := len(read(t, img.Path)); size > 2<<20 {
		t.Errorf("the bare image has %d bytes", size)
	}
}

func TestRelativeCache(t *testing.T) {
	t.Chdir(t.TempDir())
	img := mustBuild(t, Options{Source: tree(t, tiny), CacheDir: "cache"})
	if _, err := os.Stat(img.Path); err != nil || !filepath.IsAbs(img.Path) {
		t.Errorf("got %s, %v, want an absolute path", img.Path, err)
	}
}

func TestSecondBuildRunsNoCompiler(t *testing.T) {
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	first := mustBuild(t, o)
	o.Go = fakeGo(t, noCompiler)
	if second := mustBuild(t, o); *second != *first {
		t.Errorf("got %+v, want %+v", second, first)
	}
}

func TestBuildIDFollowsSources(t *testing.T) {
	tests := []struct {
		name, file, text string
		changes          bool
	}{
		{"the init", "images/init/main.go", "package main\n\nfunc main() {}\n", true},
		{"a new file of it", "images/init/more.go", "package main\n", true},
		{"a package that it imports", "part/part.go", tiny["part/part.go"] + "\nvar More int\n", true},
		{"an embedded file", "part/data", "b", true},
		{"the dependencies", "go.sum", "x", true},
		{"its test", "images/init/main_test.go", "package main\n\nvar x int\n", false},
		{"a file for another system", "images/init/other.go", "//go:build windows\n\npackage main\n\nvar x int\n", false},
		{"a package that it does not import", "stranger/stranger.go", "package stranger\n\nvar X int\n", false},
		{"another init", "images/init32/main.go", "package main\n\nfunc main() { println() }\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Source: tree(t, tiny), Go: fakeGo(t, "echo go1.26.0")}
			before, err := buildID(t.Context(), o, fullPart("images/init", arch.Default))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(o.Source, tt.file), tt.text)
			after, err := buildID(t.Context(), o, fullPart("images/init", arch.Default))
			if err != nil {
				t.Fatal(err)
			}
			if got := before != after; got != tt.changes {
				t.Errorf("changed: got %t, want %t", got, tt.changes)
			}
		})
	}
}

func TestBuildIDFollowsToolchain(t *testing.T) {
	src := tree(t, tiny)
	ids := map[string]bool{}
	for _, version := range []string{"go1.26.0", "go1.26.1"} {
		id, err := buildID(t.Context(), Options{Source: src, Go: fakeGo(t, "echo "+version)},
			fullPart("images/init", arch.Default))
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = true
	}
	if len(ids) != 2 {
		t.Errorf("two toolchains have the same build ID")
	}
}

func TestSourceIsFoundFromBelow(t *testing.T) {
	root := tree(t, tiny)
	t.Chdir(filepath.Join(root, "images/init"))
	from, err := Options{}.find()
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.EvalSymlinks(root); from.source != want && from.source != root {
		t.Errorf("got %s, want %s", from.source, root)
	}
}

func TestBuildErrors(t *testing.T) {
	broken := func(file, text string) func(*testing.T, *Options) {
		return func(t *testing.T, o *Options) { write(t, filepath.Join(o.Source, file), text) }
	}
	tests := []struct {
		name   string
		change func(*testing.T, *Options)
		want   string
	}{
		{"no sources there", func(t *testing.T, o *Options) { o.Source = t.TempDir() },
			"no go.mod of module tokentest there"},
		{"no sources found", func(t *testing.T, o *Options) {
			o.Source = ""
			t.Chdir(t.TempDir())
		}, "this tokentest was built without the agent; run make build in a checkout"},
		{"another module", broken("go.mod", "module other\n"), "no go.mod of module tokentest there"},
		{"no go in PATH", func(t *testing.T, o *Options) { o.Go = "no-such-go" }, "no no-such-go command found"},
		{"no go at path", func(t *testing.T, o *Options) { o.Go = "/no/such/go" }, "no /no/such/go command found"},
		{"an older go", func(t *testing.T, o *Options) {
			o.Go = fakeGo(t, "echo 'go.mod requires go >= 1.26.0' >&2; exit 1")
		}, "go.mod requires go >= 1.26.0"},
		{"a type error", broken("part/part.go", "package part\n\nvar Text int = true\n"),
			"part/part.go:3:16: cannot use true"},
		{"a syntax error", broken("part/part.go", "package\n"), "part.go:1:9: expected 'IDENT'"},
		{"a missing package", broken("images/init/more.go", "package main\n\nimport _ \"tokentest/gone\"\n"),
			"gone: cannot find package"},
		{"nowhere to write", func(t *testing.T, o *Options) { o.CacheDir = "/sys/tokentest" },
			"the cache /sys/tokentest/images is not writable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
			tt.change(t, &o)
			_, err := Build(t.Context(), o)
			if err == nil || !strings.HasPrefix(err.Error(), "build agent: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestDiskFullIsExplained(t *testing.T) {
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	c := o.cache()
	_, _, err := c.get(t.Context(), "x", func(string, string) error {
		return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}
	})
	if want := "no space left for the cache " + c.dir; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// manifestOf is the manifest of an image's entry.
func manifestOf(path string) string { return filepath.Join(filepath.Dir(path), cachedir.ManifestFile) }

func TestDamageIsRepaired(t *testing.T) {
	src := tree(t, tiny)
	tests := map[string]func(t *testing.T, path string) error{
		"truncated": func(t *testing.T, path string) error { return os.Truncate(path, 1000) },
		"changed": func(t *testing.T, path string) error {
			data := read(t, path)
			data[len(data)/2] ^= 1
			return os.WriteFile(path, data, 0o644)
		},
		"no image":      func(t *testing.T, path string) error { return os.Remove(path) },
		"no manifest":   func(t *testing.T, path string) error { return os.Remove(manifestOf(path)) },
		"half manifest": func(t *testing.T, path string) error { return os.Truncate(manifestOf(path), 10) },
		"no digest":     func(t *testing.T, path string) error { return os.WriteFile(manifestOf(path), []byte("{}"), 0o644) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{Source: src, CacheDir: t.TempDir()}
			first := mustBuild(t, o)
			want := read(t, first.Path)
			if err := damage(t, first.Path); err != nil {
				t.Fatal(err)
			}
			if second := mustBuild(t, o); *second != *first || !bytes.Equal(read(t, second.Path), want) {
				t.Errorf("got %+v, want %+v with the same bytes", second, first)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	used := mustBuild(t, o)
	entry := filepath.Dir(used.Path)
	dir := filepath.Dir(entry)
	old := time.Now().Add(-2 * keep)
	write(t, filepath.Join(dir, ".fill-killed", "init"), "")
	write(t, filepath.Join(dir, "recent", imageFile), "")
	for _, name := range []string{lockName, "unused", "old.cpio"} { // earlier versions kept plain files
		write(t, filepath.Join(dir, name), "")
		os.Chtimes(filepath.Join(dir, name), old, old)
	}
	os.Chtimes(entry, old, old)
	mustBuild(t, o) // a use
	if _, err := Bare(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		lockName: true, filepath.Base(entry): true, "recent": true, "unused": false, "old.cpio": false, ".fill-killed": false,
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s kept: got %t, want %t", name, err == nil, want)
		}
	}
}

func TestConcurrentBuildsCompileOnce(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	o.Go = fakeGo(t, "case $1 in build) echo >>'"+count+"';; esac\nexec \"$go\" \"$@\"")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Build(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(read(t, count)); got != 1 {
		t.Errorf("compiled %d times, want once", got)
	}
}

func TestCancelEndsTheCompiler(t *testing.T) {
	started := filepath.Join(t.TempDir(), "pid")
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir()}
	o.Go = fakeGo(t, "case $1 in env) exec \"$go\" \"$@\";; esac\n"+
		">$GOTMPDIR/x; sleep 60 & echo $! >'"+started+".tmp'\nmv '"+started+".tmp' '"+started+"'\nwait")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(started); err == nil {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	begin := time.Now()
	if _, err := Build(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if d := time.Since(begin); d > 30*time.Second {
		t.Errorf("took %s", d)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(read(t, started))))
	if err != nil {
		t.Fatal(err)
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil &&
		!strings.Contains(string(status), ") Z ") {
		t.Errorf("the compiler still runs: %s", status)
	}
	left, err := os.ReadDir(o.cache().dir)
	if err != nil || len(left) != 1 || left[0].Name() != lockName {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestLockCanBeGivenUp(t *testing.T) {
	waits := make(chan struct{})
	o := Options{Source: tree(t, tiny), CacheDir: t.TempDir(), Log: func(string, ...any) { close(waits) }}
	c := o.cache()
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := lockfile.Lock(t.Context(), filepath.Join(c.dir, lockName), func() { t.Error("the lock is taken") })
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-waits
		cancel()
	}()
	if _, err := Build(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

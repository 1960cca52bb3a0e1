package builtin

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"

	"tokentest/images"
)

// Every built-in file is the one of the checkout, and every file that users need is built in.
func TestFiles(t *testing.T) {
	names, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"cases/matrix/map_create.txt", "kconfig/base.config", "results/run.schema.json", "scripts/vmtest.mk",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not built in", want)
		}
	}
	for _, name := range names {
		got, err := Read(name)
		want, err2 := os.ReadFile(filepath.Join("../..", name))
		if err := errors.Join(err, err2); err != nil || string(got) != string(want) {
			t.Errorf("%s: %v, or it differs from the checkout's", name, err)
		}
	}
}

func TestReadByBase(t *testing.T) {
	long, err := Read("scripts/vmtest.mk")
	short, err2 := Read("vmtest.mk")
	if err := errors.Join(err, err2); err != nil || string(long) != string(short) || len(long) == 0 {
		t.Errorf("got %d and %d bytes, %v", len(long), len(short), err)
	}
	for _, name := range []string{"", "vmtest", "scripts", "../go.mod", "cases/corpus.go"} {
		if _, err := Read(name); !errors.Is(err, ErrNoFile) {
			t.Errorf("%q: got %v, want %v", name, err, ErrNoFile)
		}
	}
}

func TestVersion(t *testing.T) {
	before := images.Builtin
	defer func() { images.Builtin = before }()
	images.Builtin = fstest.MapFS{}
	if v := Of(); v.Agent != "" || v.Version == "" || v.Go == "" || v.Platform == "" {
		t.Errorf("without an agent: %+v", v)
	}
	images.Builtin = fstest.MapFS{"manifest.json": {Data: []byte(`{"images": {"agent": {"id": "abc"}}}`)}}
	day = "2026-11-27"
	if got := Day().Format("Jan 2006"); got != "Nov 2026" {
		t.Errorf("built in %s", got)
	}
	day = ""
	if Day().IsZero() {
		t.Error("a build without a day has none")
	}
	v := Version{"v1.2", "go1.26.0", "linux/arm64", Of().Agent}
	if got, want := v.String(), "tokentest v1.2, go1.26.0 linux/arm64, agent abc"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

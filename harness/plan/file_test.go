package plan

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/usage"
)

func TestParseFile(t *testing.T) {
	f, err := ParseFile("ci/tokentest.toml", `
kernels = ["deb:6.12", "src:6.12", "git:linux#v6.9"]
cases = ["token_create", "mine.txt", "/abs.txt"]
full = true
accel = "tcg"
jobs = 3
deadline = "90s"
append = ["quiet"]
deny = ["deny.txt", "/abs.txt"]
baseline = "../base.jsonl"

[[config]]
name = "small"
config = "small.config"
fragments = ["token", "extra.config", "/abs.config"]
make = ["LLVM=1"]

[[config]]
name = "own"
config = ":arch/x86/configs/x"
`)
	if err != nil {
		t.Fatal(err)
	}
	var settings []string
	for _, s := range f.Settings {
		settings = append(settings, fmt.Sprintf("--%s=%s:%d", s.Flag, strings.Join(s.Values, ","), s.Line))
	}
	wantSettings := "--full=true:4 --denylist=ci/deny.txt,/abs.txt:9 --accel=tcg:5 --append=quiet:8 --jobs=3:6 " +
		"--deadline=90s:7 --baseline=base.jsonl:10"
	if got := strings.Join(settings, " "); got != wantSettings {
		t.Errorf("got  %s\nwant %s", got, wantSettings)
	}
	// Paths are relative to the file.
	if want := []string{"token_create", "ci/mine.txt", "/abs.txt"}; !slices.Equal(f.Cases, want) {
		t.Errorf("cases %q, want %q", f.Cases, want)
	}
	small := f.Configs[0]
	if want := []string{"token", "ci/extra.config", "/abs.config"}; small.Config != "ci/small.config" ||
		!slices.Equal(small.Fragments, want) {
		t.Errorf("config %+v, want fragments %q", small, want)
	}
	if got := f.Configs[1].Config; got != ":arch/x86/configs/x" {
		t.Errorf("a path in the source became %q", got)
	}
	// Each kernel that is built gets each configuration.
	var labels []string
	for _, v := range f.Variants(f.Kernels) {
		labels = append(labels, v.Label)
		if built := v.Config != nil; built != (v.Ref != "deb:6.12") || built && v.Label != v.Ref+"@"+v.Config.Name {
			t.Errorf("variant %+v", v)
		}
	}
	want := "deb:6.12 src:6.12@small src:6.12@own git:ci/linux#v6.9@small git:ci/linux#v6.9@own"
	if got := strings.Join(labels, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestVariantsWithoutConfigs(t *testing.T) {
	got := (&File{}).Variants([]string{"src:6.12"})
	if len(got) != 1 || got[0] != (Variant{Label: "src:6.12", Ref: "src:6.12"}) {
		t.Errorf("got %+v", got)
	}
}

// A mistake names the file, and the line if there is one.
func TestParseFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"kernels = [\n":                 "x.toml:",
		"\nkernel = \"deb:6.12\"\n":     "x.toml:2: unknown key kernel (near: kernels); tokentest plan",
		"full = true\n[other]\na = 1\n": "x.toml:2: unknown key other;",
		"full = 1\n":                    "x.toml:1: full = 1: must be true or false",
		"\njobs = -1\n":                 "x.toml:2: jobs = -1: must be a whole number of at least 1",
		"jobs = 0\n":                    "x.toml:1: jobs = 0: must be",
		"jobs = \"2\"\n":                `x.toml:1: jobs = "2": must be`,
		"accel = true\n":                `x.toml:1: accel = true: must be a string, such as accel = "x"`,
		"kernels = \"x\"\n":             `x.toml:1: kernels = "x": must be a list, such as kernels = ["x"]`,
		"deny = \"x\"\n":                `x.toml:1: deny = "x": must be a list, such as deny = ["x"]`,
		"kernels = [1]\n":               `x.toml:1: kernels = ...: must be a list`,
		"config = 1\n":                  "x.toml:1: config: must be a table: write [[config]]",
		"[[config]]\nname = \"a\"\nmake = \"b\"\n":    `x.toml:3: make = "b": must be a list`,
		"[[config]]\nname = \"a b\"\n":                `x.toml: config 1: name "a b"`,
		"[[config]]\nmake = [\"LLVM=1\"]\n":           `x.toml: config 1: name ""`,
		"[[config]]\nname=\"a\"\n[[config]]\nnam=1":   "x.toml:4: unknown key config.nam (near: name);",
		"\xef\xbb\xbffull = true\n":                   "x.toml:1: the file begins with a byte order mark",
		strings.Repeat("[[config]]\nname=\"a\"\n", 2): "x.toml: two configs have the name a",
	} {
		_, err := ParseFile("x.toml", text)
		var u *usage.Error
		if !errors.As(err, &u) || !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), "* "+want) {
			t.Errorf("%q: got %v, want a usage error %q", text, err, want)
		}
	}
}

// The file that WriteConfig writes sets nothing, and has every key if the marks before the keys are
// removed.
func TestWriteConfig(t *testing.T) {
	text := WriteConfig()
	f, err := ParseFile("x.toml", text)
	if err != nil || len(f.Kernels)+len(f.Cases)+len(f.Settings)+len(f.Configs) != 0 {
		t.Errorf("as it is: got %+v, %v", f, err)
	}
	f, err = ParseFile("x.toml", regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(text, "$1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Kernels) == 0 || len(f.Cases) == 0 || len(f.Configs) != 1 || f.Configs[0].Config == "" ||
		f.Configs[0].Fragments == nil || f.Configs[0].Make == nil {
		t.Errorf("got %+v", f)
	}
	has := map[string]bool{"kernels": true, "cases": true}
	for _, s := range f.Settings {
		has[s.Key] = true
		if len(s.Values) == 0 || s.Line == 0 {
			t.Errorf("got %+v", s)
		}
	}
	for _, k := range keys {
		if !has[k.name] {
			t.Errorf("no key %s", k.name)
		}
	}
}

func TestBelow(t *testing.T) {
	for ref, want := range map[string]string{
		"bzImage": "ci/bzImage", "/boot/bzImage": "/boot/bzImage", "~/bzImage": "~/bzImage", "host": "host",
		"deb:6.12": "deb:6.12", "oci:x/y:1": "oci:x/y:1", "src:6.12": "src:6.12", "src:6.12+x.mbox": "src:6.12+ci/x.mbox",
		"src:6.12+rt1+/p/": "src:6.12+rt1+/p/", "tree:linux": "tree:ci/linux", "tree:/linux+p/": "tree:/linux+ci/p/",
		"git:../linux#v6.12+a.patch+b.mbox": "git:linux#v6.12+ci/a.patch+ci/b.mbox", "git:~/l#HEAD": "git:~/l#HEAD",
		"git:lin+ux#x": "git:ci/lin+ux#x",
	} {
		if got := below("ci", ref); got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
		if got := below(".", ref); got != ref {
			t.Errorf("%s here: got %s", ref, got)
		}
	}
}

// A label of a report names the one kernel that it is of.
func TestVariantsByLabel(t *testing.T) {
	f := &File{Configs: []Config{{Name: "a"}, {Name: "b"}}}
	got := f.Variants([]string{"src:6.12@b"})
	if len(got) != 1 || got[0] != (Variant{"src:6.12@b", "src:6.12", &f.Configs[1]}) {
		t.Errorf("got %+v", got)
	}
	if got := f.Variants([]string{"git:.#HEAD@{1}"}); len(got) != 2 {
		t.Errorf("a revision with an @: got %+v", got)
	}
}

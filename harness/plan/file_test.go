package plan

import (
	"errors"
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
	if !f.Full || f.Accel != "tcg" || f.Jobs != 3 || f.Deadline != "90s" || !slices.Equal(f.Append, []string{"quiet"}) {
		t.Errorf("got %+v", f)
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
	want := "deb:6.12 src:6.12@small src:6.12@own git:linux#v6.9@small git:linux#v6.9@own"
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
		"kernels = [\n":                               "x.toml:",
		"\nkernel = \"deb:6.12\"\n":                   "x.toml:2: unknown key kernel;",
		"full = true\n[other]\na = 1\n":               "x.toml:2: unknown key other;",
		"full = 1\n":                                  "x.toml: ",
		"jobs = -1\n":                                 "x.toml: jobs = -1",
		"[[config]]\nname = \"a b\"\n":                `x.toml: config 1: name "a b"`,
		"[[config]]\nmake = [\"LLVM=1\"]\n":           `x.toml: config 1: name ""`,
		strings.Repeat("[[config]]\nname=\"a\"\n", 2): "x.toml: two configs have the name a",
	} {
		_, err := ParseFile("x.toml", text)
		var u *usage.Error
		if !errors.As(err, &u) || !strings.HasPrefix(err.Error(), want) && !strings.Contains(err.Error(), "* "+want) {
			t.Errorf("%q: got %v, want a usage error %q", text, err, want)
		}
	}
}

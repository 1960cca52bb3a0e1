package kconfig

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/arch"
)

const fragmentText = `# A comment.
CONFIG_BPF=y
#: since 6.4
#: cases netfilter* x
CONFIG_LINK=y
#: build
CONFIG_CPUS=8
#: helps it is slow
CONFIG_PCI=y
# CONFIG_OFF is not set
CONFIG_LSM="bpf"
#: until 7.2
CONFIG_GONE=y
`

func parse(t *testing.T, name, text string) *Fragment {
	t.Helper()
	f, err := ParseFragment(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func lines(list []Unmet) string {
	var b strings.Builder
	for _, u := range list {
		b.WriteString(u.String() + "\n")
	}
	return b.String()
}

func TestCheck(t *testing.T) {
	f := parse(t, "f.config", fragmentText)
	all := Config{"BPF": "y", "LINK": "y", "CPUS": "4", "PCI": "y", "LSM": "bpf", "GONE": "y"}
	with := func(name, value string) Config {
		c := Config{}
		for k, v := range all {
			c[k] = v
		}
		if value == "" {
			delete(c, name)
		} else {
			c[name] = value
		}
		return c
	}
	for _, tt := range []struct {
		name   string
		config Config
		rel    string
		want   string
	}{
		{"all", all, "6.12.1", ""},
		{"a module", with("BPF", "m"), "6.12", "f.config:2: want CONFIG_BPF=y, it is a module, which nothing loads\n"},
		{"not named", with("BPF", ""), "6.12", "f.config:2: want CONFIG_BPF=y, it is not there\n"},
		{"too old to have it", with("LINK", ""), "6.3.9", ""},
		{"old enough", with("LINK", "n"), "6.4.0-rc1", "f.config:5: want CONFIG_LINK=y, it is not set\n"},
		{"no longer there", with("GONE", ""), "7.2.1", ""},
		{"still there", with("GONE", "n"), "7.1.9", "f.config:13: want CONFIG_GONE=y, it is not set\n"},
		{"unknown release", with("LINK", "n"), "", "f.config:5: want CONFIG_LINK=y, it is not set\n"},
		{"on but wanted off", with("OFF", "y"), "6.12", "f.config:10: want # CONFIG_OFF is not set, it is y\n"},
		{"named and off", with("OFF", "n"), "6.12", ""},
		{"another string", with("LSM", "yama,bpf"), "6.12", "f.config:11: want CONFIG_LSM=\"bpf\", it is yama,bpf\n"},
	} {
		if got := lines(Check(tt.config, tt.rel, f)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := lines(lostOf(all, "6.12", f)); got != "f.config:7: want CONFIG_CPUS=8, it is 4\n" {
		t.Errorf("Lost leaves out a choice: %q", got)
	}
	u := Check(with("LINK", ""), "6.12", f)[0]
	if strings.Join(u.Cases, " ") != "netfilter* x" || u.Since != "6.4" {
		t.Errorf("got %+v, want its notes", u)
	}
}

// A later fragment wins, and only it can be lost.
func TestLostOverridden(t *testing.T) {
	a, b := parse(t, "a", "CONFIG_X=y\nCONFIG_Y=y\n"), parse(t, "b", "# CONFIG_X is not set\n")
	if got := lines(lostOf(Config{"X": "n", "Y": "y"}, "6.12", a, b)); got != "" {
		t.Errorf("got %q, want nothing lost", got)
	}
	if got := lines(lostOf(Config{"X": "y", "Y": "y"}, "6.12", a, b)); !strings.HasPrefix(got,
		"b:1: want # CONFIG_X is not set, it is y") {
		t.Errorf("got %q, want b's line lost", got)
	}
}

func TestMerge(t *testing.T) {
	a := parse(t, "a", fragmentText)
	b := parse(t, "b", "CONFIG_CPUS=4\nCONFIG_NEW=0x10\nCONFIG_TEXT=\"a \\\"b\\\"\"\n")
	var out strings.Builder
	over, err := Merge(&out, []*Fragment{a, b}, "6.1")
	if err != nil {
		t.Fatal(err)
	}
	want := "CONFIG_BPF=y\nCONFIG_CPUS=4\nCONFIG_PCI=y\n# CONFIG_OFF is not " +
		"set\nCONFIG_LSM=\"bpf\"\nCONFIG_GONE=y\nCONFIG_NEW=0x10\nCONFIG_TEXT=\"a \\\"b\\\"\"\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if len(over) != 1 || over[0] != "b:1: CONFIG_CPUS=4 overrides a:7, which has 8" {
		t.Errorf("overridden: %q", over)
	}
}

func TestParseFragmentErrors(t *testing.T) {
	for text, want := range map[string]string{
		"CONFIG_A=y\nBPF=y\n":  "f:2: want CONFIG_NAME=value",
		"#: since soon\n":      "f:1: want #: since RELEASE",
		"#: cases\n":           "f:1: want #: since RELEASE",
		"#: sinec 6.4\n":       "f:1: want #: since RELEASE",
		"CONFIG_A=\"unended\n": "f:1: CONFIG_A: string without closing quote",
	} {
		if _, err := ParseFragment("f", []byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestContradicts(t *testing.T) {
	token := parse(t, "token", "CONFIG_A=y\nCONFIG_B=y\n")
	f := parse(t, "mine", "# CONFIG_A is not set\nCONFIG_C=y\nCONFIG_C=m\n")
	unmet, twice := Contradicts(f, "", token)
	if got := lines(unmet); got != "token:1: want CONFIG_A=y, it is not set\n" {
		t.Errorf("got %q: only what the fragment names counts", got)
	}
	if len(twice) != 1 || twice[0] != "mine:2: CONFIG_C=y is overridden by line 3, which has m" {
		t.Errorf("got %q", twice)
	}
}

// The built-in fragments can be read, agree with each other, and name each option once.
func TestBuiltin(t *testing.T) {
	all, err := Builtin(Names()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if len(f.Options) < 3 || !strings.HasPrefix(f.Path, "kconfig/") {
			t.Errorf("%s: %d options", f.Path, len(f.Options))
		}
	}
	for _, a := range arch.All {
		at := map[string]string{}
		for _, f := range For(a, all...) {
			for _, o := range f.Options {
				if old := at[o.Name]; old != "" {
					t.Errorf("%s:%d: CONFIG_%s stands in %s, too", f.Path, o.Line, o.Name, old)
				}
				at[o.Name] = f.Path
			}
		}
		own, used := "kconfig/base."+a.Linux+".config", slices.Collect(maps.Values(at))
		if at["EXPERT"] != "kconfig/base.config" || !slices.Contains(used, own) {
			t.Errorf("%s: the options come from %v", a, at)
		}
		for _, other := range arch.All {
			if path := "kconfig/base." + other.Linux + ".config"; path != own && slices.Contains(used, path) {
				t.Errorf("%s has options of %s", a, path)
			}
		}
	}
	if _, err := Builtin("nonsense"); err == nil || !strings.Contains(err.Error(), "available: base, token, debug") {
		t.Errorf("got %v", err)
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[string]bool{
		"CONFIG_CC_VERSION_TEXT=\"gcc\"\n": true, "CONFIG_NET=y\r\nCONFIG_CC_IS_GCC=y\r\n": true,
		fragmentText: false, "# CONFIG_CC_IS_GCC=y\n": false,
	} {
		if Whole([]byte(text)) != want {
			t.Errorf("%q: want %t", text, want)
		}
	}
}

func TestBanner(t *testing.T) {
	if of, rel := Banner([]byte(strings.ReplaceAll(sample, "\n", "\r\n"))); of != "x86" || rel != "6.12.117" {
		t.Errorf("with CR LF: got %q, %q", of, rel)
	}
	if of, rel := Banner([]byte(sample)); of != "x86" || rel != "6.12.117" {
		t.Errorf("got %q %q", of, rel)
	}
	if of, _ := Banner([]byte("#\n# Linux/x86_64 6.12.117 Kernel Configuration\n")); of != "x86" {
		t.Errorf("got %q for what ARCH=x86_64 names", of)
	}
	if of, rel := Banner([]byte(fragmentText)); of != "" || rel != "" {
		t.Errorf("a fragment: got %q %q", of, rel)
	}
}

func TestWhy(t *testing.T) {
	tree := t.TempDir()
	text := "config FIRST\n\tbool \"first\"\n\tdepends on SECOND\n\tdepends on !THIRD\n\thelp\n\t  Text.\n\nmenuconfig " +
		"SECOND\n\ttristate \"second\"\n\nconfig HIDDEN\n\tbool\n\nconfig HIDDEN_DEP\n\tdef_bool y\n\tdepends on FIRST\n"
	if err := os.MkdirAll(filepath.Join(tree, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "kernel", "Kconfig.bpf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	foreign := "config ARM64\n\tdef_bool y\n\nconfig BOTH\n\tbool\n"
	for name, text := range map[string]string{"arch/arm64/Kconfig": foreign,
		"arch/x86/Kconfig": "config BOTH\n\tbool \"both\"\n\tdepends on A || B\n\tdepends on FIRST\n"} {
		name = filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"ARM64":      "this is a kernel for x86, and only arch/arm64 has it",
		"BOTH":       "arch/x86/Kconfig:1: it depends on (A || B) && FIRST",
		"FIRST":      "kernel/Kconfig.bpf:1: it depends on SECOND && !THIRD",
		"SECOND":     "kernel/Kconfig.bpf:8: it depends on the menu that it is in",
		"HIDDEN":     "kernel/Kconfig.bpf:11: other options decide it",
		"HIDDEN_DEP": "kernel/Kconfig.bpf:14: other options decide it, and it depends on FIRST",
		"NOWHERE":    "no Kconfig file of this tree defines it",
	} {
		if got := Why(tree, arch.Find("amd64"), name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func lostOf(c Config, rel string, fragments ...*Fragment) []Unmet {
	lost, _ := Lost(c, rel, fragments...)
	return lost
}

// What depends on an option that is switched off goes with it; the option
// itself must not stay.
func TestWithout(t *testing.T) {
	want, err := ParseFragment("token.config", []byte("CONFIG_NET=y\nCONFIG_INET=y\nCONFIG_BPF=y\n"))
	if err != nil {
		t.Fatal(err)
	}
	off, err := Without("CONFIG_NET")
	if err != nil {
		t.Fatal(err)
	}
	lost, gone := Lost(Config{"BPF": "y", "NET": "n"}, "6.12", want, off)
	if len(lost) != 0 || len(gone) != 1 || gone[0].Name != "INET" {
		t.Errorf("lost %v, gone %v: want INET gone and nothing lost", lost, gone)
	}
	lost, _ = Lost(Config{"BPF": "y", "NET": "y", "INET": "y"}, "6.12", want, off)
	if len(lost) != 1 || lost[0].Name != "NET" {
		t.Errorf("an option that another selects stays on, and lost is %v", lost)
	}
	for _, bad := range []string{"", "net", "NET=y", "NET BPF"} {
		if _, err := Without(bad); err == nil {
			t.Errorf("%q is taken for an option", bad)
		}
	}
}

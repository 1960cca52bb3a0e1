package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"tokentest/cases/step"
	"tokentest/harness/arch"
	"tokentest/harness/kernel"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
	"tokentest/images"
)

// TestMain has every test begin without a built-in agent.
func TestMain(m *testing.M) {
	images.Builtin, images.CompiledIn = fstest.MapFS{}, ""
	os.Exit(m.Run())
}

func TestFamily(t *testing.T) {
	for text, want := range map[string]string{
		"ID=debian\n": "debian", "NAME=x\nID=ubuntu\nID_LIKE=debian\n": "debian",
		"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n": "fedora",
		"ID=opensuse-leap\nID_LIKE=\"suse opensuse\"\n":  "suse", "ID=other\n": "", "": "",
	} {
		if got := family(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestInstalls(t *testing.T) {
	list := []Finding{{What: "qemu-system-x86_64", Fix: "x"}, {What: "go"}, {What: "dpkg-deb", Fix: "x"},
		{What: "kvm", Fix: "x"},
		{What: "kernel build", Fix: "x", packages: []string{"flex", "bc"}}}
	for id, want := range map[string]string{"debian": "apt-get install -y qemu-system-x86 dpkg flex bc",
		"fedora": "dnf install -y qemu-system-x86-core dpkg", "": ""} {
		if got := installs(list, id, "12"); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	if got := installs(list[1:2], "debian", "12"); got != "" {
		t.Errorf("nothing is missing: %q", got)
	}
}

// Only a KVM on which a guest has run is in order.
func TestAccelerator(t *testing.T) {
	for _, c := range []struct {
		accel          vm.Accel
		known          bool
		fixed, untried bool
	}{{vm.KVM, true, true, false}, {vm.TCG, true, false, false}, {vm.TCG, false, true, true}} {
		f := accelerator(c.accel, "why", c.known)
		if (f.Fix == "") != c.fixed || f.Untried != c.untried || f.Needed || c.known != strings.HasPrefix(f.State, "why") {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

// Where packages come from is known without a network.
func TestPackages(t *testing.T) {
	t.Setenv(kernel.MirrorVariable, "http://mirror.test/debian")
	f := packages(t.Context(), t.TempDir(), nil)
	if f.Fix == "" && !strings.HasPrefix(f.State, "from http://mirror.test/debian, ") {
		t.Errorf("got %+v", f)
	}
	t.Setenv(kernel.MirrorVariable, "words")
	if f := packages(t.Context(), t.TempDir(), nil); f.Fix == "" || f.Needed {
		t.Errorf("got %+v", f)
	}
	if f := packages(t.Context(), "", errors.New("no home")); !f.Untried {
		t.Errorf("got %+v", f)
	}
}

func TestNewEnough(t *testing.T) {
	for has, want := range map[string]struct {
		state  string
		hasFix bool
	}{
		"go version go1.19.8 linux/amd64": {"too old", true}, "go version go1.22.1 linux/amd64": {"it fetches 1.26.0 once",
			false},
		"go version go1.26 linux/amd64": {"it fetches", false}, "go version go1.26.0 linux/amd64": {"go1.26.0 linux", false},
		"go version go1.27.1 linux/amd64": {"go1.27.1 linux", false}, "go version devel": {"devel", false},
	} {
		got := newEnough(Finding{What: "go", State: has}, "1.26.0")
		if !strings.Contains(got.State, want.state) || (got.Fix != "") != want.hasFix {
			t.Errorf("%s: %q, fix %q", has, got.State, got.Fix)
		}
	}
}

// find returns the finding about something.
func find(t *testing.T, list []Finding, what string) Finding {
	t.Helper()
	for _, f := range list {
		if f.What == what {
			return f
		}
	}
	t.Fatalf("nothing is said of %s", what)
	return Finding{}
}

// hostWith is a host on which only these programs are, each of which prints a version.
func hostWith(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho "+name+" 1.2.3\necho more\n"),
			0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Chdir(dir) // outside a checkout
}

func TestExamine(t *testing.T) {
	hostWith(t, "qemu-system-x86_64", "apt-get")
	list := Examine(t.Context(), t.TempDir(), "", nil)
	if f := find(t, list, "qemu-system-x86_64"); f.Fix != "" || f.State != "qemu-system-x86_64 1.2.3" || !f.Needed {
		t.Errorf("QEMU is there: %+v", f)
	}
	for what, needed := range map[string]bool{"agent": true, "dpkg-deb": false, "kernel build": false} {
		if f := find(t, list, what); f.Fix == "" || f.Needed != needed || f.State == "" {
			t.Errorf("%s is missing: %+v", what, f)
		}
	}
	if f := find(t, list, "cache"); f.Fix != "" || !f.Needed {
		t.Errorf("the cache is well: %+v", f)
	}
	hostWith(t)
	if f := find(t, Examine(t.Context(), t.TempDir(), "", nil), "qemu-system-x86_64"); f.Fix == "" ||
		!strings.Contains(f.Fix, "qemu-system-x86") {
		t.Errorf("QEMU is missing: %+v", f)
	}
}

// Go is looked for only if the agent comes from a checkout.
func TestExamineAgent(t *testing.T) {
	hostWith(t, "qemu-system-x86_64")
	checkout := t.TempDir()
	if err := os.CopyFS(filepath.Join(checkout, "cases/step"), step.Sources); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(checkout, "harness/wire"), wire.Sources); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(checkout, "go.mod"), []byte("module tokentest\n\ngo 1.99\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := Examine(t.Context(), t.TempDir(), checkout, nil)
	if f := find(t, list, "agent"); f.Fix != "" || f.State != "compiled from the checkout "+checkout {
		t.Errorf("got %+v", f)
	}
	if f := find(t, list, "go"); !f.Needed || !strings.Contains(f.Fix, "install Go 1.99") {
		t.Errorf("Go is missing: %+v", f)
	}
	if f := find(t, list, "version"); f.Fix != "" || !strings.Contains(f.State, runtime.Version()) {
		t.Errorf("got %+v", f)
	}
	if f := find(t, Examine(t.Context(), t.TempDir(), t.TempDir(), nil), "agent"); !f.Needed ||
		!strings.Contains(f.State, "no go.mod of module tokentest there") || f.Fix == "" {
		t.Errorf("an empty checkout: %+v", f)
	}
}

// The cache directory must be one that can be written; the probe does not stay.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	if f := cache(dir, nil); f.Fix != "" || f.State != dir {
		t.Errorf("got %+v", f)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	if f := cache("", errors.New("no home")); f.Fix == "" || f.State != "no home" {
		t.Errorf("got %+v", f)
	}
	if f := cache(filepath.Join(dir, "none"), nil); f.Fix == "" {
		t.Errorf("a directory that is not there: %+v", f)
	}
}

func TestTool(t *testing.T) {
	hostWith(t, "there")
	if err := os.WriteFile("broken", []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f := tool(t.Context(), "there", "--version", true, "install it"); f.Fix != "" || f.State != "there 1.2.3" {
		t.Errorf("got %+v", f)
	}
	for _, name := range []string{"broken", "missing"} {
		if f := tool(t.Context(), name, "--version", true, "install it"); f.Fix != "install it" || f.State == "" {
			t.Errorf("%s: got %+v", name, f)
		}
	}
}

// What other architectures lack is named with its package, and is not part of what a run needs.
func TestForeign(t *testing.T) {
	hostWith(t, arch.All[1].QEMU.Program)
	f := foreign(t.Context())
	if f.Needed || !strings.Contains(f.State, arch.All[1].Name) || !strings.Contains(f.State, "no ") || f.Fix == "" ||
		strings.Contains(f.Fix, " "+arch.All[1].Name+" ") {
		t.Errorf("%+v", f)
	}
	if got := installs([]Finding{f}, "debian", "12"); got != "" {
		t.Errorf("installs %q", got)
	}
}

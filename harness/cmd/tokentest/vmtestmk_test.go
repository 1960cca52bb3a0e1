package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// kernelMakefile goes to the directory of objects as the kernel's own does: it
// calls itself there, and has every goal wait for that.
const kernelMakefile = `MAKEFLAGS += -rR
ifneq ($(sub_make_done),1)
this-makefile := $(lastword $(MAKEFILE_LIST))
abs_srctree := $(realpath $(dir $(this-makefile)))
export abs_srctree
abs_objtree := $(CURDIR)
ifeq ("$(origin O)", "command line")
  KBUILD_OUTPUT := $(O)
endif
ifneq ($(KBUILD_OUTPUT),)
abs_objtree := $(realpath $(KBUILD_OUTPUT))
endif
export sub_make_done := 1
endif
ifeq ($(abs_objtree),$(CURDIR))
no-print-directory := --no-print-directory
else
need-sub-make := 1
endif
ifeq ($(filter --no-print-directory, $(MAKEFLAGS)),)
need-sub-make := 1
endif
export abs_objtree
ifeq ($(need-sub-make),1)
$(filter-out $(this-makefile), $(MAKECMDGOALS)) __all: __sub-make
	@:
__sub-make:
	@$(MAKE) $(no-print-directory) -C $(abs_objtree) -f $(abs_srctree)/Makefile $(MAKECMDGOALS)
endif
include MK
`

// mkTree is a kernel tree with a directory of objects in it, and a tokentest
// that only says what it was called with.
func mkTree(t *testing.T) (dir, mk string) {
	t.Helper()
	dir = t.TempDir()
	mk = filepath.Join(dir, "tokentest/scripts/vmtest.mk")
	text, err := os.ReadFile("../../../scripts/vmtest.mk")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tokentest/scripts/vmtest.mk": string(text),
		"tokentest/Makefile":          "setup build:\n\t@:\n",
		"tokentest/bin/tokentest":     "#!/bin/sh\necho \"in $(pwd):\" \"$@\"\n",
		"linux/Makefile":              strings.Replace(kernelMakefile, "MK", mk, 1),
		"linux/build/.config":         "",
		"share/vmtest.mk":             string(text),
		"path/tokentest":              "#!/bin/sh\necho \"installed, in $(pwd):\" \"$@\"\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, mk
}

// A copy of vmtest.mk that lies in no checkout calls the program in PATH, and builds nothing.
func TestVmtestMkInstalled(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make: install it to test scripts/vmtest.mk")
	}
	dir, _ := mkTree(t)
	linux := filepath.Join(dir, "linux")
	cmd := exec.Command("make", "-s", "-f", filepath.Join(dir, "share/vmtest.mk"), "vmtest", "O=build")
	cmd.Dir = linux
	cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=", "KBUILD_OUTPUT=",
		"PATH="+filepath.Join(dir, "path")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	want := "installed, in " + linux + ": run --kernel tree:" + linux + "/build\n"
	if err != nil || string(out) != want {
		t.Errorf("got %q, %v; want %q", out, err, want)
	}
}

// TestVmtestMk calls vmtest.mk in a kernel tree and includes it there: each goal
// runs once, on the objects that O= names from where make was called, and
// without a complaint.
func TestVmtestMk(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make: install it to test scripts/vmtest.mk")
	}
	dir, mk := mkTree(t)
	for _, tt := range []struct{ args, want string }{
		{"-f MK vmtest", "run --kernel tree:LINUX"},
		{"-f MK vmtest O=build CASES=map_create/*", "run --kernel tree:LINUX/build map_create/*"},
		{"-f MK vmtest-series SERIES=x.mbox BASE=v6.12 O=build", "series x.mbox --base git:LINUX#v6.12"},
		{"-f MK vmtest-check O=build", "kernel check LINUX/build/.config"},
		{"vmtest", "run --kernel tree:LINUX"},
		{"vmtest O=build CASES=repro.txt", "run --kernel tree:LINUX/build repro.txt"},
		{"vmtest KBUILD_OUTPUT=build", "run --kernel tree:LINUX/build"},
		{"vmtest-series SERIES=x.mbox O=build", "series x.mbox --base git:LINUX#HEAD"},
		{"vmtest-check O=build", "kernel check LINUX/build/.config"},
	} {
		linux := filepath.Join(dir, "linux")
		cmd := exec.Command("make", strings.Fields(strings.ReplaceAll(tt.args, "MK", mk))...)
		cmd.Dir = linux
		cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=", "MFLAGS=",
			"KBUILD_OUTPUT=") // it may be make that runs the test
		out, err := cmd.CombinedOutput()
		var said []string
		for line := range strings.Lines(string(out)) {
			if !strings.HasPrefix(line, "make") { // which directory it enters
				said = append(said, line)
			}
		}
		want := "in " + linux + ": " + strings.ReplaceAll(tt.want, "LINUX", linux) + "\n"
		if got := strings.Join(said, ""); err != nil || got != want {
			t.Errorf("make %s: got %q (%v), want %q", tt.args, got, err, want)
		}
	}
}

package guestprog

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/lab"
	"tokentest/harness/wire"
)

// What shells and loaders say of a file that is on this host leads to the --with that brings it.
func TestAdvice(t *testing.T) {
	here := t.TempDir()
	for _, name := range []string{"bpftool", "script.sh", "libx.so.1", "a program"} {
		if err := os.WriteFile(filepath.Join(here, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", here)
	t.Setenv("LD_LIBRARY_PATH", here)
	o := &Options{Here: here, Args: []string{"sh"}}
	for says, want := range map[string]string{
		"sh: 1: bpftool: not found\n":                       "the machine has no bpftool; bring it with --with HERE/bpftool",
		"bash: line 1: bpftool: command not found\n":        "--with HERE/bpftool",
		"zsh:1: command not found: bpftool\n":               "--with HERE/bpftool",
		"\"bpftool\": executable file not found in $PATH\n": "--with HERE/bpftool",
		"env: ‘bpftool’: No such file or directory\n":       "--with HERE/bpftool",
		"env: 'bpftool': No such file or directory\n":       "--with HERE/bpftool",
		"x: ./script.sh: not found\nmore\n":                 "has no ./script.sh; bring it with --with HERE/script.sh",
		"./a.out: error while loading shared libraries: libx.so.1: cannot open shared object file: No such\n": "has no " +
			"libx.so.1; bring it with --with HERE/libx.so.1",
		"Error loading shared library libx.so.1: No such file or directory (needed by ./a)\n": "--with HERE/libx.so.1",
		"sh: 1: one: not found\nsh: 2: bpftool: not found\n":                                  "--with HERE/bpftool",
		"sh: 1: nowhere: not found\n":                                                         "",
		"own words\n":                                                                         "127 often means",
	} {
		tail := &Tail{To: &bytes.Buffer{}}
		tail.Write([]byte(strings.Repeat("x", tailSize) + "\n"))
		tail.Write([]byte(says))
		e := &lab.Ended{Exit: &wire.Exit{Code: ExitNotFound}}
		got := strings.Join(o.Advice(e, ExitNotFound, tail), "\n")
		if want = strings.ReplaceAll(want, "HERE", here); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q: %q, want %q", says, got, want)
		}
		if got := o.Advice(e, 1, tail); got != nil {
			t.Errorf("another exit code: %q", got)
		}
	}
	if got := o.Advice(&lab.Ended{}, ExitNotFound, &Tail{}); got != nil {
		t.Errorf("no exit: %q", got)
	}
}

// The complaints are those of the shells that are here.
func TestAdviceOfRealShells(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "there"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &Options{Here: dir}
	tried := 0
	for _, argv := range [][]string{{"sh", "-c", "there"}, {"bash", "-c", "there"}, {"bash", "-c", "exec there"},
		{"env", "there"}, {"dash", "-c", "there"}, {"zsh", "-c", "there"}} {
		cmd := exec.Command(argv[0], argv[1:]...)
		tail := &Tail{To: &bytes.Buffer{}}
		cmd.Stderr, cmd.Env = tail, []string{"PATH=/nowhere", "LC_ALL=C"}
		if cmd.Run(); cmd.ProcessState == nil {
			continue
		}
		tried++
		func() {
			t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
			got := o.Advice(&lab.Ended{Exit: &wire.Exit{}}, cmd.ProcessState.ExitCode(), tail)
			if len(got) != 1 || !strings.Contains(got[0], "--with "+filepath.Join(dir, "there")) {
				t.Errorf("%q: %q of %q", argv, got, tail.last)
			}
		}()
	}
	if tried < 2 {
		t.Errorf("only %d shells were tried", tried)
	}
}

// A program below --root whose interpreter is not there.
func TestAdviceInterpreter(t *testing.T) {
	root := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "script"), []byte("#!/nowhere/python3 -u\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "shell"), []byte("#!"+self+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	e := &lab.Ended{Exit: &wire.Exit{Missing: true}}
	for name, want := range map[string]string{
		"/script": "/script needs /nowhere/python3, which " + root + " does not have",
		"/shell":  "does not have; bring it with --with " + self,
		"/none":   "there is no " + root + "/none",
	} {
		o := &Options{Root: root, Args: []string{name}}
		got := o.Advice(e, ExitNotFound, &Tail{})
		if len(got) != 1 || !strings.HasSuffix(got[0], want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := (&Options{Args: []string{"x"}}).Advice(e, ExitNotFound, &Tail{}); got != nil {
		t.Errorf("without --root: %q", got)
	}
	if sh, err := exec.LookPath("bash"); err == nil {
		f, err := elf.Open(sh)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if got := interpreterOf(sh); !strings.Contains(got, "/ld-linux") {
			t.Errorf("the loader of %s is %q", sh, got)
		}
	}
}

// A Go test that fails and names a file above its directory, which stayed behind, gets the --with that brings it.
func TestAdviceTestdataAbove(t *testing.T) {
	top := t.TempDir()
	here := filepath.Join(top, "pkg")
	for _, dir := range []string{here, filepath.Join(top, "testdata")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	source := "package a\n\nvar file = \"../testdata\"\nvar none = \"../nowhere\"\n"
	if err := os.WriteFile(filepath.Join(here, "a_test.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	failed := &lab.Ended{Exit: &wire.Exit{Code: 1}}
	o := Options{Here: here, Args: []string{"/tmp/a.test", "-test.v"}}
	want := "the test names ../testdata, which did not come along; bring it with --with " + filepath.Join(top, "testdata")
	if got := strings.Join(o.Advice(failed, 1, &Tail{}), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for name, tt := range map[string]struct {
		o    Options
		code int
	}{
		"it passes":     {o, 0},
		"no Go test":    {Options{Here: here, Args: []string{"/tmp/a"}}, 1},
		"it came along": {Options{Here: here, Args: o.Args, With: []string{"../testdata:/x"}}, 1},
	} {
		if got := tt.o.Advice(failed, tt.code, &Tail{}); got != nil {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

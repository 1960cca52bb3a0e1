package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is the shell itself if the test calls it as one.
func TestMain(m *testing.M) {
	if os.Getenv("SH_TEST") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// echo writes its line in one piece.
func TestEchoOnce(t *testing.T) {
	for script, want := range map[string]string{"echo a  b": "a b\n", "echo -n a b": "a b", "echo": "\n",
		"echo -e 'a\\tb'": "a\tb\n", "echo -n": "", "echo 100%": "100%\n", "echo -x": "-x\n"} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_DIRECT); err != nil { // a read is what one write wrote
			t.Fatal(err)
		}
		r, w := os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
		c := exec.Command(os.Args[0], "-c", script)
		c.Env, c.Stdout = append(os.Environ(), "SH_TEST=1"), w
		err := c.Run()
		w.Close()
		b := make([]byte, 64)
		n, _ := r.Read(b)
		r.Close()
		if got := string(b[:n]); err != nil || got != want {
			t.Errorf("%s: the first write is %q, %v, want %q", script, got, err, want)
		}
	}
}

// A script has its arguments, and its status is the shell's.
func TestScripts(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"$# $1 $2\"\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string // by spaces, which are _ inside of one
		in   string
		want string
		code int
	}{
		{script + " one two", "", "2 one two\n", 3},
		{"-- " + script + " -x", "", "1 -x \n", 3},
		{"-c echo_$0_$1;false name first", "", "name first\n", 1},
		{"-ec false;echo_no", "", "", 1},
		{"-c echo_\"$@\" name a_b c", "", "a b c\n", 0},
		{"-s", "echo in $#\nexit 4\n", "in 0\n", 4},
		{"", "echo in\n", "in\n", 0},
		{"-c", "", "", cannotRun},
		{"-c if", "", "", cannotRun},
		{filepath.Join(t.TempDir(), "none"), "", "", cannotRun},
	} {
		var args []string
		for a := range strings.FieldsSeq(tt.args) {
			args = append(args, strings.ReplaceAll(a, "_", " "))
		}
		c := exec.Command(os.Args[0], args...)
		c.Env, c.Stdin = append(os.Environ(), "SH_TEST=1"), strings.NewReader(tt.in)
		out, _ := c.Output() // the status is compared
		if string(out) != tt.want || c.ProcessState.ExitCode() != tt.code {
			t.Errorf("%q: %q and status %d, want %q and %d", args, out, c.ProcessState.ExitCode(), tt.want, tt.code)
		}
	}
}

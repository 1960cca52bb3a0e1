package scan

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/usage"
)

const (
	start   = "[    0.000000] Linux version 6.12\n"
	warning = start + "[    1.000000] ------------[ cut here ]------------\n" +
		"[    1.000001] WARNING: CPU: 0 PID: 1 at kernel/bpf/token.c:10 f+0x1/0x2\n" +
		"[    1.000002] ---[ end trace 0000000000000000 ]---\n"
	panicked = start + "[    1.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000200\n"
)

func isUsage(err error) bool {
	var u *usage.Error
	return errors.As(err, &u)
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLog(t *testing.T) {
	allow, err := ReadAllow([]string{file(t, "allow", "warn: * until=2999-12-31 # known\n")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, text    string
		allowed       bool
		found, counts bool
	}{
		{"nothing", start, false, false, false},
		{"warning", warning, false, true, true},
		{"an allowed warning", warning, true, true, false},
		{"a dead kernel", panicked, true, true, true},
	} {
		list := allow
		if !tt.allowed {
			list = nil
		}
		var out strings.Builder
		r, err := Log(&out, strings.NewReader(tt.text), Stdin, list)
		if err != nil || r.Found != tt.found || r.Counts != tt.counts || (out.Len() > 0) != tt.found {
			t.Errorf("%s: got %+v, %v: %q", tt.name, r, err, out.String())
		}
		if tt.name == "warning" && !strings.HasPrefix(out.String(), "-:2: warn: ") {
			t.Errorf("%s: it begins on line 2: %q", tt.name, out.String())
		}
	}
}

func TestMistakes(t *testing.T) {
	var out strings.Builder
	for _, text := range []string{" \n", "root:x:0\n", "2026-11-27T12:00:00+0200 host sshd[1]: a\n"} {
		if _, err := Log(&out, strings.NewReader(text), Stdin, nil); err == nil || isUsage(err) {
			t.Errorf("%q has no verdict: got %v", text, err)
		}
	}
	if _, err := Log(&out, nil, filepath.Join(t.TempDir(), "absent"), nil); !isUsage(err) {
		t.Errorf("no log: got %v", err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "absent"), file(t, "allow", "warn: *\n")} {
		if _, err := ReadAllow([]string{name}); !isUsage(err) {
			t.Errorf("the list %s: got %v", name, err)
		}
	}
}

// A directory stands for the consoles in it.
func TestLogs(t *testing.T) {
	console := file(t, "console.log", start)
	log := file(t, "dmesg", start)
	got, err := Logs([]string{log, filepath.Dir(console), Stdin}, nil)
	if want := []string{log, console, Stdin}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := Logs([]string{t.TempDir()}, nil); !isUsage(err) {
		t.Errorf("a directory without consoles: got %v", err)
	}
}

package scripts

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// world is a PATH with the programs that setup.sh itself uses and the given commands, each a shell script.
func world(t *testing.T, commands map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"sh", "dirname", "sed", "true", "uname"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, lines := range commands {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSetup(t *testing.T) {
	const (
		here   = "exit 0"
		record = `echo "ran $0 $*" | sed 's|/[^ ]*/||'`
		root   = "echo 0"
		user   = "echo 1000"
	)
	tests := []struct {
		name     string
		commands map[string]string
		status   int
		want     []string // in the output; none means no output
	}{
		{"all there", map[string]string{"go": here, "qemu-system-x86_64": here}, 0, nil},
		{"no go", map[string]string{"qemu-system-x86_64": here}, 3, []string{"setup: no go command: install Go 1."}},
		{"an older go", map[string]string{"go": "echo too old >&2; exit 1"}, 3,
			[]string{"setup: the go command does not accept this module: too old"}},
		{"Debian, root", map[string]string{"go": here, "apt-get": record, "id": root}, 0,
			[]string{"ran apt-get -q update", "ran apt-get -qy install --no-install-recommends qemu-system-x86"}},
		{"Debian, sudo", map[string]string{"go": here, "apt-get": record, "id": user, "sudo": `shift; exec "$@"`}, 0,
			[]string{"ran apt-get -qy install --no-install-recommends qemu-system-x86"}},
		{"Debian, sudo asks", map[string]string{"go": here, "apt-get": record, "id": user, "sudo": "exit 1"}, 3,
			[]string{"run as root: apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install"}},
		{"Debian, no sudo", map[string]string{"go": here, "apt-get": record, "id": user}, 3,
			[]string{"run as root: apt-get"}},
		{"Debian, no network", map[string]string{"go": here, "apt-get": "exit 100", "id": root}, 3,
			[]string{"setup: could not install qemu-system-x86_64"}},
		{"Fedora", map[string]string{"go": here, "dnf": record, "id": user}, 3, []string{"run as root: dnf -qy install"}},
		{"Arch", map[string]string{"go": here, "pacman": record, "id": root}, 0, []string{"ran pacman -S"}},
		{"jq as well", map[string]string{"go": here, "qemu-system-x86_64": here, "apt-get": record, "id": root}, 0,
			[]string{"setup: installing jq", "ran apt-get -qy install --no-install-recommends jq"}},
		{"jq and QEMU", map[string]string{"go": here, "dnf": record, "id": root}, 0,
			[]string{"ran dnf -qy install qemu-system-x86-core jq"}},
		{"jq is there", map[string]string{"go": here, "qemu-system-x86_64": here, "jq": here}, 0, nil},
		{"kernel deb:6.12/arm64", map[string]string{"go": here, "qemu-system-x86_64": here, "apt-get": record, "id": root}, 0,
			[]string{"ran apt-get -qy install --no-install-recommends qemu-system-arm"}},
		{"kernel deb:7.3/aarch64:arm64-16k", map[string]string{"go": here, "qemu-system-aarch64": here}, 0, nil},
		{"kernel deb:6.12/s390x", map[string]string{"go": here, "apt-get": record, "id": root}, 0,
			[]string{"ran apt-get -qy install --no-install-recommends qemu-system-misc"}},
		{"jq for kernel deb:6.12/s390x", map[string]string{"go": here, "dnf": record, "id": root}, 0,
			[]string{"ran dnf -qy install qemu-system-s390x-core jq"}},
		{"kernel deb:6.12/vax", map[string]string{"go": here}, 0, nil},
		{"kernel a/b", map[string]string{"go": here, "qemu-system-x86_64": here}, 0, nil},
		{"unknown", map[string]string{"go": here, "id": root}, 3, []string{"setup: missing: qemu-system-x86_64; install it"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("./setup.sh")
			if _, ref, ok := strings.Cut(tt.name, "kernel "); ok {
				cmd.Args = append(cmd.Args, "--kernel", ref)
			}
			if strings.HasPrefix(tt.name, "jq") {
				cmd.Args = append(cmd.Args, "jq")
			}
			release := filepath.Join(t.TempDir(), "os-release")
			if err := os.WriteFile(release, []byte("ID=debian\nVERSION_ID=\"12\"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd.Env = []string{"PATH=" + world(t, tt.commands), "OS_RELEASE=" + release}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.status {
				t.Errorf("exit status: got %d, want %d", got, tt.status)
			}
			if len(tt.want) == 0 && len(out) > 0 {
				t.Errorf("got %q, want no output", out)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("got %q, want %q", out, want)
				}
			}
		})
	}
}

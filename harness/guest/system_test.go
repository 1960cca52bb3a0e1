package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of a small system are written, but not over those that came along.
func TestSystemFiles(t *testing.T) {
	root := t.TempDir()
	hosts := filepath.Join(root, "etc/hosts")
	if err := os.MkdirAll(filepath.Dir(hosts), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hosts, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	writeSystemFiles(root)
	for name, want := range map[string]string{
		"etc/hosts": "mine", "etc/passwd": "root:x:0:0:", "etc/group": "root:x:0:", "etc/hostname": hostName,
	} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Errorf("%s: got %q, %v", name, text, err)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "var/tmp")); err != nil || info.Mode()&os.ModeSticky == 0 ||
		info.Mode().Perm() != 0o777 {
		t.Errorf("var/tmp: %v, %v", info, err)
	}
}

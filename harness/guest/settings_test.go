package guest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// A setting is changed, and what then stands in its file counts: not what was
// written, and not what the kernel refused.
func TestChange(t *testing.T) {
	at := func(name, text string) *step.Setting {
		s := *step.SettingNamed(name)
		s.File = filepath.Join(t.TempDir(), "setting")
		if err := os.WriteFile(s.File, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return &s
	}
	scope := at(step.PtraceScope, "1\n")
	if v, ok := readSetting(scope); v != 1 || !ok {
		t.Fatalf("read %d, %t, want 1", v, ok)
	}
	if v, errno := change(scope, 1); v != 0 || errno != 0 {
		t.Errorf("changed to %d, %s, want 0", v, errno)
	}
	if v, ok := readSetting(scope); v != 0 || !ok {
		t.Errorf("the file holds %d, %t, want 0", v, ok)
	}
	scope.File = filepath.Join(t.TempDir(), "none", "setting")
	if v, errno := change(scope, 3); v != 3 || errno != uapi.Errno(unix.ENOENT) {
		t.Errorf("refused: %d, %s, want 3 and ENOENT", v, errno)
	}
	if _, ok := readSetting(scope); ok {
		t.Error("a kernel without the file has the setting")
	}
	locked := at(step.UnprivDisabled, "1\n")
	if v, errno := change(locked, 1); v != 1 || errno != uapi.Errno(unix.EPERM) {
		t.Errorf("locked: %d, %s, want 1 and EPERM", v, errno)
	}
	open := at(step.UnprivDisabled, "0\n")
	if v, errno := change(open, 0); v != 2 || errno != 0 {
		t.Errorf("what each world sets: %d, %s, want 2", v, errno)
	}
	if v, _ := readSetting(open); v != 0 {
		t.Errorf("what each world sets was set before the first world, to %d", v)
	}
}

package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokentest/harness/wire"
)

// Lines of the kernel's log that a program wrote are told as the console shows
// them; those of the kernel and of the agent are not.
func TestUserSpaceLine(t *testing.T) {
	for record, want := range map[string]string{
		"12,845,5123456,-;BUG: KASAN: made up\n":  "[    5.123456] BUG: KASAN: made up",
		"11,1,99000001,-;text; with more\n K=V\n": "[   99.000001] text; with more",
		"4,845,5123456,-;BUG: KASAN: true\n":      "",
		"12,845,5123456,-;tokentest: begin x\n":   "",
		"rubbish":                                 "",
		"12,845;x":                                "",
	} {
		if got := userSpaceLine(record); got != want {
			t.Errorf("%q: got %q, want %q", record, got, want)
		}
	}
}

// Files come in parts, in order, with their modes.
func TestReceive(t *testing.T) {
	dir := t.TempDir()
	g := &agent{}
	long := strings.Repeat("x", 1000)
	for _, f := range []wire.File{
		{Path: dir + "/sub", Kind: wire.Directory, Mode: 0o750},
		{Path: dir + "/sub/prog", Mode: 0o555, Data: []byte(long)},
		{Path: dir + "/sub/prog", More: true, Data: []byte("end")},
		{Path: dir + "/deep/er/file", Mode: 0o644, Data: []byte("f")},
		{Path: dir + "/link", Kind: wire.Symlink, Data: []byte("sub/prog")},
	} {
		if err := g.receive(wire.EncodeFile(&f)); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.closeReceived(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "link")); err != nil || string(got) != long+"end" {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	info, err := os.Stat(dir + "/sub/prog")
	if err != nil || info.Mode().Perm() != 0o555 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := g.receive([]byte("rubbish")); err == nil {
		t.Error("rubbish is taken for a file")
	}
}

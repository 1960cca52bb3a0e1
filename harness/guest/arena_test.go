package guest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReadISA(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cpuinfo")
	for text, want := range map[string]string{
		"Features\t: fp asimd evtstrm\nCPU architecture: 8\n": "fp asimd evtstrm",
		"": "", "flags\t\t: fpu\n": "",
		"processor\t: 0\nhart\t\t: 0\nisa\t\t: rv64imafdch_zacas\nmmu\t: sv57\n\nisa\t: other\n": "rv64imafdch_zacas",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readISA(name); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := readISA(name + "x"); got != "" {
		t.Errorf("no file: %q", got)
	}
}

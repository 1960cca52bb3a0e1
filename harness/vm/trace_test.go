package vm

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What QEMU writes to its log reaches the machine's writer, also if QEMU ends at once.
func TestBlockLog(t *testing.T) {
	var got bytes.Buffer
	m := Machine{Dir: t.TempDir(), Blocks: &got}
	l, err := newBlockLog(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Dir, TraceLog), []byte("Trace 0\n"), 0); err != nil {
		t.Fatal(err)
	}
	l.close()
	if got.String() != "Trace 0\n" {
		t.Errorf("got %q", got.String())
	}
	if _, err := newBlockLog(m); err == nil {
		t.Error("a second pipe was made in one directory")
	}
	if l, err := newBlockLog(Machine{}); l != nil || err != nil {
		t.Errorf("without a writer: %v, %v", l, err)
	}
}

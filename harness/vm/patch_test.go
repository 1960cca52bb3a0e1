package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// state is a migration stream as QEMU writes it, with two blocks of memory. The page at 0x1000 of
// pc.ram is written twice, the one at 0x2000 has only zeros.
func state() []byte {
	var b bytes.Buffer
	word := func(v uint64) { b.Write(binary.BigEndian.AppendUint64(nil, v)) }
	name := func(s string) { b.WriteByte(byte(len(s))); b.WriteString(s) }
	page := func(fill byte) { b.Write(bytes.Repeat([]byte{fill}, pageSize)) }
	part := func(kind byte) { b.Write([]byte{footer, 0, 0, 0, 2, kind, 0, 0, 0, 2}) }
	b.WriteString("QEVM\x00\x00\x00\x03\x07machine\x01\x00\x00\x00\x02" + ramStart)
	word(0x5000 | flagSizes)
	name(ramBlock)
	word(0x4000)
	name("pc.rom")
	word(0x1000)
	word(flagEnd)
	part(ramPart)
	word(0x1000 | flagPage)
	name(ramBlock)
	page('a')
	word(0x2000 | flagZero | flagSame)
	b.WriteByte(0)
	word(flagEnd)
	part(ramPart)
	word(0x1000 | flagPage)
	name("pc.rom")
	page('r')
	word(0x1000 | flagPage)
	name(ramBlock)
	page('b')
	word(flagEnd)
	part(ramEnd)
	word(flagEnd)
	b.Write([]byte{footer, 0, 0, 0, 2, 4, 0, 0, 0, 0})
	b.WriteString("the devices")
	return b.Bytes()
}

// The last copy of a page counts, and only in the guest's memory.
func TestFindPages(t *testing.T) {
	whole := state()
	pages, err := findPages(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	at := pages[0x1000]
	if at == 0 || whole[at] != 'b' || whole[at+pageSize-1] != 'b' {
		t.Errorf("the page is at %d", at)
	}
	if pages[0x2000] != 0 || pages[0x3000] != 0 {
		t.Errorf("got %v", pages)
	}
	for _, n := range []int{10, 60, len(whole) / 2} {
		if _, err := findPages(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d bytes are a whole state", n)
		}
	}
}

// The bytes are replaced in the stream, and the file stays as it is.
func TestPatched(t *testing.T) {
	whole := state()
	path := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	s := &Snapshot{Path: path}
	patches := []Patch{{At: kernelMap + 0x1ffe, Old: []byte("bb"), New: []byte("xy")},
		{At: kernelMap + 0x1000, Old: []byte("b"), New: []byte("z")}}
	f, err := s.open(patches)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(f)
	f.Close()
	if err != nil || len(got) != len(whole) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(whole), err)
	}
	at := bytes.LastIndex(whole, bytes.Repeat([]byte("b"), pageSize))
	want := bytes.Clone(whole)
	want[at], want[at+pageSize-2], want[at+pageSize-1] = 'z', 'x', 'y'
	if !bytes.Equal(got, want) {
		t.Error("the stream differs in other bytes")
	}
	if now, _ := os.ReadFile(path); !bytes.Equal(now, whole) {
		t.Error("the snapshot was changed")
	}
	for _, bad := range []Patch{
		{At: kernelMap + 0x1000, Old: []byte("c"), New: []byte("d")},
		{At: kernelMap + 0x2000, Old: []byte{0}, New: []byte{1}},
	} {
		if _, err := s.open([]Patch{bad}); !errors.Is(err, ErrPatch) {
			t.Errorf("%+v: got %v", bad, err)
		}
		if err := s.Check([]Patch{bad}); !errors.Is(err, ErrPatch) {
			t.Errorf("%+v: checked: %v", bad, err)
		}
	}
}

// A machine that boots cannot be patched: it would run the unchanged kernel.
func TestPatchesNeedSnapshot(t *testing.T) {
	m := &Machine{Kernel: "k", Dir: "d", Accel: TCG, Patches: []Patch{{}}}
	if _, err := m.resolve(); err == nil || !strings.Contains(err.Error(), "Patches are of a snapshot") {
		t.Errorf("got %v", err)
	}
}

package guest

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A ring buffer gives the record that was written, once, and nothing else.
func TestRing(t *testing.T) {
	page := os.Getpagesize()
	written := func(length uint32, value uint64, pos uint64) *ring {
		r := &ring{make([]byte, page), make([]byte, page+2*bufferLen)}
		binary.NativeEndian.PutUint64(r.written, pos)
		binary.NativeEndian.PutUint32(r.written[page:], length)
		binary.NativeEndian.PutUint64(r.written[page+8:], value)
		return r
	}
	r := written(8, record, 16)
	if !r.read() || r.read() {
		t.Error("the record is not read, or twice")
	}
	for what, r := range map[string]*ring{
		"nothing": written(8, record, 0), "another value": written(8, record+1, 16), "another length": written(4, record,
			16), "two records": written(8, record, 32),
	} {
		if r.read() {
			t.Errorf("%s was read as the record", what)
		}
	}
}

// Of the processors' buffers one must hold the record, and no other anything.
func TestPerfReader(t *testing.T) {
	page := os.Getpagesize()
	buffer := func(kind, size uint32, value uint64) []byte {
		b := make([]byte, 2*page)
		binary.NativeEndian.PutUint64(b[1024:], 24)
		binary.NativeEndian.PutUint32(b[page:], kind)
		binary.NativeEndian.PutUint32(b[page+8:], size)
		binary.NativeEndian.PutUint64(b[page+12:], value)
		return b
	}
	good, empty := buffer(unix.PERF_RECORD_SAMPLE, 12, record), make([]byte, 2*page)
	for _, tt := range []struct {
		what  string
		pages [][]byte
		want  bool
	}{
		{"one of two", [][]byte{empty, good}, true},
		{"none", [][]byte{empty, empty}, false},
		{"both", [][]byte{good, good}, false},
		{"lost records", [][]byte{buffer(unix.PERF_RECORD_LOST, 12, record)}, false},
		{"another value", [][]byte{buffer(unix.PERF_RECORD_SAMPLE, 12, record+1)}, false},
		{"too short", [][]byte{buffer(unix.PERF_RECORD_SAMPLE, 4, record)}, false},
	} {
		if got := (&perfReader{pages: tt.pages}).read(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.what, got, tt.want)
		}
	}
}

package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
)

// FuzzReader: whatever comes in, the reader ends with io.EOF or ErrCorrupt, and
// what it took for records is, framed again, just what came in.
func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, r := range someRecords {
		if err := w.Write(r.kind, r.payload); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:headerLen+3])
	f.Add(readRecords(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readAll(NewReader(bytes.NewReader(in)))
		if err != io.EOF && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("error %v", err)
		}
		if out := stream(t, got); !bytes.HasPrefix(in, out) {
			t.Errorf("%d records are not what came in", len(got))
		}
	})
}

// fuzzDecode: a decoder refuses with ErrCorrupt, or yields a value that says
// the same when it is encoded and decoded again.
func fuzzDecode(f *testing.F, name string) {
	var c codec
	for _, k := range codecs() {
		if k.name == name {
			c = k
		}
	}
	f.Add(c.bytes)
	f.Add([]byte{})
	guest, _ := readAll(NewReader(bytes.NewReader(readRecords(f)))) // they end with io.EOF
	for _, r := range guest {
		if r.kind == c.kind {
			f.Add(r.payload)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := c.decode(in)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := c.decode(c.encode(v))
		if err != nil || !reflect.DeepEqual(again, v) {
			t.Errorf("got %+v, and again %+v, %v", v, again, err)
		}
	})
}

func FuzzDecodeProgram(f *testing.F) { fuzzDecode(f, "program") }
func FuzzDecodeCells(f *testing.F)   { fuzzDecode(f, "cells") }
func FuzzDecodeSteps(f *testing.F)   { fuzzDecode(f, "steps") }
func FuzzDecodeRange(f *testing.F)   { fuzzDecode(f, "range") }
func FuzzDecodeResults(f *testing.F) { fuzzDecode(f, "results") }

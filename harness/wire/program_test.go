package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestFile(t *testing.T) {
	for _, want := range []File{
		{Path: "/a", Mode: 0o755, Data: []byte("text")},
		{Path: "/a/b", Kind: Directory, Mode: 0o700, Data: []byte{}},
		{Path: "/l", Kind: Symlink, Data: []byte("../x")},
		{Path: "/a", More: true, Data: []byte{0, 1, 2}},
	} {
		got, err := DecodeFile(EncodeFile(&want))
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	for _, bad := range []File{{Path: ""}, {Path: "a"}, {Path: "/../etc"}, {Path: "/a/"}, {Path: "/a", Kind: 9},
		{Path: "/a\x00b"}} {
		if f, err := DecodeFile(EncodeFile(&bad)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v is taken for %+v, %v", bad, f, err)
		}
	}
}

// FuzzDecodeFile: a decoder refuses with ErrCorrupt, or yields a file that is
// the same when it is encoded and decoded again.
func FuzzDecodeFile(f *testing.F) {
	f.Add(EncodeFile(&File{Path: "/a/b", Mode: 0o755, Data: []byte("text")}))
	f.Add([]byte{200, 200, 200, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := DecodeFile(in)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error %v", err)
			}
			return
		}
		again, err := DecodeFile(EncodeFile(got))
		if err != nil || again.Path != got.Path || again.Kind != got.Kind || !bytes.Equal(again.Data, got.Data) {
			t.Errorf("%+v became %+v, %v", got, again, err)
		}
	})
}

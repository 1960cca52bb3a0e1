package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

type sent struct {
	kind    Kind
	payload []byte
}

var someRecords = []sent{
	{KindHello, []byte(`{"build_id":"x"}`)}, {KindStage, nil}, {KindBegin, EncodeRange(Range{3, 64})},
	{KindEnd, bytes.Repeat([]byte{0xb5, 0x54, 3, 0}, 5)}, // looks like the beginning of records
	{KindDone, nil},
}

func stream(t *testing.T, records []sent) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, r := range records {
		if err := w.Write(r.kind, r.payload); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// frames cuts a stream into its records.
func frames(t *testing.T, records []sent) [][]byte {
	t.Helper()
	all := stream(t, records)
	var out [][]byte
	for _, r := range records {
		n := headerLen + len(r.payload)
		out, all = append(out, all[:n]), all[n:]
	}
	return out
}

// readAll reads until an error, which it returns.
func readAll(r *Reader) ([]sent, error) {
	var out []sent
	for {
		k, p, err := r.Read()
		if err != nil {
			return out, err
		}
		out = append(out, sent{k, bytes.Clone(p)})
	}
}

// isPrefix reports whether got is what was sent first.
func isPrefix(got, all []sent) bool {
	for i, r := range got {
		if i >= len(all) || r.kind != all[i].kind || !bytes.Equal(r.payload, all[i].payload) {
			return false
		}
	}
	return true
}

func TestRoundTrip(t *testing.T) {
	records := append([]sent{{KindCells, bytes.Repeat([]byte{7}, MaxPayload)}}, someRecords...)
	for name, r := range map[string]io.Reader{
		"at once":          bytes.NewReader(stream(t, records)),
		"a byte at a time": iotest.OneByteReader(bytes.NewReader(stream(t, records))),
		"data with EOF":    iotest.DataErrReader(bytes.NewReader(stream(t, records))),
	} {
		got, err := readAll(NewReader(r))
		if err != io.EOF || len(got) != len(records) || !isPrefix(got, records) {
			t.Errorf("%s: %d records of %d, then %v", name, len(got), len(records), err)
		}
	}
}

// A queued record goes out with the next write, and in one.
func TestQueue(t *testing.T) {
	var writes [][]byte
	w := NewWriter(writerFunc(func(p []byte) (int, error) {
		writes = append(writes, bytes.Clone(p))
		return len(p), nil
	}))
	for _, r := range someRecords[:3] {
		if err := w.Queue(r.kind, r.payload); err != nil {
			t.Fatal(err)
		}
	}
	if len(writes) != 0 {
		t.Fatalf("%d writes before Write", len(writes))
	}
	for _, r := range someRecords[3:] {
		if err := w.Write(r.kind, r.payload); err != nil {
			t.Fatal(err)
		}
	}
	if len(writes) != 2 {
		t.Errorf("%d writes, want 2", len(writes))
	}
	if want := stream(t, someRecords); !bytes.Equal(bytes.Join(writes, nil), want) {
		t.Error("queued records are framed otherwise than written ones")
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestWriteErrors(t *testing.T) {
	full := errors.New("no space")
	w := NewWriter(writerFunc(func([]byte) (int, error) { return 0, full }))
	if err := w.Write(KindHello, nil); !errors.Is(err, full) || !strings.Contains(err.Error(), "write hello record") {
		t.Errorf("got %v, want the writer's, with the record's name", err)
	}
	if err := w.Write(KindEnd, make([]byte, MaxPayload+1)); err == nil || !strings.Contains(err.Error(), "end record") {
		t.Errorf("an oversize payload: %v", err)
	}
}

// Whatever bit of a stream is damaged, the reader yields the records before
// it and then says that the stream is corrupt: never another record.
func TestEveryDamageIsRefused(t *testing.T) {
	good := stream(t, someRecords)
	for i := range good {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= flip
			got, err := readAll(NewReader(bytes.NewReader(bad)))
			if !isPrefix(got, someRecords) || len(got) == len(someRecords) || !errors.Is(err, ErrCorrupt) {
				t.Fatalf("byte %d ^ %#x: %d records, right: %v, then %v", i, flip, len(got), isPrefix(got, someRecords), err)
			}
		}
	}
}

// A stream that is cut off is corrupt, but for a cut between records.
func TestEveryCut(t *testing.T) {
	good := stream(t, someRecords)
	between := map[int]bool{0: true}
	at := 0
	for _, r := range someRecords {
		at += headerLen + len(r.payload)
		between[at] = true
	}
	for n := range len(good) + 1 {
		got, err := readAll(NewReader(bytes.NewReader(good[:n])))
		if !isPrefix(got, someRecords) {
			t.Fatalf("cut at %d: wrong records", n)
		}
		if (err == io.EOF) != between[n] || !between[n] && !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v, between records: %v", n, err, between[n])
		}
	}
}

func TestOrder(t *testing.T) {
	f := frames(t, someRecords)
	for _, tt := range []struct {
		name string
		in   [][]byte
		good int // records before the error
		want string
	}{
		{"repeated", [][]byte{f[0], f[0], f[1]}, 1, "record 1: its number is 0"},
		{"missing", [][]byte{f[0], f[2]}, 1, "record 1: its number is 2"},
		{"first missing", f[1:], 0, "record 0: its number is 1"},
		{"swapped", [][]byte{f[0], f[2], f[1]}, 1, "record 1: its number is 2"},
		{"from another stream", [][]byte{f[0], f[1], f[2], f[0]}, 3, "record 3: its number is 0"},
		{"noise before", [][]byte{[]byte("printk: something\n"), f[0]}, 0, "record 0: no record starts here"},
		{"noise between", [][]byte{f[0], []byte("printk: something\n"), f[1]}, 1, "record 1: no record starts here"},
		{"nothing but zeros", [][]byte{make([]byte, 64)}, 0, "record 0: no record starts here"},
	} {
		got, err := readAll(NewReader(bytes.NewReader(bytes.Join(tt.in, nil))))
		if len(got) != tt.good || !isPrefix(got, someRecords) || !errors.Is(err, ErrCorrupt) ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %d records, then %v; want %d and %q", tt.name, len(got), err, tt.good, tt.want)
		}
	}
}

// A length that is too big is refused before anything is allocated or read.
func TestOversizeLength(t *testing.T) {
	for _, n := range []uint32{MaxPayload + 1, 1 << 31, ^uint32(0)} {
		b := append([]byte{magic[0], magic[1], byte(KindEnd), 0}, make([]byte, 12)...)
		binary.LittleEndian.PutUint32(b[8:], n)
		r := io.MultiReader(bytes.NewReader(b), iotest.ErrReader(errors.New("the reader went on")))
		if _, _, err := NewReader(r).Read(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "a length of") {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

// What the channel itself reports between records is no corruption.
func TestReadError(t *testing.T) {
	gone := errors.New("the port is gone")
	r := NewReader(io.MultiReader(bytes.NewReader(stream(t, someRecords[:1])), iotest.ErrReader(gone)))
	if got, err := readAll(r); len(got) != 1 || err != gone {
		t.Errorf("%d records, then %v, want %v", len(got), err, gone)
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := KindWorld; k <= KindCosts; k++ {
		if s := k.String(); s == "" || seen[s] || strings.HasPrefix(s, "kind ") {
			t.Errorf("kind %d is called %q", uint8(k), s)
		}
		seen[k.String()] = true
	}
	if Kind(0).String() != "kind 0" || Kind(200).String() != "kind 200" {
		t.Errorf("kinds that are none are called %s and %s", Kind(0), Kind(200))
	}
}

package wire

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tokentest/cases/step"
)

// guestRecords is what a guest of s390x (6.12.107), which is big-endian, sent of a run of three cases.
const guestRecords = "testdata/s390x.records"

func readRecords(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(guestRecords)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// What a big-endian guest sends is read here, and means here what it meant there: written again, it is the same.
func TestGuestOfOtherByteOrder(t *testing.T) {
	text := readRecords(t)
	got, err := readAll(NewReader(bytes.NewReader(text)))
	if err != io.EOF || len(got) < 5 || !bytes.Equal(stream(t, got), text) {
		t.Fatalf("%d records, %v; or they differ if they are written again", len(got), err)
	}
	var hello Hello
	if err := DecodeJSON(got[0].payload, &hello); err != nil || got[0].kind != KindHello ||
		hello.Machine != "s390x" || hello.PageSize != 4096 || !hello.Token {
		t.Errorf("hello: %v, %+v", err, hello)
	}
	results, worked := 0, 0
	for _, r := range got {
		if r.kind != KindEnd && r.kind != KindSetup {
			continue
		}
		end, err := DecodeResults(r.payload)
		if err != nil || !bytes.Equal(EncodeResults(end), r.payload) {
			t.Fatalf("%s: %v, %+v", r.kind, err, end)
		}
		for _, cell := range end.Cells {
			for _, o := range cell {
				if results++; o.Proof == step.Works {
					worked++
				}
				if o.Errno > 524 || o.Proof > step.SurvivesExec {
					t.Errorf("a number of another byte order: %+v", o)
				}
			}
		}
	}
	if results < 20 || worked < 5 {
		t.Errorf("%d results, of which %d show a proof", results, worked)
	}
}

// everything is one of each record and payload, as this program writes it.
func everything(t *testing.T) []byte {
	out := stream(t, someRecords)
	for _, c := range codecs() {
		out = append(out, c.encode(c.value)...)
	}
	return out
}

// peerFile names the file that TestPeer writes, in the process that TestOtherByteOrder starts.
const peerFile = "TOKENTEST_PEER"

func TestPeer(t *testing.T) {
	name := os.Getenv(peerFile)
	if name == "" {
		t.Skip("TestOtherByteOrder starts it")
	}
	if err := os.WriteFile(name, everything(t), 0o644); err != nil {
		t.Fatal(err)
	}
}

// This package as a big-endian program writes the same bytes.
func TestOtherByteOrder(t *testing.T) {
	static, _ := exec.LookPath("qemu-s390x-static")
	dynamic, _ := exec.LookPath("qemu-s390x")
	emulator := cmp.Or(static, dynamic)
	if emulator == "" || testing.Short() {
		t.Skip("no qemu-s390x here (Debian's package qemu-user-static), or -short")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "written")
	c := exec.CommandContext(t.Context(), "go", "test", "-vet=off", "-count=1", "-exec", emulator, "-run", "^TestPeer$",
		".")
	c.Env = append(os.Environ(), "GOARCH=s390x", "CGO_ENABLED=0", peerFile+"="+name)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, everything(t)) {
		t.Errorf("%v; wrote %x,\nwant %x", err, got, everything(t))
	}
}

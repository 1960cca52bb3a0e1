package vm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kept is a file in memory.
type kept struct {
	bytes.Buffer
	fails error
}

func (k *kept) Write(p []byte) (int, error) {
	if k.fails != nil {
		return 0, k.fails
	}
	return k.Buffer.Write(p)
}

func (k *kept) Close() error { return nil }

// TestBoundedLog: a long log keeps its start and its end, and offsets in the stream
// lead to the same bytes in the log if those are kept.
func TestBoundedLog(t *testing.T) {
	const stream = "0123456789abcdefghijklmnopqrstuvwxyz"
	for _, piece := range []int{1, 3, 7, len(stream)} {
		file := &kept{}
		l := &boundedLog{w: file, head: 10, tail: 5}
		for rest := stream; rest != ""; rest = rest[min(piece, len(rest)):] {
			if _, err := l.Write([]byte(rest[:min(piece, len(rest))])); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		got := file.String()
		if !strings.HasPrefix(got, "0123456789\n") || !strings.HasSuffix(got, "\nvwxyz") ||
			!strings.Contains(got, " 21 bytes of the console are left out here ") {
			t.Errorf("pieces of %d: got %q", piece, got)
		}
		for at, want := range map[int64]byte{0: '0', 9: '9', 31: 'v', 35: 'z', 15: '\n'} {
			if c := got[l.offset(at)]; c != want {
				t.Errorf("pieces of %d: offset %d leads to %q, want %q", piece, at, c, want)
			}
		}
	}
	short := &kept{}
	l := &boundedLog{w: short, head: 10, tail: 5}
	l.Write([]byte("0123456789abcde"))
	l.Close()
	if short.String() != "0123456789abcde" || l.offset(12) != 12 {
		t.Errorf("a log that fits: got %q, offset 12 leads to %d", short.String(), l.offset(12))
	}
}

// TestConsoleOnFullDisk: a full disk stops neither the guest nor the classifier, and
// close returns the error.
func TestConsoleOnFullDisk(t *testing.T) {
	c := &console{log: &boundedLog{w: &kept{fails: errors.New("no space")}, head: 10, tail: 5}}
	for range 2 {
		if n, err := c.Write([]byte(warning)); n != len(warning) || err != nil {
			t.Errorf("Write() = %d, %v", n, err)
		}
	}
	r, heard, err := c.close()
	if len(r.Findings) != 2 || !heard || err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("got %d findings, heard %v, %v", len(r.Findings), heard, err)
	}
}

// failing is a writer that takes one write.
type failing struct{ writes int }

func (f *failing) Write(p []byte) (int, error) {
	f.writes++
	return 0, errors.New("closed")
}

// TestConsoleCopy: a copy that fails once gets no more, and the log is complete.
func TestConsoleCopy(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), consoleLog))
	if err != nil {
		t.Fatal(err)
	}
	to := &failing{}
	c := newConsole(file, to, time.Now())
	c.Write([]byte("a\n"))
	c.Write([]byte("b\n"))
	if _, _, err := c.close(); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(file.Name()); string(log) != "a\nb\n" || to.writes != 1 {
		t.Errorf("the log holds %q, %v; the copy got %d writes, want 1", log, err, to.writes)
	}
}

func TestConsoleSilent(t *testing.T) {
	c := &console{log: &boundedLog{w: &kept{}, head: 10, tail: 5}}
	if r, heard, err := c.close(); heard || err != nil || len(r.Findings) > 0 {
		t.Errorf("got %+v, heard %v, %v", r, heard, err)
	}
}

package kconfig

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// kernel is a vmlinux as far as ReadImage looks at it: something like code with
// many calls, a false mark, and the configuration a little past the first chunk.
func kernel(t *testing.T, config string) []byte {
	t.Helper()
	random := rand.New(rand.NewSource(1))
	code := make([]byte, 300_000)
	for i := range code {
		code[i] = []byte{0xe8, 0xe9, 0, 0xff, 0x90, byte(random.Int())}[random.Intn(6)]
	}
	out := append(code, "IKCFG_ST is only a string here"...)
	if config != "" {
		out = append(out, "IKCFG_ST"...)
		out = append(out, gzipped(t, []byte(config))...)
		out = append(out, "IKCFG_ED"...)
	}
	return append(out, code...)
}

func gzipped(t *testing.T, b []byte) []byte {
	return packed(t, b, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

func packed(t *testing.T, b []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// program packs with a program of the host, the same that the kernel's build uses.
func program(t *testing.T, b []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s to pack a kernel as its build does", name)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// bzImage puts a payload after a boot header; size is appended as size_append does.
func bzImage(payload []byte, unpacked int) []byte {
	const setup, offset = 2, 0x40
	b := make([]byte, (setup+1)*512+offset)
	b[0x1f1] = setup
	copy(b[0x202:], "HdrS\x0f\x02")
	if unpacked > 0 {
		payload = binary.LittleEndian.AppendUint32(payload, uint32(unpacked))
	}
	binary.LittleEndian.PutUint32(b[0x248:], offset)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(len(payload)))
	return append(append(b, payload...), "a signature follows"...)
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadImage(t *testing.T) {
	plain := kernel(t, "CONFIG_BPF=y\n")
	n := len(plain)
	tests := []struct {
		name  string
		image func(t *testing.T) []byte
	}{
		{"vmlinux", func(t *testing.T) []byte { return plain }},
		{"mark across two reads", func(t *testing.T) []byte {
			return append(append(make([]byte, 1<<18-4), "IKCFG_ST"...), gzipped(t, []byte("CONFIG_BPF=y\n"))...)
		}},
		{"gzip", func(t *testing.T) []byte { return bzImage(gzipped(t, plain), 0) }},
		{"zstd", func(t *testing.T) []byte {
			return bzImage(packed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), n)
		}},
		{"lzma", func(t *testing.T) []byte {
			return bzImage(packed(t, plain, func(w io.Writer) (io.WriteCloser, error) { return lzma.NewWriter(w) }), n)
		}},
		{"lz4", func(t *testing.T) []byte {
			return bzImage(packed(t, plain, func(w io.Writer) (io.WriteCloser, error) {
				z := lz4.NewWriter(w)
				return z, z.Apply(lz4.LegacyOption(true))
			}), n)
		}},
		{"xz", func(t *testing.T) []byte {
			return bzImage(program(t, plain, "xz", "--check=crc32", "--x86", "--lzma2=,dict=32MiB"), n)
		}},
		{"xz without filter", func(t *testing.T) []byte { return bzImage(program(t, plain, "xz", "--check=none"), n) }},
		{"lzo", func(t *testing.T) []byte { return bzImage(program(t, plain, "lzop", "-9"), n) }},
		{"bzip2", func(t *testing.T) []byte { return bzImage(program(t, plain, "bzip2", "-9"), n) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config, err := ReadImage(write(t, tt.image(t)))
			if err != nil {
				t.Fatal(err)
			}
			if !config.BuiltIn("BPF") {
				t.Errorf("got %v, want BPF=y", config)
			}
		})
	}
}

// TestX86Filter compares the whole of what xz packed, not only that a
// configuration in it can be found.
func TestX86Filter(t *testing.T) {
	plain := kernel(t, "")
	packed := program(t, plain, "xz", "--x86", "--lzma2")
	r, err := newXZ(bytes.NewReader(packed), uint32(len(plain)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(plain) {
		t.Fatalf("got %d bytes, want %d", len(got), len(plain))
	}
	for i := range got {
		if got[i] != plain[i] {
			t.Fatalf("byte %d is %#x, want %#x", i, got[i], plain[i])
		}
	}
}

// TestLZO compares all of what lzop packed: blocks that became smaller, a block that
// did not, and files that are cut off.
func TestLZO(t *testing.T) {
	random, err := os.ReadFile("testdata/random")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]byte{
		"text.lzo":   bytes.Repeat([]byte("a kernel's text "), 40_000),
		"random.lzo": random,
	} {
		packed, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for size := 0; size < len(packed); size += 13 {
			r, err := newLZO(bytes.NewReader(packed[:size]), 0)
			if err == nil {
				_, err = io.ReadAll(r)
			}
			if err == nil {
				t.Fatalf("%s: the first %d of %d bytes are taken for the whole", file, size, len(packed))
			}
		}
		r, err := newLZO(bytes.NewReader(packed), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes and error %v, want %d bytes", file, len(got), err, len(want))
		}
	}
}

func TestReadImageErrors(t *testing.T) {
	whole := bzImage(gzipped(t, kernel(t, "CONFIG_BPF=y\n")), 0)
	old := bzImage(nil, 0)
	old[0x206] = 6
	tests := []struct {
		name  string
		image []byte
		want  string
	}{
		{"none in vmlinux", kernel(t, ""), ErrNoConfig.Error()},
		{"none in bzImage", bzImage(gzipped(t, kernel(t, "")), 0), ErrNoConfig.Error()},
		{"empty", nil, ErrNoConfig.Error()},
		{"cut before the mark", whole[:len(whole)/4], "read end of payload"},
		{"damaged", bzImage(gzipped(t, kernel(t, ""))[:1000], 0), "unpack kernel: unexpected EOF"},
		{"unknown compression", bzImage([]byte("\x89LZO\x00\r\n"), 9),
			"unknown compression format of the payload (it begins with 894c5a4f"},
		{"not filtered for x86", bzImage(program(t, kernel(t, ""), "xz", "--arm", "--lzma2"), 9), "are not x86 and LZMA2"},
		{"protocol", old, "boot protocol 2.06 has no payload"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadImage(write(t, tt.image))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if (tt.want == ErrNoConfig.Error()) != errors.Is(err, ErrNoConfig) {
				t.Errorf("errors.Is(%v, ErrNoConfig) is wrong", err)
			}
		})
	}
}

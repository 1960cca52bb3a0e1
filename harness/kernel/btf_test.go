package kernel

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
)

var someEnum = []Enumerator{{"BPF_MAP_CREATE", 0}, {"BPF_TOKEN_CREATE", 36}, {"BPF_COMMON_ATTRS", 65536}}

// rawBTF holds enum bpf_cmd, and a typedef of that name before it.
func rawBTF(t *testing.T) []byte {
	t.Helper()
	e := &btf.Enum{Name: "bpf_cmd", Size: 4}
	for _, m := range someEnum {
		e.Values = append(e.Values, btf.EnumValue{Name: m.Name, Value: m.Value})
	}
	b, err := btf.NewBuilder([]btf.Type{&btf.Typedef{Name: "bpf_map_type", Type: e}, e}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// withBTF is a vmlinux whose only section is .BTF, and whose banner follows it.
func withBTF(raw []byte, release string) []byte {
	file := elfFile(elf.EM_X86_64, append(raw, "Linux version "+release+" (b@h)"...), nil)
	file = bytes.Replace(file, []byte(".modinfo\x00"), []byte(".BTF\x00\x00\x00\x00\x00"), 1)
	return file
}

// packedImage is a bzImage of a release with a kernel inside.
func packedImage(t *testing.T, kernel []byte, release string) []byte {
	t.Helper()
	var payload bytes.Buffer
	w := gzip.NewWriter(&payload)
	if _, err := w.Write(kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b := bzImage(release)
	binary.LittleEndian.PutUint32(b[0x248:], 1024)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(payload.Len()))
	binary.LittleEndian.PutUint32(b[0x1f4:], uint32(1024+payload.Len()+15)/16)
	return append(append(b, payload.Bytes()...), make([]byte, 16)...)
}

func TestReadTypes(t *testing.T) {
	raw := rawBTF(t)
	for name, tt := range map[string]struct {
		file    []byte
		release string
	}{
		"blob":    {raw, ""},
		"vmlinux": {withBTF(raw, "7.3.4-test"), "7.3.4-test"},
		"bzImage": {packedImage(t, withBTF(raw, "7.3.4-inside"), "7.3.4-test"), "7.3.4-test"},
	} {
		got, err := ReadTypes(write(t, filepath.Join(t.TempDir(), name), tt.file), "bpf_cmd", "bpf_map_type", "nothing")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := &Types{Release: tt.release, Enums: map[string][]Enumerator{"bpf_cmd": someEnum}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// Every error is one line that names the file.
func TestReadTypesRefuses(t *testing.T) {
	raw := rawBTF(t)
	vmlinux := withBTF(raw, "7.3.4-test")
	garbled := bytes.Clone(raw)
	garbled[26] = 0xff // the kind of the first type
	cutSection := elfFile(elf.EM_X86_64, raw[:40], nil)
	cutSection = bytes.Replace(cutSection, []byte(".modinfo\x00"), []byte(".BTF\x00\x00\x00\x00\x00"), 1)
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"empty":           {nil, "the file is empty"},
		"text":            {[]byte("hello\n"), "a text file"},
		"cut header":      {raw[:10], "BTF is cut off: 10 bytes"},
		"cut blob":        {raw[:len(raw)-1], "BTF is cut off: "},
		"garbled":         {garbled, "damaged BTF"},
		"no kernel's":     {withoutName(raw), "BTF without enum bpf_cmd"},
		"cut ELF":         {vmlinux[:len(vmlinux)-70], "a damaged or truncated ELF file"},
		"cut section":     {cutSection, "BTF is cut off: 40 of "},
		"no section":      {pvh("7.3.4-test"), "no .BTF section (CONFIG_DEBUG_INFO_BTF is off)"},
		"cut bzImage":     {packedImage(t, vmlinux, "7.3.4-test")[:3000], "a truncated bzImage"},
		"bzImage without": {packedImage(t, pvh("7.3.4-test"), "7.3.4-test"), "kernel inside the bzImage: no .BTF section"},
		"empty payload":   {bzImage("7.3.4-test"), "read payload"},
	} {
		path := write(t, filepath.Join(t.TempDir(), name), tt.file)
		_, err := ReadTypes(path, "bpf_cmd")
		var mistake *UsageError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want %q in a usage error that names the file", name, err, tt.want)
		}
	}
	for path, want := range map[string]string{t.TempDir(): "a directory", "nowhere": "no such file"} {
		if _, err := ReadTypes(path, "bpf_cmd"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func withoutName(raw []byte) []byte {
	return bytes.ReplaceAll(raw, []byte("bpf_cmd\x00"), []byte("bpf_dmc\x00"))
}

// The types are cached, and read again only if the cache entry is damaged or incomplete.
func TestTypesAreKept(t *testing.T) {
	o := Options{CacheDir: t.TempDir()}
	path := write(t, filepath.Join(t.TempDir(), "vmlinux"), withBTF(rawBTF(t), "7.3.4-test"))
	k := &Kernel{Image: path, Digest: "0123"}
	first, err := k.Types(o, "bpf_cmd")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if again, err := k.Types(o, "bpf_cmd"); err != nil || cmp.Diff(first, again) != "" {
		t.Errorf("got %+v, %v; want it from the cache", again, err)
	}
	if _, err := k.Types(o, "bpf_cmd", "bpf_map_type"); err == nil {
		t.Error("what was never read is taken from the cache")
	}
	write(t, filepath.Join(o.CacheDir, "btf", "0123.json"), []byte(`{"enums":`))
	if _, err := k.Types(o, "bpf_cmd"); err == nil {
		t.Error("a damaged entry is taken from the cache")
	}
}

func FuzzReadTypes(f *testing.F) {
	f.Add([]byte("\x9f\xeb\x01\x00\x18\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if enums, err := enumsOf(b, []string{"bpf_cmd"}); err == nil && len(enums) == 0 {
			t.Error("neither enumerations nor an error")
		}
	})
}

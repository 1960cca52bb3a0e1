package lab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokentest/harness/arch"
	"tokentest/harness/wire"
)

// program64 writes an ELF file that has a header and nothing else.
func program64(t *testing.T, file string, machine elf.Machine) string {
	t.Helper()
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64,
	}
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// A program of this host runs on a kernel of another architecture if u-root has a command of its name.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	name := func(n string) string { return filepath.Join(dir, n) }
	own, other := program64(t, name("own"), elf.EM_AARCH64), program64(t, name("other"), elf.EM_X86_64)
	uname, library := program64(t, name("uname"), elf.EM_X86_64), program64(t, name("lib.so"), elf.EM_X86_64)
	data := name("data")
	script, strange := name("script"), name("strange")
	for file, text := range map[string]string{data: "x", script: "#!/bin/sh\n", strange: "#!" + other + "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		what, as string   // as is what the user called it, if that was no path
		files    []string // the program first
		args0    string
		left     []string
		err      string
	}{
		{"the right one", "", []string{own, data}, own, []string{own, data}, ""},
		{"a wrong one", "", []string{other}, "", nil, "other is a program for amd64, and the kernel runs those for arm64"},
		{"a wrong one by name", "other", []string{other}, "", nil, "is a program for amd64"},
		{"a command by name", "uname", []string{uname, library}, "/bin/uname", nil, ""},
		{"a command by path", "", []string{uname, library}, "", nil, "is a program for amd64"},
		{"a script for /bin/sh", "", []string{script, library}, script, []string{script}, ""},
		{"a script for another program", "", []string{strange, other}, "", nil, "other is a program for amd64"},
	} {
		p := &Program{Exec: wire.Exec{Args: []string{tt.files[0], "arg"}}, Name: tt.as, Own: len(tt.files)}
		for _, f := range append(tt.files, data) {
			p.Files = append(p.Files, File{From: f, To: f})
		}
		err := p.fitTo(arch.Find("arm64"))
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.err)
		}
		if err != nil {
			continue
		}
		var left []string
		for _, f := range p.Files {
			left = append(left, f.From)
		}
		if want := append(tt.left, data); p.Args[0] != tt.args0 || p.Args[1] != "arg" || !slices.Equal(left, want) {
			t.Errorf("%s: it runs %q with %q, want %q with %q", tt.what, p.Args, left, tt.args0, want)
		}
	}
}

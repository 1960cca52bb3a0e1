package images

import (
	"bytes"
	"debug/elf"
	"testing"

	"tokentest/harness/arch"
)

// The bare init of each architecture is a program for it, whose entry is its code.
func TestBareInit(t *testing.T) {
	for _, a := range arch.All {
		program, err := bareInit(a)
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		f, err := elf.NewFile(bytes.NewReader(program))
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		p := f.Progs[0]
		at := f.Entry - p.Vaddr
		if f.Machine != elf.Machine(a.ELF) || p.Flags != elf.PF_R|elf.PF_X || p.Filesz != uint64(len(program)) ||
			at >= p.Filesz || len(program[at:])*2 != len(a.PowerOff) || len(a.PowerOff) == 0 {
			t.Errorf("%s: %+v, entry %#x", a.Name, p.ProgHeader, f.Entry)
		}
		if big := f.Data == elf.ELFDATA2MSB; big != a.BigEndian {
			t.Errorf("%s: big-endian %v", a.Name, big)
		}
	}
}

// It needs no Go and no sources, on any architecture.
func TestBare(t *testing.T) {
	for _, a := range arch.All {
		img, err := Bare(t.Context(), Options{CacheDir: t.TempDir(), Go: "/no/such", Arch: a})
		if err != nil || img.Path == "" || img.Digest == "" {
			t.Errorf("%s: %+v, %v", a.Name, img, err)
		}
	}
}

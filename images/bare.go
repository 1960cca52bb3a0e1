package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"tokentest/harness/arch"
)

// bareName is the image whose init is arch.Arch.PowerOff.
const bareName = "bare"

// Bare returns the initramfs whose init powers off at once, as a reference for benchmarks.
func Bare(ctx context.Context, o Options) (*Image, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	program, err := bareInit(o.Arch)
	if err != nil {
		return nil, fmt.Errorf("make the bare init of %s: %w", o.Arch.Name, err)
	}
	sum := sha256.Sum256(program)
	img := &Image{BuildID: hex.EncodeToString(sum[:8])}
	name := nameFor(bareName, o.Arch) + "-" + img.BuildID
	img.Path, img.Digest, err = o.cache().get(ctx, name, func(work, out string) error {
		init := filepath.Join(work, "init")
		if err := os.WriteFile(init, program, 0o755); err != nil {
			return err
		}
		return writeImage(out, init)
	})
	if err != nil {
		return nil, fmt.Errorf("make the bare image: %w", err)
	}
	return img, nil
}

// bareInit is a program that powers off at once: an ELF header, one segment, and the code.
func bareInit(a *arch.Arch) ([]byte, error) {
	code, err := hex.DecodeString(a.PowerOff)
	if err != nil {
		return nil, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	data := elf.ELFDATA2LSB
	if a.BigEndian {
		order, data = binary.BigEndian, elf.ELFDATA2MSB
	}
	const (
		base   = 0x10000 // where the segment is mapped; a multiple of the largest page
		header = 64
		prog   = 56
	)
	size := uint64(header + prog + len(code))
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: a.ELF, Version: uint32(elf.EV_CURRENT), Flags: a.Flags,
		Entry: base + header + prog, Phoff: header, Ehsize: header, Phentsize: prog, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(data)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	p := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Paddr: base,
		Filesz: size, Memsz: size, Align: base}
	var out bytes.Buffer
	for _, part := range []any{h, p, code} {
		if err := binary.Write(&out, order, part); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

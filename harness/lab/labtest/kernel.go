package labtest

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"

	"tokentest/harness/arch"
)

// Kernel is the smallest file that passes for a bzImage of a release. QEMU cannot enter
// its ELF file directly: the file lacks the PVH note.
func Kernel(release string) []byte { return bzImage(release, nil) }

// Direct writes the kernel of Tree anew, as one that QEMU can enter directly.
func Direct(dir string) error {
	const phys32Entry = 18 // XEN_ELFNOTE_PHYS32_ENTRY, include/xen/interface/elfnote.h
	note := binary.LittleEndian.AppendUint32(nil, 4)
	note = binary.LittleEndian.AppendUint32(note, 4)
	note = binary.LittleEndian.AppendUint32(note, phys32Entry)
	note = append(note, "Xen\x00\x00\x00\x00\x01"...)
	return os.WriteFile(filepath.Join(dir, "bzImage"), bzImage(Release, note), 0o644)
}

const releaseAt = 0x600

func bzImage(release string, note []byte) []byte {
	const setup = 3
	const payloadAt = (setup + 1) * 512
	var payload bytes.Buffer
	z := gzip.NewWriter(&payload)
	z.Write(elfKernel(release, note)) // no write to a buffer fails
	z.Close()
	size := (payload.Len() + 15) / 16 * 16
	b := make([]byte, payloadAt+size)
	b[0x1f1] = setup
	binary.LittleEndian.PutUint32(b[0x1f4:], uint32(size/16))
	b[0x1fe], b[0x1ff] = 0x55, 0xaa
	copy(b[0x202:], "HdrS\x0f\x02")
	b[0x236] = 1 // XLF_KERNEL_64
	binary.LittleEndian.PutUint16(b[0x20e:], releaseAt-0x200)
	binary.LittleEndian.PutUint32(b[0x24c:], uint32(payload.Len()))
	copy(b[releaseAt:], release+" (builder@host) #1 SMP\x00")
	copy(b[payloadAt:], payload.Bytes())
	return b
}

// banner begins linux_banner, init/version-timestamp.c.
const banner = "Linux version "

// elfKernel is an ELF file with a segment that holds the kernel's banner, and one of notes.
func elfKernel(release string, note []byte) []byte {
	const headers = 64 + 2*56
	content := []byte(banner + release + " (builder@host)\x00")
	notesAt := uint64(headers + len(content))
	var b bytes.Buffer
	for _, part := range []any{
		elf.Header64{
			Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
			Type:  uint16(elf.ET_EXEC), Machine: arch.Default.ELF, Version: uint32(elf.EV_CURRENT),
			Phoff: 64, Phentsize: 56, Phnum: 2, Ehsize: 64,
		},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: headers, Filesz: uint64(len(content)), Memsz: uint64(len(content))},
		elf.Prog64{Type: uint32(elf.PT_NOTE), Off: notesAt, Filesz: uint64(len(note))},
		content, note,
	} {
		binary.Write(&b, binary.LittleEndian, part)
	}
	return b.Bytes()
}

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// bzImage is the smallest file that passes for a kernel of the given release.
func bzImage(release string) []byte {
	const setup = 3
	b := make([]byte, (setup+1)*512+1024)
	b[0x1f1] = setup
	binary.LittleEndian.PutUint32(b[0x1f4:], 1024/16)
	b[0x1fe], b[0x1ff] = 0x55, 0xaa
	copy(b[0x202:], "HdrS\x0f\x02")
	b[0x236] = 1 // XLF_KERNEL_64
	binary.LittleEndian.PutUint16(b[0x20e:], 0x400)
	copy(b[0x600:], release+" (builder@host) #1 SMP PREEMPT_DYNAMIC\x00")
	return b
}

// elfFile has one segment that holds content, one of notes, and a .modinfo
// section that is the content as well.
func elfFile(machine elf.Machine, content, notes []byte) []byte {
	const headers, names = 64 + 2*56, "\x00.modinfo\x00.shstrtab\x00"
	contentAt := uint64(headers)
	notesAt := contentAt + uint64(len(content))
	namesAt := notesAt + uint64(len(notes))
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Phentsize: 56, Phnum: 2,
		Shoff: namesAt + uint64(len(names)), Shentsize: 64, Shnum: 3, Shstrndx: 2, Ehsize: 64,
	}
	var b bytes.Buffer
	for _, part := range []any{
		h,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Off: contentAt, Filesz: uint64(len(content)), Memsz: uint64(len(content))},
		elf.Prog64{Type: uint32(elf.PT_NOTE), Off: notesAt, Filesz: uint64(len(notes))},
		content, notes, []byte(names),
		elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: contentAt, Size: uint64(len(content))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))},
	} {
		binary.Write(&b, binary.LittleEndian, part)
	}
	return b.Bytes()
}

// note is one ELF note.
func note(name string, kind uint32, desc string) []byte {
	var b []byte
	for _, n := range []uint32{uint32(len(name)), uint32(len(desc)), kind} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	for _, s := range []string{name, desc} {
		b = append(b, s...)
		b = append(b, make([]byte, -len(s)&3)...)
	}
	return b
}

// pvh is a vmlinux that QEMU can enter. A note of another owner stands before
// the one that matters, and another string before the banner.
func pvh(release string) []byte {
	notes := append(note("Linux\x00", 18, "x"), note("Xen\x00", 18, "\x00\x00\x00\x01")...)
	return elfFile(elf.EM_X86_64, []byte("Linux version %s\x00Linux version "+release+" (builder@host) #1"), notes)
}

// module is a .ko file with only the parts that this package reads.
func module(depends string) []byte {
	return elfFile(elf.EM_X86_64, []byte("license=GPL\x00depends="+depends+"\x00retpoline=Y\x00"), nil)
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"tokentest/harness/arch"
)

// header is the format, the release and the architecture of an image.
type header struct {
	format, release string
	arch            *arch.Arch
}

// formatError describes a file that is not a kernel that can be tested.
type formatError struct{ reason string }

func (e *formatError) Error() string { return e.reason }

func notKernel(format string, args ...any) error {
	return &formatError{fmt.Sprintf(format, args...)}
}

// inspect reads an image's header and refuses an image that QEMU cannot enter. Its errors are of type formatError,
// except read errors.
func inspect(f io.ReaderAt, size int64) (header, error) {
	var b [1024]byte
	n, err := f.ReadAt(b[:], 0)
	if err != nil && err != io.EOF {
		return header{}, err
	}
	if n == 0 {
		return header{}, notKernel("not a kernel: the file is empty")
	}
	if string(b[:4]) == elf.ELFMAG {
		return inspectELF(f, size)
	}
	of := marked(f)
	switch {
	case of == nil:
		return header{}, notKernel("%s", guess(b[:n]))
	case of.Image.Kind == arch.Raw:
		release, err := linuxVersion(io.NewSectionReader(f, 0, size))
		return header{format: Raw, release: release, arch: of}, err
	case of.Image.Direct:
		return inspectBzImage(f, b[:], size, of)
	}
	return header{format: BzImage, release: parameterRelease(f), arch: of}, nil
}

// marked returns the architecture whose mark an image has, or nil.
func marked(f io.ReaderAt) *arch.Arch {
	for _, a := range arch.All {
		b := make([]byte, len(a.Image.Mark))
		if _, err := f.ReadAt(b, int64(a.Image.At)); len(b) > 0 && err == nil && string(b) == a.Image.Mark {
			return a
		}
	}
	return nil
}

// parameterRelease reads the release by kernel_version in the parameters of an image that is loaded at address 0,
// arch/s390/boot/head.S; "" if it is not there.
func parameterRelease(f io.ReaderAt) string {
	const version = 0x10428
	var b [8]byte
	if _, err := f.ReadAt(b[:], version); err != nil {
		return ""
	}
	var text [256]byte
	n, _ := f.ReadAt(text[:], int64(binary.BigEndian.Uint64(b[:])&(1<<40-1)))
	if n == 0 || text[0] < '0' || text[0] > '9' {
		return ""
	}
	return firstWord(text[:n])
}

// inspectBzImage reads the header that Documentation/arch/x86/boot.rst describes.
func inspectBzImage(f io.ReaderAt, b []byte, size int64, of *arch.Arch) (header, error) {
	le := binary.LittleEndian
	setup := int64(b[0x1f1])
	if setup == 0 {
		setup = 4 // "for backwards compatibility"
	}
	whole := (setup+1)*512 + int64(le.Uint32(b[0x1f4:]))*16
	switch {
	case b[0x1fe] != 0x55 || b[0x1ff] != 0xaa:
		return header{}, notKernel("%s", guess(b))
	case size < whole:
		return header{}, notKernel("a truncated bzImage: %d of %d bytes", size, whole)
	case le.Uint16(b[0x206:]) < 0x020c || b[0x236]&1 == 0: // xloadflags, XLF_KERNEL_64
		return header{}, notKernel("a 32-bit %s kernel%s", of.Dir, only())
	}
	h := header{format: BzImage, arch: of}
	if at := int64(le.Uint16(b[0x20e:])); at != 0 {
		var version [256]byte
		n, _ := f.ReadAt(version[:], at+0x200)
		h.release = firstWord(version[:n])
	}
	return h, nil
}

// firstWord returns the release from a version string such as
// "6.12.117+deb13-cloud-amd64 (builder@host) #1 SMP".
func firstWord(b []byte) string {
	end := bytes.IndexAny(b, " \x00\n")
	if end < 0 {
		return ""
	}
	return string(b[:end])
}

// inspectELF accepts a vmlinux that QEMU can enter: that of x86-64 has a note for it.
func inspectELF(f io.ReaderAt, size int64) (header, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return header{}, notKernel("a damaged or truncated ELF file (%v)", err)
	}
	of := arch.OfELF(uint16(e.Machine))
	if of == nil || e.Class != elf.ELFCLASS64 || of.Image.Kind == arch.Vmlinux && e.Data != elf.ELFDATA2LSB {
		return header{}, notKernel("an ELF file for %s%s", archName(e.Machine.String()), only())
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && int64(p.Off+p.Filesz) > size {
			return header{}, notKernel("a truncated ELF file: %d of at least %d bytes", size, p.Off+p.Filesz)
		}
	}
	release, err := linuxVersion(io.NewSectionReader(f, 0, size))
	switch {
	case err != nil:
		return header{}, err
	case release == "" || e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN:
		return header{}, notKernel("an ELF file that is not a kernel (it holds no \"Linux version\")")
	case of.Image.Kind != arch.Vmlinux && !of.Image.Direct:
		return header{}, notKernel("a vmlinux for %s, which QEMU cannot enter; give %s instead", of, of.Image.Path)
	case of.Image.Direct && !hasPVH(e):
		return header{}, notKernel("a vmlinux without the PVH entry point (CONFIG_PVH), which QEMU cannot enter; give the " +
			"bzImage instead")
	}
	return header{format: Vmlinux, release: release, arch: of}, nil
}

func archName(machine string) string {
	return strings.ToLower(strings.TrimPrefix(machine, "EM_"))
}

// hasPVH looks for XEN_ELFNOTE_PHYS32_ENTRY (include/xen/interface/elfnote.h),
// which QEMU's load_elf needs.
func hasPVH(e *elf.File) bool {
	const phys32Entry = 18
	for _, p := range e.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(io.LimitReader(p.Open(), 1<<20))
		if err == nil && hasNote(notes, "Xen\x00", phys32Entry) {
			return true
		}
	}
	return false
}

// hasNote walks ELF notes: name size, descriptor size, type, then both padded
// to four bytes.
func hasNote(b []byte, name string, kind uint32) bool {
	le := binary.LittleEndian
	for len(b) >= 12 {
		nameSize, descSize := int(le.Uint32(b)), int(le.Uint32(b[4:]))
		next := 12 + (nameSize+3)&^3 + (descSize+3)&^3
		if next > len(b) || next < 12 {
			return false
		}
		if string(b[12:12+nameSize]) == name && le.Uint32(b[8:]) == kind {
			return true
		}
		b = b[next:]
	}
	return false
}

// linuxVersion finds linux_banner (init/version-timestamp.c) and returns the
// release in it, or "".
func linuxVersion(r io.Reader) (string, error) {
	mark := []byte("Linux version ")
	const chunk, longest = 1 << 18, 128
	buf := make([]byte, 0, chunk+longest)
	for {
		n, err := io.ReadFull(r, buf[len(buf):len(buf)+chunk])
		buf = buf[:len(buf)+n]
		for b := buf; ; {
			i := bytes.Index(b, mark)
			if i < 0 {
				break
			}
			b = b[i+len(mark):]
			if release := firstWord(b); release != "" && release[0] >= '0' && release[0] <= '9' {
				return release, nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", nil
		} else if err != nil {
			return "", err
		}
		buf = buf[:copy(buf, buf[len(buf)-longest:])]
	}
}

// only ends the text about a kernel that cannot be tested.
func only() string { return "; there are " + strings.Join(arch.Names(), ", ") }

// guess names a file that is often given by mistake.
func guess(b []byte) string {
	for _, g := range []struct {
		at     int
		magic  string
		what   string
		kernel bool // for another machine
	}{
		{36, "\x18\x28\x6f\x01", "a 32-bit Arm kernel image" + only(), true},
		{4, "zimg", "a compressed EFI kernel image; give the Image or the vmlinux in it", true},
		{0, "\x27\x05\x19\x56", "a U-Boot image; give the image in it", true},
		{0, "MZ", "a PE program without a Linux boot header", false},
		{0, "!<arch>\ndebian-binary", "a Debian package; give deb:VERSION, or the vmlinuz in it", false},
		{0, "\x1f\x8b", "gzip data; unpack it first", false},
		{0, "\xfd7zXZ", "xz data; unpack it first", false},
		{0, "\x28\xb5\x2f\xfd", "zstd data; unpack it first", false},
		{0, "070701", "a cpio archive (an initramfs?)", false},
		{0, "#!", "a script", false},
		{0, "QFI\xfb", "a qcow2 disk image", false},
	} {
		if len(b) < g.at || !bytes.HasPrefix(b[g.at:], []byte(g.magic)) {
			continue
		}
		if g.kernel {
			return g.what
		}
		return "not a kernel: " + g.what
	}
	if isText(b) {
		return "not a kernel: a text file"
	}
	return fmt.Sprintf("not a kernel: neither an image nor an ELF file (it begins with %x)", b[:min(8, len(b))])
}

func isText(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r\f\x1b", r) }) < 0
}

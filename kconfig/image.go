package kconfig

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// ErrNoConfig means that the whole image contains no configuration: it was built without
// CONFIG_IKCONFIG.
var ErrNoConfig = errors.New("no configuration in the image (CONFIG_IKCONFIG is off)")

// ikconfig precedes the gzip stream that kernel/configs.c puts into the image. The three bytes after
// IKCFG_ST are the magic of the stream, without which the mark is also found inside other strings.
var ikconfig = []byte("IKCFG_ST\x1f\x8b\x08")

// ReadImage returns the configuration in a vmlinux or a bzImage, like scripts/extract-ikconfig. It
// finds the payload through the boot header, not by trying every magic number in the file.
func ReadImage(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, err := readImage(f)
	if err != nil {
		return nil, fmt.Errorf("read configuration of %s: %w", path, err)
	}
	return config, nil
}

func readImage(f io.ReaderAt) (Config, error) {
	kernel, err := Unpack(f)
	if err != nil {
		return nil, err
	}
	if kernel == nil { // a vmlinux or another file to search
		kernel = io.NewSectionReader(f, 0, 1<<62)
	}
	return search(kernel)
}

// Unpack returns a reader of the ELF file in a bzImage, nil if f is not a bzImage.
func Unpack(f io.ReaderAt) (io.Reader, error) {
	payload, err := bzImagePayload(f)
	if payload == nil || err != nil {
		return nil, err
	}
	return decompress(payload)
}

// bzImagePayload returns the compressed kernel in a bzImage, nil if f is not a
// bzImage. Offsets are those of Documentation/arch/x86/boot.rst;
// payload_offset and payload_length exist from protocol 2.08 on.
func bzImagePayload(f io.ReaderAt) (*io.SectionReader, error) {
	var h [0x250]byte
	if _, err := f.ReadAt(h[:], 0); err != nil || string(h[0x202:0x206]) != "HdrS" {
		return nil, nil
	}
	if v := binary.LittleEndian.Uint16(h[0x206:]); v < 0x0208 {
		return nil, fmt.Errorf("boot protocol %d.%02d has no payload field", v>>8, v&0xff)
	}
	setup := int64(h[0x1f1])
	if setup == 0 {
		setup = 4
	}
	offset := (setup+1)*512 + int64(binary.LittleEndian.Uint32(h[0x248:]))
	length := int64(binary.LittleEndian.Uint32(h[0x24c:]))
	return io.NewSectionReader(f, offset, length), nil
}

// decompressors are the formats of arch/x86/boot/compressed/Makefile. All but
// gzip are followed by the size of the unpacked kernel (size_append in
// scripts/Makefile.lib), which their readers must not see.
var decompressors = []struct {
	magic string
	open  func(r io.Reader, size uint32) (io.Reader, error)
}{
	{"\x1f\x8b", func(r io.Reader, _ uint32) (io.Reader, error) { return gzip.NewReader(r) }},
	{"\xfd7zXZ\x00", newXZ},
	{"\x28\xb5\x2f\xfd", newZstd},
	{"\x02\x21\x4c\x18", func(r io.Reader, _ uint32) (io.Reader, error) { return lz4.NewReader(r), nil }},
	{"\x5d\x00\x00", func(r io.Reader, _ uint32) (io.Reader, error) { return lzma.NewReader(r) }},
	{lzopMagic, newLZO},
	{"BZh", func(r io.Reader, _ uint32) (io.Reader, error) { return bzip2.NewReader(r), nil }},
}

func decompress(payload *io.SectionReader) (io.Reader, error) {
	var magic [len(lzopMagic)]byte
	if _, err := payload.ReadAt(magic[:], 0); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	var tail [4]byte
	if _, err := payload.ReadAt(tail[:], payload.Size()-4); err != nil {
		return nil, fmt.Errorf("read end of payload: %w", err)
	}
	for _, d := range decompressors {
		if !bytes.HasPrefix(magic[:], []byte(d.magic)) {
			continue
		}
		length := payload.Size()
		if d.magic != "\x1f\x8b" {
			length -= 4
		}
		return d.open(bufio.NewReader(io.NewSectionReader(payload, 0, length)), binary.LittleEndian.Uint32(tail[:]))
	}
	return nil, fmt.Errorf("unknown compression format of the payload (it begins with %x)", magic[:6])
}

// newZstd allows the window of the whole kernel: the kernel is packed with
// zstd --ultra -22 and unpacked in one go.
func newZstd(r io.Reader, size uint32) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxWindow(1<<31))
}

// search reads r up to the mark and parses the configuration after it.
func search(r io.Reader) (Config, error) {
	const chunk = 1 << 18
	buf := make([]byte, 0, chunk+len(ikconfig))
	for {
		n, err := r.Read(buf[len(buf) : len(buf)+chunk])
		buf = buf[:len(buf)+n]
		if i := bytes.Index(buf, ikconfig); i >= 0 {
			return unpack(io.MultiReader(bytes.NewReader(buf[i+len("IKCFG_ST"):]), r))
		}
		switch {
		case err == io.EOF:
			return nil, ErrNoConfig
		case err != nil:
			return nil, fmt.Errorf("unpack kernel: %w", err)
		}
		tail := buf[max(0, len(buf)-len(ikconfig)+1):]
		buf = buf[:copy(buf, tail)]
	}
}

// unpack parses a gzip stream and ignores everything after it.
func unpack(r io.Reader) (Config, error) {
	gz, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("unpack configuration: %w", err)
	}
	gz.Multistream(false)
	config, err := Parse(gz)
	if err != nil {
		return nil, fmt.Errorf("parse configuration: %w", err)
	}
	return config, nil
}

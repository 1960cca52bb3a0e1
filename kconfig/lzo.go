package kconfig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/anchore/go-lzo"
)

// lzopMagic begins a file of lzop, which packs a kernel with CONFIG_KERNEL_LZO.
const lzopMagic = "\x89LZO\x00\r\n\x1a\n"

// maxBlock is the largest block that lzop writes, LZO_BLOCK_SIZE of
// lib/decompress_unlzo.c.
const maxBlock = 256 << 10

// lzopReader reads the blocks of an lzop file.
type lzopReader struct {
	src  io.Reader
	rest []byte // of the block that was unpacked last
	in   []byte
	out  []byte
}

// newLZO skips the header of an lzop file, parse_header of lib/decompress_unlzo.c.
func newLZO(r io.Reader, _ uint32) (io.Reader, error) {
	const hasFilter, hasLevel = 0x800, 0x940
	head := make([]byte, len(lzopMagic)+7)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("read lzop header: %w", err)
	}
	version := binary.BigEndian.Uint16(head[len(lzopMagic):])
	skip := 8 // mode and the time's lower half
	if version >= hasLevel {
		skip += 4 // the time's upper half
		if err := discard(r, 1); err != nil {
			return nil, err
		}
	}
	flags, err := bigEndian(r)
	if err != nil {
		return nil, err
	}
	if flags&hasFilter != 0 {
		skip += 4
	}
	var name [1]byte
	if err := discard(r, skip); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(r, name[:]); err != nil {
		return nil, fmt.Errorf("read lzop header: %w", err)
	}
	if err := discard(r, int(name[0])+4); err != nil { // the name and the header's checksum
		return nil, err
	}
	return &lzopReader{src: r, in: make([]byte, maxBlock), out: make([]byte, maxBlock)}, nil
}

func discard(r io.Reader, n int) error {
	if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
		return fmt.Errorf("read lzop header: %w", err)
	}
	return nil
}

func bigEndian(r io.Reader) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("read lzop block: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

func (l *lzopReader) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		if err := l.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// block unpacks the next block. A block that did not get smaller is stored as it is.
func (l *lzopReader) block() error {
	size, err := bigEndian(l.src)
	switch {
	case err != nil:
		return err
	case size == 0:
		return io.EOF
	}
	packed, err := bigEndian(l.src)
	if err != nil {
		return err
	}
	if size > maxBlock || packed > size {
		return fmt.Errorf("unpack lzop block: %d bytes packed into %d", size, packed)
	}
	if _, err := bigEndian(l.src); err != nil { // a checksum, which the kernel skips too
		return err
	}
	if _, err := io.ReadFull(l.src, l.in[:packed]); err != nil {
		return fmt.Errorf("read lzop block: %w", err)
	}
	if packed == size {
		l.rest = l.in[:packed]
		return nil
	}
	n, err := lzo.Decompress(l.in[:packed], l.out[:size])
	if err == nil && n != int(size) {
		err = errors.New("it is shorter than its header says")
	}
	if err != nil {
		return fmt.Errorf("unpack lzop block: %w", err)
	}
	l.rest = l.out[:n]
	return nil
}

package kconfig

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// The kernel is packed by scripts/xz_wrap.sh with the x86 filter before LZMA2,
// which the xz package refuses ("only LZMA2 filter"). So the container is read
// here: one stream, one block, filters x86 and LZMA2, checks not verified
// because the caller only looks for a gzip stream that has its own.

// Filter ids from the .xz file format, sections 5.3.1 and 5.3.2.
const (
	filterLZMA2 = 0x21
	filterX86   = 0x04
)

// newXZ reads the first block of an .xz file; size bounds its dictionary.
func newXZ(r io.Reader, size uint32) (io.Reader, error) {
	in := bufio.NewReader(r)
	if _, err := in.Discard(12); err != nil { // stream header: magic, flags, CRC
		return nil, fmt.Errorf("read xz header: %w", err)
	}
	filters, dict, err := xzBlock(in)
	if err != nil {
		return nil, fmt.Errorf("read xz block: %w", err)
	}
	const least = 1 << 16
	raw, err := lzma.Reader2Config{DictCap: int(max(least, min(dict, int64(size))))}.NewReader2(in)
	if err != nil {
		return nil, err
	}
	if len(filters) == 2 {
		return &x86Reader{r: raw}, nil
	}
	return raw, nil
}

// xzBlock reads a block header (section 3.1): its length in four byte words
// less one, flags, two optional sizes, the filters, padding and a CRC.
func xzBlock(in *bufio.Reader) (filters []uint64, dict int64, err error) {
	words, err := in.ReadByte()
	if err != nil {
		return nil, 0, err
	}
	header := make([]byte, (int(words)+1)*4-1)
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, 0, err
	}
	fields := varints{b: header[1:]}
	flags := header[0]
	for _, present := range []byte{0x40, 0x80} {
		if flags&present != 0 {
			fields.next()
		}
	}
	for range flags&3 + 1 {
		id := fields.next()
		props := fields.bytes(int(fields.next()))
		filters = append(filters, id)
		if id == filterLZMA2 && len(props) == 1 {
			dict = dictSize(props[0])
		}
	}
	last := filters[len(filters)-1]
	if fields.bad || last != filterLZMA2 || len(filters) > 2 || len(filters) == 2 && filters[0] != filterX86 {
		return nil, 0, fmt.Errorf("filters %#x are not x86 and LZMA2", filters)
	}
	return filters, dict, nil
}

// dictSize decodes the one property of LZMA2 (section 5.3.1).
func dictSize(bits byte) int64 {
	if bits >= 40 {
		return 1<<32 - 1
	}
	return (2 | int64(bits&1)) << (bits/2 + 11)
}

// varints reads multibyte integers (section 1.2) from a header; bad means that the header was too
// short.
type varints struct {
	b   []byte
	bad bool
}

func (v *varints) next() uint64 {
	n, used := binary.Uvarint(v.b)
	if used <= 0 {
		v.bad, v.b = true, nil
		return 0
	}
	v.b = v.b[used:]
	return n
}

func (v *varints) bytes(n int) []byte {
	if n < 0 || n > len(v.b) {
		v.bad, v.b = true, nil
		return nil
	}
	b := v.b[:n]
	v.b = v.b[n:]
	return b
}

// x86Reader undoes the x86 filter, which made the targets of calls and jumps
// (0xe8, 0xe9) absolute so that they repeat. It follows bcj_x86 in the
// kernel's lib/xz/xz_dec_bcj.c.
type x86Reader struct {
	r    io.Reader
	buf  [1 << 16]byte
	n    int // bytes in buf
	done int // bytes of them that are converted
	out  int // bytes of those that are delivered
	pos  uint32
	mask uint32
	err  error
}

func (x *x86Reader) Read(p []byte) (int, error) {
	for x.out == x.done {
		if x.err != nil && x.n == x.done {
			return 0, x.err
		}
		x.fill()
	}
	n := copy(p, x.buf[x.out:x.done])
	x.out += n
	return n, nil
}

// fill converts the next bytes; the last four wait until what follows is
// known, or until the end, where they are not a whole target and stay unchanged.
func (x *x86Reader) fill() {
	x.n = copy(x.buf[:], x.buf[x.done:x.n])
	x.done, x.out = 0, 0
	var n int
	n, x.err = io.ReadFull(x.r, x.buf[x.n:])
	x.n += n
	if errors.Is(x.err, io.ErrUnexpectedEOF) {
		x.err = io.EOF
	}
	x.done = x.convert(x.buf[:x.n])
	x.pos += uint32(x.done)
	if x.err != nil {
		x.done = x.n
	}
}

// oddBits returns, for the pattern of unconverted opcodes in the three bytes
// before an opcode, which byte of the target decides whether the encoder
// converted it, counted in bits from the highest; -1 means that it never did.
var oddBits = [8]int{0, 8, 16, -1, 24, -1, -1, -1}

// outer reports whether b can be the highest byte of a target: calls reach at
// most 16 MiB in either direction.
func outer(b byte) bool { return b == 0 || b == 0xff }

// convert changes b in place and returns how many bytes are final. The mask
// has a bit for each of the three bytes before, set where one is an opcode
// that was not converted.
func (x *x86Reader) convert(b []byte) int {
	i := 0
	for i < len(b)-4 {
		switch {
		case b[i]&0xfe != 0xe8:
			x.mask = x.mask << 1 & 7
			i++
		case converted(b[i:], x.mask):
			binary.LittleEndian.PutUint32(b[i+1:], relative(b[i+1:], x.pos+uint32(i)+5, oddBits[x.mask]))
			x.mask = 0
			i += 5
		default:
			x.mask = (x.mask<<1 | 1) & 7
			i++
		}
	}
	return i
}

// converted reports whether the encoder changed the target of the opcode b[0].
func converted(b []byte, mask uint32) bool {
	if !outer(b[4]) || oddBits[mask] < 0 {
		return false
	}
	return mask == 0 || !outer(b[4-oddBits[mask]/8])
}

// relative is the target at b as an offset from next, the address after it. The
// encoder repeated its subtraction while the result would have looked like a
// target that it does not convert, and so does this function.
func relative(b []byte, next uint32, odd int) uint32 {
	target := binary.LittleEndian.Uint32(b)
	for {
		offset := target - next
		if odd == 0 || !outer(byte(offset>>(24-odd))) {
			return uint32(int32(offset<<7) >> 7) // 25 bits with their sign
		}
		target = offset ^ (1<<(32-odd) - 1)
	}
}

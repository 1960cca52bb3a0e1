package vm

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// Patch replaces bytes of the kernel in a machine that starts from a snapshot. The snapshot
// itself stays as it is: the bytes are replaced in the stream that QEMU loads.
type Patch struct {
	At       uint64 // the kernel's address, which must not be moved by KASLR
	Old, New []byte // of the same length; a machine whose memory differs from Old does not start
}

// kernelMap is where the kernel's text is mapped (__START_KERNEL_map of page_64_types.h).
const kernelMap = 0xffffffff80000000

// ErrPatch means that a snapshot does not hold the bytes that a patch replaces.
var ErrPatch = errors.New("the machine's memory has other bytes")

// The parts of QEMU's migration stream (docs/devel/migration.rst, migration/ram.c).
const (
	ramStart  = "\x03ram\x00\x00\x00\x00\x00\x00\x00\x04" // the name of the section, instance 0, version 4
	ramPart   = 2                                         // QEMU_VM_SECTION_PART
	ramEnd    = 3                                         // QEMU_VM_SECTION_END
	footer    = 0x7e                                      // QEMU_VM_SECTION_FOOTER
	pageSize  = 4096
	flagZero  = 0x02
	flagSizes = 0x04
	flagPage  = 0x08
	flagEnd   = 0x10
	flagSame  = 0x20 // the page is in the block of the page before
	ramBlock  = "pc.ram"
)

// stream reads the memory of a migration stream.
type stream struct {
	r     *bufio.Reader
	at    int64 // of the next byte
	block string
	pages map[uint64]int64 // where the pages of ramBlock are
}

// findPages returns where the pages of the guest's memory are in a snapshot's state, by their
// physical addresses. Pages that have only zeros are left out.
func findPages(r io.Reader) (map[uint64]int64, error) {
	s := &stream{r: bufio.NewReaderSize(r, 1<<16), pages: map[uint64]int64{}}
	err := s.find([]byte(ramStart))
	for err == nil {
		if err = s.section(); err != nil {
			break
		}
		var next [10]byte // the footer, the kind of the next section, and its number
		if err = s.read(next[:]); err == nil && next[0] != footer {
			err = fmt.Errorf("no end of a section at %d", s.at)
		}
		if next[5] != ramPart && next[5] != ramEnd {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the memory in a snapshot: %w", err)
	}
	return s.pages, nil
}

func (s *stream) read(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.at += int64(n)
	return err
}

// find reads up to the end of some bytes.
func (s *stream) find(what []byte) error {
	var seen []byte
	for !bytes.HasSuffix(seen, what) {
		b, err := s.r.ReadByte()
		if err != nil {
			return err
		}
		s.at++
		seen = append(seen, b)
		seen = seen[max(0, len(seen)-len(what)):]
	}
	return nil
}

// section reads the records of a section about memory.
func (s *stream) section() error {
	for {
		var word [8]byte
		if err := s.read(word[:]); err != nil {
			return err
		}
		head := binary.BigEndian.Uint64(word[:])
		flags, addr := head&(pageSize-1), head&^uint64(pageSize-1)
		switch {
		case flags&flagEnd != 0:
			return nil
		case flags&flagSizes != 0:
			if err := s.sizes(addr); err != nil {
				return err
			}
			continue
		}
		if err := s.page(flags, addr); err != nil {
			return err
		}
	}
}

// sizes reads the names and sizes of the blocks, which have total bytes together.
func (s *stream) sizes(total uint64) error {
	for have := uint64(0); have < total; {
		if err := s.name(); err != nil {
			return err
		}
		var size [8]byte
		if err := s.read(size[:]); err != nil {
			return err
		}
		have += binary.BigEndian.Uint64(size[:])
	}
	return nil
}

func (s *stream) name() error {
	var n [1]byte
	if err := s.read(n[:]); err != nil {
		return err
	}
	name := make([]byte, n[0])
	err := s.read(name)
	s.block = string(name)
	return err
}

func (s *stream) page(flags, addr uint64) error {
	if flags&flagSame == 0 {
		if err := s.name(); err != nil {
			return err
		}
	}
	size := 1 // the value of a page that has only zeros
	switch {
	case flags&flagZero != 0 && s.block == ramBlock:
		delete(s.pages, addr)
	case flags&flagZero != 0:
	case flags&flagPage != 0:
		size = pageSize
		if s.block == ramBlock {
			s.pages[addr] = s.at // the last copy counts
		}
	default:
		return fmt.Errorf("unknown flags %#x of the page %#x at %d", flags, addr, s.at)
	}
	n, err := s.r.Discard(size)
	s.at += int64(n)
	return err
}

// edit is a change of one byte of a state file.
type edit struct {
	at  int64
	new byte
}

// located are the pages of snapshots that were patched, by their digests: each is patched often.
var located sync.Map

func (s *Snapshot) pages(f *os.File) (map[uint64]int64, error) {
	if known, ok := located.Load(s.Digest); ok && s.Digest != "" {
		return known.(map[uint64]int64), nil
	}
	pages, err := findPages(f)
	if err == nil && s.Digest != "" {
		located.Store(s.Digest, pages)
	}
	return pages, err
}

// Check returns ErrPatch if the snapshot does not hold the bytes that the patches replace.
func (s *Snapshot) Check(patches []Patch) error {
	_, err := s.edits(patches)
	return err
}

// edits finds the bytes of the patches in the snapshot and compares them.
func (s *Snapshot) edits(patches []Patch) ([]edit, error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	defer f.Close()
	pages, err := s.pages(f)
	if err != nil {
		return nil, err
	}
	var out []edit
	for _, p := range patches {
		for i, old := range p.Old {
			phys := p.At - kernelMap + uint64(i)
			page, ok := pages[phys&^(pageSize-1)]
			if !ok {
				return nil, fmt.Errorf("%w: no page at %#x", ErrPatch, p.At)
			}
			at := page + int64(phys&(pageSize-1))
			var now [1]byte
			if _, err := f.ReadAt(now[:], at); err != nil {
				return nil, fmt.Errorf("read the snapshot: %w", err)
			}
			if now[0] != old {
				return nil, fmt.Errorf("%w: %#x at %#x, not %#x", ErrPatch, now[0], p.At+uint64(i), old)
			}
			out = append(out, edit{at, p.New[i]})
		}
	}
	slices.SortFunc(out, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	return out, nil
}

// open opens the state, with patches if there are some.
func (s *Snapshot) open(patches []Patch) (*os.File, error) {
	if len(patches) > 0 {
		return s.patched(patches)
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	return f, nil
}

// patched returns a pipe from which the state can be read with the patches.
func (s *Snapshot) patched(patches []Patch) (*os.File, error) {
	edits, err := s.edits(patches)
	if err != nil {
		return nil, err
	}
	from, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("open the snapshot: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		from.Close()
		return nil, fmt.Errorf("open a pipe for the snapshot: %w", err)
	}
	go func() { // a QEMU that goes away ends the copy
		defer from.Close()
		defer w.Close()
		at := int64(0)
		for _, e := range edits {
			if _, err := io.CopyN(w, from, e.at-at); err != nil {
				return
			}
			if _, err := w.Write([]byte{e.new}); err != nil {
				return
			}
			if _, err := from.Seek(1, io.SeekCurrent); err != nil {
				return
			}
			at = e.at + 1
		}
		io.Copy(w, from)
	}()
	return r, nil
}

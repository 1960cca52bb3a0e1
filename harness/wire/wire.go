// Package wire holds the records that cross between host and guest: framed, numbered,
// checksummed, ended by done. names.go has what both sides must spell alike.
//
// A frame is: two magic bytes, the kind, a zero, the sequence number, the payload's length,
// the CRC-32C of all that and the payload (little-endian 32-bit numbers), then the payload.
// Each direction counts from 0.
//
// It gives records no meaning and opens no channel. Start with Kind, the list of records;
// Writer and Reader frame them, codec.go encodes programs and observations.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// Kind is the kind of a record.
type Kind uint8

// The records. From the host: World, Cells, Bye. From the guest: the others.
const (
	KindWorld Kind = iota + 1 // a program to set up
	KindCells                 // cells to run in the last world
	KindBye                   // nothing more follows
	KindHello                 // the guest is up: the agent and the kernel, see Hello
	KindStage                 // the set-up of a world starts
	KindBegin                 // cells start
	KindSetup                 // the observations of the set-up steps
	KindEnd                   // the observations of the cells
	KindFault                 // the guest could not do its part
	KindDone                  // everything is answered

	// A program that runs in the guest. From the host: File, Exec, Input,
	// Signal. From the guest: File, Output, Taken, Alive, Exit.
	KindFile   // a file or a part of one
	KindExec   // the program
	KindInput  // bytes for its standard input; no bytes end it
	KindSignal // a signal for it, or the size of its terminal
	KindOutput // bytes that it wrote, after a byte for the stream: 1 or 2
	KindTaken  // acknowledges an input record
	KindAlive  // the program runs, or a long step has made progress
	KindExit   // it ended

	// For a benchmark.
	KindMeasure // from the host: measure the costs of the guest's own work
	KindCosts   // the answer: Costs

	KindModule // from the guest: a ModuleRequest of a program or its kernel; from the host: the ModuleAnswer
)

var kindNames = [...]string{"", "world", "cells", "bye", "hello", "stage", "begin", "setup", "end", "fault", "done",
	"file", "exec", "input", "signal", "output", "taken", "alive", "exit", "measure", "costs", "module"}

// String returns the record's name.
func (k Kind) String() string {
	if k > 0 && int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

const (
	headerLen = 16
	// MaxPayload is the largest payload in bytes, so that a damaged length cannot make
	// the host allocate all its memory.
	MaxPayload = 1 << 20
)

var (
	magic = [2]byte{0xb5, 0x54}
	// The table is made on first use: an actor's process needs none, and it costs time
	// under emulation.
	castagnoli = sync.OnceValue(func() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) })
)

// ErrCorrupt is what a Reader returns for bytes that are not a record, or not the next one.
var ErrCorrupt = errors.New("corrupt record")

// Writer numbers and frames records. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	seq uint32
	buf []byte
}

// NewWriter returns a Writer that counts from 0.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends the queued records and one more, in one write.
func (w *Writer) Write(k Kind, payload []byte) error {
	if err := w.Queue(k, payload); err != nil {
		return err
	}
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:0]
	if err != nil {
		return fmt.Errorf("write %s record: %w", k, err)
	}
	return nil
}

// Queue keeps a record until the next Write: a write to a virtual port costs more time than
// most records are worth.
func (w *Writer) Queue(k Kind, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("write %s record: %d bytes are more than %d", k, len(payload), MaxPayload)
	}
	start := len(w.buf)
	w.buf = append(w.buf, magic[0], magic[1], byte(k), 0)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, w.seq)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, uint32(len(payload)))
	w.buf = binary.LittleEndian.AppendUint32(w.buf, sum(w.buf[start:], payload))
	w.buf = append(w.buf, payload...)
	w.seq++
	return nil
}

func sum(header, payload []byte) uint32 {
	table := castagnoli()
	return crc32.Update(crc32.Checksum(header[:12], table), table, payload)
}

// Reader reads records and refuses any that is damaged, repeated or missing.
type Reader struct {
	r   *bufio.Reader
	seq uint32
	buf []byte
}

const readBuffer = 64 << 10

// NewReader returns a Reader that expects record 0.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, readBuffer)} }

// Read returns the next record. The payload is valid until the next Read. Read returns io.EOF
// only between records.
func (r *Reader) Read() (Kind, []byte, error) {
	var h [headerLen]byte
	if n, err := io.ReadFull(r.r, h[:]); err != nil {
		if n > 0 {
			return 0, nil, fmt.Errorf("%w %d: cut off in its header", ErrCorrupt, r.seq)
		}
		return 0, nil, err
	}
	k, seq, n := Kind(h[2]), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:])
	switch {
	case h[0] != magic[0] || h[1] != magic[1] || h[3] != 0:
		return 0, nil, fmt.Errorf("%w %d: no record starts here", ErrCorrupt, r.seq)
	case n > MaxPayload:
		return 0, nil, fmt.Errorf("%w %d: a length of %d", ErrCorrupt, r.seq, n)
	}
	r.buf = append(r.buf[:0], make([]byte, n)...)
	if _, err := io.ReadFull(r.r, r.buf); err != nil {
		return 0, nil, fmt.Errorf("%w %d: cut off", ErrCorrupt, r.seq)
	}
	switch {
	case sum(h[:], r.buf) != binary.LittleEndian.Uint32(h[12:]):
		return 0, nil, fmt.Errorf("%w %d: checksum mismatch", ErrCorrupt, r.seq)
	case seq != r.seq:
		return 0, nil, fmt.Errorf("%w %d: its number is %d", ErrCorrupt, r.seq, seq)
	}
	r.seq++
	return k, r.buf, nil
}

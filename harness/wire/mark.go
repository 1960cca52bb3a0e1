package wire

import (
	"encoding"
	"fmt"
	"strconv"
	"strings"
)

// Mark says what the agent does next. Its text follows LogPrefix and MarkPrefix in the kernel
// log, where the host reads it.
type Mark struct {
	Kind  MarkKind
	First uint32 // the number of the set-up, or of the first cell
	Count uint32 // how many cells
}

// MarkKind is the kind of a Mark.
type MarkKind string

// The kinds.
const (
	MarkSetup MarkKind = "set-up" // the set-up of a world
	MarkCells MarkKind = "cells"  // cells
	MarkExec  MarkKind = "exec"   // a program
)

// numbers is how many numbers follow the kind in a mark's text.
var numbers = map[MarkKind]int{MarkSetup: 1, MarkCells: 2, MarkExec: 0}

var (
	_ encoding.TextMarshaler   = Mark{}
	_ encoding.TextUnmarshaler = &Mark{}
)

// String returns the text of the mark, which ParseMark reads.
func (m Mark) String() string {
	text := string(m.Kind)
	for _, n := range []uint32{m.First, m.Count}[:numbers[m.Kind]] {
		text += " " + strconv.FormatUint(uint64(n), 10)
	}
	return text
}

// ParseMark reads the text of a mark. ok is false if it is none.
func ParseMark(text string) (m Mark, ok bool) {
	words := strings.Split(text, " ")
	m.Kind = MarkKind(words[0])
	want, known := numbers[m.Kind]
	if !known || len(words) != 1+want {
		return Mark{}, false
	}
	to := []*uint32{&m.First, &m.Count}
	for i, w := range words[1:] {
		n, err := strconv.ParseUint(w, 10, 32)
		if err != nil {
			return Mark{}, false
		}
		*to[i] = uint32(n)
	}
	return m, m.String() == text
}

// MarshalText implements encoding.TextMarshaler.
func (m Mark) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Mark) UnmarshalText(text []byte) error {
	got, ok := ParseMark(string(text))
	if !ok {
		return fmt.Errorf("%w: the mark %q", ErrCorrupt, text)
	}
	*m = got
	return nil
}

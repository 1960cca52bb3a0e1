package wire

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
)

func TestMarks(t *testing.T) {
	for text, m := range map[string]Mark{
		"set-up 0":           {Kind: MarkSetup},
		"set-up 12":          {Kind: MarkSetup, First: 12},
		"cells 40 8":         {Kind: MarkCells, First: 40, Count: 8},
		"cells 4294967295 1": {Kind: MarkCells, First: math.MaxUint32, Count: 1},
		"exec":               {Kind: MarkExec},
	} {
		if got := m.String(); got != text {
			t.Errorf("%+v: %q, want %q", m, got, text)
		}
		if got, ok := ParseMark(text); !ok || got != m {
			t.Errorf("%q: %+v %t, want %+v", text, got, ok, m)
		}
	}
	for _, text := range []string{
		"", "set-up", "set-up x", "set-up 1 2", "set-up -1", "set-up 01", "cells 1", "cells 1 2 3", "cells 4294967296 1",
		"cells  1 2", "exec 1", "sleep", "cells 1 2 ", " exec",
	} {
		if m, ok := ParseMark(text); ok {
			t.Errorf("%q is taken for %+v", text, m)
		}
	}
}

func TestMarksInRecords(t *testing.T) {
	in := MarkAt{Ticks: 7, Mark: Mark{Kind: MarkCells, First: 3, Count: 2}}
	text, err := EncodeJSON(in)
	if err != nil || string(text) != `{"t":7,"w":"cells 3 2"}` {
		t.Fatalf("%s, %v", text, err)
	}
	var out MarkAt
	if err := DecodeJSON(text, &out); err != nil || out != in {
		t.Errorf("%+v, %v; want %+v", out, err, in)
	}
	if err := DecodeJSON(json.RawMessage(`{"t":7,"w":"cells x"}`), &out); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a mark that is none: %v", err)
	}
}

package wire

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

var steps = []step.Step{
	{Actor: 0, Op: step.OpBPFFS, Caps: uapi.AllCaps, Out: 1, Args: []step.Arg{
		{Key: step.KeyCmds, Str: "map_create:0x20"}, {Key: step.KeyMaps, Str: ""}, {Key: step.KeyProgs, Str: "any\x00\n"}}},
	{Actor: 2, Op: step.OpMapCreate, Caps: 1 << uapi.CAP_BPF, Args: []step.Arg{
		{Key: step.KeyType, Num: math.MaxUint64}, {Key: step.KeyToken, Num: uint64(step.ClosedFD)}}},
	{Actor: math.MaxUint32, Op: step.OpClose, Out: math.MaxUint32},
}

var aProgram = &step.Program{
	Actors: []step.Actor{
		{Name: "owner", Kind: step.Userns, Parent: -1, UID: 1000, Caps: uapi.AllCaps},
		{Name: "", Kind: step.Joins, Parent: 0, UID: math.MaxUint32, Place: step.Place{Compat: true, Bits: 0xcf,
			Map: step.IDMap{{Inner: 1, Outer: 2, Count: 3}, {Inner: 4, Outer: math.MaxUint32, Count: 1}}}},
	},
	Setup: steps,
}

var aResult = &Results{First: 7, Cells: [][]step.Observation{
	{{Errno: 1}}, {}, {{Proof: step.Works, Values: []uint64{0, 1, math.MaxUint64}},
		{Errno: uapi.ENOTSUPP, Proof: step.DoesNotWork}},
}}

// codec is one record's payload: a value of it, encoded, and its decoder.
type codec struct {
	name   string
	kind   Kind // of a record that the guest sends
	value  any
	bytes  []byte
	decode func([]byte) (any, error)
	encode func(any) []byte
}

func codecs() []codec {
	return []codec{
		{"program", 0, aProgram, EncodeProgram(aProgram),
			func(b []byte) (any, error) { return DecodeProgram(b) },
			func(v any) []byte { return EncodeProgram(v.(*step.Program)) }},
		{"cells", 0, &Cells{9, []step.Cell{steps, steps[:1]}}, EncodeCells(&Cells{9, []step.Cell{steps, steps[:1]}}),
			func(b []byte) (any, error) { return DecodeCells(b) }, func(v any) []byte { return EncodeCells(v.(*Cells)) }},
		{"steps", 0, steps, EncodeSteps(steps),
			func(b []byte) (any, error) { return DecodeSteps(b) }, func(v any) []byte { return EncodeSteps(v.([]step.Step)) }},
		{"range", KindBegin, Range{5, math.MaxUint32}, EncodeRange(Range{5, math.MaxUint32}),
			func(b []byte) (any, error) { return DecodeRange(b) }, func(v any) []byte { return EncodeRange(v.(Range)) }},
		{"results", KindEnd, aResult, EncodeResults(aResult),
			func(b []byte) (any, error) { return DecodeResults(b) }, func(v any) []byte { return EncodeResults(v.(*Results)) }},
	}
}

func TestCodecs(t *testing.T) {
	for _, c := range codecs() {
		got, err := c.decode(c.bytes)
		if err != nil || !reflect.DeepEqual(got, c.value) {
			t.Errorf("%s: %+v, %v,\nwant %+v", c.name, got, err, c.value)
		}
	}
}

// A payload that is cut off, or goes on, is refused; none makes a decoder panic.
func TestCodecsRefuse(t *testing.T) {
	for _, c := range codecs() {
		for n := range c.bytes {
			if _, err := c.decode(c.bytes[:n]); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s cut at %d of %d: %v", c.name, n, len(c.bytes), err)
			}
		}
		if _, err := c.decode(append(bytes.Clone(c.bytes), 0)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s with a byte more: %v", c.name, err)
		}
		for i := range c.bytes {
			for b := range 256 {
				bad := bytes.Clone(c.bytes)
				bad[i] = byte(b)
				if _, err := c.decode(bad); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Errorf("%s, byte %d is %#x: %v", c.name, i, b, err)
				}
			}
		}
	}
}

// A count beyond what follows asks for no memory.
func TestHugeCount(t *testing.T) {
	huge := []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f}
	for _, c := range codecs() {
		if c.name == "range" {
			continue // two numbers and no count
		}
		for _, b := range [][]byte{huge, huge[1:]} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.decode(b)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 || !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %d bytes allocated, error %v", c.name, n, err)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	hello := Hello{BuildID: "abc", Facts: step.Facts{
		Release: "7.3.4", Token: true, BTF: true, Max: map[string]uint32{"bpf_cmd": 39}, StructOpsIndex: 2,
		Settings: map[string]step.Reading{step.PtraceScope: {Booted: 1}},
		Changes:  []step.Change{{Kind: step.ChangeSetting, Name: step.PtraceScope, To: "0"}}}}
	b, err := EncodeJSON(&hello)
	if err != nil {
		t.Fatal(err)
	}
	var got Hello
	if err := DecodeJSON(b, &got); err != nil || !reflect.DeepEqual(got, hello) {
		t.Errorf("hello: %+v, %v,\nwant %+v", got, err, hello)
	}
	var f Fault
	if err := DecodeJSON([]byte(`{"cell":3,"count":2,"reason":"no memory"}`), &f); err != nil ||
		f != (Fault{3, 2, "no memory"}) {
		t.Errorf("fault: %+v, %v", f, err)
	}
	for _, bad := range []string{"", "{", `{"cell":-1}`, `{"cell":"x"}`, `[]`, `{} x`} {
		if err := DecodeJSON([]byte(bad), &f); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: %v, want corrupt", bad, err)
		}
	}
}

package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Hello is the guest's first record.
type Hello struct {
	BuildID string `json:"build_id"` // must be the image's
	step.Facts
	// Refused lists the fixtures, to which requests refer, that the kernel refused.
	Refused []step.Fixture `json:"refused,omitempty"`
	Taint   uint64         `json:"taint"` // the kernel's taint flags
}

// Done is the guest's last record: what only the guest can see of the kernel's health.
type Done struct {
	Taint uint64 `json:"taint"` // the kernel's taint flags
	// Leaks is the result of a kmemleak scan; nil if the kernel has no kmemleak.
	Leaks *Leaks `json:"leaks,omitempty"`
}

// Leaks is the result of a kmemleak scan.
type Leaks struct {
	Text string `json:"text,omitempty"` // the suspected objects, as kmemleak prints them
	// Jiffies is the kernel's clock, by which kmemleak dates objects, and Ticks the same
	// time in hundredths of a second; 0 is unknown.
	Jiffies uint64   `json:"jiffies,omitempty"`
	Ticks   uint64   `json:"ticks,omitempty"`
	Marks   []MarkAt `json:"marks,omitempty"`
	// Unscanned says why kmemleak did not scan; "" if it did.
	Unscanned string `json:"unscanned,omitempty"`
}

// MarkAt is when the agent wrote a mark to the kernel log.
type MarkAt struct {
	Ticks uint64 `json:"t"`
	Mark  Mark   `json:"w"`
}

// Fault says what the guest could not do.
type Fault struct {
	Cell   uint32 `json:"cell"`  // the first cell that it concerns
	Count  uint32 `json:"count"` // how many cells; 0 is a set-up, or the whole machine
	Reason string `json:"reason"`
}

// Costs are the least costs of the guest's own work in nanoseconds: the calls that make a user
// namespace with its process, and a bpffs, in a tight loop.
type Costs struct {
	Userns int64 `json:"userns"`
	BPFFS  int64 `json:"bpffs"`
}

// EncodeJSON encodes a Hello, a Fault, a Done or Costs.
func EncodeJSON(v any) ([]byte, error) { return json.Marshal(v) }

// DecodeJSON decodes a Hello, a Fault, a Done or Costs.
func DecodeJSON(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// Cells numbers the cells of a record from First.
type Cells struct {
	First uint32
	Cells []step.Cell
}

// alone is the number, from 1, of the actor that makes all steps by itself; 0 is none.
func (c *Cells) alone() (actor uint64) {
	for _, cell := range c.Cells {
		for i := range cell {
			n := uint64(cell[i].Actor) + 1
			if cell[i].Op.Brokered() || actor != 0 && n != actor {
				return 0
			}
			actor = n
		}
	}
	return actor
}

// Range is the cells of a begin record.
type Range struct{ First, Count uint32 }

// Results are the observations of the cells from First on, one for each step.
type Results struct {
	First uint32
	Cells [][]step.Observation
}

type encoder struct{ b []byte }

func (e *encoder) num(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) str(s string) { e.num(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) count(n int)  { e.num(uint64(n)) }
func (e *encoder) flag(b bool) {
	n := uint64(0)
	if b {
		n = 1
	}
	e.num(n)
}
func (e *encoder) steps(s []step.Step) {
	e.count(len(s))
	for i := range s {
		e.step(&s[i])
	}
}

func (e *encoder) step(s *step.Step) {
	e.num(uint64(s.Actor))
	e.num(uint64(s.Op))
	e.num(uint64(s.Caps))
	e.num(uint64(s.Out))
	e.count(len(s.Args))
	for _, a := range s.Args {
		e.num(uint64(a.Key))
		e.num(uint64(a.At))
		e.num(a.Num)
		e.str(a.Str)
	}
}

// decoder reads what encoder wrote. After the first error it yields zeros.
type decoder struct {
	b    []byte
	err  error
	args []step.Arg // room for the arguments of several steps: allocation takes most of the time
}

const argRoom = 64

// newArgs takes n arguments from the room.
func (d *decoder) newArgs(n int) []step.Arg {
	if len(d.args) < n {
		d.args = make([]step.Arg, max(n, argRoom))
	}
	out := d.args[:n:n]
	d.args = d.args[n:]
	return out
}

func (d *decoder) num() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrCorrupt, why)
	}
	d.b = nil
}

// byte reads a number that must fit a byte.
func (d *decoder) byte() uint8 {
	n := d.num()
	if n > math.MaxUint8 {
		d.fail("a number is not an operation or an argument")
		return 0
	}
	return uint8(n)
}

// offset reads the offset of a member of an attribute.
func (d *decoder) flag() bool {
	n := d.num()
	if n > 1 {
		d.fail("a flag is neither 0 nor 1")
	}
	return n == 1
}

func (d *decoder) offset() uint16 {
	n := d.num()
	if n >= step.MaxAttr {
		d.fail("an offset is beyond the attribute")
		return 0
	}
	return uint16(n)
}

// count reads a length. Each item takes at least a byte, so that a damaged length cannot be
// larger than the payload.
func (d *decoder) count() int {
	n := d.num()
	if n > uint64(len(d.b)) {
		d.fail("a length is larger than the rest of the record")
		return 0
	}
	return int(n)
}

func (d *decoder) str() string {
	n := d.count()
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) steps() []step.Step {
	out := make([]step.Step, d.count())
	for i := range out {
		out[i] = d.step()
	}
	return out
}

func (d *decoder) step() step.Step {
	s := step.Step{Actor: uint32(d.num()), Op: step.Op(d.byte()), Caps: uapi.CapSet(d.num()), Out: step.Handle(d.num())}
	if n := d.count(); n > 0 {
		s.Args = d.newArgs(n)
	}
	for i := range s.Args {
		s.Args[i] = step.Arg{Key: step.Key(d.byte()), At: d.offset(), Num: d.num(), Str: d.str()}
	}
	return s
}

func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		d.fail("bytes are left over")
	}
	return d.err
}

// EncodeProgram encodes the payload of a world record.
func EncodeProgram(p *step.Program) []byte {
	var e encoder
	e.count(len(p.Actors))
	for _, a := range p.Actors {
		e.str(a.Name)
		e.num(uint64(a.Kind))
		e.num(uint64(a.Parent + 1))
		e.num(uint64(a.UID))
		e.num(uint64(a.Caps))
		e.count(len(a.Map.Lines()))
		for _, l := range a.Map.Lines() {
			e.num(uint64(l.Inner))
			e.num(uint64(l.Outer))
			e.num(uint64(l.Count))
		}
		e.num(uint64(a.As))
		e.num(uint64(a.Apart))
		e.num(uint64(a.Mounts))
		e.flag(a.Compat)
		e.num(uint64(a.Bits))
	}
	e.count(len(p.Dirs))
	for _, dir := range p.Dirs {
		e.str(dir)
	}
	e.steps(p.Setup)
	return e.b
}

// DecodeProgram decodes a world record.
func DecodeProgram(payload []byte) (*step.Program, error) {
	d := decoder{b: payload}
	p := &step.Program{Actors: make([]step.Actor, d.count())}
	for i := range p.Actors {
		p.Actors[i] = step.Actor{Name: d.str(), Kind: step.ActorKind(d.num()), Parent: int(d.num()) - 1,
			UID: uint32(d.num()), Caps: uapi.CapSet(d.num()), Place: step.Place{Map: d.idMap(), As: uint32(d.num()),
				Apart: step.Apart(d.byte()), Mounts: step.MountNS(d.byte()), Compat: d.flag(), Bits: uint8(d.num())}}
	}
	for range d.count() {
		p.Dirs = append(p.Dirs, d.str())
	}
	p.Setup = d.steps()
	return p, d.end()
}

func (d *decoder) idMap() step.IDMap {
	var m step.IDMap
	n := d.count()
	if n > len(m) {
		d.fail("an id map has too many lines")
		return m
	}
	for i := range n {
		m[i] = uapi.IDRange{Inner: uint32(d.num()), Outer: uint32(d.num()), Count: uint32(d.num())}
	}
	return m
}

// EncodeCells encodes the payload of a cells record.
func EncodeCells(c *Cells) []byte {
	var e encoder
	e.num(uint64(c.First))
	e.num(c.alone())
	e.count(len(c.Cells))
	for _, cell := range c.Cells {
		e.steps(cell)
	}
	return e.b
}

// DecodeCells decodes a cells record.
func DecodeCells(payload []byte) (*Cells, error) {
	d := decoder{b: payload}
	c := &Cells{First: uint32(d.num())}
	alone := d.num()
	c.Cells = make([]step.Cell, d.count())
	for i := range c.Cells {
		c.Cells[i] = d.steps()
	}
	if d.err == nil && alone != c.alone() {
		d.fail("the steps are not those of the actor that the record names")
	}
	return c, d.end()
}

// Alone returns which cells a cells record holds, and the actor that makes all their steps by
// itself. ok is false if there is no such actor. The record can be passed to it unchanged.
func Alone(payload []byte) (r Range, actor uint32, ok bool) {
	d := decoder{b: payload}
	r.First = uint32(d.num())
	n := d.num()
	r.Count = uint32(d.count())
	return r, uint32(n - 1), n != 0 && d.err == nil
}

// EncodeSteps encodes steps for an actor.
func EncodeSteps(s []step.Step) []byte {
	var e encoder
	e.steps(s)
	return e.b
}

// DecodeSteps decodes what EncodeSteps encoded.
func DecodeSteps(payload []byte) ([]step.Step, error) {
	d := decoder{b: payload}
	s := d.steps()
	return s, d.end()
}

// EncodeRange encodes the payload of a begin record.
func EncodeRange(r Range) []byte {
	var e encoder
	e.num(uint64(r.First))
	e.num(uint64(r.Count))
	return e.b
}

// DecodeRange decodes a begin record.
func DecodeRange(payload []byte) (Range, error) {
	d := decoder{b: payload}
	r := Range{uint32(d.num()), uint32(d.num())}
	return r, d.end()
}

// EncodeResults encodes the payload of a setup or an end record.
func EncodeResults(r *Results) []byte {
	var e encoder
	e.num(uint64(r.First))
	e.count(len(r.Cells))
	for _, cell := range r.Cells {
		e.count(len(cell))
		for _, o := range cell {
			e.num(uint64(o.Errno))
			e.num(uint64(o.Proof))
			e.count(len(o.Values))
			for _, v := range o.Values {
				e.num(v)
			}
			e.str(o.Text)
		}
	}
	return e.b
}

// DecodeResults decodes a setup or an end record.
func DecodeResults(payload []byte) (*Results, error) {
	d := decoder{b: payload}
	r := &Results{First: uint32(d.num())}
	r.Cells = make([][]step.Observation, d.count())
	for i := range r.Cells {
		r.Cells[i] = make([]step.Observation, d.count())
		for j := range r.Cells[i] {
			o := step.Observation{Errno: uapi.Errno(d.num()), Proof: step.Proof(d.num())}
			if n := d.count(); n > 0 {
				o.Values = make([]uint64, n)
			}
			for k := range o.Values {
				o.Values[k] = d.num()
			}
			o.Text = d.str()
			r.Cells[i][j] = o
		}
	}
	return r, d.end()
}

package cover

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Executed are the addresses of instructions that QEMU translated.
type Executed map[uint64]struct{}

// Read adds the instructions of a log that QEMU wrote with -d in_asm.
func (x Executed) Read(r io.Reader) error {
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil // QEMU was killed within the last line, or it is empty
		}
		if err != nil {
			return fmt.Errorf("read QEMU's log of translated code: %w", err)
		}
		hex, ok := bytes.CutPrefix(line, []byte("0x"))
		if !ok {
			continue
		}
		address, _, ok := bytes.Cut(hex, []byte(":"))
		if !ok {
			continue
		}
		at, err := strconv.ParseUint(string(address), 16, 64)
		if err != nil {
			return fmt.Errorf("read QEMU's log of translated code: %q: %w", line, err)
		}
		x[at] = struct{}{}
	}
}

// Has reports whether the instruction at an address was executed.
func (x Executed) Has(at uint64) bool {
	_, ok := x[at]
	return ok
}

// Count is how many of all there are.
type Count struct {
	Executed int `json:"executed"`
	All      int `json:"all"`
}

func (c *Count) add(executed bool) {
	c.All++
	if executed {
		c.Executed++
	}
}

// Report is what a run executed.
type Report struct {
	Kernel  string        `json:"kernel"` // the reference
	Release string        `json:"release"`
	Cases   int           `json:"cases"`
	Units   []*UnitReport `json:"units"`
	Gates   []*Gate       `json:"gates"`
}

// UnitReport is what a run executed of a source file.
type UnitReport struct {
	Unit      string        `json:"unit"`
	Functions Count         `json:"functions"`
	Lines     Count         `json:"lines"`
	Sides     Count         `json:"sides"` // of conditional jumps in executed functions and others
	Funcs     []*FuncReport `json:"funcs"`

	at map[string]*lineReport // by FILE:LINE
}

// lineReport is what a run executed of a source line.
type lineReport struct {
	executed bool
	sides    Count // of its conditional jumps
}

// FuncReport is what a run executed of a function symbol.
type FuncReport struct {
	Func     string   `json:"func"`
	Executed bool     `json:"executed"`
	Lines    Count    `json:"lines"`
	Sides    Count    `json:"sides"`
	Missed   []string `json:"missed,omitempty"` // FILE:LINE of the lines that were not executed, in a function that was
}

// ErrTrace means that the log cannot be of this kernel and these cases.
var ErrTrace = errors.New("the log of translated code does not belong to this kernel")

// entry is the function that every bpf call executes, since 5.18 and before (syscall.c).
var entry = []string{"__sys_bpf", "__do_sys_bpf"}

// Check returns an error if nothing of the code is executed, or of the bpf system call if the code
// has it: then the addresses are of another kernel, or moved.
func (c *Code) Check(x Executed) error {
	any := false
	for _, u := range c.Units {
		for _, f := range u.Funcs {
			executed := slices.ContainsFunc(f.Insns, func(i Insn) bool { return x.Has(i.Addr) })
			if !executed && slices.Contains(entry, f.Name) {
				return fmt.Errorf("%w: nothing of %s was executed", ErrTrace, f.Name)
			}
			any = any || executed
		}
	}
	if !any {
		return fmt.Errorf("%w: nothing of the chosen source files was executed", ErrTrace)
	}
	return nil
}

// Measure compares the code with what was executed.
func (c *Code) Measure(x Executed) *Report {
	r := &Report{Gates: c.gates()}
	for _, u := range c.Units {
		r.Units = append(r.Units, u.measure(x))
	}
	for _, g := range r.Gates {
		g.Executed = x.Has(g.addr)
		g.Allowed = g.Branches && g.Executed && x.Has(g.allow)
		g.Refused = g.Branches && g.Executed && x.Has(g.refuse)
	}
	r.Gates = joined(r.Gates)
	return r
}

// joined makes one gate of copies that the compiler made of one question on one line.
func joined(list []*Gate) []*Gate {
	var out []*Gate
	for _, g := range list {
		same := func(o *Gate) bool {
			return o.Func == g.Func && plain(o.In) == plain(g.In) && o.File == g.File && o.Line == g.Line && o.Asks == g.Asks
		}
		n := slices.IndexFunc(out, same)
		if n < 0 {
			out = append(out, g)
			continue
		}
		o := out[n]
		o.Executed = o.Executed || g.Executed
		o.Branches = o.Branches || g.Branches
		o.Allowed = o.Allowed || g.Allowed
		o.Refused = o.Refused || g.Refused
	}
	return out
}

// plain is the name of a function without the underscores that it begins with. The compiler inlines is_pointer_value
// in two copies, of which one is from __is_pointer_value, and that is one question.
func plain(name string) string { return strings.TrimLeft(name, "_") }

func (u *Unit) measure(x Executed) *UnitReport {
	out := &UnitReport{Unit: u.Name, at: map[string]*lineReport{}}
	for i := range u.Funcs {
		f := u.Funcs[i].measure(x, out.at)
		out.Funcs = append(out.Funcs, f)
		out.Functions.add(f.Executed)
		out.Sides.All += f.Sides.All
		out.Sides.Executed += f.Sides.Executed
	}
	for _, l := range out.at {
		out.Lines.add(l.executed)
	}
	return out
}

// measure adds the function's lines to those of its unit.
func (f *Func) measure(x Executed, unit map[string]*lineReport) *FuncReport {
	out := &FuncReport{Func: f.Name}
	lines := map[string]bool{}
	for n := range f.Insns {
		i := &f.Insns[n]
		executed, l := x.Has(i.Addr), &lineReport{}
		out.Executed = out.Executed || executed
		for _, at := range i.places() {
			lines[at] = lines[at] || executed
			if unit[at] == nil {
				unit[at] = &lineReport{}
			}
			l = unit[at]
			l.executed = l.executed || executed
		}
		if i.Conditional() {
			for _, to := range []uint64{i.Target(), i.Next()} {
				out.Sides.add(executed && x.Has(to))
				l.sides.add(executed && x.Has(to))
			}
		}
	}
	for at, executed := range lines {
		out.Lines.add(executed)
		if out.Executed && !executed {
			out.Missed = append(out.Missed, at)
		}
	}
	slices.SortFunc(out.Missed, byLine)
	return out
}

// places are the instruction's lines as FILE:LINE: that of the call of what was inlined, then its own.
func (i *Insn) places() (out []string) {
	if i.In != "" && i.CallLine > 0 {
		out = append(out, fmt.Sprintf("%s:%d", i.CallFile, i.CallLine))
	}
	if i.Line > 0 {
		out = append(out, fmt.Sprintf("%s:%d", i.File, i.Line))
	}
	return out
}

// byLine orders FILE:LINE by file and number.
func byLine(a, b string) int {
	fa, na := split(a)
	fb, nb := split(b)
	if fa != fb {
		return strings.Compare(fa, fb)
	}
	return cmp.Or(len(na)-len(nb), strings.Compare(na, nb)) // numbers without leading zeros
}

func split(at string) (file, line string) {
	file, line, _ = strings.Cut(at, ":")
	return file, line
}

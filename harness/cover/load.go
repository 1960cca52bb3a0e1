package cover

import (
	"cmp"
	"debug/dwarf"
	"debug/elf"
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"tokentest/harness/kernel"
)

// loader reads one ELF file.
type loader struct {
	elf   *elf.File
	dwarf *dwarf.Data
	out   *kept
	funcs []elf.Symbol            // by address
	names map[dwarf.Offset]string // of abstract functions
}

// symbols reads the functions, and the names that gates and marks are about.
func (l *loader) symbols() error {
	all, err := l.elf.Symbols()
	if err != nil {
		return err
	}
	l.out.Names = map[uint64]string{}
	for _, s := range all {
		kind := elf.ST_TYPE(s.Info)
		_, asks := asks[s.Name]
		asks = asks || s.Name == markFunc
		if asks && kind == elf.STT_FUNC || kind == elf.STT_OBJECT && slices.Contains(variables, s.Name) {
			l.out.Names[s.Value] = s.Name
		}
		if kind == elf.STT_FUNC {
			l.funcs = append(l.funcs, s)
		}
	}
	slices.SortStableFunc(l.funcs, func(a, b elf.Symbol) int { return cmp.Compare(a.Value, b.Value) })
	return nil
}

// row is a row of a line table: the code from the address on is of the line.
type row struct {
	Addr uint64
	File string
	Line int // 0 after the end of a sequence
}

// inline is code that was inlined from a function.
type inline struct {
	From, To uint64
	Name     string
	File     string // of the call
	Line     int
}

// kept is what the cache keeps of a kernel's code.
type kept struct {
	BuildID string
	Units   []keptUnit
	Names   map[uint64]string // of the functions and variables that gates are about, and that are called
	Fields  map[int64]string  // of bpf_verifier_env, by their offset
}

type keptUnit struct {
	Name    string
	Funcs   []keptFunc
	Rows    []row // by address
	Inlined []inline
}

type keptFunc struct {
	Name string
	From uint64
	Text []byte
}

func (l *loader) unit(e *dwarf.Entry) error {
	ranges, err := l.dwarf.Ranges(e)
	if err != nil {
		return err
	}
	rows, files, err := l.rows(e)
	if err != nil {
		return err
	}
	inlined, err := l.inlined(e, files)
	if err != nil {
		return err
	}
	u := keptUnit{Name: unitName(e), Rows: rows, Inlined: inlined}
	for _, r := range ranges {
		i, _ := slices.BinarySearchFunc(l.funcs, r[0], func(s elf.Symbol, at uint64) int {
			return cmp.Compare(s.Value, at)
		})
		for ; i < len(l.funcs) && l.funcs[i].Value < r[1]; i++ {
			s := &l.funcs[i]
			if s.Size == 0 || l.starts(s) || strings.HasPrefix(s.Name, "__pfx_") ||
				len(u.Funcs) > 0 && u.Funcs[len(u.Funcs)-1].From == s.Value {
				continue
			}
			text, err := l.text(s)
			if err != nil {
				return err
			}
			u.Funcs = append(u.Funcs, keptFunc{s.Name, s.Value, text})
			l.called(s.Value, text)
		}
	}
	if len(u.Funcs) > 0 {
		l.out.Units = append(l.out.Units, u)
	}
	return nil
}

// called keeps the names of the functions that a function calls.
func (l *loader) called(from uint64, text []byte) {
	for at := 0; at < len(text); {
		i := Insn{Addr: from + uint64(at)}
		i.Inst = decode(text[at:])
		at += i.Len
		if to := i.Target(); i.Op == x86asm.CALL && to != 0 {
			n, ok := slices.BinarySearchFunc(l.funcs, to, func(s elf.Symbol, a uint64) int { return cmp.Compare(s.Value, a) })
			if _, known := l.out.Names[to]; ok && !known {
				l.out.Names[to] = l.funcs[n].Name
			}
		}
	}
}

// text reads the instructions of a function.
func (l *loader) text(s *elf.Symbol) ([]byte, error) {
	in := l.elf.Sections[s.Section]
	text := make([]byte, s.Size)
	_, err := in.ReadAt(text, int64(s.Value-in.Addr))
	return text, err
}

// starts reports whether a function is only used while the kernel starts or ends, or has no code here.
func (l *loader) starts(s *elf.Symbol) bool {
	if int(s.Section) >= len(l.elf.Sections) || l.elf.Sections[s.Section].Type != elf.SHT_PROGBITS {
		return true
	}
	name := l.elf.Sections[s.Section].Name
	return strings.HasPrefix(name, ".init") || strings.HasPrefix(name, ".exit")
}

// rows reads a unit's line table and the names of its files.
func (l *loader) rows(unit *dwarf.Entry) ([]row, []string, error) {
	lines, err := l.dwarf.LineReader(unit)
	if err != nil || lines == nil {
		return nil, nil, cmp.Or(err, ErrNoLines)
	}
	var out []row
	paths := map[*dwarf.LineFile]string{}
	name := func(f *dwarf.LineFile) string {
		if _, ok := paths[f]; !ok && f != nil {
			paths[f] = kernel.TreePath(unit, f.Name)
		}
		return paths[f]
	}
	var e dwarf.LineEntry
	for {
		switch err := lines.Next(&e); {
		case errors.Is(err, io.EOF):
			slices.SortStableFunc(out, func(a, b row) int { return cmp.Compare(a.Addr, b.Addr) })
			var files []string
			for _, f := range lines.Files() {
				files = append(files, name(f))
			}
			return out, files, nil
		case err != nil:
			return nil, nil, err
		case e.EndSequence || e.File == nil:
			out = append(out, row{Addr: e.Address})
		default:
			out = append(out, row{e.Address, name(e.File), e.Line})
		}
	}
}

// inlined lists the inlined code of a unit, outer functions before inner ones.
func (l *loader) inlined(unit *dwarf.Entry, files []string) ([]inline, error) {
	var out []inline
	r := l.dwarf.Reader()
	r.Seek(unit.Offset)
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	for depth := 1; depth > 0; {
		e, err := r.Next()
		if err != nil || e == nil {
			return out, err
		}
		switch e.Tag {
		case 0:
			depth--
			continue
		case dwarf.TagInlinedSubroutine:
			ranges, err := l.dwarf.Ranges(e)
			if err != nil {
				return nil, err
			}
			name, err := l.origin(e)
			if err != nil {
				return nil, err
			}
			line, _ := e.Val(dwarf.AttrCallLine).(int64)
			file := ""
			if n, ok := e.Val(dwarf.AttrCallFile).(int64); ok && n < int64(len(files)) {
				file = files[n]
			}
			for _, g := range ranges {
				out = append(out, inline{g[0], g[1], name, file, int(line)})
			}
		case dwarf.TagStructType:
			if name, _ := e.Val(dwarf.AttrName).(string); name == verifierEnv && l.out.Fields == nil && e.Children {
				if err := l.readFields(e); err != nil {
					return nil, err
				}
			}
		}
		if e.Children {
			depth++
		}
	}
	return out, nil
}

// origin is the name of the function that an entry is an instance of.
func (l *loader) origin(e *dwarf.Entry) (string, error) {
	at, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
	if !ok {
		name, _ := e.Val(dwarf.AttrName).(string)
		return name, nil
	}
	if name, ok := l.names[at]; ok {
		return name, nil
	}
	r := l.dwarf.Reader()
	r.Seek(at)
	of, err := r.Next()
	if err != nil || of == nil {
		return "", err
	}
	name, _ := of.Val(dwarf.AttrName).(string)
	if name == "" && of.Offset != e.Offset {
		if name, err = l.origin(of); err != nil {
			return "", err
		}
	}
	l.names[at] = name
	return name, nil
}

// verifierEnv is the structure with the verifier's permissions, which bpf_check of verifier.c sets.
const verifierEnv = "bpf_verifier_env"

// permissions are its members that permit something.
var permissions = []string{"allow_ptr_leaks", "allow_uninit_stack", "bpf_capable", "bypass_spec_v1", "bypass_spec_v4"}

func (l *loader) readFields(of *dwarf.Entry) error {
	l.out.Fields = map[int64]string{}
	r := l.dwarf.Reader()
	r.Seek(of.Offset)
	if _, err := r.Next(); err != nil {
		return err
	}
	for {
		e, err := r.Next()
		if err != nil || e == nil || e.Tag == 0 {
			return err
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		if at, ok := e.Val(dwarf.AttrDataMemberLoc).(int64); ok && slices.Contains(permissions, name) {
			l.out.Fields[at] = name
		}
		if e.Children {
			r.SkipChildren()
		}
	}
}

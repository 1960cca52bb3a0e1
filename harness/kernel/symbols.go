package kernel

import (
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Vmlinux is the path of the kernel's ELF file with symbols: the image itself, a file next to it,
// or one at the top of its tree. "" means that it has none.
func (k *Kernel) Vmlinux() string {
	if k.Format == Vmlinux {
		return k.Image
	}
	dir := filepath.Dir(k.Image)
	for _, path := range []string{filepath.Join(dir, Vmlinux), filepath.Join(dir, "../../..", Vmlinux)} {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// Symbols maps addresses in the kernel to source lines.
type Symbols struct {
	file  *elf.File
	dwarf *dwarf.Data
	funcs map[string][]elf.Symbol
}

// OpenSymbols reads the symbols of an ELF file. Without DWARF, no address has a line.
func OpenSymbols(path string) (*Symbols, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	all, err := f.Symbols()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read symbols of %s: %w", path, err)
	}
	s := &Symbols{file: f, funcs: map[string][]elf.Symbol{}}
	for _, sym := range all {
		if elf.ST_TYPE(sym.Info) == elf.STT_FUNC {
			s.funcs[sym.Name] = append(s.funcs[sym.Name], sym)
		}
	}
	if s.dwarf, err = f.DWARF(); err != nil {
		f.Close()
		return nil, fmt.Errorf("read the line numbers of %s: %w", path, err)
	}
	return s, nil
}

// Close closes the file.
func (s *Symbols) Close() error { return s.file.Close() }

// padding is the largest difference between a function's size and the size that the kernel prints,
// which extends to the next function.
const padding = 64

// Line returns FILE:LINE of an offset in a function, or "". The size distinguishes functions of
// the same name.
func (s *Symbols) Line(name string, offset, size uint64) string {
	var best *elf.Symbol
	for i, sym := range s.funcs[name] {
		if sym.Size <= size && size-sym.Size < padding && offset <= sym.Size && (best == nil || sym.Size > best.Size) {
			best = &s.funcs[name][i]
		}
	}
	if best == nil {
		return ""
	}
	return s.at(best.Value + offset)
}

func (s *Symbols) at(pc uint64) string {
	unit, err := s.dwarf.Reader().SeekPC(pc)
	if err != nil {
		return ""
	}
	lines, err := s.dwarf.LineReader(unit)
	if err != nil || lines == nil {
		return ""
	}
	e := lineOf(lines, pc)
	if e == nil || e.File == nil {
		return ""
	}
	return fmt.Sprintf("%s:%d", TreePath(unit, e.File.Name), e.Line)
}

// TreePath is a path in the debug information of a unit, below the kernel's tree.
func TreePath(unit *dwarf.Entry, path string) string {
	if dir, ok := unit.Val(dwarf.AttrCompDir).(string); ok {
		path = strings.TrimPrefix(path, dir+"/")
		path = strings.TrimPrefix(path, filepath.Dir(dir)+"/src/") // our builds have their sources next to them
	}
	return filepath.Clean(path)
}

// lineOf searches a unit's line table. LineReader.SeekPC fails if the first sequence is after pc,
// which happens in units with code in several sections.
func lineOf(lines *dwarf.LineReader, pc uint64) *dwarf.LineEntry {
	var e, before dwarf.LineEntry
	for within := false; lines.Next(&e) == nil; within = !e.EndSequence {
		if within && before.Address <= pc && pc < e.Address {
			return &before
		}
		before = e
	}
	return nil
}

// place matches an address as the kernel prints it: FUNC+0xOFFSET/0xSIZE, followed by the module's
// name if there is one.
var place = regexp.MustCompile(`([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)( \[)?`)

// Annotate adds the source line to each address in a line of the kernel log. A return address is
// that of the instruction after the call, so the line is that of the instruction before it, except
// for the instruction that faulted.
func (s *Symbols) Annotate(line string) string {
	m := place.FindStringSubmatch(line)
	if m == nil || m[4] != "" {
		return line
	}
	offset, err1 := strconv.ParseUint(m[2], 16, 64)
	size, err2 := strconv.ParseUint(m[3], 16, 64)
	if err1 != nil || err2 != nil {
		return line
	}
	if offset > 0 && !strings.Contains(line, "RIP: ") && !strings.Contains(line, "pc : ") {
		offset--
	}
	if at := s.Line(m[1], offset, size); at != "" {
		return line + " (" + at + ")"
	}
	return line
}

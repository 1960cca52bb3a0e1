package guest

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"tokentest/cases/step"
)

// builtIn is what the running kernel shows of its configuration.
type builtIn struct {
	off      []string // symbols of step.Options
	on       []string // symbols of step.Opposites
	from     string   // where functions were looked for
	typesOff []string
}

// whatIsBuiltIn looks for the function or the file of every option. A kernel
// without BTF is asked for its symbols, which takes longer.
func whatIsBuiltIn(b *kernelBTF) builtIn {
	out := builtIn{from: step.FromBTF}
	has := b.hasFunc
	if b == nil {
		symbols := symbolsOf(kallsyms)
		if out.from = step.FromKallsyms; symbols == nil {
			out.from = ""
		}
		has = func(name string) bool { return symbols[name] }
	} else {
		out.typesOff = b.typesOff()
	}
	for _, o := range step.Options {
		switch {
		case o.File != "" && absent(o.File), o.File == "" && out.from != "" && !has(o.Func):
			out.off = append(out.off, o.Config)
		}
	}
	for _, o := range step.Opposites {
		if out.from != "" && !has(o.Func) {
			out.on = append(out.on, o.Config)
		}
	}
	return out
}

func absent(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func (b *kernelBTF) hasFunc(name string) bool {
	_, ok := b.types[btfName{step.KindFunc, name}]
	return ok
}

// typesOff lists the types that requests name and the kernel does not have.
func (b *kernelBTF) typesOff() []string {
	var out []string
	for _, n := range step.BTFNames() {
		name := step.TypeName(n[0], n[1])
		if _, ok := b.types[btfName{n[0], n[1]}]; !ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// symbolsOf reads which functions of step.Options and step.Opposites are among the kernel's symbols; nil
// where it does not show them.
func symbolsOf(path string) map[string]bool {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	wanted := map[string]bool{}
	for _, o := range slices.Concat(step.Options, step.Opposites) {
		wanted[o.Func] = o.Func != ""
	}
	var found map[string]bool
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if found == nil {
			found = map[string]bool{}
		}
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && wanted[fields[2]] { // a module's have a fourth
			found[fields[2]] = true
		}
	}
	if lines.Err() != nil {
		return nil
	}
	return found
}

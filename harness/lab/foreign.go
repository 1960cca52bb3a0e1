package lab

import (
	"debug/elf"
	"path"
	"path/filepath"
	"slices"

	"tokentest/harness/arch"
	"tokentest/harness/usage"
	"tokentest/images"
)

// fitTo makes a program of this host fit for a kernel of another architecture. What came with it for the wrong one
// stays here, and u-root's command of the same name takes its place, also as the interpreter of a script. The error is
// a *usage.Error.
func (p *Program) fitTo(of *arch.Arch) error {
	var wrong []string
	own := p.Files[:min(p.Own, len(p.Files))]
	kept := make([]File, 0, len(p.Files))
	for _, f := range own {
		if machine, ok := machineOf(f.From); ok && !of.Runs(uint16(machine)) {
			wrong = append(wrong, f.From)
			continue
		}
		kept = append(kept, f)
	}
	if wrong == nil {
		return nil
	}
	program := p.Args[0]
	for _, name := range append(interpreters(program), program) {
		if !slices.Contains(wrong, name) {
			continue
		}
		command := images.Command(filepath.Base(name))
		machine, _ := machineOf(name)
		switch {
		case command == "" || name == program && p.Name == "":
			return usage.Errorf("%s is a program for %s, and the kernel runs those for %s: compile it for %s",
				name, nameOf(machine), of.Name, of.GOARCH)
		case name == program:
			p.Args = append([]string{command}, p.Args[1:]...)
		case path.Base(name) != "env" && path.Dir(name) != path.Dir(command): // the script names its own
			return usage.Errorf("%s starts with #!%s, which the machine has only as %s", program, name, command)
		}
	}
	p.Files, p.Own = append(kept, p.Files[len(own):]...), len(kept)
	return nil
}

// machineOf returns the e_machine of an ELF file.
func machineOf(file string) (machine elf.Machine, ok bool) {
	f, err := elf.Open(file)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	return f.Machine, true
}

func nameOf(machine elf.Machine) string {
	if a := arch.OfELF(uint16(machine)); a != nil {
		return a.Name
	}
	return machine.String()
}

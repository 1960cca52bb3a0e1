package lab

import (
	"tokentest/harness/kernel"
	"tokentest/harness/splat"
)

// symbolise adds source lines to findings if the kernel's ELF file with its debug
// information is known. It reads that file only if there is a finding.
func (t *trial) symbolise(findings []splat.Finding) {
	path := t.kernel.Vmlinux()
	if len(findings) == 0 || path == "" {
		return
	}
	if t.symbols == nil && !t.noSymbols {
		var err error
		if t.symbols, err = kernel.OpenSymbols(path); err != nil {
			t.noSymbols = true
			t.lab.log("%s: findings have no source lines: %v", t.out.Ref, err)
		}
	}
	if t.symbols == nil {
		return
	}
	for i := range findings {
		for j, line := range findings[i].Lines {
			findings[i].Lines[j] = t.symbols.Annotate(line)
		}
	}
}

package vm

import (
	"slices"
	"strings"

	"tokentest/harness/splat"
	"tokentest/harness/wire"
)

// Taint records the kernel's taint flags at hello and at done. Flags that the kernel
// set in between are a finding, unless a report in the log explains them.
func (m *Machine) Taint(before, after uint64) {
	m.note(func(v *evidence) { v.taint = after &^ before })
}

// Disown records which lines of the kernel log programs wrote through /dev/kmsg: a
// finding that starts with one of them is a program's, not the kernel's.
func (m *Machine) Disown(lines []string) {
	m.note(func(v *evidence) { v.foreign = append(v.foreign, lines...) })
}

// Leaks records the result of a kmemleak scan in the guest.
func (m *Machine) Leaks(l *wire.Leaks) {
	m.note(func(v *evidence) { v.leaks = l })
}

// addFound completes the log's findings by what the guest reported. It is safe to
// call more than once.
func (v *evidence) addFound() {
	v.dropForeign()
	list := &v.log.Findings
	if v.leaks != nil {
		*list = append(*list, splat.Leaks(v.leaks, v.total)...)
	}
	if g, ok := splat.Taint(v.taint, *list, v.total); ok {
		*list = append(*list, g)
	}
	v.leaks, v.taint = nil, 0
}

// dropForeign drops the findings that programs wrote. The one that killed the kernel
// stays: the guest could not have disowned it afterwards.
func (v *evidence) dropForeign() {
	if len(v.foreign) == 0 {
		return
	}
	v.log.Findings = slices.DeleteFunc(v.log.Findings, func(g splat.Finding) bool {
		return len(g.Lines) > 0 && slices.Contains(v.foreign, strings.TrimRight(g.Lines[0], " \r"))
	})
}

package vm

import (
	"fmt"
	"slices"
	"strings"
)

// taints are the kernel's taint flags from bit 0 on, as Documentation/admin-guide/tainted-kernels.rst names them.
var taints = [...]struct{ letter, means string }{
	{"P", "proprietary module"}, {"F", "module was force loaded"}, {"S", "out of specification system"}, {"R", "module was force unloaded"},
	{"M", "machine check exception"}, {"B", "bad page"}, {"U", "taint requested by userspace"}, {"D", "kernel died recently"},
	{"A", "ACPI table overridden"}, {"W", "warning"}, {"C", "staging driver"}, {"I", "platform firmware bug workaround"},
	{"O", "out-of-tree module"}, {"E", "unsigned module"}, {"L", "soft lockup"}, {"K", "live patched"},
	{"X", "auxiliary taint"}, {"T", "built with the struct randomization plugin"}, {"N", "in-kernel test"}, {"J", "userspace used a mutating debug operation"},
}

// TaintNames spells the flags of a taint mask.
func TaintNames(mask uint64) string {
	var out []string
	for i := range 64 {
		switch {
		case mask&(1<<i) == 0:
		case i < len(taints):
			out = append(out, fmt.Sprintf("%s (%s)", taints[i].letter, taints[i].means))
		default:
			out = append(out, fmt.Sprintf("bit %d", i))
		}
	}
	return strings.Join(out, ", ")
}

// reported are the flags that the kernel sets along with a report: warning,
// death, lockup, bad page, machine check.
const reported = 1<<9 | 1<<7 | 1<<14 | 1<<5 | 1<<4

// Taint tells the machine what the kernel's taint flags were at hello and at
// done. Those that came in between are a finding, unless a report in the log
// is one already.
func (m *Machine) Taint(before, after uint64) {
	m.note(func(f *facts) { f.taint = after &^ before })
}

// addFound adds what was not seen in the log but by the guest.
func (f *facts) addFound() {
	f.dropForeign()
	f.addLeaks()
	f.addTaint()
	for i := range f.log.findings {
		if g := &f.log.findings[i]; g.Fingerprint == "" {
			g.Fingerprint = fingerprint(g)
		}
	}
}

// addTaint makes a finding of a taint for which the log holds none.
func (f *facts) addTaint() {
	mask := f.taint
	f.taint = 0
	if len(f.log.findings) > 0 {
		mask &^= reported
	}
	if mask == 0 {
		return
	}
	f.log.findings = append(f.log.findings, Finding{Kind: KindTaint, Title: "the kernel became tainted: " + TaintNames(mask), Offset: -1, Time: f.total})
}

// Disown tells the machine which lines of the kernel's log programs wrote
// through /dev/kmsg: a finding that begins with one is theirs, not the kernel's.
func (m *Machine) Disown(lines []string) {
	m.note(func(f *facts) { f.foreign = append(f.foreign, lines...) })
}

// dropForeign drops the findings that programs wrote. What ended the kernel
// stays: then nobody was left to tell.
func (f *facts) dropForeign() {
	if len(f.foreign) == 0 {
		return
	}
	f.log.findings = slices.DeleteFunc(f.log.findings, func(g Finding) bool {
		return len(g.Lines) > 0 && slices.Contains(f.foreign, strings.TrimRight(g.Lines[0], " \r"))
	})
}

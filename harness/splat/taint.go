package splat

import (
	"fmt"
	"strings"
	"time"
)

// taints are the kernel's taint flags from bit 0 on, as
// Documentation/admin-guide/tainted-kernels.rst names them.
var taints = [...]struct{ letter, means string }{
	{"P", "proprietary module"},
	{"F", "module was force loaded"},
	{"S", "out of specification system"},
	{"R", "module was force unloaded"},
	{"M", "machine check exception"},
	{"B", "bad page"},
	{"U", "taint requested by userspace"},
	{"D", "kernel died recently"},
	{"A", "ACPI table overridden"},
	{"W", "warning"},
	{"C", "staging driver"},
	{"I", "platform firmware bug workaround"},
	{"O", "out-of-tree module"},
	{"E", "unsigned module"},
	{"L", "soft lockup"},
	{"K", "live patched"},
	{"X", "auxiliary taint"},
	{"T", "built with the struct randomization plugin"},
	{"N", "in-kernel test"},
	{"J", "userspace used a mutating debug operation"},
}

// taintNames names the flags of a taint mask.
func taintNames(mask uint64) string {
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

// reported are the flags that the kernel sets when it prints a report: warning,
// death, lockup, bad page, machine check.
const reported = 1<<9 | 1<<7 | 1<<14 | 1<<5 | 1<<4

// Taint returns a finding for the taint flags that the kernel set while the machine
// ran, if the log does not explain them; found are the log's findings. at is the
// finding's time.
func Taint(mask uint64, found []Finding, at time.Duration) (f Finding, ok bool) {
	if len(found) > 0 {
		mask &^= reported
	}
	if mask == 0 {
		return Finding{}, false
	}
	f = Finding{Kind: KindTaint, Title: "the kernel became tainted: " + taintNames(mask), Offset: -1, Time: at}
	f.Fingerprint = fingerprint(&f)
	return f, true
}

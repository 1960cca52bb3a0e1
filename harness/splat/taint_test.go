package splat

import (
	"testing"
	"time"
)

func TestTaint(t *testing.T) {
	warned := Scan([]byte("WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n")).Findings
	for _, tt := range []struct {
		name  string
		mask  uint64
		found []Finding
		title string // "" is no finding
	}{
		{"no flag", 0, nil, ""},
		{"a module", 1 << 12, nil, "the kernel became tainted: O (out-of-tree module)"},
		{"a warning that the log does not show", 1 << 9, nil, "the kernel became tainted: W (warning)"},
		{"a warning that the log shows", 1 << 9, warned, ""},
		{"a lockup after a warning", 1<<9 | 1<<14, warned, ""},
		{"a warning and a module", 1<<9 | 1<<13, warned, "the kernel became tainted: E (unsigned module)"},
		{"two flags", 1<<0 | 1<<1, nil, "the kernel became tainted: P (proprietary module), F (module was force loaded)"},
		{"a flag of a later kernel", 1 << 40, nil, "the kernel became tainted: bit 40"},
	} {
		f, ok := Taint(tt.mask, tt.found, time.Second)
		if ok != (tt.title != "") || f.Title != tt.title {
			t.Errorf("%s: got %q, %v, want %q", tt.name, f.Title, ok, tt.title)
		}
		if ok && (f.Kind != KindTaint || f.Offset != -1 || f.Time != time.Second || len(f.Fingerprint) != 12) {
			t.Errorf("%s: got %+v", tt.name, f)
		}
	}
}

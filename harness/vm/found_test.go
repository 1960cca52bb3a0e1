package vm

import (
	"strings"
	"testing"
	"time"
)

// found judges a guest that was done, with what it saw itself.
func found(f facts) (Fate, []Finding) {
	f.hello, f.done = 1, true
	e := f.exit()
	return e.Fate, e.Findings
}

func TestTaint(t *testing.T) {
	warned := scan([]byte("WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"))
	for _, tt := range []struct {
		name  string
		f     facts
		fate  Fate
		title string // of the last finding
		count int
	}{
		{"none", facts{}, Clean, "", 0},
		{"a module", facts{taint: 1 << 12}, Tainted, "the kernel became tainted: O (out-of-tree module)", 1},
		{"a warning that the log does not show", facts{taint: 1 << 9}, Tainted, "the kernel became tainted: W (warning)", 1},
		{"a warning that the log shows", facts{taint: 1 << 9, log: warned}, Tainted, "WARNING in a (kernel/a.c)", 1},
		{"a warning, and a module", facts{taint: 1<<9 | 1<<13, log: warned}, Tainted, "the kernel became tainted: E (unsigned module)", 2},
		{"a flag of tomorrow", facts{taint: 1 << 40}, Tainted, "the kernel became tainted: bit 40", 1},
	} {
		fate, list := found(tt.f)
		if fate != tt.fate || len(list) != tt.count || tt.count > 0 && (list[tt.count-1].Title != tt.title || list[tt.count-1].Fingerprint == "") {
			t.Errorf("%s: %s %+v", tt.name, fate, list)
		}
	}
}

const splat = `[  %s] WARNING: CPU: %s at kernel/bpf/token.c:12 bpf_token_create+0x%s/0x200
[  1.000001] RIP: 0010:bpf_token_create+0x10/0x20
[  1.000002] Call Trace:
[  1.000003]  <TASK>
[  1.000004]  ? show_regs+0x1/0x2
[  1.000005]  __warn+0x1/0x2
[  1.000006]  %s.isra.0+0x%s/0x90
[  1.000007]  __sys_bpf+0x10/0x20
[  1.000008]  </TASK>
[  1.000009] ---[ end trace 0000000000000000 ]---
`

func splatOf(words ...string) Finding {
	log := splat
	for _, w := range words {
		log = strings.Replace(log, "%s", w, 1)
	}
	return Scan([]byte(log))[0]
}

// The fingerprint is that of the fault: not of its time, CPU and addresses,
// but of the way to it.
func TestFingerprint(t *testing.T) {
	one := splatOf("1.000000", "0 PID: 88", "10", "caller", "1a")
	same := splatOf("77.123456", "3 PID: 4711", "1f0", "caller", "77")
	other := splatOf("1.000000", "0 PID: 88", "10", "stranger", "1a")
	if one.Fingerprint != same.Fingerprint {
		t.Errorf("%s and %s for the same fault", one.Fingerprint, same.Fingerprint)
	}
	if one.Fingerprint == other.Fingerprint || len(one.Fingerprint) != 12 {
		t.Errorf("%s and %s for different ways to a fault", one.Fingerprint, other.Fingerprint)
	}
	if got := frames(one.Kind, one.Lines, printFrames); strings.Join(got, " ") != "caller __sys_bpf" {
		t.Errorf("frames %q", got)
	}
}

func TestAllow(t *testing.T) {
	now := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	one := splatOf("1.000000", "0 PID: 88", "10", "caller", "1a")
	for _, tt := range []struct {
		text, covers string // the reason given
	}{
		{"", ""},
		{"# a comment\n\n", ""},
		{"warn: WARNING in bpf_token_create * until=2026-11-24 # known, see the list", "known, see the list (allow.txt:1)"},
		{"warn: * until=2027-01-01 # all", "all (allow.txt:1)"},
		{"*kernel/bpf/token.c* until=2027-01-01 # a file", "a file (allow.txt:1)"},
		{one.Fingerprint + " until=2027-01-01 # by fingerprint", "by fingerprint (allow.txt:1)"},
		{"kasan: * until=2027-01-01 # another kind\n*token.c) until=2027-01-01 # this one", "this one (allow.txt:2)"},
		{"bug: * until=2027-01-01 # no", ""},
	} {
		a, err := ParseAllow(nil, "allow.txt", tt.text, now)
		if err != nil {
			t.Fatal(tt.text, err)
		}
		fate, list := found(facts{log: report{findings: []Finding{one}}, allow: a})
		if list[0].Allowed != tt.covers || (fate == Clean) != (tt.covers != "") {
			t.Errorf("%q: %s %q, want %q", tt.text, fate, list[0].Allowed, tt.covers)
		}
	}
}

// What the kernel died of cannot be allowed.
func TestAllowNoPanic(t *testing.T) {
	a, err := ParseAllow(nil, "a", "* until=2027-01-01 # all", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	if fate, _ := found(facts{log: scan([]byte("Kernel panic - not syncing: x\n")), allow: a}); fate != Panicked {
		t.Errorf("got %s", fate)
	}
}

func TestAllowErrors(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"\nwarn: * # why":                       "allow.txt:2: no date",
		"warn: * until=2027-01-01":              "allow.txt:1: missing reason (after #)",
		"warn: * until=2027-01-01 #":            "allow.txt:1: missing reason (after #)",
		"warn: * until=soon # why":              "allow.txt:1: until=soon: want until=YYYY-MM-DD",
		"warn: * until=2026-11-23 # why":        `allow.txt:1: the entry "warn: *" ended on 2026-11-23`,
		"a until=2027-01-01 # b\nc until=1 # d": "allow.txt:2: until=1",
	} {
		if _, err := ParseAllow(nil, "allow.txt", text, now); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

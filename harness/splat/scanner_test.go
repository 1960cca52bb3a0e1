package splat

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// titles lists the findings of a log as "KIND: TITLE".
func titles(r Report) []string {
	var out []string
	for _, f := range r.Findings {
		out = append(out, string(f.Kind)+": "+f.Title)
	}
	return out
}

// TestDying: the caller ends a machine as soon as the kernel says that it is dead.
func TestDying(t *testing.T) {
	for line, want := range map[string]bool{
		"Kernel panic - not syncing: x":                                true,
		"BUG: kernel NULL pointer dereference, address: 8":             true,
		"Kernel panic - not syncing: Attempted to kill init! exitcode": true,
		"WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20":          false,
		"watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]":      false,
		"systemd[1]: Kernel panic - not syncing: words":                false,
	} {
		var s Scanner
		fmt.Fprintln(&s, "[    1.000000] before")
		if s.Dying() {
			t.Errorf("%s: dying before the line", line)
		}
		fmt.Fprintln(&s, "[    2.000000] "+line)
		if s.Dying() != want {
			t.Errorf("%s: dying is %v, want %v", line, s.Dying(), want)
		}
	}
}

// TestStamps: once the kernel stamps its lines, a line without a stamp is a program's.
func TestStamps(t *testing.T) {
	const warning = "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"
	for _, tt := range []struct {
		name, log string
		resumed   bool
		findings  int
	}{
		{"a kernel without stamps", warning, false, 1},
		{"a kernel with stamps", "[    1.000000] x\n[    2.000000] " + warning, false, 1},
		{"a program on a kernel with stamps", "[    1.000000] x\n" + warning, false, 0},
		{"a program before the first stamp of a resumed log", warning, true, 0},
		{"a program that did not end its line", "[    1.000000] x\nprompt$ [    2.000000] " + warning, false, 1},
	} {
		s := &Scanner{Resumed: tt.resumed}
		fmt.Fprint(s, tt.log)
		if r := s.Close(); len(r.Findings) != tt.findings {
			t.Errorf("%s: got %q, want %d findings", tt.name, titles(r), tt.findings)
		}
	}
}

// TestMarks: a finding carries the agent's last mark, and only the kernel log's marks
// count, not what a program prints.
func TestMarks(t *testing.T) {
	const warning = "[    3.000000] WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n"
	for _, tt := range []struct{ name, log, mark, reason string }{
		{"none", warning, "", ""},
		{"one", "[    1.000000] tokentest: begin cells 0 1\n" + warning, "cells 0 1", ""},
		{"the last", "[    1.000000] tokentest: begin set-up 0\n[    2.000000] tokentest: begin cells 0 1\n" + warning,
			"cells 0 1", ""},
		{"after the finding", warning + "[    4.000000] tokentest: begin cells 0 1\n", "", ""},
		{"a program's", "[    1.000000] x\ntokentest: begin cells 7 1\n" + warning, "", ""},
		{"another line of the agent", "[    1.000000] tokentest: init 1\n" + warning, "", ""},
		{"a reason", "[    1.000000] tokentest: agent: no port\n" + warning, "", "no port"},
	} {
		r := Scan([]byte(tt.log))
		if len(r.Findings) != 1 || r.Findings[0].Mark != tt.mark || r.AgentReason != tt.reason {
			t.Errorf("%s: got %+v, reason %q; want mark %q, reason %q", tt.name, r.Findings, r.AgentReason, tt.mark, tt.reason)
		}
	}
}

// TestInterleaved: reports of two CPUs that print at once stay apart if the kernel
// names the caller of each line.
func TestInterleaved(t *testing.T) {
	r := Scan([]byte(`[    1.0][   T1] ------------[ cut here ]------------
[    1.0][   T2] ------------[ cut here ]------------
[    1.1][   T2] WARNING: CPU: 1 PID: 2 at kernel/b.c:2 b+0x1/0x2
[    1.1][   T1] WARNING: CPU: 0 PID: 1 at kernel/a.c:1 a+0x1/0x2
[    1.2][   T2] of b
[    1.2][   T1] ---[ end trace 0000000000000000 ]---
[    1.3][   T1] nothing
[    1.3][   T2] ---[ end trace 0000000000000000 ]---
`))
	if got := titles(r); !slices.Equal(got, []string{"warn: WARNING in a (kernel/a.c)",
		"warn: WARNING in b (kernel/b.c)"}) {
		t.Fatalf("got %q", got)
	}
	for i, want := range []int{3, 4} {
		if n := len(r.Findings[i].Lines); n != want {
			t.Errorf("finding %d has %d lines, want %d: %q", i, n, want, r.Findings[i].Lines)
		}
	}
}

// TestPanicCause: a panic that follows from an earlier report is that report, and one
// that does not is a finding of its own.
func TestPanicCause(t *testing.T) {
	const (
		oops    = "BUG: kernel NULL pointer dereference, address: 8\nRIP: 0010:f+0x4/0x80\n---[ end trace 0 ]---\n"
		warning = "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n---[ end trace 0 ]---\n"
		panics  = "Kernel panic - not syncing: "
	)
	for _, tt := range []struct {
		log, fatal, exit string
		count            int
	}{
		{oops + panics + "Fatal exception\n", "BUG: kernel NULL pointer dereference in f", "", 1},
		{oops + panics + "Attempted to kill init! exitcode=0x0000000b\n", "BUG: kernel NULL pointer dereference in f", "", 1},
		{warning + panics + "kernel: panic_on_warn set ...\n", "WARNING in a (kernel/a.c)", "", 1},
		{warning + panics + "out of luck\n", "kernel panic: out of luck", "", 2},
		{panics + "Fatal exception\n", "kernel panic: Fatal exception", "", 1},
		{warning + panics + "Attempted to kill init! exitcode=0x00000100\n", "",
			"exitcode=0x00000100", 1},
		{panics + "Attempted to kill init!\n", "", "exit code unknown", 0},
		{panics + "first\n" + panics + "second\n", "kernel panic: first", "", 1},
	} {
		r := Scan([]byte(tt.log))
		fatal := ""
		if r.Fatal != nil {
			fatal = r.Fatal.Title
		}
		if fatal != tt.fatal || r.InitExit != tt.exit || len(r.Findings) != tt.count {
			t.Errorf("%q: fatal %q, exit %q, %q; want %q, %q, %d findings",
				tt.log, fatal, r.InitExit, titles(r), tt.fatal, tt.exit, tt.count)
		}
	}
}

// TestTimes: a finding has the time at which its first line came.
func TestTimes(t *testing.T) {
	now := time.Second
	s := &Scanner{Now: func() time.Duration { return now }}
	fmt.Fprint(s, "WARNING: CPU: 0 PID: 9 at kernel/a.c:12 a+0x10/0x20\n")
	now = time.Minute
	fmt.Fprint(s, "RIP: 0010:a+0x10/0x20\n")
	if r := s.Close(); r.Findings[0].Time != time.Second || len(r.Findings[0].Lines) != 2 {
		t.Errorf("got %+v", r.Findings)
	}
}

func TestLastLine(t *testing.T) {
	for log, want := range map[string]string{
		"":                             "",
		"a\r\n\r\n":                    "a",
		"a\nb":                         "b",
		"[    1.0] a\n[    1.1] \n\n":  "[    1.0] a",
		strings.Repeat("x", 2*maxLine): strings.Repeat("x", maxLine),
	} {
		if got := Scan([]byte(log)).LastLine; got != want {
			t.Errorf("%.20q: got %q, want %q", log, got, want)
		}
	}
}

func TestUnprefix(t *testing.T) {
	const at = 1500 * time.Millisecond
	of := func(f form, caller string, at time.Duration) line {
		return line{msg: "a", form: f, caller: caller, at: at}
	}
	for raw, want := range map[string]line{
		"a":                                                           {msg: "a"},
		"[    1.500000] a":                                            of(formPrintk, "", at),
		"<4>[    1.500000] a":                                         of(formPrintk, "", at),
		"<4>a":                                                        {msg: "a"},
		"[    1.5][  T12] a":                                          of(formPrintk, "T12", at),
		"[    1.500000] [  T12] a":                                    of(formPrintk, "T12", at),
		"[    1.5][   C0] a":                                          of(formPrintk, "C0", at),
		"[    1.500000] [1:   demo:  311] a":                          of(formPrintk, "demo", at),
		"[    1.500000] (0)[311:demo]a":                               of(formPrintk, "demo", at),
		"[    1.500000s][pid:1,cpu0,demo]a":                           of(formPrintk, "demo", at),
		"[    1.500000] host kernel: a":                               of(formPrintk, "", at),
		"[    1.500000 <    0.000003>] a":                             of(formDmesg, "", 0),
		"[<    0.000003>] a":                                          of(formDmesg, "", 0),
		"[  +0.000003] a":                                             of(formDmesg, "", 0),
		"[Jul30 09:47] a":                                             of(formDmesg, "", 0),
		"[Fri Nov 27 12:00:00 2026] a":                                of(formDmesg, "", 0),
		"[пт ноя 27 12:00:00 2026] a":                                 of(formDmesg, "", 0),
		"[Fri Nov 27 12:00:00 2026 <    0.000003>] a":                 of(formDmesg, "", 0),
		"kern  :warn  : [Fri Nov 27 12:00:00 2026] a":                 of(formDmesg, "", 0),
		"kern  :warn  : [    1.500000] a":                             of(formDmesg, "", at),
		"kern  :warn  : a":                                            of(formDmesg, "", 0),
		"2026-11-27T12:00:00,974209+02:00 a":                          of(formDmesg, "", 0),
		"2026-11-27T12:00:00,974209+02:00 [   T12] a":                 of(formDmesg, "T12", 0),
		"\x1b[32m[    1.500000] \x1b[0m\x1b[31ma\x1b[0m":              of(formPrintk, "", at),
		"[\u00a0 \u00a0 1.500000] a":                                  of(formPrintk, "", at),
		"4,1208,1500000,-;a":                                          of(formKmsg, "", at),
		"4,1208,1500000,-,caller=T12;a":                               of(formKmsg, "T12", at),
		"6.12.0,4,1208,1500000,-,ncfrag=0/33;a":                       of(formKmsg, "", at),
		"Nov 27 12:00:00 host kernel: a":                              of(formSyslog, "", 0),
		"Nov 27 12:00:00 host kernel: [    1.500000] a":               of(formSyslog, "", at),
		"Nov 27 12:00:00 host kernel: [    1.500000][  T12] a":        of(formSyslog, "T12", at),
		"Nov 27 12:00:00.974209 host kernel: a":                       of(formSyslog, "", 0),
		"2026-11-27T12:00:00+0200 host kernel: a":                     of(formSyslog, "", 0),
		"2026-11-27T12:00:00.974209+02:00 host kernel: a":             of(formSyslog, "", 0),
		"2026-11-27T12:00:00.974209Z host kernel: a":                  of(formSyslog, "", 0),
		"Fri 2026-11-27 12:00:00 CEST host kernel: a":                 of(formSyslog, "", 0),
		"1785397624.974209 host kernel: a":                            of(formSyslog, "", 0),
		"<4>1 2026-11-27T12:00:00.974209+02:00 host kernel - - - a":   of(formSyslog, "", 0),
		"Fri Nov 27 12:00:00 2026 kern.warn kernel: [    1.500000] a": of(formSyslog, "", at),
		"ноя 27 12:00:00 host kernel: a":                              of(formSyslog, "", 0),
		"11月 27 12:00:00 host kernel: a":                              of(formSyslog, "", 0),
		"2026-11-27T12:00:00.9742090Z [    1.500000] a":               of(formPrintk, "", at),
		"[2026-11-27 12:00:00] [    1.500000] a":                      of(formPrintk, "", at),
		"> [    1.500000] a":                                          of(formPrintk, "", at),
		"login: [    2.000000] a":                                     of(formPrintk, "", 2*time.Second),
		"[2026-11-27 12:00:00] a":                                     {msg: "a"},
		"2026-11-27 12:00:00 a":                                       {msg: "a"},
		"[not a stamp] a":                                             {msg: "[not a stamp] a"},
		"[1] a":                                                       {msg: "[1] a"},
		"[12:00:00] a":                                                {msg: "[12:00:00] a"},
		"[    1.5] [drm] a":                                           {msg: "[drm] a", form: formPrintk, at: at},
		"":                                                            {},
		"[":                                                           {msg: "["},
		"[    1.000000]":                                              {form: formPrintk, at: time.Second},
		"<9999999999999999999999999999999> a":                         {msg: "<9999999999999999999999999999999> a"},
	} {
		if got := unprefix(raw); got != want {
			t.Errorf("%q: got %+v, want %+v", raw, got, want)
		}
	}
}

// TestForeign: a log daemon says that another program wrote the line.
func TestForeign(t *testing.T) {
	for _, raw := range []string{
		"Nov 27 12:00:00 host sshd[12]: a", "2026-11-27T12:00:00+0200 host systemd[1]: a",
		"2026-11-27T12:00:00.974209+02:00 host cron: a", "[    1.500000] host systemd[1]: a",
	} {
		if got := unprefix(raw); got.form != formForeign {
			t.Errorf("%q: got %+v", raw, got)
		}
	}
}

// TestCarried: a WARNING carries the message printed just before it, and is a report of
// its own after that.
func TestCarried(t *testing.T) {
	const (
		message = "refcount_t: underflow; use-after-free.\n"
		warning = "WARNING: CPU: 0 PID: 9 at lib/refcount.c:28 refcount_warn_saturate+0x1/0x2\n"
	)
	for lines, want := range map[int]int{0: 1, 2: 1, 3: 2, 10: 2} {
		r := Scan([]byte(message + strings.Repeat("a line\n", lines) + warning))
		if len(r.Findings) != want || r.Findings[0].Title != "refcount_t: underflow; use-after-free" {
			t.Errorf("%d lines between: got %q, want %d findings", lines, titles(r), want)
		}
	}
}

// TestPanicOfLongReport: a report that is cut still has the line of the panic that ends it,
// but not of further panics.
func TestPanicOfLongReport(t *testing.T) {
	const panics = "Kernel panic - not syncing: Fatal exception\n"
	r := Scan([]byte("BUG: kernel NULL pointer dereference, address: 8\n" + strings.Repeat("a line\n", 3*maxLines) +
		strings.Repeat(panics, 3)))
	if len(r.Findings) != 1 || len(r.Findings[0].Lines) != maxLines+1 {
		t.Fatalf("got %q", titles(r))
	}
	if last := r.Findings[0].Lines[maxLines]; last != strings.TrimSpace(panics) {
		t.Errorf("the last line is %q", last)
	}
}

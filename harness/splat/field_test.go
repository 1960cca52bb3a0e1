package splat

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// reader is how a log was read: what stands before each line.
type reader struct{ name, before string }

var readers = []reader{
	{"printk", "[   33.%06d] "},
	{"printk with callers", "[   33.%06d][   T55] "},
	{"no stamps", ""},
	{"dmesg with callers", "[   33.%06d] [   T55] "},
	{"dmesg -T", "[Fri Nov 27 12:00:00 2026] "},
	{"dmesg -T elsewhere", "[пт ноя 27 12:00:00 2026] "},
	{"dmesg -d", "[   33.%06d <    0.000003>] "},
	{"dmesg --reltime", "[  +0.%06d] "},
	{"dmesg -x -T", "kern  :warn  : [Fri Nov 27 12:00:00 2026] "},
	{"dmesg iso", "2026-11-27T12:00:00,%06d+02:00 "},
	{"dmesg colours", "\x1b[32m[   33.%06d] \x1b[0m\x1b[31m"},
	{"dmesg -r", "<4>[   33.%06d] "},
	{"kmsg", "4,1208,33%06d,-,caller=T55;"},
	{"netconsole", "6.12.0,4,1208,33%06d,-;"},
	{"syslog", "Nov 27 12:00:00 host kernel: "},
	{"syslog with stamps", "Nov 27 12:00:00 host kernel: [   33.%06d] "},
	{"syslog elsewhere", "11月 27 12:00:00 host kernel: "},
	{"RFC 3339", "2026-11-27T12:00:00.%06d+02:00 host kernel: "},
	{"RFC 5424", "<4>1 2026-11-27T12:00:00.%06dZ host kernel - - - "},
	{"journal", "Nov 27 12:00:00.%06d host kernel: "},
	{"journal iso", "2026-11-27T12:00:00+0200 host kernel: "},
	{"journal full", "Fri 2026-11-27 12:00:00 CEST host kernel: "},
	{"journal monotonic", "[   33.%06d] host kernel: "},
	{"journal unix", "1785397624.%06d host kernel: "},
	{"mail", "> [\u00a0  33.%06d] "},
	{"job log", "2026-11-27T12:00:00.0000000Z [   33.%06d] "},
	{"task prefix", "[   33.%06d] [1:   demo:   55] "},
	{"other task prefix", "[   33.%06d] (0)[55:demo]"},
}

// log is a report as the reader shows it, after some lines of a boot.
func (r reader) log(text string) string {
	var b strings.Builder
	for i, l := range strings.Split("Linux version 6.12.0\na device is ready\n"+text, "\n") {
		if strings.Contains(r.before, "%") {
			fmt.Fprintf(&b, r.before, 100+7*i)
		} else {
			b.WriteString(r.before)
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

// bug is a fault: the functions and the locks that differ from those of another bug.
type bug struct{ a, b, c, l, m string }

var bugs = []bug{
	{"ring_push", "ring_write", "ring_open", "ring", "pool"},
	{"hash_walk", "hash_find", "hash_read", "tree", "page"},
}

// with puts the names of a bug, and what differs in an occurrence of it, into a form.
func (b bug) with(form string, occurrence int) string {
	n := fmt.Sprint(occurrence + 1)
	chain := strings.Repeat("       common_chain+0x10/0x80\n", 80) // longer than most reports
	return strings.NewReplacer("@chain", chain, "@a", b.a, "@b", b.b, "@c", b.c, "@l", b.l, "@m", b.m, "@t", "worker",
		"@x", fmt.Sprintf("00a1%d0f", occurrence), "@n1", "31"+n, "@n", n).Replace(strings.TrimSuffix(form, "\n"))
}

func forms(t *testing.T, name string) []txtar.File {
	t.Helper()
	a, err := txtar.ParseFile("testdata/field/" + name)
	if err != nil || len(a.Files) < 10 {
		t.Fatal("no corpus", err)
	}
	return a.Files
}

// noFunction are the forms in which the kernel names neither a function nor a lock, so that two bugs of
// that form cannot be told apart.
var noFunction = []string{"unwinder"}

// TestField: the scanner finds every form of report, once, whatever reads the log; the same bug has the same
// fingerprint each time, and no two bugs share one.
func TestField(t *testing.T) {
	owner := map[string]string{}
	for n, form := range forms(t, "reports.txtar") {
		for i, b := range bugs {
			b.a, b.l = fmt.Sprintf("%s_%d", b.a, n), fmt.Sprintf("%s_%d", b.l, n)
			id := fmt.Sprintf("%s, %s", form.Name, b.a)
			if i > 0 && slices.Contains(noFunction, form.Name) {
				continue
			}
			print := ""
			for j, r := range append(readers, readers[0]) {
				if i > 0 && j > 0 && j < len(readers) {
					continue
				}
				log := r.log(b.with(string(form.Data), j/len(readers)))
				found := Scan([]byte(log)).Findings
				if len(found) != 1 {
					t.Errorf("%s, %s: got %q, want 1 finding", id, r.name, titles(Report{Findings: found}))
					continue
				}
				if j == 0 {
					print = found[0].Fingerprint
				} else if found[0].Fingerprint != print {
					t.Errorf("%s, %s: got %q, not the fingerprint of %s", id, r.name, found[0].Title, readers[0].name)
				}
				if title := found[0].Title; !slices.Contains(noFunction, form.Name) && !strings.Contains(title, b.a) &&
					!strings.Contains(title, b.l) && !strings.Contains(title, "__alloc_pages") {
					t.Errorf("%s, %s: the title %q names neither function nor lock", id, r.name, title)
				}
			}
			if owner[print] != "" && print != "" {
				t.Errorf("%s has the fingerprint of %s", id, owner[print])
			}
			owner[print] = id
		}
	}
}

// TestFieldOthers: what is no report is not found, whatever reads the log.
func TestFieldOthers(t *testing.T) {
	for _, form := range forms(t, "others.txtar") {
		for _, r := range readers {
			rep := Scan([]byte(r.log(bugs[0].with(string(form.Data), 0))))
			if len(rep.Findings) > 0 || rep.Fatal != nil || rep.InitExit != "" {
				t.Errorf("%s, %s: got %q", form.Name, r.name, titles(rep))
			}
		}
	}
}

// TestFieldInputs: logs as people sent them.
func TestFieldInputs(t *testing.T) {
	const (
		stampLike  = "[1]  Done  make\n[12.5] progress\n[2026] year\n"
		panics     = "Kernel panic - not syncing: x\n"
		isPanic    = "panic: kernel panic: x"
		isWarning  = "warn: WARNING in ring_push (kernel/ring_push.c)"
		bootLoader = "WARNING: Caches not enabled\nBUG: a boot loader's\n"
	)
	warning := bugs[0].with(string(forms(t, "reports.txtar")[0].Data), 0) + "\n"
	for _, tt := range []struct {
		name, log string
		want      string
	}{
		{"lines that look like stamps", stampLike + warning, isWarning},
		{"text that was not ended", "make: done" + warning, isWarning},
		{"a kernel line that was not ended", "[    1.000000] a device[    2.000000] " + panics, isPanic},
		{"a prompt", "login: " + panics, isPanic},
		{"a sentence", "the log says " + panics, ""},
		{"a boot loader", bootLoader + readers[0].log("a"), ""},
		{"another program in a syslog", readers[14].log("a") + "Nov 27 12:00:00 host sshd[1]: BUG: x\n", ""},
	} {
		if got := strings.Join(titles(Scan([]byte(tt.log))), "; "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestInitKilled: the panic of a PID 1 that exits is not among the findings, but has its line.
func TestInitKilled(t *testing.T) {
	const panics = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b"
	for _, more := range []string{"", "CPU: 0 UID: 0 PID: 1 Comm: init\n---[ end " + panics + " ]---"} {
		r := Scan([]byte(readers[0].log(panics + "\n" + more)))
		want := "kernel panic: Attempted to kill init! exitcode=0x0000000b"
		if len(r.Findings) > 0 || r.Init == nil || r.Init.Title != want {
			t.Errorf("got %q, %+v", titles(r), r.Init)
		}
	}
}

func TestSurvey(t *testing.T) {
	const one = "2 lines, 1 taken for the kernel's: 1 with printk time stamps; 1 for programs'"
	for log, want := range map[string]string{
		"root:x:0\n":                                    "1 lines, none of them recognised as the kernel's",
		"Nov 27 12:00:00 host sshd[1]: a\n":             "1 lines, none of them recognised as the kernel's",
		"Linux version 6.12.0\na\n\n":                   "2 lines, 2 taken for the kernel's, without time stamps",
		"U-Boot\n[    0.000000] Linux version 6.12.0\n": one,
		"a program\n[    1.000000] a device\n":          one,
		readers[12].log("a") + "[    1.000000] a device\n": "4 lines, 4 taken for the kernel's: " +
			"3 with /dev/kmsg or extended netconsole, 1 with printk time stamps",
	} {
		if got := Survey([]byte(log)).String(); got != want {
			t.Errorf("%q: got %q, want %q", log, got, want)
		}
	}
}

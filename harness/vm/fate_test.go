package vm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tokentest/harness/splat"
)

// TestJudge: each row would have another fate if a later rule came first.
func TestJudge(t *testing.T) {
	scan := func(lines ...string) splat.Report { return splat.Scan([]byte(strings.Join(lines, "\n") + "\n")) }
	const dead = "Kernel panic - not syncing: x"
	late := &splat.Share{Span: 20 * time.Second, Waited: 19 * time.Second}
	hosts := scan("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [a:1]")
	hosts.Findings[0].Host = late
	for _, tt := range []struct {
		name   string
		v      evidence
		fate   Fate
		reason string
	}{
		{"QEMU did not start", evidence{startErr: errors.New("no qemu"), hello: 1, log: scan(dead)}, Infra, "no qemu"},
		{"KVM fails before a panic", evidence{internal: "KVM internal error", log: scan(dead)}, Infra,
			"qemu: KVM internal error; name another QEMU with --qemu"},
		{"a panic before hello", evidence{log: scan(dead)}, Unbooted, "before the guest said hello: kernel panic: x"},
		{"a panic, and we killed it", evidence{hello: 1, stopped: "silent", log: scan(dead)}, Panicked, "kernel panic: x"},
		{"a panic after done", evidence{hello: 1, done: true, log: scan(dead)}, Panicked, "kernel panic: x"},
		{"PID 1 exits, and we killed it",
			evidence{hello: 1, stopped: "silent", log: scan("Kernel panic - not syncing: Attempted to kill init! exitcode=0x1")},
			Lost, "the guest agent exited (exitcode=0x1)"},
		{"a stopped QEMU", evidence{hello: 1, stopped: "silent", halted: true}, Lost,
			"qemu was stopped from outside (SIGSTOP): silent"},
		{"silence", evidence{hello: 1, stopped: "silent", signal: syscall.SIGKILL}, Hung, "silent"},
		{"silence before hello", evidence{stopped: "silent"}, Unbooted, "no hello: silent; the console is empty"},
		{"silence after done", evidence{hello: 1, done: true, stopped: "silent"}, Hung,
			"no power-off after the done record: silent"},
		{"a deadline on a busy host", evidence{hello: 1, stopped: "deadline", host: late}, Infra,
			"deadline, and the host is to blame: in the 20.0 s before, QEMU ran for 0.0 s and waited 19.0 s for a processor; " +
				"run it on a host that is less busy"},
		{"cancelled", evidence{hello: 1, cancelled: context.Canceled, signal: syscall.SIGKILL}, Lost,
			"stopped by the caller: context canceled"},
		{"done, and a warning", evidence{hello: 1, done: true, log: scan(warning)}, Tainted,
			"WARNING in a (kernel/a.c) (findings: 1)"},
		{"done, and a host that was busy", evidence{hello: 1, done: true, log: hosts}, Infra,
			"soft lockup, and the host is to blame: in the 20.0 s before, " +
				"QEMU ran for 0.0 s and waited 19.0 s for a processor; run it on a host that is less busy"},
		{"QEMU killed after done", evidence{hello: 1, done: true, signal: syscall.SIGKILL}, Clean,
			"powered off after its done record"},
		{"QEMU killed", evidence{hello: 1, signal: syscall.SIGKILL}, Lost, "qemu was killed from outside: killed"},
		{"QEMU crashes during the boot", evidence{accel: KVM, signal: syscall.SIGSEGV, words: []string{"a", "b"}}, Infra,
			"qemu crashed (segmentation fault): a; b; use --accel tcg, or name another QEMU with --qemu"},
		{"QEMU crashes later", evidence{hello: 1, signal: syscall.SIGSEGV}, Lost,
			"qemu crashed (segmentation fault): it printed nothing"},
		{"QEMU exits at once", evidence{code: 1}, Infra, "qemu exited with status 1: it printed nothing"},
		{"QEMU exits during the boot", evidence{code: 1, heard: true}, Unbooted,
			"the machine ended before the guest said hello; the console is empty"},
		{"QEMU exits later", evidence{hello: 1, heard: true, code: 1}, Lost, "qemu exited with status 1: it printed nothing"},
		{"the agent gives up", evidence{heard: true, log: scan("tokentest: agent: no port", "reboot")}, Unbooted,
			"the machine ended before the guest said hello; the agent said: no port"},
		{"a power-off", evidence{hello: 1, heard: true, log: scan("reboot: Power down")}, Lost,
			`the guest powered off before its done record; last console line: "reboot: Power down"`},
	} {
		if fate, reason := tt.v.judge(); fate != tt.fate || reason != tt.reason {
			t.Errorf("%s:\ngot  %s: %s\nwant %s: %s", tt.name, fate, reason, tt.fate, tt.reason)
		}
	}
}

// TestExitHost: only an Infra fate names what the host gave, and an allowed finding
// does not.
func TestExitHost(t *testing.T) {
	share := &splat.Share{Span: time.Second}
	lockup := func(allowed string) splat.Report {
		return splat.Report{Findings: []splat.Finding{{Title: "soft lockup", Host: share, Allowed: allowed}}}
	}
	for _, tt := range []struct {
		name string
		v    evidence
		fate Fate
		host bool
	}{
		{"a lockup", evidence{hello: 1, done: true, log: lockup("")}, Infra, true},
		{"an allowed lockup", evidence{hello: 1, done: true, log: lockup("known")}, Clean, false},
		{"a lockup and a power-off", evidence{hello: 1, heard: true, log: lockup("")}, Lost, false},
		{"a deadline", evidence{hello: 1, stopped: "deadline", host: share}, Infra, true},
		{"no QEMU", evidence{startErr: errors.New("x")}, Infra, false},
	} {
		e := tt.v.exit()
		if e.Fate != tt.fate || (e.Host != nil) != tt.host {
			t.Errorf("%s: got %s with %v, want %s with a host share: %v", tt.name, e.Fate, e.Host, tt.fate, tt.host)
		}
	}
}

// TestExitNamesSignal: only a signal that decides the fate is named.
func TestExitNamesSignal(t *testing.T) {
	fatal := splat.Report{Fatal: &splat.Finding{Title: "kernel panic"}}
	for _, tt := range []struct {
		name   string
		v      evidence
		signal string
	}{
		{"killed", evidence{hello: 1, signal: syscall.SIGKILL}, "SIGKILL"},
		{"crashed", evidence{signal: syscall.SIGABRT}, "SIGABRT"},
		{"stopped, and we killed it", evidence{hello: 1, stopped: "silent", halted: true, signal: syscall.SIGKILL},
			"SIGSTOP"},
		{"silent, and we killed it", evidence{hello: 1, stopped: "silent", signal: syscall.SIGKILL}, ""},
		{"cancelled", evidence{hello: 1, cancelled: context.Canceled, signal: syscall.SIGKILL}, ""},
		{"killed after done", evidence{hello: 1, done: true, signal: syscall.SIGKILL}, ""},
		{"killed after a panic", evidence{hello: 1, log: fatal, signal: syscall.SIGKILL}, ""},
		{"exited", evidence{hello: 1, code: 1}, ""},
	} {
		if got := tt.v.exit().Signal; got != tt.signal {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.signal)
		}
	}
}

// TestExitNamesStorage: a boot directory that is incomplete does not change the fate, and
// the reason says so.
func TestExitNamesStorage(t *testing.T) {
	v := evidence{hello: 1, done: true, storage: errors.New("no space")}
	want := "powered off after its done record (the boot's files are incomplete: no space)"
	if e := v.exit(); e.Fate != Clean || e.Reason != want {
		t.Errorf("got %s: %s", e.Fate, e.Reason)
	}
}

func TestComplaints(t *testing.T) {
	var v evidence
	for _, line := range []string{"a", "b", "c", "d"} {
		v.addComplaint(line)
	}
	if got := v.complaints(); got != "b; c; d" {
		t.Errorf("got %q, want the last %d lines", got, maxWords)
	}
}

// TestExitFromLog: of a machine that ended with its program, a panic counts and an
// unfinished boot does not.
func TestExitFromLog(t *testing.T) {
	const dead = "Kernel panic - not syncing: x\n"
	allow, err := splat.ParseAllow(nil, "a", "warn: * until=2999-01-01 # known", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, log string
		hello     bool
		allow     *splat.Allow
		fate      Fate
		findings  int
	}{
		{"nothing", "", true, nil, Clean, 0},
		{"a warning", warning, true, nil, Tainted, 1},
		{"an allowed warning", warning, true, allow, Clean, 1},
		{"a warning before hello", warning, false, nil, Tainted, 1},
		{"a panic", dead, true, nil, Panicked, 1},
		{"an allowed warning and a panic", warning + dead, true, allow, Panicked, 2},
		{"a panic before hello", dead, false, nil, Clean, 1},
		{"PID 1 exits", "Kernel panic - not syncing: Attempted to kill init!\n", true, nil, Clean, 0},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, consoleLog), []byte(tt.log), 0o644); err != nil {
			t.Fatal(err)
		}
		e, err := ExitFromLog(dir, tt.hello, tt.allow)
		if err != nil || e.Fate != tt.fate || len(e.Findings) != tt.findings || e.Boot != 0 {
			t.Errorf("%s: got %s, %d findings, boot %v, %v", tt.name, e.Fate, len(e.Findings), e.Boot, err)
		}
		if (e.Reason == "it was ended with the run") != (tt.fate != Panicked) {
			t.Errorf("%s: got the reason %q", tt.name, e.Reason)
		}
	}
	if _, err := ExitFromLog(t.TempDir(), true, nil); err == nil {
		t.Error("a directory without a console log gives no error")
	}
}

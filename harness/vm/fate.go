package vm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tokentest/harness/splat"
	"tokentest/harness/wire"
)

// evidence is everything that decides a machine's fate.
type evidence struct {
	startErr  error          // QEMU was not even started
	hello     time.Duration  // when the agent said hello; zero means never
	done      bool           // the agent's last record arrived
	stopped   string         // why we killed it: a deadline, silence, the caller
	halted    bool           // QEMU was stopped by a signal when we killed it
	host      *splat.Share   // what the host had given it by then, if that explains the kill
	cancelled error          // why the caller's context ended it
	internal  string         // QEMU's line about a virtual CPU that cannot continue
	code      int            // QEMU's exit status, -1 for a signal
	signal    syscall.Signal // the signal that ended QEMU, 0 for none
	words     []string       // QEMU's last lines on its stderr
	accel     Accel
	heard     bool // the guest sent at least one byte on any channel
	total     time.Duration
	storage   error // why the boot's files are incomplete
	log       splat.Report
	allow     *splat.Allow
	foreign   []string    // lines of the kernel log that programs wrote
	leaks     *wire.Leaks // the result of a kmemleak scan
	taint     uint64      // the kernel's taint flags that were set while it ran
}

// exit puts fate and figures together.
func (v *evidence) exit() Exit {
	v.addFound()
	v.allow.Apply(v.log.Findings)
	fate, reason := v.judge()
	var host *splat.Share
	if fate == Infra {
		host = v.hostShare()
	}
	if v.storage != nil {
		reason += fmt.Sprintf(" (the boot's files are incomplete: %v)", v.storage)
	}
	return Exit{
		Fate: fate, Reason: reason, Findings: v.log.Findings,
		Boot: v.hello, Total: v.total, Code: v.code, Host: host, Signal: v.deadly(),
	}
}

// deadly is the name of the signal that decides the fate: one from outside, or that of QEMU's crash.
func (v *evidence) deadly() string {
	switch {
	case v.startErr != nil, v.internal != "", v.log.Fatal != nil, v.log.InitExit != "":
		return ""
	case v.stopped != "" && v.halted:
		return unix.SignalName(unix.SIGSTOP)
	case v.stopped != "", v.cancelled != nil, v.done:
		return ""
	}
	return unix.SignalName(v.signal)
}

// judge decides the fate. The order matters: first what the host did, then what the
// kernel says itself, then how QEMU ended.
func (v *evidence) judge() (Fate, string) {
	switch fatal := v.log.Fatal; {
	case v.startErr != nil:
		return Infra, v.startErr.Error()
	case v.internal != "":
		return Infra, "qemu: " + v.internal + v.advice()
	case fatal != nil && fatal.Host != nil:
		return Infra, hostsFault(fatal.Title, fatal.Host)
	case fatal != nil && v.hello == 0:
		return Unbooted, "before the guest said hello: " + fatal.Title
	case fatal != nil:
		return Panicked, fatal.Title
	case v.log.InitExit != "":
		return Lost, fmt.Sprintf("the guest agent exited (%s)", v.log.InitExit)
	case v.stopped != "" && v.halted:
		return Lost, "qemu was stopped from outside (SIGSTOP): " + v.stopped
	case v.stopped != "":
		return v.killed()
	case v.cancelled != nil:
		return Lost, fmt.Sprintf("stopped by the caller: %v", v.cancelled)
	case v.done:
		return v.finished()
	case v.signal != 0:
		return v.signalled()
	case v.code != 0 && !v.heard:
		return Infra, fmt.Sprintf("qemu exited with status %d: %s", v.code, v.complaints())
	case v.hello == 0:
		return Unbooted, "the machine ended before the guest said hello; " + v.lastLine()
	case v.code != 0:
		return Lost, fmt.Sprintf("qemu exited with status %d: %s", v.code, v.complaints())
	}
	return Lost, "the guest powered off before its done record; " + v.lastLine()
}

// crashes are the signals with which a program ends itself: a failed assertion, a bad
// memory access.
var crashes = []syscall.Signal{
	syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP, syscall.SIGSYS,
}

// signalled is the fate of a machine that a signal not sent by us ended. A QEMU that
// crashes before the agent runs does so each time; the guest may have provoked a later
// crash.
func (v *evidence) signalled() (Fate, string) {
	if !slices.Contains(crashes, v.signal) {
		return Lost, fmt.Sprintf("qemu was killed from outside: %v", v.signal)
	}
	why := fmt.Sprintf("qemu crashed (%v): %s", v.signal, v.complaints())
	if v.hello == 0 {
		return Infra, why + v.advice()
	}
	return Lost, why
}

// advice says what to do about a QEMU that does not work.
func (v *evidence) advice() string {
	if v.accel == KVM {
		return "; use --accel tcg, or name another QEMU with --qemu"
	}
	return "; name another QEMU with --qemu"
}

// hostShare is what the host gave the machine, if it is to blame: for what ended the
// machine, else for the first finding that it caused.
func (v *evidence) hostShare() *splat.Share {
	if v.stopped != "" && v.host != nil {
		return v.host
	}
	for i := range v.log.Findings {
		if h := v.log.Findings[i].Host; h != nil && v.log.Findings[i].Allowed == "" {
			return h
		}
	}
	return nil
}

// hostsFault is the reason of something that took too long because of the host.
func hostsFault(what string, s *splat.Share) string {
	return fmt.Sprintf("%s, and the host is to blame: %s; run it on a host that is less busy", what, s)
}

// killed is the fate of a machine that we killed.
func (v *evidence) killed() (Fate, string) {
	switch {
	case v.host != nil:
		return Infra, hostsFault(v.stopped, v.host)
	case v.hello == 0:
		return Unbooted, fmt.Sprintf("no hello: %s; %s", v.stopped, v.lastLine())
	case v.done:
		return Hung, "no power-off after the done record: " + v.stopped
	}
	return Hung, v.stopped
}

// finished is the fate of a machine whose done record arrived.
func (v *evidence) finished() (Fate, string) {
	var count, hosts []*splat.Finding
	for i := range v.log.Findings {
		switch f := &v.log.Findings[i]; {
		case f.Host != nil && f.Allowed == "":
			hosts = append(hosts, f)
		case f.Allowed == "":
			count = append(count, f)
		}
	}
	switch n := len(v.log.Findings); {
	case len(count) > 0:
		return Tainted, fmt.Sprintf("%s (findings: %d)", count[0].Title, len(count))
	case len(hosts) > 0:
		return Infra, hostsFault(hosts[0].Title, hosts[0].Host)
	case n > 0:
		return Clean, fmt.Sprintf("powered off after its done record (allowed findings: %d)", n)
	}
	return Clean, "powered off after its done record"
}

// lastLine quotes the end of the console, the best hint at a silent boot.
func (v *evidence) lastLine() string {
	if v.log.AgentReason != "" {
		return "the agent said: " + v.log.AgentReason
	}
	if v.log.LastLine == "" {
		return "the console is empty"
	}
	return fmt.Sprintf("last console line: %q", v.log.LastLine)
}

// maxWords bounds the lines of QEMU's stderr that are kept.
const maxWords = 3

// addComplaint takes a line of QEMU's stderr. The last line says the most, and the
// lines before it often say what it is about.
func (v *evidence) addComplaint(line string) {
	words := append(v.words, line)
	v.words = words[max(len(words)-maxWords, 0):]
}

// complaints is QEMU's last words.
func (v *evidence) complaints() string {
	return cmp.Or(strings.Join(v.words, "; "), "it printed nothing")
}

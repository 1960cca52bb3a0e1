package vm

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"tokentest/harness/splat"
	"tokentest/harness/wire"
)

// facts is all that a boot's fate is judged from.
type facts struct {
	startErr  error          // QEMU was not even started
	hello     time.Duration  // when the agent said hello; zero means never
	done      bool           // the agent's last record arrived
	stopped   string         // why we killed it: a deadline, silence, the caller
	halted    bool           // and QEMU did not run then: somebody had stopped it
	host      *splat.Share   // what the host had given it until then, where that is to blame
	cancelled error          // why the caller's context ended it
	internal  string         // QEMU's own line about a virtual CPU that cannot go on
	code      int            // QEMU's exit status, -1 for a signal
	signal    syscall.Signal // that ended it, 0 for none
	words     []string       // QEMU's last lines on its stderr
	accel     Accel
	heard     bool // the guest sent at least a byte on any channel
	total     time.Duration
	storage   error // why the boot's files are incomplete
	log       splat.Report
	allow     *splat.Allow
	foreign   []string // lines of the kernel's log that programs wrote
	leaks     *wire.Leaks
	taint     uint64 // the kernel's taint flags that came while it ran
}

// exit puts fate and figures together.
func (f *facts) exit() Exit {
	f.addFound()
	f.allow.Apply(f.log.Findings)
	fate, reason := f.judge()
	var host *splat.Share
	if fate == Infra {
		host = f.hosts()
	}
	if f.storage != nil {
		reason += fmt.Sprintf(" (the boot's files are incomplete: %v)", f.storage)
	}
	return Exit{
		Fate: fate, Reason: reason, Findings: f.log.Findings,
		Boot: f.hello, Total: f.total, Code: f.code, Host: host,
	}
}

// judge decides the fate. The order matters: what the host did comes first,
// then what the kernel itself says, then how QEMU ended.
func (f *facts) judge() (Fate, string) {
	switch fatal := f.log.Fatal; {
	case f.startErr != nil:
		return Infra, f.startErr.Error()
	case f.internal != "":
		return Infra, "qemu: " + f.internal + f.advice()
	case fatal != nil && fatal.Host != nil:
		return Infra, f.unfair(fatal.Title, fatal.Host)
	case fatal != nil && f.hello == 0:
		return Unbooted, "before the guest said hello: " + fatal.Title
	case fatal != nil:
		return Panicked, fatal.Title
	case f.log.InitExit != "":
		return Lost, fmt.Sprintf("the guest agent exited (%s)", f.log.InitExit)
	case f.stopped != "" && f.halted:
		return Lost, "qemu was stopped from outside (SIGSTOP): " + f.stopped
	case f.stopped != "":
		return f.stop()
	case f.cancelled != nil:
		return Lost, fmt.Sprintf("stopped by the caller: %v", f.cancelled)
	case f.done:
		return f.finished()
	case f.signal != 0:
		return f.signalled()
	case f.code != 0 && !f.heard:
		return Infra, fmt.Sprintf("qemu exited with status %d: %s", f.code, f.complaint())
	case f.hello == 0:
		return Unbooted, "the machine ended before the guest said hello; " + f.last()
	case f.code != 0:
		return Lost, fmt.Sprintf("qemu exited with status %d: %s", f.code, f.complaint())
	}
	return Lost, "the guest powered off before its done record; " + f.last()
}

// crashes are the signals with which a program ends itself: a failed assertion,
// a bad access.
var crashes = []syscall.Signal{
	syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGTRAP, syscall.SIGSYS,
}

// signalled is the fate of a machine that a signal of others ended. A QEMU that
// crashes before the agent is there does so each time; one that does later may
// have been provoked by what the guest ran.
func (f *facts) signalled() (Fate, string) {
	if !slices.Contains(crashes, f.signal) {
		return Lost, fmt.Sprintf("qemu was killed from outside: %v", f.signal)
	}
	why := fmt.Sprintf("qemu crashed (%v): %s", f.signal, f.complaint())
	if f.hello == 0 {
		return Infra, why + f.advice()
	}
	return Lost, why
}

// advice says what to do about a QEMU that does not work.
func (f *facts) advice() string {
	if f.accel == KVM {
		return "; use --accel tcg, or name another QEMU with --qemu"
	}
	return "; name another QEMU with --qemu"
}

// hosts is why the host is to blame, if it is: for what ended the machine, else
// for the first finding that it caused.
func (f *facts) hosts() *splat.Share {
	if f.stopped != "" && f.host != nil {
		return f.host
	}
	for i := range f.log.Findings {
		if h := f.log.Findings[i].Host; h != nil && f.log.Findings[i].Allowed == "" {
			return h
		}
	}
	return nil
}

// unfair says of what took too long that the host is to blame.
func (f *facts) unfair(what string, s *splat.Share) string {
	return fmt.Sprintf("%s, and the host is to blame: %s; run it on a host that is less busy", what, s)
}

// stop is the fate of a machine that we killed.
func (f *facts) stop() (Fate, string) {
	switch {
	case f.host != nil:
		return Infra, f.unfair(f.stopped, f.host)
	case f.hello == 0:
		return Unbooted, fmt.Sprintf("no hello: %s; %s", f.stopped, f.last())
	case f.done:
		return Hung, "no power-off after the done record: " + f.stopped
	}
	return Hung, f.stopped
}

// finished is the fate of a machine whose done record arrived.
func (f *facts) finished() (Fate, string) {
	var count, hosts []*splat.Finding
	for i := range f.log.Findings {
		switch g := &f.log.Findings[i]; {
		case g.Host != nil && g.Allowed == "":
			hosts = append(hosts, g)
		case g.Allowed == "":
			count = append(count, g)
		}
	}
	switch n := len(f.log.Findings); {
	case len(count) > 0:
		return Tainted, fmt.Sprintf("%s (findings: %d)", count[0].Title, len(count))
	case len(hosts) > 0:
		return Infra, f.unfair(hosts[0].Title, hosts[0].Host)
	case n > 0:
		return Clean, fmt.Sprintf("powered off after its done record (allowed findings: %d)", n)
	}
	return Clean, "powered off after its done record"
}

// last quotes the end of the console, the best hint at a silent boot.
func (f *facts) last() string {
	if f.log.AgentReason != "" {
		return "the agent said: " + f.log.AgentReason
	}
	if f.log.LastLine == "" {
		return "the console is empty"
	}
	return fmt.Sprintf("last console line: %q", f.log.LastLine)
}

// maxWords bounds QEMU's last words.
const maxWords = 3

// complains takes a line of QEMU's stderr. What is said last says most; the lines
// before it often say of what.
func (f *facts) complains(line string) {
	words := append(f.words, line)
	f.words = words[max(len(words)-maxWords, 0):]
}

// complaint is QEMU's last words.
func (f *facts) complaint() string {
	return orDefault(strings.Join(f.words, "; "), "it printed nothing")
}

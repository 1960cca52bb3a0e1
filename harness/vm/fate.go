package vm

import (
	"fmt"
	"time"
)

// facts is all that a boot's fate is judged from.
type facts struct {
	startErr  error         // QEMU was not even started
	hello     time.Duration // when the agent said hello; zero means never
	done      bool          // the agent's last record arrived
	stopped   string        // why we killed it: a deadline, silence, the caller
	halted    bool          // and QEMU did not run then: somebody had stopped it
	cancelled error         // why the caller's context ended it
	internal  string        // QEMU's own line about a virtual CPU that cannot go on
	code      int           // QEMU's exit status, -1 for a signal
	signal    string        // the signal that ended it, if any
	complaint string        // the last line on QEMU's stderr
	lastLine  string        // the last line on the console
	heard     bool          // the guest sent at least a byte on any channel
	total     time.Duration
	storage   error // why the boot's files are incomplete
	log       report
	allow     *Allow
	foreign   []string // lines of the kernel's log that programs wrote
	leaks     Leaks
	taint     uint64 // the kernel's taint flags that came while it ran
}

// exit puts fate and figures together.
func (f *facts) exit() Exit {
	f.addFound()
	f.allow.Apply(f.log.findings)
	fate, reason := f.judge()
	if f.storage != nil {
		reason += fmt.Sprintf(" (the boot's files are incomplete: %v)", f.storage)
	}
	return Exit{
		Fate: fate, Reason: reason, Findings: f.log.findings,
		Boot: f.hello, Total: f.total, Code: f.code,
	}
}

// judge decides the fate. The order matters: what the host did comes first,
// then what the kernel itself says, then how QEMU ended.
func (f *facts) judge() (Fate, string) {
	switch fatal := f.log.fatal; {
	case f.startErr != nil:
		return Infra, f.startErr.Error()
	case f.internal != "":
		return Infra, "qemu: " + f.internal
	case fatal != nil && f.hello == 0:
		return Unbooted, "before the guest said hello: " + fatal.Title
	case fatal != nil:
		return Panicked, fatal.Title
	case f.log.agent != "":
		return Lost, f.log.agent
	case f.stopped != "" && f.halted:
		return Lost, "qemu was stopped from outside (SIGSTOP): " + f.stopped
	case f.stopped != "":
		return f.stop()
	case f.cancelled != nil:
		return Lost, fmt.Sprintf("stopped by the caller: %v", f.cancelled)
	case f.done:
		return f.finished()
	case f.signal != "":
		return Lost, "qemu was killed from outside: " + f.signal
	case f.code != 0 && !f.heard:
		return Infra, fmt.Sprintf("qemu exited with status %d: %s", f.code, orDefault(f.complaint, "it printed nothing"))
	case f.hello == 0:
		return Unbooted, "the machine ended before the guest said hello; " + f.last()
	case f.code != 0:
		return Lost, fmt.Sprintf("qemu exited with status %d: %s", f.code, orDefault(f.complaint, "it printed nothing"))
	}
	return Lost, "the guest powered off before its done record; " + f.last()
}

// stop is the fate of a machine that we killed.
func (f *facts) stop() (Fate, string) {
	switch {
	case f.hello == 0:
		return Unbooted, fmt.Sprintf("no hello: %s; %s", f.stopped, f.last())
	case f.done:
		return Hung, "no power-off after the done record: " + f.stopped
	}
	return Hung, f.stopped
}

// finished is the fate of a machine whose done record arrived.
func (f *facts) finished() (Fate, string) {
	var count []string
	for i := range f.log.findings {
		if f.log.findings[i].Allowed == "" {
			count = append(count, f.log.findings[i].Title)
		}
	}
	switch n := len(f.log.findings); {
	case len(count) > 0:
		return Tainted, fmt.Sprintf("%s (findings: %d)", count[0], len(count))
	case n > 0:
		return Clean, fmt.Sprintf("powered off after its done record (allowed findings: %d)", n)
	}
	return Clean, "powered off after its done record"
}

// last quotes the end of the console, the best hint at a silent boot.
func (f *facts) last() string {
	if f.log.said != "" {
		return "the agent said: " + f.log.said
	}
	if f.lastLine == "" {
		return "the console is empty"
	}
	return fmt.Sprintf("last console line: %q", f.lastLine)
}

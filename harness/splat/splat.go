// Package splat finds the kernel's reports about itself in a console log: panics,
// oopses, warnings, sanitizer and lockdep reports, stalls, leaks.
//
// Text goes in, findings come out. It knows nothing about QEMU, machines or cases:
// package vm feeds it a console and decides what the findings mean for the machine,
// package lab says which cases ran when a finding came.
//
// Start with Scan, for a whole log, or Scanner, for one that is still growing;
// rules.go lists the reports that it recognises.
package splat

import "time"

// Kind is the kind of a finding, from a closed set.
type Kind string

// The kinds of findings.
const (
	KindPanic      Kind = "panic"
	KindOops       Kind = "oops"
	KindBug        Kind = "bug"
	KindWarn       Kind = "warn"
	KindUBSAN      Kind = "ubsan"
	KindKASAN      Kind = "kasan"
	KindKCSAN      Kind = "kcsan"
	KindKFENCE     Kind = "kfence"
	KindKMSAN      Kind = "kmsan"
	KindLockdep    Kind = "lockdep"
	KindRCU        Kind = "rcu"
	KindLockup     Kind = "lockup"
	KindHungTask   Kind = "hungtask"
	KindRefcount   Kind = "refcount"
	KindCorruption Kind = "corruption"
	KindKmemleak   Kind = "kmemleak"
	KindAtomic     Kind = "atomic"
	KindOOM        Kind = "oom"
	KindTaint      Kind = "taint"
	KindOther      Kind = "other"
)

// Finding is one report of the kernel about itself.
type Finding struct {
	Kind Kind
	// Title is one line without addresses, offsets, process and line numbers:
	// the same fault has the same title.
	Title  string
	Lines  []string      // the report as printed, cut after maxLines, and the panic that ends it
	Offset int64         // of its first line in the log, in bytes; -1 if it is not from the log
	Time   time.Duration // from the machine's start to when it was seen

	// Fingerprint is the same for the same fault on the same call path, whatever
	// the addresses, CPUs and offsets are.
	Fingerprint string `json:",omitempty"`
	// Mark is the text of the agent's last wire.Mark before the report.
	Mark string `json:",omitempty"`
	// Under are the marks one of which the fault happened under, if it happened
	// long before it was found, as a leak does.
	Under []string `json:",omitempty"`
	// Case names the case that ran, if the caller knows it.
	Case string `json:",omitempty"`
	// Allowed is the reason of the Allow entry that covers it; "" is none.
	Allowed string `json:",omitempty"`
	// Host is set if the kernel reports that something took too long because the
	// host gave the machine too little: the kernel is not at fault.
	Host *Share `json:",omitempty"`
}

// Counts reports whether the kernel is at fault and no Allow entry covers it.
func (f *Finding) Counts() bool { return f.Allowed == "" && f.Host == nil }

// Limits that bound the memory that a flood of reports takes.
const (
	maxLines    = 400  // of one finding
	maxLine     = 1024 // bytes of one line
	maxFindings = 100
)

// Report is what a Scanner found in a log.
type Report struct {
	Findings    []Finding // in the order in which they began
	Fatal       *Finding  // the one that killed the kernel; nil if none did
	InitExit    string    // the exit code, as printed, of a PID 1 that exited by itself; "" if it did not
	Init        *Finding  // the panic that InitExit is of; it is not in Findings
	AgentReason string    // why the agent gave up, in its own words
	LastLine    string    // the last line that is not empty
}

// Scan finds the kernel's reports in a complete console log.
func Scan(log []byte) Report {
	s := Scanner{Stamps: Survey(log).Stamps}
	s.Write(log)
	return s.Close()
}

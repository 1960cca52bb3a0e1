// Package result is the record of a run: it judges what a guest observed against what the
// oracle expects, stores and loads runs, and compares them.
//
// It runs nothing; package lab does. It prints nothing; package report does.
//
// Start with Run in this file, which is what a record holds, and with Judge in judge.go.
package result

import (
	"fmt"
	"strings"
	"time"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/arch"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// Status is the outcome of a case.
type Status string

// The statuses. Broken means that the case says nothing about the kernel: a control or its
// set-up failed, or the machine died under it. Interrupted means that the run ended before
// the case, or a control that guards it, was tried.
const (
	Pass   Status = "pass"
	Fail   Status = "fail"
	Skip   Status = "skip"
	Broken Status = "broken"
	XFail  Status = "xfail" // it failed exactly as a list says

	Interrupted Status = "interrupted"
)

// Statuses lists every status, the worst first.
func Statuses() []Status { return []Status{Fail, Broken, Interrupted, XFail, Skip, Pass} }

// Run is one run of cases on one or more kernels.
type Run struct {
	Version int      `json:"version"`
	Tool    string   `json:"tool"` // the build id of the agent's image
	Args    []string `json:"args"` // the command line
	// Selection is the cases and files that the user named; none means the suite.
	Selection []string `json:"selection,omitempty"`
	// Matching are regular expressions: the user asked only for those of the selection that one
	// of them matches.
	Matching []string `json:"matching,omitempty"`
	// Called is the name that the tool is called by now, which printed commands begin with; "" is that of Args.
	Called string `json:"-"`
	// Flags are the flags that a repetition of a case needs beside its kernel.
	Flags []string `json:"flags,omitempty"`
	// Seed is the seed of a random run.
	Seed uint64 `json:"seed,omitempty"`
	// Program is the build of tokentest, Host where it ran, and QEMU the emulator's
	// version.
	Program     string    `json:"program,omitempty"`
	Host        *Host     `json:"host,omitempty"`
	QEMU        string    `json:"qemu,omitempty"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end,omitzero"`
	Interrupted bool      `json:"interrupted,omitempty"`
	// Stopped says why an interrupted run is incomplete, and StopError what went wrong.
	Stopped   Stop   `json:"stopped,omitempty"`
	StopError string `json:"-"`
	// AllowEmpty says that a run which decides nothing has a verdict (--allow-empty).
	AllowEmpty bool `json:"allow_empty,omitempty"`
	// Part is set if the run is one part of a split plan. Missing names the parts that a
	// merged run lacks.
	Part    *Part    `json:"part,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// Files are the user's own case files, by the name of their group.
	Files map[string]string `json:"files,omitempty"`
	// Lists are the entries of the lists of denied, allowed and expected cases.
	Lists []ListEntry `json:"lists,omitempty"`
	// Groups describe the worlds of the cases, for reports.
	Groups []cases.Outline `json:"groups,omitempty"`
	// Records counts and digests the records of a run that has ended.
	Records *Seal        `json:"records,omitempty"`
	Dir     string       `json:"-"`
	Kernels []*KernelRun `json:"kernels"`

	// Damage lists where the stored records are damaged, MoreDamage counts the places
	// that it leaves out. Unverified says that an older tokentest wrote the records,
	// without numbers and checksums.
	Damage     []Damage `json:"-"`
	MoreDamage int      `json:"-"`
	Unverified bool     `json:"-"`
	// Resume are the directories of incomplete runs that "run --resume" can complete.
	Resume []string `json:"-"`
}

// Host is where a run took place.
type Host struct {
	Name   string `json:"name,omitempty"`   // the host's name
	Job    string `json:"job,omitempty"`    // the job of a CI or batch system, as VARIABLE=VALUE
	Kernel string `json:"kernel,omitempty"` // the release of the host's kernel
	Arch   string `json:"arch,omitempty"`
	CPUs   int    `json:"cpus,omitempty"`
	CPU    string `json:"cpu,omitempty"`
}

// Where is where a machine ran.
type Where struct {
	Host  string `json:"host"`
	Job   string `json:"job,omitempty"` // Host.Job
	Accel string `json:"accel,omitempty"`
}

// KernelRun is the run of one kernel.
type KernelRun struct {
	Ref     string `json:"ref"`
	Arch    string `json:"arch,omitempty"` // arch.Arch's name; "" in records from before it was added
	Release string `json:"release,omitempty"`
	Source  string `json:"source,omitempty"` // the package, or the path
	Digest  string `json:"digest,omitempty"` // SHA-256 of the image
	Image   string `json:"image,omitempty"`  // SHA-256 of the initramfs
	// Append is what the user added to the kernel's command line.
	Append []string `json:"append,omitempty"`
	// ConfigDigest is the SHA-256 of the kernel's configuration, which each boot's
	// directory holds.
	ConfigDigest string `json:"config_digest,omitempty"`
	// Commit and Compiler are what the kernel was built from and by, if known.
	Commit   string `json:"commit,omitempty"`
	Compiler string `json:"compiler,omitempty"`
	// Accel is the accelerator and why it was chosen, AccelName only the accelerator.
	Accel     string `json:"accel,omitempty"`
	AccelName string `json:"accel_name,omitempty"`
	// Note is one line about the whole kernel, for example that it has no tokens.
	Note  string      `json:"note,omitempty"`
	Facts *step.Facts `json:"facts,omitempty"`
	// Drift names what the kernel has and tokentest does not know.
	Drift []string `json:"drift,omitempty"`
	// Repeated is how often the cases ran; 0 means once.
	Repeated int `json:"repeated,omitempty"`
	// Repeat is the command that repeats the cases, if they are those of a test program.
	Repeat string `json:"repeat,omitempty"`
	// Rules are the texts of the rules that decided passed cases, by the rules' names.
	Rules map[string]RuleText `json:"rules,omitempty"`
	// Planned is how many cases were planned for the kernel; an older tokentest does not
	// record it.
	Planned int `json:"planned,omitempty"`
	// Absent is how many of them have no record.
	Absent int `json:"-"`
	// Error says why the kernel could not be tried at all. It then has no case.
	Error string `json:"error,omitempty"`
	// Unbuilt says that the source is at fault: it does not build, or its configuration
	// cannot be tested.
	Unbuilt bool `json:"unbuilt,omitempty"`
	// Cause is that error if the reference is at fault, and not the host.
	Cause error `json:"-"`
	// Took is how long the kernel's machines took, some side by side; 0 of a run that was resumed.
	Took   time.Duration `json:"took,omitempty"`
	Boots  []Boot        `json:"boots,omitempty"`
	Worlds []WorldResult `json:"-"`                // in records.jsonl
	Cases  []CaseResult  `json:"-"`                // in records.jsonl; for a stored run use All
	Decide time.Duration `json:"decide,omitempty"` // from hello to done, of all boots, in nanoseconds

	packed *packedCases // the cases of a stored run
}

// RuleText is the text of a rule of the oracle, and the kernel function that it stands for.
type RuleText struct {
	Rule string `json:"rule"`
	Func string `json:"func,omitempty"`
}

// Restored is Boot.Began for a machine from a snapshot.
const Restored = "restored"

// Boot is one machine of a kernel's run.
type Boot struct {
	Dir string `json:"dir"` // relative to the directory of run.json
	// Began says how the machine started: direct (QEMU entered the kernel's ELF file),
	// bzimage, or restored (from a snapshot). An older tokentest does not record it.
	Began    string          `json:"began,omitempty"`
	Fate     vm.Fate         `json:"fate"`
	Reason   string          `json:"reason,omitempty"`
	Findings []splat.Finding `json:"findings,omitempty"`
	Blame    string          `json:"blame,omitempty"` // Blamed in words
	Blamed   Blame           `json:"blamed,omitzero"` // the case under which the machine died
	Known    string          `json:"known,omitempty"` // the known defect that made the machine end so
	Boot     time.Duration   `json:"boot"`            // to hello
	Decide   time.Duration   `json:"decide"`          // from hello to done
	Total    time.Duration   `json:"total"`
	Cases    int             `json:"cases"` // answered
	// Signal is the name of the signal that ended QEMU and decides the fate: SIGKILL or SIGSTOP from outside, or SIGABRT
	// of a QEMU that crashed, for example.
	Signal string `json:"signal,omitempty"`
	// Host is what the host gave the machine, if its fate is infra for that reason.
	Host *splat.Share `json:"host,omitempty"`
	// Where says where the machine ran, in the merged parts of a run.
	Where *Where `json:"where,omitempty"`
	// Corrupt says that the machine was ended because a record of the guest was damaged
	// or out of order.
	Corrupt bool `json:"corrupt,omitempty"`
	// Stopped says that the machine is lost because its run was stopped.
	Stopped bool `json:"stopped,omitempty"`
	// Refused lists the fixtures, to which requests of cases refer, that the kernel refused.
	Refused []step.Fixture `json:"refused,omitempty"`
}

// WorldResult holds the observations of a world's set-up, so that its cases can be judged
// again.
type WorldResult struct {
	Group string             `json:"group"`
	Index int                `json:"index"`         // in the group's worlds
	Key   string             `json:"key,omitempty"` // the same for the same set-up
	Seen  []step.Observation `json:"seen"`
}

// CaseResult is one case on one kernel.
type CaseResult struct {
	ID     string `json:"case"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"` // of any status but pass, and of a known defect
	// Cause is the reason as data; an older tokentest wrote only the reason.
	Cause Cause        `json:"cause,omitzero"`
	Boot  int          `json:"boot"` // the index of its machine, -1 for none
	Steps []StepResult `json:"steps,omitempty"`
	// Fault says who is wrong if a case failed or is broken and the kernel is right.
	Fault Culprit `json:"fault,omitempty"`
	// Times counts the statuses of repetitions if they vary; Status is the worst.
	Times map[Status]int `json:"times,omitempty"`
}

// Culprit says who is wrong if kernel, rules and pin do not agree.
type Culprit string

// The culprits. If two of the three agree, the third is wrong.
const (
	KernelWrong      Culprit = ""
	ExpectationWrong Culprit = "expectation" // the kernel and the rules agree, the pin differs
	OracleWrong      Culprit = "oracle"      // the kernel and the pin agree, the rules differ
)

// Gaps returns a line for each gap in the run's records: cases of a kernel without a record,
// and damage to the file.
func (r *Run) Gaps() []string {
	var out []string
	for _, k := range r.Kernels {
		if k.Absent > 0 {
			out = append(out, "kernel "+k.Ref+": "+k.Lack())
		}
	}
	return append(out, r.Damages()...)
}

// Name is the reference, with the architecture where that is not the default one and the reference, as a path, does not
// say it.
func (k *KernelRun) Name() string {
	if k.Arch == "" || k.Arch == arch.Default.Name || strings.Contains(k.Ref, "/"+k.Arch) {
		return k.Ref
	}
	return k.Ref + " (" + k.Arch + ")"
}

// Lack says how many of the kernel's cases have no record; "" if all have one.
func (k *KernelRun) Lack() string {
	if k.Absent == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d cases have no record", k.Absent, k.Planned)
}

// NotTried returns how many of an interrupted run's cases were not tried, and how many were
// planned.
func (r *Run) NotTried() (n, of int) {
	for _, k := range r.Kernels {
		of += max(k.Planned, k.Len())
		if n += k.Counts()[Interrupted]; k.Len() == 0 {
			n += k.Planned
		}
	}
	return n, of
}

// Len is how many cases of all kernels have a result.
func (r *Run) Len() int {
	n := 0
	for _, k := range r.Kernels {
		n += k.Len()
	}
	return n
}

// Damages returns a line for each place where the run's records are damaged.
func (r *Run) Damages() []string {
	var out []string
	for i := range r.Damage {
		out = append(out, r.Damage[i].String())
	}
	if r.MoreDamage > 0 {
		file := r.Damage[0].File
		out = append(out, fmt.Sprintf("%s: %d more of its lines are not as they were written", file, r.MoreDamage))
	}
	return out
}

// StepResult is one judged step: what it showed and what it must show.
type StepResult struct {
	Text string           `json:"text,omitempty"` // the step; left out if the case passed
	Got  step.Observation `json:"got"`
	Want *uapi.Errno      `json:"want,omitempty"` // nil if neither the oracle nor a pin knows
	// Unknown says why the oracle has no answer: drift or not modelled. Then only the pin
	// counts, if there is one.
	Unknown oracle.Unknown `json:"unknown,omitempty"`
	Rule    string         `json:"rule,omitempty"` // the text of the rule that decides
	Func    string         `json:"func,omitempty"` // the kernel function that decides
	ID      string         `json:"id,omitempty"`   // the rule's stable name
	Pin     string         `json:"pin,omitempty"`  // where a pin of the step is, with its source
	Wrong   bool           `json:"wrong,omitempty"`
	// Measured says that the values are a count or the outcome of a race: the judge bounds
	// them, and they are no decision.
	Measured bool    `json:"measured,omitempty"`
	Fault    Culprit `json:"fault,omitempty"` // of a wrong step: who is wrong if the kernel is right
}

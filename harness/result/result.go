// Package result is the record of a run: it judges what a guest observed against
// what the oracle expects, stores and loads runs, and compares them.
//
// It runs nothing; package lab does. It prints nothing; package report does.
//
// Start with Run in this file, what a record holds, and Judge in judge.go.
package result

import (
	"fmt"
	"time"

	"tokentest/cases"
	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
)

// Status is what became of a case.
type Status string

// The statuses. Broken means that the case says nothing: a control failed, its
// set-up did, or the machine died under it. Interrupted means that the run
// ended before the case, or a control that guards it, was tried.
const (
	Pass   Status = "pass"
	Fail   Status = "fail"
	Skip   Status = "skip"
	Broken Status = "broken"
	XFail  Status = "xfail" // it failed exactly as a list says that it does

	Interrupted Status = "interrupted"
)

// Statuses lists every status, the worst first.
func Statuses() []Status { return []Status{Fail, Broken, Interrupted, XFail, Skip, Pass} }

// Run is one run of cases on one or more kernels.
type Run struct {
	Version int      `json:"version"`
	Tool    string   `json:"tool"` // the build id of the agent's image
	Args    []string `json:"args"` // the command line
	// Selection is the cases and files that were named; none means the suite.
	Selection []string `json:"selection,omitempty"`
	// Seed is that of a random run.
	Seed uint64 `json:"seed,omitempty"`
	// Program says which build of the tool it was, Host where it ran, and
	// QEMU by which emulator.
	Program     string    `json:"program,omitempty"`
	Host        *Host     `json:"host,omitempty"`
	QEMU        string    `json:"qemu,omitempty"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end,omitzero"`
	Interrupted bool      `json:"interrupted,omitempty"`
	// AllowEmpty says that it is no fault if nothing was decided: --allow-empty was given.
	AllowEmpty bool `json:"allow_empty,omitempty"`
	// Part says which part of a plan that was split the run is, Missing which
	// parts are not in a run that was put together.
	Part    *Part    `json:"part,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// Files are the user\'s own case files, by the name of their group.
	Files map[string]string `json:"files,omitempty"`
	// Lists are the entries of the lists of denied, allowed and expected cases.
	Lists []ListEntry `json:"lists,omitempty"`
	// Groups describe the worlds of the cases, for reports that show them.
	Groups []cases.Outline `json:"groups,omitempty"`
	// Records is what the records add up to, once the run ended.
	Records *Seal        `json:"records,omitempty"`
	Dir     string       `json:"-"`
	Kernels []*KernelRun `json:"kernels"`

	// Damage is what is wrong with the records that were read, MoreDamage how
	// many places are not in it. Unverified says that an older tokentest wrote
	// them, without numbers and checksums.
	Damage     []Damage `json:"-"`
	MoreDamage int      `json:"-"`
	Unverified bool     `json:"-"`
	// Resume are the directories of runs that are not whole, and that "run
	// --resume" makes whole.
	Resume []string `json:"-"`
}

// Host is where a run took place.
type Host struct {
	Kernel string `json:"kernel,omitempty"` // the release that runs there
	Arch   string `json:"arch,omitempty"`
	CPUs   int    `json:"cpus,omitempty"`
	CPU    string `json:"cpu,omitempty"`
}

// KernelRun is what one kernel showed.
type KernelRun struct {
	Ref     string `json:"ref"`
	Release string `json:"release,omitempty"`
	Source  string `json:"source,omitempty"` // the package, or the path
	Digest  string `json:"digest,omitempty"` // SHA-256 of the image
	Image   string `json:"image,omitempty"`  // SHA-256 of the initramfs
	// Append is what the user added to the kernel's command line.
	Append []string `json:"append,omitempty"`
	// ConfigDigest is the SHA-256 of the kernel's configuration, which is in
	// each boot's directory.
	ConfigDigest string `json:"config_digest,omitempty"`
	// Commit is what the kernel was built from, Compiler by what, where they are known.
	Commit   string `json:"commit,omitempty"`
	Compiler string `json:"compiler,omitempty"`
	// Accel is the accelerator and why it was chosen, AccelName the accelerator alone.
	Accel     string `json:"accel,omitempty"`
	AccelName string `json:"accel_name,omitempty"`
	// Note is one line that concerns the whole kernel, such as that it has no tokens.
	Note  string      `json:"note,omitempty"`
	Facts *step.Facts `json:"facts,omitempty"`
	// Drift names what the kernel has and the oracle does not know.
	Drift []string `json:"drift,omitempty"`
	// Repeated is how often the cases ran, where that is not once.
	Repeated int `json:"repeated,omitempty"`
	// Repeat is the command that shows the cases again, where they are those
	// of a program and not of this one.
	Repeat string `json:"repeat,omitempty"`
	// Rules are the words of the rules that decided cases that passed.
	Rules map[string]RuleText `json:"rules,omitempty"`
	// Planned is how many cases were planned for the kernel; an older tokentest does not say.
	Planned int `json:"planned,omitempty"`
	// Absent is how many of them have no record.
	Absent int `json:"-"`
	// Error says why the kernel could not be tried at all.
	Error string `json:"error,omitempty"`
	// Unbuilt says that the error is the source's: it makes no kernel.
	Unbuilt bool `json:"unbuilt,omitempty"`
	// Cause is that error where the reference was at fault, and not the host.
	Cause  error         `json:"-"`
	Boots  []Boot        `json:"boots,omitempty"`
	Worlds []WorldResult `json:"-"`                // in records.jsonl
	Cases  []CaseResult  `json:"-"`                // in records.jsonl; of a run that a Loader read see All
	Decide time.Duration `json:"decide,omitempty"` // from hello to done, all boots, in nanoseconds

	column *column // the cases of a run that a Loader read
}

// RuleText is what a rule of the oracle says, and the kernel function that it
// stands for.
type RuleText struct {
	Rule string `json:"rule"`
	Func string `json:"func,omitempty"`
}

// Boot is one machine of a kernel's run.
type Boot struct {
	Dir string `json:"dir"` // beside run.json
	// Began says how the machine began: direct (QEMU entered the kernel's ELF file), bzimage, or
	// restored (from a snapshot). An older tokentest does not say.
	Began    string          `json:"began,omitempty"`
	Fate     vm.Fate         `json:"fate"`
	Reason   string          `json:"reason,omitempty"`
	Findings []splat.Finding `json:"findings,omitempty"`
	Blame    string          `json:"blame,omitempty"` // Blamed in words
	Blamed   Blame           `json:"blamed,omitzero"` // the case under which the machine died
	Known    string          `json:"known,omitempty"` // the defect of which it ended as it is known to
	Boot     time.Duration   `json:"boot"`            // to hello
	Decide   time.Duration   `json:"decide"`          // from hello to done
	Total    time.Duration   `json:"total"`
	Cases    int             `json:"cases"` // answered
	// Signal is the name of the signal that ended QEMU and decides the fate: SIGKILL or SIGSTOP from outside, or SIGABRT
	// of a QEMU that crashed, for example.
	Signal string `json:"signal,omitempty"`
	// Host is what the host gave the machine, where that is why its fate is infra.
	Host *splat.Share `json:"host,omitempty"`
	// Corrupt says that a record of the guest was damaged or out of order, which ended the machine.
	Corrupt bool `json:"corrupt,omitempty"`
	// Refused lists what the kernel refused of what requests of cases refer to.
	Refused []step.Fixture `json:"refused,omitempty"`
}

// WorldResult is what the set-up of a world showed, so that its cases can be
// judged again.
type WorldResult struct {
	Group string             `json:"group"`
	Index int                `json:"index"`         // of the group's worlds
	Key   string             `json:"key,omitempty"` // the same for the same set-up
	Seen  []step.Observation `json:"seen"`
}

// CaseResult is one case on one kernel.
type CaseResult struct {
	ID     string `json:"case"`
	Status Status `json:"status"`
	Reason string `json:"reason,omitempty"` // for anything but pass, and for a known defect that is as it was
	// Cause is the same as data; an older tokentest wrote the reason alone.
	Cause Cause        `json:"cause,omitzero"`
	Boot  int          `json:"boot"` // the index of its machine, -1 for none
	Steps []StepResult `json:"steps,omitempty"`
	// Fault says who is wrong where a case is fail or broken and the kernel is not.
	Fault Culprit `json:"fault,omitempty"`
	// Times counts the statuses of repetitions where they vary; the worst is
	// the case's.
	Times map[Status]int `json:"times,omitempty"`
}

// Culprit says who is wrong where kernel, rules and pin do not agree.
type Culprit string

// The culprits. Where two of the three agree, the third is wrong.
const (
	KernelWrong      Culprit = ""
	ExpectationWrong Culprit = "expectation" // the kernel and the rules agree, the pin differs
	OracleWrong      Culprit = "oracle"      // the kernel and the pin agree, the rules differ
)

// Gaps says in a line each what the run's records lack of what was written:
// which kernels' cases have none, and where the file is damaged.
func (r *Run) Gaps() []string {
	var out []string
	for _, k := range r.Kernels {
		if k.Absent > 0 {
			out = append(out, "kernel "+k.Ref+": "+k.Lack())
		}
	}
	return append(out, r.Damages()...)
}

// Lack says how many of the kernel's cases have no record; "" for none.
func (k *KernelRun) Lack() string {
	if k.Absent == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d cases have no record", k.Absent, k.Planned)
}

// NotTried counts the cases of an interrupted run that were not tried, of all
// that were planned.
func (r *Run) NotTried() (n, of int) {
	for _, k := range r.Kernels {
		of += max(k.Planned, k.Len())
		if n += k.Counts()[Interrupted]; k.Len() == 0 {
			n += k.Planned
		}
	}
	return n, of
}

// Damages says in a line each where the run's records are damaged.
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

// StepResult is one step that was judged: what it showed and what it must show.
type StepResult struct {
	Text string           `json:"text,omitempty"` // the step; left out where the case passed
	Got  step.Observation `json:"got"`
	Want *uapi.Errno      `json:"want,omitempty"` // nil when neither oracle nor pin knows
	// Unknown says why the oracle has no answer: drift or not modelled. The pin alone counts then, if there is one.
	Unknown oracle.Unknown `json:"unknown,omitempty"`
	Rule    string         `json:"rule,omitempty"` // what decides, in words
	Func    string         `json:"func,omitempty"` // the kernel function that decides
	ID      string         `json:"id,omitempty"`   // the rule's stable name
	Pin     string         `json:"pin,omitempty"`  // where the expectation was pinned by hand, with its source
	Wrong   bool           `json:"wrong,omitempty"`
	// Measured says that the values are a count, or what a race gave: the judge bounds them, and they are no decision.
	Measured bool    `json:"measured,omitempty"`
	Fault    Culprit `json:"fault,omitempty"` // of a wrong step: who is wrong where the kernel is not
}

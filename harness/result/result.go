// Package result is the record of a run: it judges what a guest observed
// against what the oracle expects, and stores and loads runs.
package result

import (
	"time"

	"tokentest/cases/program"
	"tokentest/cases/uapi"
	"tokentest/harness/vm"
)

// Status is what became of a case.
type Status string

// The statuses. Broken means that the case says nothing: a control failed, its
// set-up did, or the machine died under it.
const (
	Pass   Status = "pass"
	Fail   Status = "fail"
	Skip   Status = "skip"
	Broken Status = "broken"
)

// Statuses lists every status, the worst first.
func Statuses() []Status { return []Status{Fail, Broken, Skip, Pass} }

// Run is one run of cases on one or more kernels.
type Run struct {
	Version     int       `json:"version"`
	Tool        string    `json:"tool"` // the build id of the agent's image
	Args        []string  `json:"args"` // the command line
	Start       time.Time `json:"start"`
	End         time.Time `json:"end,omitzero"`
	Interrupted bool      `json:"interrupted,omitempty"`
	// Files are the user\'s own case files, by the name of their group.
	Files   map[string]string `json:"files,omitempty"`
	Dir     string            `json:"-"`
	Kernels []*KernelRun      `json:"kernels"`
}

// KernelRun is what one kernel showed.
type KernelRun struct {
	Ref     string `json:"ref"`
	Release string `json:"release,omitempty"`
	Source  string `json:"source,omitempty"` // the package, or the path
	Digest  string `json:"digest,omitempty"` // SHA-256 of the image
	Image   string `json:"image,omitempty"`  // SHA-256 of the initramfs
	Accel   string `json:"accel,omitempty"`
	// Note is one line that concerns the whole kernel, such as that it has no tokens.
	Note  string         `json:"note,omitempty"`
	Facts *program.Facts `json:"facts,omitempty"`
	// Drift names what the kernel has and the oracle does not know.
	Drift []string `json:"drift,omitempty"`
	// Error says why the kernel could not be tried at all.
	Error string `json:"error,omitempty"`
	// Cause is that error where the reference was at fault, and not the host.
	Cause  error         `json:"-"`
	Boots  []Boot        `json:"boots,omitempty"`
	Worlds []WorldResult `json:"-"`                // in records.jsonl
	Cases  []CaseResult  `json:"-"`                // in records.jsonl
	Decide time.Duration `json:"decide,omitempty"` // from hello to done, all boots, in nanoseconds
}

// Boot is one machine of a kernel's run.
type Boot struct {
	Dir      string        `json:"dir"` // beside run.json
	Fate     vm.Fate       `json:"fate"`
	Reason   string        `json:"reason,omitempty"`
	Findings []vm.Finding  `json:"findings,omitempty"`
	Blame    string        `json:"blame,omitempty"` // the case that had begun and not ended
	Boot     time.Duration `json:"boot"`            // to hello
	Decide   time.Duration `json:"decide"`          // from hello to done
	Total    time.Duration `json:"total"`
	Cases    int           `json:"cases"` // answered
}

// WorldResult is what the set-up of a world showed, so that its cases can be
// judged again.
type WorldResult struct {
	Group string                `json:"group"`
	Index int                   `json:"index"` // of the group's worlds
	Seen  []program.Observation `json:"seen"`
}

// CaseResult is one case on one kernel.
type CaseResult struct {
	ID     string       `json:"case"`
	Status Status       `json:"status"`
	Reason string       `json:"reason,omitempty"` // for anything but pass
	Boot   int          `json:"boot"`             // the index of its machine, -1 for none
	Steps  []StepResult `json:"steps,omitempty"`
}

// StepResult is one step that was judged: what it showed and what it must show.
type StepResult struct {
	Text  string              `json:"text,omitempty"` // the step; left out where the case passed
	Got   program.Observation `json:"got"`
	Want  *uapi.Errno         `json:"want,omitempty"` // nil when neither oracle nor pin knows
	Rule  string              `json:"rule,omitempty"` // what decides, in words
	Func  string              `json:"func,omitempty"` // the kernel function that decides
	ID    string              `json:"id,omitempty"`   // the rule's stable name
	Pin   string              `json:"pin,omitempty"`  // where the expectation was pinned by hand, with its source
	Wrong bool                `json:"wrong,omitempty"`
}

// Counts says how many cases of a kernel have each status.
func (k *KernelRun) Counts() map[Status]int {
	n := map[Status]int{}
	for i := range k.Cases {
		n[k.Cases[i].Status]++
	}
	return n
}

// Exit codes of a run.
const (
	ExitOK        = 0
	ExitDiffers   = 1 // a case failed, a splat, a panic, a hang
	ExitUsage     = 2
	ExitNoVerdict = 3 // infra, unbooted, lost, broken, interrupted
)

// ExitCode maps a run to the exit code of the command.
func (r *Run) ExitCode() int {
	code := ExitOK
	if r.Interrupted || len(r.Kernels) == 0 {
		code = ExitNoVerdict
	}
	for _, k := range r.Kernels {
		switch k.verdict() {
		case ExitDiffers:
			return ExitDiffers
		case ExitNoVerdict:
			code = ExitNoVerdict
		}
	}
	return code
}

func (k *KernelRun) verdict() int {
	code := ExitOK
	if k.Error != "" || len(k.Cases) == 0 {
		code = ExitNoVerdict
	}
	for _, b := range k.Boots {
		switch b.Fate {
		case vm.Clean:
		case vm.Tainted, vm.Panicked, vm.Hung:
			return ExitDiffers
		case vm.Lost, vm.Unbooted, vm.Infra:
			code = ExitNoVerdict
		}
	}
	n := k.Counts()
	switch {
	case n[Fail] > 0:
		return ExitDiffers
	case n[Broken] > 0:
		return ExitNoVerdict
	}
	return code
}

package guestprog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/signals"
	"tokentest/harness/testlog"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
)

// Exit codes for a program that did not run, as shells and container tools give them.
const (
	ExitNoMachine = 125 // no verdict: the host, the boot, or a lost machine
	ExitCannotRun = 126
	ExitNotFound  = 127
)

// exitNotFetched is the exit code if a file of Options.Get did not come back, as scp and docker cp give it.
const exitNotFetched = 1

// Verdict turns how a program and its machine ended into an exit code, and into lines that
// say what a run on this host would not have said. dir is the directory of the run;
// interrupted says that a signal ended the machine.
func (o *Options) Verdict(e *lab.Ended, dir string, interrupted bool) (code int, says []string) {
	b := &e.Kernel.Boots[0]
	say := func(format string, args ...any) { says = append(says, fmt.Sprintf(format, args...)) }
	for _, f := range b.Findings {
		if f.Counts() {
			say("the kernel reports %s: %s [%s]", f.Kind, f.Title, f.Fingerprint)
		}
	}
	if b.Fate == vm.Lost && interrupted {
		say("%v", signals.ErrInterrupted)
		if e.Exit != nil && e.Exit.Code != 0 {
			return e.Exit.Code, says
		}
		return ExitNoMachine, says
	}
	if b.Fate != vm.Clean {
		say("%s: the machine is %s: %s (%s)", e.Kernel.Ref, b.Fate, b.Reason, filepath.Join(dir, b.Dir))
	}
	switch {
	case e.Exit == nil && (b.Fate == vm.Panicked || b.Fate == vm.Hung):
		return result.ExitDiffers, says
	case e.Exit == nil:
		return ExitNoMachine, says
	case e.Exit.Missing:
		code = ExitNotFound
	case e.Exit.Error != "":
		code = ExitCannotRun
	default:
		code = e.Exit.Code
	}
	if e.Exit.Error != "" {
		say("run the program: %s", e.Exit.Error)
	}
	if code == 0 && b.Host == nil {
		code = exitOfFate(b.Fate)
	}
	lines := o.Unfetched(e)
	if len(lines) > 0 && code == 0 {
		code = exitNotFetched
	}
	return code, append(says, lines...)
}

// exitOfFate is the exit code of a program that says that all is well, in a machine that then ended so. A machine
// that was lost says nothing about the kernel.
func exitOfFate(f vm.Fate) int {
	switch f {
	case vm.Clean:
		return 0
	case vm.Panicked, vm.Hung, vm.Tainted:
		return result.ExitDiffers
	}
	return ExitNoMachine
}

// Unfetched has a line for each file that did not come back. A file that only a flag of a Go test names may be
// missing: the test may have ended before it was written.
func (o *Options) Unfetched(e *lab.Ended) (says []string) {
	if e.Exit == nil {
		return nil
	}
	for _, u := range e.Exit.Unsent {
		asked := slices.ContainsFunc(o.Get, func(name string) bool { return absolute(o.Here, name) == u.Path })
		if asked || !u.Missing {
			says = append(says, fmt.Sprintf("--get %s: fetch it from the machine: %s", u.Path, u.Error))
		}
	}
	return says
}

// machineFile says how a machine and its program ended.
const machineFile = "machine.json"

// Store writes into dir, as machine.json, the kernel with its one boot in the form of run.json,
// how the program ended, and its exit code.
func Store(dir string, e *lab.Ended, code int) error {
	text, err := json.MarshalIndent(struct {
		*result.KernelRun
		Program  *wire.Exit `json:"program,omitempty"`
		ExitCode int        `json:"exit_code"`
	}{e.Kernel, e.Exit, code}, "", "  ")
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, machineFile), append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("store how the machine ended: %w", err)
	}
	return nil
}

// Read makes a run of a log's tests, on the kernel of that name. again is the command that repeats it. The error is a
// *usage.Error for a kind that testlog does not know.
func Read(in io.Reader, kind, kernel, again string) (*result.Run, error) {
	if err := testlog.Check(kind); err != nil {
		return nil, usage.Of(err)
	}
	log, err := testlog.Parse(in, kind)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	return &result.Run{Version: result.Version, Start: now, End: now, AllowEmpty: log.SkipsAll,
		Kernels: []*result.KernelRun{{Ref: kernel, Repeat: again, Cases: Cases(log, "", -1)}}}, nil
}

// Cases makes case results of tests that a log holds. Their names begin with prefix; boot is
// the machine that they ran in, -1 for none.
func Cases(log *testlog.Log, prefix string, boot int) []result.CaseResult {
	out := make([]result.CaseResult, len(log.Cases))
	for i, c := range log.Cases {
		out[i] = result.CaseResult{ID: prefix + c.Name, Status: result.Status(c.Status), Reason: c.Reason, Boot: boot}
		if c.Status != testlog.Pass || c.Reason != "" {
			out[i].Cause.Kind = result.ByProgram
		}
	}
	return out
}

// Results reads test results from a file with a program's output, in a format of package
// testlog. An exit status that they do not explain makes a result of its own: a program that
// was killed after its last test did not pass.
func Results(output string, e *lab.Ended, program, format string) ([]result.CaseResult, error) {
	text, err := os.ReadFile(output)
	if err != nil {
		return nil, fmt.Errorf("read the program's output: %w", err)
	}
	prefix := filepath.Base(program) + "/"
	log, err := testlog.Parse(bytes.NewReader(text), format)
	if err != nil && (!errors.Is(err, testlog.ErrNothing) || e.Exit != nil && e.Exit.Error == "") {
		return nil, err
	}
	var cases []result.CaseResult
	bad := false
	if log != nil {
		cases = Cases(log, prefix, 0)
		for _, c := range cases {
			bad = bad || c.Status == result.Fail || c.Status == result.Broken
		}
	}
	if end := exit(e, bad); end.Status != "" {
		end.ID = prefix + "exit"
		cases = append(cases, end)
	}
	return cases, nil
}

// kselftestSkip is the exit status of a selftest that skips.
const kselftestSkip = 4

// exit is the result for the end of a program; it has no status if the cases explain the end.
// bad says that one of them did not pass.
func exit(e *lab.Ended, bad bool) result.CaseResult {
	cause := result.Cause{Kind: result.ByExit}
	switch x := e.Exit; {
	case x == nil:
		b := &e.Kernel.Boots[0]
		cause = result.Cause{Kind: result.ByMachine, Fate: b.Fate}
		return result.NewResult("", result.Broken, cause, fmt.Sprintf("the machine was %s under it: %s", b.Fate, b.Reason), 0)
	case x.Error != "":
		return result.NewResult("", result.Broken, cause, "it could not be run: "+x.Error, 0)
	case x.Signal != 0:
		return result.NewResult("", result.Fail, cause, fmt.Sprintf("it was ended by signal %d", x.Signal), 0)
	case x.Code != 0 && x.Code != kselftestSkip && !bad:
		return result.NewResult("", result.Fail, cause, fmt.Sprintf("it exited with status %d although no test failed",
			x.Code), 0)
	}
	return result.CaseResult{}
}

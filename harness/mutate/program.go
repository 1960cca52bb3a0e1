package mutate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tokentest/harness/cover"
	"tokentest/harness/guestprog"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/testlog"
	"tokentest/harness/usage"
	"tokentest/harness/vm"
)

// Program is a program that says what it notices by its exit status, and by the tests in its output if it has any.
type Program struct {
	guestprog.Options
	Format string // of its output, as testlog.Check knows it
	MemMiB int    // of its machines; 0 means enough
}

// withProgram runs the program on the unchanged kernel, twice: what differs then says nothing about a mutant.
func (o *Options) withProgram(ctx context.Context) (*job, *cover.Code, error) {
	if err := testlog.Check(o.Program.Format); err != nil {
		return nil, nil, usage.Of(err)
	}
	s := &subject{Program: o.Program, ref: o.Cover.Kernel}
	var err error
	if s.files, err = s.program(nil); err != nil {
		return nil, nil, usage.Of(err)
	}
	code, l, err := cover.Open(ctx, &o.Cover)
	if err != nil {
		return nil, nil, err
	}
	saved, err := newSaved(ctx, l, o.Cover.Kernel, func(ctx context.Context, l *lab.Lab) (*vm.Snapshot, error) {
		return l.SavedFor(ctx, o.Cover.Kernel, s.files)
	})
	if err != nil {
		return nil, nil, err
	}
	l.Log = nil // it would say for each machine what the kernel is
	start := time.Now()
	var x cover.Executed
	if s.expected, err = s.run(ctx, l, func(l lab.Lab, p *lab.Program) (ended *lab.Ended, err error) {
		x, ended, err = code.TraceProgram(ctx, l, s.ref, p)
		return ended, err
	}); err != nil {
		return nil, nil, err
	}
	s.limit = slower*time.Since(start) + reserve
	if len(x) == 0 {
		return nil, nil, usage.Errorf("%s executes nothing of the source files that --unit chooses", s.Args[0])
	}
	s.machines = l
	again, err := s.run(ctx, l, s.exec(ctx))
	if err != nil {
		return nil, nil, err
	}
	switch b := s.expected.boot; {
	case b.Fate != vm.Clean:
		return nil, nil, fmt.Errorf("%w: the machine is %s: %s", ErrUnsteady, b.Fate, b.Reason)
	case len(s.expected.tests) == 0 && s.Format != testlog.Auto:
		return nil, nil, usage.Errorf("--parse %s: %w", s.Format, testlog.ErrNothing)
	}
	if name, how := s.expected.differs(again); name != "" {
		return nil, nil, fmt.Errorf("%w: the second time, %s is %s", ErrUnsteady, name, how)
	}
	of, err := s.digest()
	return &job{Options: o, saved: saved, of: code.BuildID + " " + of, executed: x, subject: s}, code, err
}

// ErrUnsteady means that a program cannot say what it notices.
var ErrUnsteady = errors.New("the program does not end twice in the same way on the unchanged kernel")

// subject runs a program on mutants.
type subject struct {
	*Program
	machines lab.Lab
	ref      string        // the kernel
	files    *lab.Program  // with its files; each run makes its own
	expected *answer       // on the unchanged kernel
	limit    time.Duration // for a machine
}

// answer is what a program says about a kernel.
type answer struct {
	boot  *result.Boot
	exit  string // how it ended; "" if the machine did first
	tests []result.CaseResult
}

// program gathers the program, with its output in to.
func (s *subject) program(to io.Writer) (*lab.Program, error) {
	p, err := guestprog.New(s.Options)
	if err != nil {
		return nil, err
	}
	p.MemMiB, p.Stdout, p.Stderr = s.MemMiB, to, io.Discard
	return p, nil
}

// execute runs a program in a machine.
type execute func(lab.Lab, *lab.Program) (*lab.Ended, error)

// exec executes without a trace.
func (s *subject) exec(ctx context.Context) execute {
	return func(l lab.Lab, p *lab.Program) (*lab.Ended, error) { return l.Exec(ctx, s.ref, p) }
}

// run runs the program in a directory of its own.
func (s *subject) run(ctx context.Context, l lab.Lab, do execute) (*answer, error) {
	dir, err := os.MkdirTemp(l.Dir, "program-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a program: %w", err)
	}
	defer os.RemoveAll(dir)
	out, err := os.Create(filepath.Join(dir, "output"))
	if err != nil {
		return nil, fmt.Errorf("keep the program's output: %w", err)
	}
	defer out.Close()
	p, err := s.program(out)
	if err != nil {
		return nil, err
	}
	l.Dir = dir
	ended, err := do(l, p)
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	a := &answer{boot: &ended.Kernel.Boots[0]}
	if x := ended.Exit; x != nil && x.Error != "" {
		return nil, fmt.Errorf("run %s in the machine: %s", s.Args[0], x.Error)
	} else if x != nil {
		a.exit = fmt.Sprintf("status %d", x.Code)
	}
	a.tests, err = guestprog.Results(out.Name(), ended, s.Args[0], s.Format)
	if errors.Is(err, testlog.ErrNothing) {
		err = nil // the exit status says what is known
	}
	return a, err
}

// differs names the first test that ended otherwise, and how; "" if none did.
func (a *answer) differs(other *answer) (name, how string) {
	of := map[string]result.Status{}
	for _, t := range other.tests {
		of[t.ID] = t.Status
	}
	for _, t := range a.tests {
		now, ok := of[t.ID]
		if delete(of, t.ID); !ok {
			now = "missing"
		}
		if now != t.Status {
			return t.ID, fmt.Sprintf("%s instead of %s", now, t.Status)
		}
	}
	for _, t := range other.tests {
		if _, ok := of[t.ID]; ok {
			return t.ID, fmt.Sprintf("%s, and had no result", t.Status)
		}
	}
	if a.exit != other.exit && other.exit != "" {
		return "exit", fmt.Sprintf("%s instead of %s", other.exit, a.exit)
	}
	return "", ""
}

// judge runs the program on a mutant. The host may lose a machine: then it tries again.
func (s *subject) judge(ctx context.Context, patch vm.Patch, out *Outcome) error {
	start := time.Now()
	defer func() { out.Seconds = time.Since(start).Seconds() }()
	l := s.machines
	l.Patches, l.Deadline = []vm.Patch{patch}, s.limit
	for range maxTries {
		got, err := s.run(ctx, l, s.exec(ctx))
		if err != nil {
			return err
		}
		if s.expected.compare(got, out); out.Verdict != Unknown {
			return nil
		}
	}
	return nil
}

// compare fills in the verdict of an answer about a mutant.
func (a *answer) compare(got *answer, out *Outcome) {
	out.fate(got.boot)
	if got.exit == "" && out.Verdict == Survived {
		out.Verdict, out.Reason = Unknown, "the machine ended before the program"
	}
	if out.Verdict != Survived {
		return
	}
	if name, how := a.differs(got); name != "" {
		out.Verdict, out.Case, out.Reason = ByCase, name, how
	}
}

// digest names the program, its arguments and its files.
func (s *subject) digest() (string, error) {
	of, err := lab.Digest(s.files.Files)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %d %s", s.Args, s.User, s.Dir, s.Format, s.MemMiB, of))
	return hex.EncodeToString(sum[:8]), err
}

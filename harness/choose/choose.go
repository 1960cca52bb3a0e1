// Package choose makes what a run consists of from what the user names: lists of cases, the run whose failures are
// repeated, a shard of the plan, random worlds, and a case file on the standard input.
//
// It neither reads flags nor runs a plan; package plan expands and cuts one.
//
// Start with Lists.
package choose

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/usage"
)

// Lists are the names of the files that select the cases to run and name the known failures.
type Lists struct {
	Deny, Allow, Expect []string
	Strict              bool // an entry that matches no case is an error, not a warning
}

// Apply reads the lists, removes the cases from the plan that they exclude, and returns their entries. It writes
// warnings to w. A mistake in a list is a *usage.Error.
func (l *Lists) Apply(ctx context.Context, p *plan.Plan, w io.Writer) ([]result.ListEntry, error) {
	var out []result.ListEntry
	for _, of := range []struct {
		kind  result.ListKind
		flag  string
		names []string
	}{{result.DenyList, "--denylist", l.Deny}, {result.AllowList, "--allowlist", l.Allow},
		{result.ExpectList, "--expect", l.Expect}} {
		for _, name := range of.names {
			text, err := os.ReadFile(name)
			if err != nil {
				return nil, usage.Errorf("%s: %w", of.flag, err)
			}
			list, err := result.ParseList(of.kind, name, string(text), time.Now())
			if err != nil {
				return nil, usage.Errorf("%s %w", of.flag, err)
			}
			out = append(out, list...)
		}
	}
	if err := l.match(ctx, w, p, out); err != nil {
		return nil, err
	}
	if len(l.Allow) > 0 {
		return out, p.Restrict(out)
	}
	return out, nil
}

// match finds the entries that cover no case. Each is an error or a warning.
func (l *Lists) match(ctx context.Context, w io.Writer, p *plan.Plan, list []result.ListEntry) error {
	unmatched, err := p.Match(ctx, list)
	if err != nil {
		return err
	}
	var wrong *multierror.Error
	for _, e := range unmatched {
		text := fmt.Sprintf("%s %s: %q matches no case%s", e.Kind.Flag(), e.Where, e.Pattern, e.Near)
		if l.Strict {
			wrong = multierror.Append(wrong, usage.Errorf("%s", text))
		} else {
			fmt.Fprintf(w, "warning: %s; --strict-lists makes that an error\n", text)
		}
	}
	return wrong.ErrorOrNil()
}

// FailedRun returns the run whose failures are repeated, and the arguments that are cases. If name is runs.Latest, an
// argument that is the directory of a run takes its place.
func FailedRun(name string, args []string) (run string, rest []string, err error) {
	for i, arg := range args {
		dir, err := runs.Find(arg)
		if err != nil {
			return "", nil, err
		}
		if _, err := runs.Head(dir); name == runs.Latest && err == nil {
			return dir, slices.Delete(slices.Clone(args), i, i+1), nil
		}
	}
	return name, args, nil
}

// ReadStdin returns the case file on the standard input if plan.Stdin is one of the arguments, else "". A resumed run
// has a copy of it in its directory; for a new run, dir is "".
func ReadStdin(stdin io.Reader, dir string, args []string) (string, error) {
	if !slices.Contains(args, plan.Stdin) {
		return "", nil
	}
	var text []byte
	var err error
	if dir != "" {
		text, err = os.ReadFile(filepath.Join(dir, plan.StdinFile))
	} else {
		text, err = io.ReadAll(stdin)
	}
	if err == nil && len(text) == 0 {
		err = usage.Errorf("the standard input is empty: it must be a case file")
	}
	if err != nil {
		return "", fmt.Errorf("read the case file -: %w", err)
	}
	return string(text), nil
}

// KeepStdin stores the case file of the standard input, if there is one, in the run's directory, where the plan then
// has it.
func KeepStdin(dir string, p *plan.Plan, text string) error {
	if text == "" {
		return nil
	}
	path := filepath.Join(dir, plan.StdinFile)
	for group, name := range p.Files {
		if name == plan.Stdin {
			p.Files[group] = path
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("keep the case file of the standard input: %w", err)
	}
	return nil
}

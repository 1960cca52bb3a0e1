package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/hashicorp/go-multierror"

	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/signals"
	"tokentest/harness/usage"
)

// A list of errors is printed one by one; an error that wraps several causes is one.
func TestFlatten(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, tt := range []struct {
		err  error
		want int
	}{
		{a, 1},
		{errors.Join(a, errors.Join(b, c)), 3},
		{multierror.Append(nil, a, b), 2},
		{usage.Of(errors.Join(a, b)), 2},
		{fmt.Errorf("x: %w", errors.Join(a, b)), 1},
		{fmt.Errorf("%w, and %w", a, b), 1},
	} {
		if got := flatten(tt.err); len(got) != tt.want {
			t.Errorf("%q: %d errors, want %d", tt.err, len(got), tt.want)
		}
	}
}

// An error's kind decides the exit code, however deep it is.
func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"the user", fmt.Errorf("x: %w", usage.Errorf("--x: wrong")), result.ExitUsage},
		{"a kernel's name", fmt.Errorf("x: %w", &kernel.UsageError{Ref: "x"}), result.ExitUsage},
		{"one of several", errors.Join(fs.ErrNotExist, usage.Errorf("--x: wrong")), result.ExitUsage},
		{"the host", fs.ErrPermission, result.ExitNoVerdict},
		{"interrupted", signals.ErrInterrupted, result.ExitNoVerdict},
		{"interrupted over a mistake", errors.Join(context.Canceled, usage.Errorf("x")), result.ExitNoVerdict},
		{"its own", fmt.Errorf("x: %w", codedError{fs.ErrNotExist, 127}), 127},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := errorText(fmt.Errorf("read the cases: %w", context.Canceled)); got != "interrupted" {
		t.Errorf("an interruption says %q", got)
	}
}

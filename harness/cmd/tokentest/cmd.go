package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/harness/kernel"
	"tokentest/harness/result"
)

// app is what every command shares.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	code           int // the exit code when no error is returned
	cacheDir       string
	quiet          bool
}

// usageError is a mistake in what the user typed or wrote.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run runs the command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once; QEMU dies with it
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return a.code
	}
	fmt.Fprintln(stderr, "tokentest:", err)
	return exitCode(err)
}

func exitCode(err error) int {
	var u usageError
	var k *kernel.UsageError
	if errors.As(err, &u) || errors.As(err, &k) {
		return result.ExitUsage
	}
	return result.ExitNoVerdict
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "tokentest",
		Short: "check on real kernels what a BPF token allows and what it denies",
		Long: `tokentest boots Linux kernels under QEMU, runs BPF-token cases inside user
namespaces, and checks that every bpf(2) call is allowed or denied, with the
exact errno, as the bpffs delegation masks and the caller's capabilities dictate.

Exit codes: 0 all as expected; 1 a kernel differs; 2 usage or configuration;
3 no verdict (the host, the boot or a control failed, or it was interrupted).`,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("unknown command %q; see tokentest --help", args[0])
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetIn(a.stdin)
	c.SetOut(a.stdout)
	c.SetErr(a.stderr)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage("%w; see %s --help", err, c.CommandPath()) })
	c.PersistentFlags().StringVar(&a.cacheDir, "cache", "", "keep kernels and images in `DIR` instead of the user's cache directory")
	c.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress, no notes")
	c.AddCommand(a.runCmd(), a.listCmd(), a.planCmd(), a.explainCmd(), a.kernelCmd(), a.reportCmd(), a.doctorCmd(), a.benchCmd())
	return c
}

// note writes a line for people, beside the results.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.stderr, format+"\n", args...)
	}
}

// terminal reports whether w is one, and its width.
func terminal(w io.Writer) (width int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	return width, err == nil
}

// args turns cobra's argument errors into usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usage("%w; see %s --help", err, c.CommandPath())
		}
		return nil
	}
}

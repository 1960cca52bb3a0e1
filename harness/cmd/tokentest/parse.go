package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokentest/harness/cli"
	"tokentest/harness/guestprog"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/scan"
	"tokentest/harness/shell"
	"tokentest/harness/testlog"
	"tokentest/harness/usage"
)

func (a *app) parseCmd() *cobra.Command {
	var kind, format, name, out string
	var empty bool
	c := &cobra.Command{
		Use:   "parse [LOG]",
		Short: "report the tests whose output was saved",
		Long: `Read KTAP, TAP, test2json or the output of go test -v from LOG, or from the standard
input (without LOG, or with -), and report each test in it. A kernel log with KUnit results works too.
A text in which no test has a result is an error; if all tests are skipped there is
no verdict, unless the program's plan says so (1..0 # SKIP) or --allow-empty is given.`,
		Example: "  tokentest parse kselftest.log\n  go test -json ./... | tokentest parse --format junit",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			format, err := a.format(format)
			if err != nil {
				return err
			}
			in, from := a.stdin, "stdin"
			if len(args) > 0 && args[0] != scan.Stdin {
				f, err := os.Open(args[0])
				if err != nil {
					return usage.Errorf("read the log: %w", err)
				}
				defer f.Close()
				in, from = f, args[0]
			}
			return a.parse(in, from, cmp.Or(name, from), kind, format, out, empty)
		},
	}
	c.Flags().StringVar(&kind, "parse", "auto", "read it as `FORMAT`: "+strings.Join(testlog.Formats(), ", "))
	c.Flags().StringVarP(&format, "format", "f", "", formatHelp())
	c.Flags().StringVar(&name, "kernel", "", "`NAME` is the kernel that the tests ran on")
	emptyFlag(c.Flags(), &empty)
	c.Flags().StringVarP(&out, "out", "o", "", "store it as a run in `DIR`, which must not exist")
	return c
}

func (a *app) parse(in io.Reader, from, kernel, kind, format, out string, empty bool) error {
	again := shell.Quote(self) + " parse " + shell.Quote(from)
	if from == "stdin" {
		again = shell.Quote(self) + " parse < LOG" // nobody kept it
	}
	r, err := guestprog.Read(in, kind, kernel, again)
	if err != nil {
		return err
	}
	r.Args, r.AllowEmpty = append([]string{self}, os.Args[1:]...), r.AllowEmpty || empty
	if out != "" {
		if r.Dir, err = runs.Make(out); err != nil {
			return err
		}
		if err := runs.Store(r); err != nil {
			return err
		}
	}
	a.code = r.ExitCode()
	return a.write(format, r)
}

// execParsed runs a program and makes a run of the tests in its output.
func (a *app) execParsed(c *cobra.Command, f *machineFlags, args []string, kind, format string) error {
	ctx := c.Context()
	format, err := a.format(format)
	if err == nil {
		err = usage.Of(testlog.Check(kind))
	}
	if err != nil {
		return err
	}
	o, p, err := a.program(f, args)
	if err != nil {
		return err
	}
	l, err := a.machineLab(ctx, f)
	if err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(l.Dir, "output"))
	if err != nil {
		return fmt.Errorf("keep the program's output: %w", err)
	}
	defer file.Close()
	stderr := &guestprog.Tail{To: a.stderr}
	p.Stdin, p.Stdout, p.Stderr = a.stdin, file, stderr
	run := &result.Run{Version: result.Version, Args: append([]string{self}, os.Args[1:]...),
		Start: time.Now().UTC(), Dir: l.Dir, AllowEmpty: f.allowEmpty}
	ended, err := a.attend(ctx, l, f, p)
	if err != nil {
		return codedError{err, guestprog.ExitNoMachine}
	}
	if ended.Exit != nil {
		a.say(o.Advice(ended, ended.Exit.Code, stderr))
	}
	run.End, run.Interrupted = time.Now().UTC(), ctx.Err() != nil
	ended.Kernel.Cases, err = guestprog.Results(file.Name(), ended, args[0], kind)
	if err != nil {
		a.verdict(ctx, o, ended, l)
		return fmt.Errorf("%w; its output is in %s", err, file.Name())
	}
	flags := cli.Given(c, execRepeat...)
	if !c.Flags().Changed("kernel") {
		flags = append([]string{"--kernel", f.kernel}, flags...)
	}
	ended.Kernel.Repeat = shell.Join(slices.Concat([]string{self, "exec"}, flags, []string{"--"}, args)...)
	run.Kernels = []*result.KernelRun{ended.Kernel}
	if err := runs.Store(run); err != nil {
		return err
	}
	a.code = run.ExitCode()
	if lines := o.Unfetched(ended); len(lines) > 0 {
		a.say(lines)
		a.code = cmp.Or(a.code, result.ExitNoVerdict)
	}
	return a.write(format, run)
}

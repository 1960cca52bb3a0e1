package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/harness/guestprog"
	"tokentest/harness/lab"
	"tokentest/images"
)

func (a *app) shellCmd() *cobra.Command {
	f := &machineFlags{}
	c := &cobra.Command{
		Use:   "shell [CASE|FILE...]",
		Short: "open a shell in a machine",
		Long: `Boot a kernel and open u-root's shell in the image in which cases run. There
"runcase NAME" runs one of the cases that were named here (by default those of the
suite) and shows the answer to each step; "runcase" lists them. "tokentest explain
CASE" shows what they should answer. The machine ends with the shell.`,
		Example: "  tokentest shell --kernel deb:6.12\n  tokentest shell --kernel deb:7.3 --console mine.txt",
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.expand(c.Context(), oneKernel(f.kernel, args))
			if err != nil {
				return err
			}
			byHand, err := lab.ByHand(p.Cases)
			if err != nil {
				return err
			}
			return a.shell(c.Context(), f, byHand)
		},
	}
	f.register(c.Flags())
	return c
}

func (a *app) shell(ctx context.Context, f *machineFlags, byHand []lab.File) error {
	p := &lab.Program{MemMiB: f.mem, CPUs: f.cpus, Append: f.append, Files: byHand, Shell: true}
	p.Args, p.Dir = []string{images.Shell}, "/"
	p.Env = guestprog.ShellEnv(os.Getenv("TERM"))
	o, err := f.program.For(nil)
	if err != nil {
		return err
	}
	if err := guestprog.Add(p, o); err != nil {
		return err
	}
	p.Stdin, p.Stdout, p.Stderr = a.stdin, a.stdout, a.stderr
	l, err := a.machineLab(ctx, f)
	if err != nil {
		return err
	}
	l.Log = a.note
	defer a.discard(f, l)
	ended, err := a.attended(ctx, l, f, p)
	if err != nil {
		return codedError{err, guestprog.ExitNoMachine}
	}
	a.code = a.verdict(ctx, &o, ended, l)
	return nil
}

// attended runs the shell on the user's terminal, if there is one.
func (a *app) attended(ctx context.Context, l *lab.Lab, f *machineFlags, p *lab.Program) (*lab.Ended, error) {
	in, isFile := a.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return a.attend(ctx, l, f, p)
	}
	restore, err := guestprog.OnTerminal(in, p)
	if err != nil {
		return nil, err
	}
	defer restore()
	if f.console {
		l.Console = guestprog.CRLF{To: a.stderr}
	}
	note := l.Log
	l.Log = func(format string, args ...any) { note(format+"\r", args...) } // a raw terminal needs \r
	return l.Exec(ctx, f.kernel, p)
}

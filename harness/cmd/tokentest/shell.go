package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"tokentest/harness/guestprog"
	"tokentest/harness/lab"
	"tokentest/harness/wire"
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
	p := &lab.Program{MemMiB: f.mem, Append: f.append, Files: byHand, Shell: true}
	p.Args, p.Dir = []string{images.Shell}, "/"
	p.Env = shellEnv(os.Getenv("TERM"))
	o, err := f.options(nil)
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

// shellEnv is the environment of the shell on a terminal of a kind. The shell asks a terminal for its colours and drops
// what is typed until the answer comes, which some never send. It asks no terminal of the kinds screen and tmux.
func shellEnv(kind string) []string {
	quiet := func(prefix string) bool { return strings.HasPrefix(kind, prefix) }
	if !slices.ContainsFunc([]string{"screen", "tmux"}, quiet) {
		kind = "screen-256color"
	}
	return []string{"PATH=/bin", "HOME=/", "TERM=" + kind, "USER=root"}
}

// attended runs the shell on the user's terminal, if there is one.
func (a *app) attended(ctx context.Context, l *lab.Lab, f *machineFlags, p *lab.Program) (*lab.Ended, error) {
	in, isFile := a.stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return a.attend(ctx, l, f, p)
	}
	p.TTY = windowSize(in)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	signals := make(chan wire.Signal, 1)
	go func() {
		for range resized {
			signals <- wire.Signal{Size: windowSize(in)}
		}
	}()
	p.Signals = signals
	if f.console {
		l.Console = crlf{a.stderr}
	}
	note := l.Log
	l.Log = func(format string, args ...any) { note(format+"\r", args...) } // a raw terminal needs \r
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	defer term.Restore(int(in.Fd()), old)
	return l.Exec(ctx, f.kernel, p)
}

func windowSize(in *os.File) *wire.Terminal {
	cols, rows, err := term.GetSize(int(in.Fd()))
	if err != nil {
		cols, rows = 80, 24
	}
	return &wire.Terminal{Rows: uint16(rows), Cols: uint16(cols)}
}

// crlf ends lines as a raw terminal needs it.
type crlf struct {
	to interface{ Write([]byte) (int, error) }
}

func (c crlf) Write(p []byte) (int, error) {
	_, err := c.to.Write([]byte(strings.ReplaceAll(strings.ReplaceAll(string(p), "\r\n", "\n"), "\n", "\r\n")))
	return len(p), err
}

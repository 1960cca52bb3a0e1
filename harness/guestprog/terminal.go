package guestprog

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/term"

	"tokentest/harness/lab"
	"tokentest/harness/wire"
)

// ShellEnv is the environment of the shell on a terminal of a kind. The shell asks a terminal for its colours and drops
// what is typed until the answer comes, which some never send. It asks no terminal of the kinds screen and tmux.
func ShellEnv(kind string) []string {
	quiet := func(prefix string) bool { return strings.HasPrefix(kind, prefix) }
	if !slices.ContainsFunc([]string{"screen", "tmux"}, quiet) {
		kind = "screen-256color"
	}
	return []string{"PATH=/bin:/sbin", "HOME=/", "TERM=" + kind, "USER=root"}
}

// OnTerminal makes a program run on the user's terminal, which becomes raw until restore is called.
func OnTerminal(in *os.File, p *lab.Program) (restore func(), err error) {
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	p.TTY = windowSize(in)
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	signals := make(chan wire.Signal, 1)
	go func() {
		for range resized {
			signals <- wire.Signal{Size: windowSize(in)}
		}
	}()
	p.Signals = signals
	return func() {
		signal.Stop(resized)
		term.Restore(int(in.Fd()), old)
	}, nil
}

func windowSize(in *os.File) *wire.Terminal {
	cols, rows, err := term.GetSize(int(in.Fd()))
	if err != nil {
		cols, rows = 80, 24
	}
	return &wire.Terminal{Rows: uint16(rows), Cols: uint16(cols)}
}

// CRLF ends lines as a raw terminal needs it.
type CRLF struct{ To io.Writer }

func (c CRLF) Write(p []byte) (int, error) {
	_, err := io.WriteString(c.To, strings.ReplaceAll(strings.ReplaceAll(string(p), "\r\n", "\n"), "\n", "\r\n"))
	return len(p), err
}

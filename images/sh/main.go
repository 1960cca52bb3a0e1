// Command sh is /bin/sh of the machine: it runs scripts, with their arguments, which u-root's gosh does not hand on.
// For a person it starts gosh. Start with main.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// script is what the arguments say.
type script struct {
	name    string // "$0"
	text    io.Reader
	options []string // of the shell, as set takes them
	args    []string
	human   bool // an interactive shell
}

func main() {
	s, err := parse(os.Args[1:])
	if err == nil && s.human {
		err = unix.Exec("/bin/gosh", []string{"gosh"}, os.Environ())
	}
	if err == nil {
		err = s.run()
	}
	if status, ok := interp.IsExitStatus(err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		os.Exit(cannotRun)
	}
}

const cannotRun = 127

// parse reads sh's arguments: [-OPTIONS] [-c COMMAND [NAME [ARG...]] | FILE [ARG...]].
func parse(args []string) (*script, error) {
	s := &script{name: "sh", text: os.Stdin}
	command := false
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		for _, letter := range word[1:] {
			switch letter {
			case 'c':
				command = true
			case 'i':
				s.human = true
			case 's', 'l': // standard input; a login shell
			default:
				s.options = append(s.options, word[:1]+string(letter))
			}
		}
	}
	switch {
	case command && len(args) == 0:
		return nil, errors.New("-c needs a command")
	case command:
		s.text, args = strings.NewReader(args[0]), args[1:]
		if len(args) > 0 {
			s.name, args = args[0], args[1:]
		}
	case len(args) > 0:
		f, err := os.Open(args[0])
		if err != nil {
			return nil, err
		}
		s.name, s.text, args = args[0], f, args[1:]
	default:
		s.human = s.human || term.IsTerminal(int(os.Stdin.Fd()))
	}
	s.human = s.human && !command
	s.args = args
	return s, nil
}

// echoOnce makes echo write its line at once, as other shells do: each write to a file of a cgroup is a value, and the
// interpreter writes the words, the spaces and the end of the line one after the other.
func echoOnce(_ context.Context, args []string) ([]string, error) {
	if args[0] != "echo" {
		return args, nil
	}
	words, options, end := args[1:], []string{"echo", "-n"}, "\n"
	for len(words) > 0 && (words[0] == "-n" || words[0] == "-e" || words[0] == "-E") {
		if words[0] == "-n" {
			end = ""
		}
		options, words = append(options, words[0]), words[1:]
	}
	text := strings.Join(words, " ") + end
	if text == "" {
		return options, nil
	}
	return append(options, text), nil
}

func (s *script) run() error {
	file, err := syntax.NewParser().Parse(s.text, s.name)
	if err != nil {
		return err
	}
	r, err := interp.New(interp.StdIO(os.Stdin, os.Stdout, os.Stderr), interp.CallHandler(echoOnce),
		interp.Params(append(append(s.options, "--"), s.args...)...))
	if err != nil {
		return err
	}
	return r.Run(context.Background(), file)
}

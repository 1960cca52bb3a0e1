package main

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/cli"
	"tokentest/harness/vm"
)

// pages are the help topics, one Markdown file each. A file begins with the line
// "# NAME: title", where NAME is the file's name.
//
//go:embed topics/*.md
var pages embed.FS

// topic is a page to read, not a command: "tokentest help NAME" prints it.
type topic struct{ name, title, text string }

// topics reads the pages, sorted by name.
func topics() []topic {
	files, err := fs.Glob(pages, "topics/*.md")
	if err != nil {
		panic(err) // the glob is a constant
	}
	var out []topic
	for _, file := range files {
		text, err := pages.ReadFile(file)
		if err != nil {
			panic(err) // the file is embedded
		}
		head, body, _ := strings.Cut(string(text), "\n")
		name, title, _ := strings.Cut(strings.TrimPrefix(head, "# "), ": ")
		out = append(out, topic{name, title, strings.Trim(body, "\n")})
	}
	return out
}

// topicCmds are the help topics as cobra lists them: commands that run nothing.
func topicCmds() []*cobra.Command {
	out := []*cobra.Command{
		{Use: "cases", Short: "the language of case files", Long: cases.Language()},
		{Use: "machine", Short: "what the guest reads and changes in a kernel before the first case",
			Long: cases.Machine(vm.KernelArguments())},
	}
	for _, t := range topics() {
		out = append(out, &cobra.Command{Use: t.name, Short: t.title, Long: t.plain()})
	}
	return out
}

// plain is the page for a terminal.
func (t topic) plain() string { return cli.Plain(t.text) }

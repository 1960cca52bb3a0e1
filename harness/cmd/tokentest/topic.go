package main

import (
	"embed"
	"io/fs"
	"strings"
	"time"

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

// generated are the topics that tables of the program make, in plain text.
func generated() []topic {
	return []topic{
		{"cases", "the language of case files", cases.Language()},
		{"machine", "what the guest reads and changes in a kernel before the first case",
			cases.Machine(vm.KernelArguments())},
	}
}

// topicCmds are the help topics as cobra lists them: commands that run nothing.
func topicCmds() []*cobra.Command {
	var out []*cobra.Command
	for _, t := range generated() {
		out = append(out, &cobra.Command{Use: t.name, Short: t.title, Long: t.text})
	}
	for _, t := range topics() {
		out = append(out, &cobra.Command{Use: t.name, Short: t.title, Long: t.plain()})
	}
	return out
}

// plain is the page for a terminal.
func (t topic) plain() string { return cli.Plain(t.text) }

// writeTopics writes a manual page for each help topic into a directory.
func writeTopics(dir string, day time.Time) error {
	pages := map[topic]string{}
	for _, t := range generated() {
		pages[t] = cli.Markdown(t.text)
	}
	for _, t := range topics() {
		pages[t] = strings.ReplaceAll(t.text, "\n## ", "\n# ")
	}
	for t, text := range pages {
		if err := cli.ManualPage(dir, "tokentest-"+t.name, t.title, "# DESCRIPTION\n"+text, day); err != nil {
			return err
		}
	}
	return nil
}

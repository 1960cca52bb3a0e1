package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/shell"
)

// Name returns the name by which a user calls the program that was started as arg0: as it was typed, or without
// directories if the shell would find the same program by that.
func Name(arg0 string) string {
	base := filepath.Base(arg0)
	if filepath.IsAbs(arg0) {
		if found, err := exec.LookPath(base); err == nil && sameFile(found, arg0) {
			return base
		}
	}
	return arg0
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// Paste makes the printed commands of a program begin with the name that it was called by.
type Paste struct {
	name     string         // quoted for a shell
	commands *regexp.Regexp // nil if nothing changes
}

// NewPaste returns a Paste for a program's root command. name is what Name returns.
func NewPaste(root *cobra.Command, name string) *Paste {
	name = shell.Quote(name)
	if name == root.Name() {
		return &Paste{name: name}
	}
	words := []string{"--[a-z]+", "help", "completion"}
	for _, c := range root.Commands() {
		words = append(words, regexp.QuoteMeta(c.Name()))
	}
	slices.Sort(words)
	return &Paste{name, regexp.MustCompile(`(^|[^\w./-])` + regexp.QuoteMeta(root.Name()) + ` (` +
		strings.Join(words, "|") + `)\b`)}
}

// In returns the text with the name in place of the program's own where a command of it follows.
func (p *Paste) In(text string) string {
	if p == nil || p.commands == nil {
		return text
	}
	return p.commands.ReplaceAllString(text, "${1}"+strings.ReplaceAll(p.name, "$", "$$")+" ${2}")
}

// Help makes all help of the program say the name.
func (p *Paste) Help(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		out := c.OutOrStdout()
		var text strings.Builder
		c.SetOut(&text)
		help(c, args)
		c.SetOut(out)
		c.Print(p.In(text.String()))
	})
}

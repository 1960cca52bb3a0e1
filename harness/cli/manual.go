package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Manual writes a manual page for a command and for each one below it into a directory. day is the date that the pages
// have. Commands that run nothing are help topics; ManualPage writes those.
func Manual(c *cobra.Command, dir string, day time.Time) error {
	c.InitDefaultHelpCmd()
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			if err := Manual(sub, dir, day); err != nil {
				return err
			}
		}
	}
	c.InitDefaultHelpFlag()
	var b strings.Builder
	fmt.Fprintf(&b, "# SYNOPSIS\n**%s**\n\n# DESCRIPTION\n%s\n\n", c.UseLine(), about(c))
	options(&b, "OPTIONS", c.NonInheritedFlags())
	options(&b, "OPTIONS OF EVERY COMMAND", c.InheritedFlags())
	if c.Example != "" {
		fmt.Fprintf(&b, "# EXAMPLES\n```\n%s\n```\n", c.Example)
	}
	if also := seeAlso(c); len(also) > 0 {
		fmt.Fprintf(&b, "# SEE ALSO\n%s\n", strings.Join(also, ", "))
	}
	return ManualPage(dir, dashed(c), c.Short, b.String(), day)
}

// ManualPage writes one manual page, NAME.1, from Markdown without the heading NAME.
func ManualPage(dir, name, title, text string, day time.Time) error {
	text = fmt.Sprintf("%% %q \"1\" %q \"tokentest\" \"tokentest\"\n# NAME\n%s - %s\n\n%s",
		strings.ToUpper(name), day.Format("Jan 2006"), name, title, listed(text))
	if err := os.WriteFile(filepath.Join(dir, name+".1"), md2man.Render([]byte(text)), 0o644); err != nil {
		return fmt.Errorf("write the manual page of %s: %w", name, err)
	}
	return nil
}

// listed makes a list of definitions of each table, because the frames of a manual page's tables are wider than 80
// columns.
func listed(markdown string) string {
	var out []string
	lines := strings.Split(markdown, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "| ---"), i+1 < len(lines) && strings.HasPrefix(lines[i+1], "| ---"):
		case strings.HasPrefix(line, "| "):
			first, rest, _ := strings.Cut(strings.Trim(line, "| "), " | ")
			out = append(out, first, ": "+rest, "")
		default:
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func about(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short
}

// dashed is the name of a command's page.
func dashed(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

// options lists flags as a command line has them: with the name of the argument, if they take one.
func options(b *strings.Builder, title string, fl *pflag.FlagSet) {
	if !fl.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "# %s\n", title)
	fl.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		arg, text := pflag.UnquoteUsage(f)
		name := "**--" + f.Name + "**"
		if f.Shorthand != "" {
			name = "**-" + f.Shorthand + "**, " + name
		}
		switch {
		case arg == "":
		case f.NoOptDefVal != "":
			name += "[=*" + arg + "*]"
		default:
			name += " *" + arg + "*"
		}
		fmt.Fprintf(b, "%s\n: %s%s\n\n", name, escape.Replace(text), usual(f, text))
	})
}

// escape keeps the Markdown of a flag's text from being read as more than text.
var escape = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`)

// usual says what a flag is without being given, if its text does not say it.
func usual(f *pflag.Flag, text string) string {
	switch f.DefValue {
	case "", "0", "0s", "[]", "false":
		return ""
	}
	if strings.Contains(text, "(default") {
		return ""
	}
	return fmt.Sprintf(" (default %s)", escape.Replace(strings.Trim(f.DefValue, "[]")))
}

// seeAlso names the pages of the commands next to a command.
func seeAlso(c *cobra.Command) []string {
	var out []string
	if c.HasParent() {
		out = append(out, "**"+dashed(c.Parent())+"(1)**")
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && !sub.IsAdditionalHelpTopicCommand() {
			out = append(out, "**"+dashed(sub)+"(1)**")
		}
	}
	return out
}

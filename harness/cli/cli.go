// Package cli is what the command line has beyond cobra: errors of flags that name the nearest one, values that must be
// positive, help in groups, completion of fixed values, manual pages, and printed commands that begin with the name
// that the tool was called by.
//
// It knows no command of tokentest.
//
// Start with FlagError and Name.
package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/usage"
)

// FlagError words cobra's error for a flag of a command, for cobra.Command.SetFlagErrorFunc. An unknown flag comes with
// those that look like it, a wrong value with what it must be. It is a *usage.Error.
func FlagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return usage.Errorf("%w%s", err, near(c, unknown.GetSpecifiedName()))
	case errors.As(err, &value):
		return usage.Errorf("--%s %q: %s", value.GetFlag().Name, value.GetValue(),
			mustBe(value.GetFlag().Value.Type(), value.Unwrap()))
	}
	return usage.Errorf("%w", err)
}

// Arguments words what c and its commands say about the number of their arguments: the usage line, as a *usage.Error.
// An error of their own that is one stays.
func Arguments(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var own *usage.Error
			if err == nil || errors.As(err, &own) {
				return err
			}
			return usage.Errorf("usage: %s", c.UseLine())
		}
	}
	for _, sub := range c.Commands() {
		Arguments(sub)
	}
}

// mustBe says what a flag of a type takes. cause is what its type says about the value.
func mustBe(kind string, cause error) string {
	switch {
	case kind == "duration":
		return "must be a time such as 90s or 5m"
	case errors.Is(cause, strconv.ErrRange):
		return "the number is too large"
	case kind == "bool":
		return "must be true or false"
	case errors.Is(cause, strconv.ErrSyntax):
		return "must be a number"
	}
	return cause.Error()
}

// near names the flags of a command that look like a word, as " (near: --a, --b)", or "".
func near(c *cobra.Command, word string) string {
	if len(word) < 2 {
		return ""
	}
	best := max(1, (len(word)+1)/3)
	var names []string
	visit := func(f *pflag.Flag) {
		d := levenshtein.ComputeDistance(strings.ToLower(word), f.Name)
		if len(word) > 2 && strings.HasPrefix(f.Name, strings.ToLower(word)) {
			d = 1
		}
		switch {
		case f.Hidden || d > best:
		case d < best:
			names, best = []string{"--" + f.Name}, d
		default:
			names = append(names, "--"+f.Name)
		}
	}
	c.Flags().VisitAll(visit) // with those of the commands above
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return fmt.Sprintf(" (near: %s)", strings.Join(slices.Compact(names), ", "))
}

// Positive refuses a value below 1, or a time that is not positive, of those named flags that a command has and that
// were given: their absence has a meaning of its own, which 0 must not have. The error is a *usage.Error.
func Positive(c *cobra.Command, names ...string) error {
	for _, name := range names {
		f := c.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		text := f.Value.String()
		switch n, err := strconv.Atoi(text); {
		case err == nil && n < 1:
			return usage.Errorf("--%s %s: must be at least 1", name, text)
		case f.Value.Type() == "duration" && (text == "0s" || strings.HasPrefix(text, "-")):
			if text == "0s" {
				text = "0"
			}
			return usage.Errorf("--%s %s: must be positive, such as 90s", name, text)
		}
	}
	return nil
}

// Named are the names of the flags that the user gave.
func Named(c *cobra.Command) (names []string) {
	c.Flags().Visit(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

// Given returns those of the named flags of a command that were given, as a command line has them.
func Given(c *cobra.Command, names ...string) []string {
	var out []string
	for _, name := range names {
		f := c.Flags().Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		list, several := f.Value.(pflag.SliceValue)
		switch {
		case several:
			for _, v := range list.GetSlice() {
				out = append(out, "--"+name, v)
			}
		case f.NoOptDefVal != "" && f.Value.String() == f.NoOptDefVal:
			out = append(out, "--"+name)
		case f.NoOptDefVal != "":
			out = append(out, "--"+name+"="+f.Value.String())
		default:
			out = append(out, "--"+name, f.Value.String())
		}
	}
	return out
}

// Again gives a command flags as Given returned them, unless its user gave them. It returns the names of those
// that it set, each once.
func Again(c *cobra.Command, flags []string) (names []string, err error) {
	given := map[*pflag.Flag]bool{}
	for i := 0; i < len(flags); i++ {
		name, value, inline := strings.Cut(strings.TrimPrefix(flags[i], "--"), "=")
		f := c.Flags().Lookup(name)
		if f == nil {
			return nil, fmt.Errorf("give --%s again: this command has no such flag", name)
		}
		if value == "" && f.NoOptDefVal != "" && !inline {
			value = f.NoOptDefVal
		} else if !inline && i+1 < len(flags) {
			i++
			value = flags[i]
		}
		if f.Changed && !given[f] {
			continue
		}
		if err := c.Flags().Set(name, value); err != nil {
			return nil, fmt.Errorf("give --%s again: %w", name, err)
		}
		if given[f] = true; !slices.Contains(names, "--"+name) {
			names = append(names, "--"+name)
		}
	}
	return names, nil
}

// Values completes the flags of a command and of those below it: a flag that a function is registered for takes its
// words, one whose argument is no file takes nothing, and one with a completion already keeps it. The name of an
// argument in a flag's usage, such as FILE, says whether it is a file.
func Values(c *cobra.Command, of func(c *cobra.Command, flag string) []string) {
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, has := c.GetFlagCompletionFunc(f.Name); has {
			return
		}
		kind, _ := pflag.UnquoteUsage(f)
		words := of(c, f.Name)
		if words == nil && slices.Contains(files, strings.TrimSuffix(strings.TrimSuffix(kind, "[:PLACE]"), "S")) {
			return // the shell's own completion of files
		}
		c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	})
	for _, sub := range c.Commands() {
		Values(sub, of)
	}
}

// files are the names of arguments that are files or directories.
var files = []string{"FILE", "DIR", "PROGRAM", "RUN", "FRAGMENT", "BASE", "NEW", "REF"}

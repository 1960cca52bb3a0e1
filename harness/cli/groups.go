package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Group is flags of a command that its help shows under one heading.
type Group struct {
	Title string
	Flags []string
}

// rest is the heading of the flags that no group has.
const rest = "Other flags"

// Groups makes the help of a command show its flags in groups, in their order.
func Groups(c *cobra.Command, groups []Group) {
	c.SetUsageFunc(func(c *cobra.Command) error {
		w := c.OutOrStderr()
		fmt.Fprintf(w, "Usage:\n  %s\n\nExamples:\n%s\n", c.UseLine(), c.Example)
		for _, g := range append(slices.Clone(groups), Group{rest, ungrouped(c, groups)}) {
			set := pflag.NewFlagSet(g.Title, pflag.ContinueOnError)
			set.SortFlags = false
			for _, name := range g.Flags {
				if f := c.LocalFlags().Lookup(name); f != nil {
					set.AddFlag(f)
				}
			}
			if set.HasAvailableFlags() {
				fmt.Fprintf(w, "\n%s:\n%s", g.Title, set.FlagUsages())
			}
		}
		if c.HasAvailableInheritedFlags() {
			fmt.Fprintf(w, "\nFlags of every command:\n%s\n", strings.TrimRight(c.InheritedFlags().FlagUsages(), "\n"))
		}
		return nil
	})
}

// ungrouped lists the flags of a command that are in no group.
func ungrouped(c *cobra.Command, groups []Group) []string {
	var out []string
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !slices.ContainsFunc(groups, func(g Group) bool { return slices.Contains(g.Flags, f.Name) }) {
			out = append(out, f.Name)
		}
	})
	return out
}

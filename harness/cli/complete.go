package cli

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

// CompleteFlags gives the flags with these names a completion, in all commands.
func CompleteFlags(c *cobra.Command, names []string, complete cobra.CompletionFunc) {
	for _, name := range names {
		if c.Flags().Lookup(name) != nil {
			c.RegisterFlagCompletionFunc(name, complete) // this fails for a flag that already has a completion
		}
	}
	for _, sub := range c.Commands() {
		CompleteFlags(sub, names, complete)
	}
}

// CompleteCases names cases, up to the next /: groups first, then the values of their axes.
func CompleteCases(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx := c.Context()
	corpus, err := cases.Load(ctx)
	if err == nil && cases.IsSweep(prefix) {
		err = corpus.AddSweeps(ctx)
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, g := range corpus.Groups {
		if !strings.HasPrefix(prefix, g.Name+"/") {
			if strings.HasPrefix(g.Name, prefix) {
				name := g.Name
				if len(g.Cases) > 1 {
					name += "/"
				}
				out = append(out, name+"\t"+g.About)
			}
			continue
		}
		for _, c := range g.Cases {
			if strings.HasPrefix(c.ID, prefix) {
				out = append(out, upToSlash(c.ID, len(prefix)))
			}
		}
	}
	slices.Sort(out)
	// The argument can also be a case file of the user.
	return slices.Compact(out), cobra.ShellCompDirectiveNoSpace
}

// CompleteHelp names the commands below those that are named already, and the topics.
func CompleteHelp(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	above, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, sub := range above.Commands() {
		if (sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand()) && strings.HasPrefix(sub.Name(), prefix) {
			out = append(out, sub.Name()+"\t"+sub.Short)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// upToSlash cuts a name after the first / at or after an index.
func upToSlash(id string, from int) string {
	if i := strings.IndexByte(id[from:], '/'); i >= 0 {
		return id[:from+i+1]
	}
	return id
}

// CompleteRuns names stored runs, the newest first.
func CompleteRuns(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	base, err := runs.Base()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	dirs := []string{base}
	if strings.Contains(prefix, "/") {
		dirs = append(dirs, filepath.Dir(prefix))
	}
	out := []string{}
	if strings.HasPrefix(runs.Latest, prefix) {
		out = append(out, runs.Latest)
	}
	for _, dir := range dirs {
		names, err := result.Runs(dir)
		if err != nil {
			continue
		}
		slices.Reverse(names) // the newest first
		for _, name := range names {
			if strings.HasPrefix(name, prefix) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return out, cobra.ShellCompDirectiveKeepOrder
}

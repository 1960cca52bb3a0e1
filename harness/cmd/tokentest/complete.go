package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/cli"
	"tokentest/harness/kernel"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/runs"
	"tokentest/harness/testlog"
)

// completions completes the names of cases, kernels and runs.
func (a *app) completions(root *cobra.Command) {
	for _, name := range []string{"run", "plan", "explain", "history", "bench", "bisect", "list cases"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = completeCases
		}
	}
	for _, name := range []string{"report", "compare", "rules", "scan"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = completeRuns
		}
	}
	a.kernelFlags(root)
	cli.Values(root, valuesOf)
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
		group(c) // cobra takes any word there
	}
}

// valuesOf are the words that a flag of a command takes, or nil.
func valuesOf(c *cobra.Command, flag string) []string {
	switch flag {
	case "format":
		switch c.Name() {
		case "compare":
			return report.CompareFormats()
		case "plan":
			return planFormats
		}
		return report.Formats()
	case "accel":
		return []string{"auto", "kvm", "tcg"}
	case "isolate":
		return []string{"case", "group"}
	case "fail-on":
		return result.ClassNames()
	case "boot":
		return []string{"auto", "direct", "bzimage"}
	case "snapshot":
		return []string{"auto", "always", "never"}
	case "parse":
		return testlog.Formats()
	case "when":
		return []string{"any", "all"}
	}
	return nil
}

// kernelFlags completes every flag that takes a kernel.
func (a *app) kernelFlags(c *cobra.Command) {
	for _, name := range []string{"kernel", "good", "bad", "base-kernel", "new-kernel"} {
		if c.Flags().Lookup(name) != nil {
			c.RegisterFlagCompletionFunc(name, a.completeKernels) // this fails for a flag that already has a completion
		}
	}
	for _, sub := range c.Commands() {
		a.kernelFlags(sub)
	}
}

// completeCases completes up to the next /: groups first, then the values of their axes.
func completeCases(c *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
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

// upToSlash cuts a name after the first / at or after an index.
func upToSlash(id string, from int) string {
	if i := strings.IndexByte(id[from:], '/'); i >= 0 {
		return id[:from+i+1]
	}
	return id
}

func completeRuns(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
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

// completeKernels names the kernels that need no network. The argument can also be a file.
func (a *app) completeKernels(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	all, err := kernel.Cached(a.kernelOptions())
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []string
	for _, k := range all {
		if strings.HasPrefix(k.Ref, prefix) {
			out = append(out, k.Ref+"\t"+k.Release)
		}
	}
	if len(out) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

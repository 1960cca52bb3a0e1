package main

import (
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/cli"
	"tokentest/harness/kernel"
	"tokentest/harness/report"
	"tokentest/harness/result"
	"tokentest/harness/testlog"
)

// completions completes the names of cases, kernels and runs.
func (a *app) completions(root *cobra.Command) {
	for _, name := range []string{"run", "plan", "explain", "history", "bench", "bisect", "list cases", "cover",
		"mutate"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = cli.CompleteCases
		}
	}
	for _, name := range []string{"report", "compare", "rules", "scan"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = cli.CompleteRuns
		}
	}
	cli.CompleteFlags(root, []string{"kernel", "good", "bad", "base-kernel", "new-kernel"}, a.completeKernels)
	cli.Values(root, valuesOf)
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil && c != root {
		c.Short = "print the completion script of a shell"
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
		case "cover", "mutate":
			return []string{"pretty", "json"}
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

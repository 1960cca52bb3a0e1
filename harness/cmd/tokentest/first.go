package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"tokentest/cases"
	"tokentest/harness/kernel"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

// firstScreen is what the command shows to somebody who names nothing.
const firstScreen = `tokentest checks on real kernels what a BPF token allows and what it denies.

  tokentest run                           boot Debian's 6.12 and run the suite
  tokentest run -k deb:7.3 -k deb:6.12    several kernels
  tokentest run -k path/to/bzImage        a kernel of your own
  tokentest run repro.txt -k deb:7.3      a case file of your own
  tokentest run -k git:~/linux#HEAD       built first

  tokentest list cases                    what can be asked
  tokentest explain CASE                  why it is decided so
  tokentest bisect --good X --bad Y       what changed a decision
  tokentest exec -k deb:7.3 -- PROG       any program in such a machine

  tokentest report RUN -f html            look at a run that is kept
  tokentest compare BASE NEW              what changed between two
  tokentest history CASE                  one case over all of them

  tokentest doctor                        what this host lacks
  tokentest help COMMAND|TOPIC            more; tokentest --help lists all

Exit codes: 0 all as expected; 1 a kernel differs; 2 usage; 3 no verdict.
`

// first makes the command alone show the first screen.
func (a *app) first(c *cobra.Command) {
	c.RunE = func(*cobra.Command, []string) error {
		_, err := fmt.Fprint(a.stdout, firstScreen)
		return err
	}
}

func (a *app) manCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "write the manual pages into a directory",
		Long:    "Write a manual page for each command and each help topic.",
		Example: "  tokentest man ~/.local/share/man/man1",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the directory of the pages: %w", err)
			}
			day := builtOn()
			head := &doc.GenManHeader{Section: "1", Source: "tokentest", Manual: "tokentest", Date: &day}
			c.Root().DisableAutoGenTag = true
			if err := doc.GenManTree(c.Root(), head, args[0]); err != nil {
				return fmt.Errorf("write the manual pages: %w", err)
			}
			return writeTopics(args[0], day)
		},
	}
}

// builtOn is the day of the commit that the program is built from: the same
// program writes the same pages.
func builtOn() time.Time {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // where the build does not say
	info, ok := debug.ReadBuildInfo()
	for i := 0; ok && i < len(info.Settings); i++ {
		if s := info.Settings[i]; s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				day = t
			}
		}
	}
	return day
}

// completions tells the shell what may stand where: names of cases, kernels
// and runs.
func (a *app) completions(root *cobra.Command) {
	for _, name := range []string{"run", "plan", "explain", "history", "bench", "bisect", "list cases"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = completeCases
		}
	}
	for _, name := range []string{"report", "compare", "rules"} {
		if c, _, err := root.Find(strings.Fields(name)); err == nil && c != root {
			c.ValidArgsFunction = completeRuns
		}
	}
	a.kernelFlags(root)
}

// kernelFlags completes every flag that takes a kernel.
func (a *app) kernelFlags(c *cobra.Command) {
	for _, name := range []string{"kernel", "good", "bad", "base-kernel", "new-kernel"} {
		if c.Flags().Lookup(name) != nil {
			c.RegisterFlagCompletionFunc(name, a.completeKernels) // it fails for a flag that has one already
		}
	}
	for _, sub := range c.Commands() {
		a.kernelFlags(sub)
	}
}

// completeCases goes from one / to the next: groups first, then the values of
// their axes.
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
	// A case file of the user's own may stand there as well.
	return slices.Compact(out), cobra.ShellCompDirectiveNoSpace
}

// upToSlash cuts a name behind the first / from a place on.
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
	var out []string
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

// completeKernels names what needs no network; a file may stand there as well.
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

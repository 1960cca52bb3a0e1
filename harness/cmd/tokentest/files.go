package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"tokentest/harness/builtin"
	"tokentest/harness/usage"
)

func (a *app) filesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "files [NAME...]",
		Short: "list the files that are built in, or print some",
		Long: `List the files that are built in: the case files, the fragments of kernel
configurations, the schemas of what a run stores, and vmtest.mk for the Makefile of
a kernel tree. With names, print these files; a name may leave out the folders.`,
		Example: "  tokentest files\n  tokentest files vmtest.mk > ~/vmtest.mk\n  tokentest files map_create.txt",
		RunE: func(_ *cobra.Command, names []string) error {
			all, err := builtin.Files()
			if len(names) == 0 {
				for _, name := range all {
					fmt.Fprintln(a.stdout, name)
				}
			}
			for _, name := range names {
				text, err := builtin.Read(name)
				if err != nil {
					return usage.Errorf("%w; tokentest files lists them", err)
				}
				fmt.Fprintf(a.stdout, "%s", text)
			}
			return err
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			all, _ := builtin.Files() // they are built in
			return all, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func (a *app) versionCmd() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:   "version",
		Short: "print the version, the Go toolchain and the built-in agent's digest",
		Long: `Print one line: the tag or commit that this program was built from, the Go toolchain and
platform, and the build ID of the built-in agent, a digest of its sources and toolchain. The
record of a run names the agent that it ran.`,
		Example: "  tokentest version --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(builtin.Of())
			}
			_, err := fmt.Fprintln(a.stdout, builtin.Of())
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: version, go, platform, agent")
	return c
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tokentest/harness/explain"

	"github.com/spf13/cobra"
)

func (a *app) listOptionsCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "options",
		Short: "list the configuration options that a case depends on",
		Long: `List the configuration options that a case depends on: those of the fragment
token, those that a case needs or that a known defect depends on, and those that
the guest looks for in the running kernel, each with where it is named.`,
		Example: "  tokentest list options",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.listOptions() },
	}
}

func (a *app) listOptions() error {
	named, err := explain.Options()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		fmt.Fprintf(a.stdout, "%s\t%s\n", name, strings.Join(named[name], ", "))
	}
	return nil
}

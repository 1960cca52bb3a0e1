package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"tokentest/harness/builtin"
	"tokentest/harness/cli"
)

func (a *app) manCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "write the manual pages into a directory",
		Long:    "Write a manual page for each command and each help topic.",
		Example: "  tokentest man ~/.local/share/man/man1",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the directory of the pages: %w", err)
			}
			if err := cli.Manual(c.Root(), args[0], builtin.Day()); err != nil {
				return err
			}
			return writeTopics(args[0], builtin.Day())
		},
	}
}

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"tokentest/harness/cli"
)

// greet makes the command without arguments print the welcome.
func (a *app) greet(c *cobra.Command) {
	c.RunE = func(*cobra.Command, []string) error {
		_, err := fmt.Fprint(a.stdout, a.paste.In(cli.Welcome))
		return err
	}
}

package main

import (
	"github.com/spf13/cobra"

	"tokentest/cases/step"
	"tokentest/harness/repro"
	"tokentest/harness/runs"
)

func (a *app) reproCmd() *cobra.Command {
	var release, facts, dir string
	c := &cobra.Command{
		Use:   "repro CASE... | repro RUN",
		Short: "write a case as a C program that needs only a compiler and root",
		Long: `Write a case as one C program for somebody who does not have tokentest: it makes the
same calls, prints a line of TAP for each step, and exits with 0 if each gives the errno
that the rules expect, 1 if one differs, and 4 if the step cannot be asked there. Controls
are left out. A case that cannot be written as C is refused, with the step. Of a stored run
it writes one program for each cause of failure into the run's directory, as run does.`,
		Example: `  tokentest repro map_create/any/owner/CAP_BPF/with/hash > repro.c
  tokentest repro token_create --kernel 7.3 --out programs`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dir := repro.RunDir(args); dir != "" {
				return repro.WriteOfRun(c.Context(), a.stdout, dir)
			}
			p, err := a.expand(c.Context(), oneKernel(release, args))
			kernels := []*step.Facts{nil}
			if facts != "" && err == nil {
				kernels, err = runs.Facts(facts, "")
			}
			if err != nil {
				return err
			}
			return repro.Chosen{Patterns: args, Dir: dir, Release: release, Facts: kernels[0]}.Write(a.stdout, p.Cases)
		},
	}
	c.Flags().StringVarP(&release, "kernel", "k", defaultRelease, "expect what the kernel `RELEASE` answers")
	c.Flags().StringVar(&facts, "facts", "", "expect what the kernel of a stored `RUN` must answer")
	c.Flags().StringVarP(&dir, "out", "o", "", "write a file for each case into `DIR`")
	return c
}

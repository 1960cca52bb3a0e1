package main

import (
	"github.com/spf13/cobra"

	"tokentest/cases/step"
	"tokentest/harness/repro"
	"tokentest/harness/runs"
)

func (a *app) reproCmd() *cobra.Command {
	var chosen repro.Chosen
	var facts string
	c := &cobra.Command{
		Use:   "repro CASE... | repro RUN",
		Short: "write a case as a C program that needs only a compiler and root",
		Long: `Write a case as one C program for somebody who does not have tokentest: it makes the
same calls, prints a line of TAP for each step, and exits with 0 if each gives the errno
that the rules expect, 1 if one differs, and 4 if the step cannot be asked there. Controls
are left out. A case that cannot be written as C is refused, with the step. Of a stored run
it writes one program for each cause of failure into the run's directory, as run does.
--format kselftest writes tests for tools/testing/selftests: cells that differ only in what is
delegated, in the capabilities and in the errno are variants of one test.`,
		Example: `  tokentest repro map_create/any/owner/CAP_BPF/with/hash > repro.c
  tokentest repro token_create --kernel 7.3 --out programs
  tokentest repro --format kselftest --out bpf_token 'map_create/*/owner/*/with/hash'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if dir := repro.RunDir(args); dir != "" {
				return repro.WriteOfRun(c.Context(), a.stdout, dir)
			}
			p, err := a.expand(c.Context(), oneKernel(chosen.Release, args))
			kernels := []*step.Facts{nil}
			if facts != "" && err == nil {
				kernels, err = runs.Facts(facts, "")
			}
			if err != nil {
				return err
			}
			chosen.Patterns, chosen.Facts = args, kernels[0]
			return chosen.Write(a.stdout, p.Cases)
		},
	}
	c.Flags().StringVarP(&chosen.Release, "kernel", "k", defaultRelease, "expect what the kernel `RELEASE` answers")
	c.Flags().StringVar(&facts, "facts", "", "expect what the kernel of a stored `RUN` must answer")
	c.Flags().StringVarP(&chosen.Dir, "out", "o", "", "write a file for each case into `DIR`")
	c.Flags().StringVarP(&chosen.Format, "format", "f", "c", "c, or kselftest: tests with kselftest_harness.h")
	return c
}

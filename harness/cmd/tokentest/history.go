package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/result"
	"tokentest/harness/runs"
)

type historyFlags struct {
	dir, kernel string
	changes     bool
}

func (a *app) historyCmd() *cobra.Command {
	f := &historyFlags{}
	c := &cobra.Command{
		Use:   "history [CASE | latest]",
		Short: "show the results of a case in all stored runs",
		Long: `Show the result of a case in every stored run, the oldest first: the kernel, the
status, the answer and the rule. A * marks a line that differs from the kernel's line
before it. For a pattern that covers several cases, or without CASE, it shows how many
have each status; with latest, each case that was not as expected in the newest run.`,
		Example: `  tokentest history map_create/any/owner/CAP_BPF/with/devmap
  tokentest history latest
  tokentest history token_create --kernel deb:6.12 --changes`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.history(c.Context(), strings.Join(append(args, "*")[:1], ""), f)
		},
	}
	c.Flags().StringVar(&f.dir, "runs", "", "look at the runs in `DIR` (default where runs are stored)")
	c.Flags().StringVarP(&f.kernel, "kernel", "k", "", "only the kernel `REF`")
	c.Flags().BoolVar(&f.changes, "changes", false, "only the lines that differ from the one before")
	return c
}

func (a *app) history(ctx context.Context, pattern string, f *historyFlags) error {
	dir := f.dir
	if dir == "" {
		var err error
		if dir, err = runs.Base(); err != nil {
			return err
		}
	}
	h := &runs.History{Dir: dir, Kernel: f.kernel, Changes: f.changes, Note: a.note}
	err := h.Write(ctx, a.stdout, pattern)
	if h.Incomplete {
		a.code = result.ExitNoVerdict
	}
	return err
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/explain"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

func (a *app) rulesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rules RUN...",
		Short: "show that some case depends on each rule of the oracle",
		Long: `Judge stored runs again without each rule of the oracle in turn. A kernel that
decides by the rule must then disagree somewhere. Exit code 1 says that no case of
the runs depends on some rule.`,
		Example: "  tokentest rules results/runs/RUN",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var list []*result.Run
			l := &result.Loader{Worlds: true}
			for _, arg := range args {
				r, err := runs.Load(l, arg)
				if err == nil {
					err = runs.Complete(r, a.note)
				}
				if err != nil {
					return err
				}
				list = append(list, r)
			}
			corpus, err := cases.Load(c.Context())
			if err != nil {
				return err
			}
			return a.rules(c.Context(), list, corpus)
		},
	}
}

func (a *app) rules(ctx context.Context, list []*result.Run, corpus *cases.Corpus) error {
	seen, err := explain.Notices(ctx, list, corpus)
	if err != nil {
		return err
	}
	all, err := explain.WriteNotices(a.stdout, seen)
	if !all {
		a.code = result.ExitDiffers
	}
	return err
}

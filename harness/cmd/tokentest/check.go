package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"tokentest/harness/arch"
	"tokentest/harness/explain"
	"tokentest/harness/result"
	"tokentest/harness/usage"
	"tokentest/kconfig"
)

type checkFlags struct {
	fragments []string
}

func (a *app) kernelCheckCmd() *cobra.Command {
	f := &checkFlags{}
	c := &cobra.Command{
		Use:   "check CONFIG|IMAGE|REF",
		Short: "name every option that a kernel lacks, and the cases that need it",
		Long: `Compare a .config, the configuration inside an image (CONFIG_IKCONFIG), a
fragment, or the configuration of any kernel that can be named, with the
fragments base and token. Each option that is missing is printed with the
fragment's line, and with the cases that would be skipped without it. For a
kernel image its BTF also shows which commands and types it lacks, and which it
has that tokentest does not know.

Exit code 1 says that something is missing that the cases or the boot need.`,
		Example: "  tokentest kernel check ~/linux/.config\n  tokentest kernel check --fragment debug deb:6.12",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return a.check(c.Context(), args[0], f) },
	}
	c.Flags().StringArrayVar(&f.fragments, "fragment", []string{"base", "token"},
		"compare with `FRAGMENT`: base, token, debug or a file; may be repeated")
	return c
}

func (a *app) check(ctx context.Context, name string, f *checkFlags) error {
	var fragments []*kconfig.Fragment
	for _, name := range f.fragments {
		list, err := kconfig.ReadFragment(name)
		if err != nil {
			return usage.Of(err)
		}
		fragments = append(fragments, list...)
	}
	c, err := explain.ReadConfiguration(ctx, name, a.kernelOptions())
	if err != nil {
		return err
	}
	lacks, err := c.Check(a.stdout, fragments)
	if lacks {
		a.code = result.ExitDiffers
	}
	return err
}

func (a *app) kernelConfigCmd() *cobra.Command {
	return &cobra.Command{
		Use:       "config NAME...",
		Short:     "print built-in configuration fragments: " + strings.Join(kconfig.Names(), ", "),
		Example:   "  tokentest kernel config base token > token.config",
		ValidArgs: kconfig.Names(),
		Args:      cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			list, err := kconfig.Builtin(names...)
			if err != nil {
				return usage.Of(err)
			}
			for _, f := range kconfig.For(arch.Default, list...) {
				if _, err := a.stdout.Write(f.Text()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

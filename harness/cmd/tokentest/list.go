package main

import (
	"context"
	"fmt"
	"io"

	"github.com/hashicorp/go-multierror"
	"github.com/spf13/cobra"

	"tokentest/cases"
	"tokentest/harness/explain"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/usage"
)

func (a *app) listCmd() *cobra.Command {
	k := a.kernelListCmd()
	k.Use = "kernels"
	parity := &cobra.Command{
		Use:     "parity",
		Short:   "map the assertions of the kernel's selftests to cases, as Markdown",
		Example: "  tokentest list parity",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return a.listParity(c.Context()) },
	}
	return group(&cobra.Command{Use: "list", Short: "list cases, kernels or options"}, k, parity, a.listDecisionsCmd(),
		a.listCasesCmd(), a.listOptionsCmd())
}

func (a *app) listCasesCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	c := &cobra.Command{
		Use:   "cases [CASE|FILE...]",
		Short: "list the groups of cases, or the names of cases",
		Long: `List the groups of cases, or the names of the cases that are named. With --kernel or
--btf it also lists what that kernel would skip, and why, without booting it.`,
		Example: "  tokentest list cases\n  tokentest list cases 'map_create/any/*/hash' -k deb:6.12",
		RunE: func(c *cobra.Command, args []string) error {
			btf.kernel = c.Flags().Changed("kernel")
			var err error
			if f.kernels, err = btf.name(f.kernels); err != nil {
				return err
			}
			return a.listCases(c.Context(), args, f, btf)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", nil,
		"list what the kernel `REF`, which must be on this host, would skip")
	btf.register(c.Flags())
	return c
}

func (a *app) listParity(ctx context.Context) error {
	c, err := cases.Load(ctx)
	if err != nil {
		return err
	}
	text, err := cases.Parity(c)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

func (a *app) listDecisionsCmd() *cobra.Command {
	source := ""
	c := &cobra.Command{
		Use:   "decisions",
		Short: "map the kernel's decision points to rules and cases, as Markdown",
		Long: `Map the points at which the kernel decides a call to the rules and cases that cover them, as
Markdown. With --source it lists the calls of a kernel tree that ask for a privilege and have no point.`,
		Example: "  tokentest list decisions\n  tokentest list decisions --source ~/linux",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return explain.Decisions(c.Context(), a.stdout, source) },
	}
	c.Flags().StringVar(&source, "source", "", "list the calls in the kernel tree `DIR` that no point stands for")
	return c
}

func (a *app) listCases(ctx context.Context, args []string, f *runFlags, btf *btfFlag) error {
	var known *explain.Forecast
	switch len(f.kernels) {
	case 0:
	case 1:
		var err error
		if known, err = explain.Foresee(ctx, btf.source(a, f.kernels[0])); err != nil {
			return err
		}
		if known.Away {
			return usage.Errorf("--kernel %s: %s", f.kernels[0], known.Why)
		}
	default:
		return usage.Errorf("list cases: takes one kernel, got %d", len(f.kernels))
	}
	if len(args) == 0 {
		return explain.WriteGroups(ctx, a.stdout, known)
	}
	p, err := a.expand(ctx, oneKernel(defaultKernel, args))
	if err != nil {
		return err
	}
	for _, c := range p.Cases {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Fprintln(a.stdout, c.ID+known.Mark(c))
	}
	if known != nil && known.Facts == nil {
		a.note("what %s lacks is not known: %s", f.kernels[0], known.Why)
	}
	return nil
}

// planFormats are the formats of plan.
var planFormats = []string{"text", "github"}

// pinKernels prints references with the digests of their images.
func (a *app) pinKernels(ctx context.Context, refs []string) error {
	for _, ref := range refs {
		text, err := kernel.Pin(ctx, ref, kernel.Options{CacheDir: a.cacheDir, Log: a.note})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, text)
	}
	return nil
}

func (a *app) planCmd() *cobra.Command {
	f, btf := &runFlags{}, &btfFlag{}
	format, shards, sample, pin := "text", 1, false, false
	c := &cobra.Command{
		Use:   "plan [CASE|FILE...]",
		Short: "show what would run, without QEMU or root",
		Long: `Show what would run, and in which boots. For a kernel on this host, its BTF and its
configuration also show what would be skipped and why, and what the kernel has that
tokentest does not know. The exit code for a kernel that cannot be had is that of run.

--pin prints the kernels with the digests of their images, to give them to hosts whose
package lists may be older or newer. --write-config prints a plan file that explains
every key.`,
		Example: "  tokentest plan --kernel deb:6.12 --kernel deb:7.3 map_create\n  tokentest plan --btf " +
			"/sys/kernel/btf/vmlinux\n  tokentest plan --format github --shards 2\n  tokentest plan --pin -k deb:6.12",
		RunE: func(c *cobra.Command, args []string) error {
			if sample {
				_, err := io.WriteString(a.stdout, plan.WriteConfig())
				return err
			}
			args, err := f.readFile(c, args)
			if err != nil {
				return err
			}
			if pin {
				return a.pinKernels(c.Context(), f.kernels)
			}
			btf.kernel = c.Flags().Changed("kernel")
			if f.kernels, err = btf.name(f.kernels); err != nil {
				return err
			}
			p, lists, _, err := f.plan(c, a, args)
			if p == nil || err != nil {
				return err
			}
			switch {
			case format == "github":
				return f.part.WriteMatrix(a.stdout, p, shards)
			case format != "text":
				return usage.Errorf("--format %q: must be text or github", format)
			}
			wrong, err := explain.WritePlan(c.Context(), a.stdout, p, lists, func(k string) explain.Source {
				if v, ok := f.variants[k]; ok {
					k = v.Ref
				}
				return btf.source(a, k)
			})
			return a.unavailable(wrong, len(p.Kernels), err)
		},
	}
	c.Flags().StringArrayVarP(&f.kernels, "kernel", "k", []string{defaultKernel}, "boot the kernel `REF`; may be repeated")
	c.Flags().BoolVar(&f.full, "full", false, "every case, not only the default suite")
	c.Flags().IntVar(&f.batch, "batch", 0, "send `N` cases at a time (default 256)")
	c.Flags().StringVarP(&format, "format", "f", format, "text, or github: the JSON of a strategy.matrix")
	c.Flags().Lookup("format").Annotations = map[string][]string{ownMeaning: {}}
	c.Flags().IntVar(&shards, "shards", shards, "with --format github: split each kernel in at most `N` jobs")
	f.registerPlan(c.Flags())
	listFlags(c.Flags(), &f.lists)
	btf.register(c.Flags())
	c.Flags().BoolVar(&pin, "pin", false, "print the kernels with the digests of their images, REF@sha256:DIGEST")
	c.Flags().BoolVar(&sample, "write-config", false, "print a plan file with every key explained, and plan nothing")
	return c
}

// unavailable returns the errors of the kernels of a plan that cannot be had. As for a run, they are the
// user's mistake if no kernel is left, and no verdict on them if some are.
func (a *app) unavailable(wrong []error, kernels int, err error) error {
	if err != nil || len(wrong) == 0 {
		return err
	}
	list := multierror.Append(nil, wrong...)
	if len(wrong) == kernels {
		return list
	}
	for _, e := range flatten(list) {
		fmt.Fprintln(a.stderr, "tokentest:", a.paste.In(e.Error()))
	}
	a.code = result.ExitNoVerdict
	return nil
}

package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokentest/harness/cover"
	"tokentest/harness/lab"
	"tokentest/harness/result"
	"tokentest/harness/runs"
)

func (a *app) coverCmd() *cobra.Command {
	o, l, format, missed, patch, tree := cover.Options{}, lab.Lab{}, cover.Pretty, false, "", ""
	c := &cobra.Command{
		Use:   "cover [CASE|FILE...]",
		Short: "say which code and permission checks of the kernel the cases execute",
		Long: `Run the cases, and say which functions, lines, sides of branches and permission checks of
the kernel they execute. The exit code is that of run. "tokentest help measure" has more.`,
		Example: "  tokentest cover -k deb:6.12 --fetch-symbols\n" +
			"  tokentest cover --missed --unit kernel/bpf/token.c token_create",
		RunE: func(c *cobra.Command, args []string) error {
			o.Args = args
			if patch != "" {
				return a.coverPatch(c.Context(), o, l, format, patch)
			}
			return a.cover(c.Context(), o, l, func(r *cover.Report) error { return r.Print(a.stdout, format, missed, tree) })
		},
	}
	fl := c.Flags()
	coverFlags(fl, &o, &l)
	fl.BoolVar(&missed, "missed", false, "also name the functions and lines that are not executed")
	fl.StringVar(&o.Expect, "expect", "", "give the checks that `FILE` lists their reason; exit with 1 if one has none")
	fl.StringVar(&patch, "patch", "", "say what the cases execute of the lines that the patch `FILE` changes")
	fl.Var(&format, "format", "print the report as `FORMAT`: pretty, json or html")
	fl.StringVar(&tree, "source", "", "with --format html, show the source files of the kernel's tree `DIR`")
	return c
}

func (a *app) cover(ctx context.Context, o cover.Options, l lab.Lab, print func(*cover.Report) error) error {
	return a.tracing(&o, l, func() error {
		r, run, err := cover.Run(ctx, o)
		if r == nil {
			return err
		}
		if a.code = run.ExitCode(); a.code != 0 {
			a.note("%s: not every case is as expected: see tokentest run", o.Kernel)
		} else if o.Expect != "" && r.Unjudged() > 0 {
			a.code = result.ExitDiffers
		}
		return errors.Join(err, print(r))
	})
}

func (a *app) coverPatch(ctx context.Context, o cover.Options, l lab.Lab, format cover.Format, patch string) error {
	return a.tracing(&o, l, func() error {
		r, err := cover.RunPatch(ctx, o, patch)
		if err != nil {
			return err
		}
		return r.Print(a.stdout, format)
	})
}

// tracing calls do with the options in a directory of their own.
func (a *app) tracing(o *cover.Options, l lab.Lab, do func() error) (err error) {
	if l.CacheDir, err = a.makeCache(); err != nil {
		return err
	}
	l.Agent, l.Log, o.Log = a.agent, a.note, a.note
	if err = l.Check(); err == nil {
		l.Dir, err = runs.Make("")
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(l.Dir)
	o.Lab = l
	return do()
}

// coverFlags are those of commands that look at the kernel's code.
func coverFlags(fl *pflag.FlagSet, o *cover.Options, l *lab.Lab) {
	fl.StringVarP(&o.Kernel, "kernel", "k", defaultKernel, "measure the kernel `REF`")
	fl.BoolVar(&o.Full, "full", false, "run all cases, not only the default suite")
	fl.StringArrayVar(&o.Units, "unit", cover.Chosen, "measure the source files that match `PATTERN`; may be repeated")
	fl.StringVar(&o.Symbols, "symbols", "", "take the debug information of the vmlinux `FILE`")
	fl.BoolVar(&o.Fetch, "fetch-symbols", false, "fetch the distribution's debug package of about 350 MB if needed")
	fl.StringArrayVar(&l.Append, "append", nil, "add `ARGUMENT` to the kernel's command line; may be repeated")
	fl.BoolVar(&l.Offline, "offline", false, "do not use the network")
}
